//! A bare broker to try clients against: `cargo run -p millstream-broker --example serve -- DATA_DIR [PORT]`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use millstream_broker::{Broker, BrokerConfig};
use millstream_log::{Log, LogOptions};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter()).init();
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: serve DATA_DIR [PORT]")?;
    let port: u16 = arguments.next().map_or(Ok(9092), |port| port.parse())?;
    let (log, report) = Log::open(dir.as_ref(), LogOptions::default())?;
    tracing::info!(?report, "log open");
    let broker = Broker::open(log.clone(), BrokerConfig::default())?;
    let first = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let address = first.local_addr()?;
    let mut serving = vec![tokio::spawn(broker.clone().serve(first))];
    match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()))).await {
        Ok(second) => serving.push(tokio::spawn(broker.clone().serve(second))),
        Err(error) => tracing::warn!(%error, "no IPv6 here"),
    }
    println!("localhost:{}", address.port());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! { _ = tokio::signal::ctrl_c() => {} _ = terminate.recv() => {} }
    broker.stop();
    for task in serving {
        task.await?;
    }
    log.close()?;
    Ok(())
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into())
}
