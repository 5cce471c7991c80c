//! Which cluster a verb speaks to, and how: the one place where flags become a client.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;
use millstream_client::{Client, ClientError, ClientOptions};

use crate::{CommandError, security};

/// Flags of every verb.
#[derive(Debug, Args, Clone)]
pub struct Cluster {
    /// Any Kafka, ours or another: addresses of one or more of its brokers, with commas between them
    #[arg(
        long,
        short = 'b',
        global = true,
        help_heading = "Connection",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092",
        env = "KAFKA_BOOTSTRAP"
    )]
    pub bootstrap: String,
    /// Properties file with security.protocol, sasl.* and ssl.* (PEM), as Kafka's own tools take it
    #[arg(long, global = true, help_heading = "Connection", value_name = "FILE", env = "KAFKA_COMMAND_CONFIG")]
    pub command_config: Option<PathBuf>,
}

impl Cluster {
    /// How connections are made.
    fn options(&self) -> Result<ClientOptions, CommandError> {
        let mut options = ClientOptions::default();
        if let Some(path) = &self.command_config {
            let (security, told) = security::read(path)?;
            options.connection.security = security;
            for line in told {
                // Who closed standard error does not want to know.
                let _ = writeln!(std::io::stderr(), "warning: {line}");
            }
        }
        Ok(options)
    }

    /// A client of the cluster.
    pub async fn connect(&self) -> Result<Client, CommandError> {
        for address in self.bootstrap.split(',') {
            let port = address.trim().rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            if port.is_none_or(|(host, _)| host.is_empty()) {
                return Err(CommandError::Address(address.trim().to_owned()));
            }
        }
        Client::connect(&self.bootstrap, self.options()?).await.map_err(|error| match error {
            // What a TLS handshake fails with: somebody is there.
            ClientError::Connect { ref source, .. }
                if matches!(
                    source.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::ConnectionReset
                ) =>
            {
                CommandError::NotKafka { address: self.bootstrap.clone(), reason: error }
            }
            ClientError::Connect { source, .. } => {
                CommandError::NoBroker { address: self.bootstrap.clone(), reason: source.to_string() }
            }
            error @ (ClientError::Lost { .. } | ClientError::Timeout { .. } | ClientError::Decode { .. }) => {
                CommandError::NotKafka { address: self.bootstrap.clone(), reason: error }
            }
            other => other.into(),
        })
    }
}
