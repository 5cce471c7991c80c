//! What a secured broker needs before it starts: a user in its data folder, and certificates for trying things out.
//!
//! `cargo run -p millstream-broker --example secure -- DATA_DIR CERTIFICATES_DIR NAME PASSWORD`, then
//! `… --example serve -- DATA_DIR listeners=SASL_SSL://localhost:9093 ssl.keystore.location=CERTIFICATES_DIR/server.pem super.users=User:NAME …`

use millstream_broker::security::certificate::development;
use millstream_broker::security::users::Users;
use millstream_log::{Log, LogOptions};
use millstream_protocol::sasl::Secret;
use millstream_protocol::sasl::scram::ITERATIONS_MIN;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, certificates, name, password] = &arguments[..] else {
        return Err("usage: secure DATA_DIR CERTIFICATES_DIR NAME PASSWORD".into());
    };
    let files = development(certificates.as_ref(), &[])?;
    let (log, _) = Log::open(dir.as_ref(), LogOptions::default())?;
    Users::offline(&log)?.set_password(name, &Secret::new(password.as_str()), ITERATIONS_MIN).await?;
    log.close()?;
    println!("{}", files.authority.display());
    Ok(())
}
