//! A bare broker to try clients against: `cargo run -p millstream-broker --example serve -- DATA_DIR [PORT] [NAME=VALUE …]`.

use millstream_broker::configs::properties::Setting;
use millstream_broker::{Broker, BrokerConfig};
use millstream_log::{Log, LogOptions};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter()).init();
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: serve DATA_DIR [PORT] [NAME=VALUE …]")?;
    let mut settings = vec![Setting::parse("listeners=PLAINTEXT://localhost:9092")?];
    for argument in arguments {
        settings.push(match argument.parse::<u16>() {
            Ok(port) => Setting::parse(&format!("listeners=PLAINTEXT://localhost:{port}"))?,
            Err(_) => Setting::parse(&argument)?,
        });
    }
    let config = BrokerConfig::from_settings(settings)?;
    let listeners = config.listeners()?;
    let (log, report) = Log::open(dir.as_ref(), LogOptions::default())?;
    tracing::info!(?report, "log open");
    let broker = Broker::open(log.clone(), config)?;
    let mut serving = Vec::new();
    for listener in listeners {
        // `localhost` is an address of IPv4 and one of IPv6, mostly.
        let host = if listener.host.is_empty() { "0.0.0.0" } else { &listener.host };
        let mut port = listener.port;
        for address in tokio::net::lookup_host((host, port)).await? {
            match TcpListener::bind((address.ip(), port)).await {
                Ok(socket) => {
                    port = socket.local_addr()?.port();
                    serving.push(tokio::spawn(broker.clone().serve_listener(listener.clone(), socket)));
                    println!("{}://{}", listener.name, std::net::SocketAddr::new(address.ip(), port));
                }
                Err(error) => tracing::warn!(%address, %error, "not served here"),
            }
        }
    }
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
