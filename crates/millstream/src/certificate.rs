//! `millstream certificate`: what TLS needs while one tries things out, by one command.

use std::path::Path;

use anyhow::{Context, Result, bail};
use millstream_broker::security::certificate::{DevelopmentFiles, development};

use crate::cli::Certificate;

/// Makes the files, and prints the settings that use them.
pub fn certificate(args: &Certificate) -> Result<()> {
    let dir = std::path::absolute(&args.dir).with_context(|| format!("{} has no absolute path", args.dir.display()))?;
    let planned = DevelopmentFiles::of(&dir, args.client.is_some());
    let paths = [Some(&planned.authority), Some(&planned.server), planned.client.as_ref()];
    if let Some(there) = paths.into_iter().flatten().find(|path| path.exists()) {
        bail!(
            "{} is there already and stays as it is: who trusts its authority would not trust a new one.\n  Name another folder, or \
             delete the files in this one first.",
            there.display()
        );
    }
    let files = development(&dir, &args.name, args.client.as_deref())
        .with_context(|| format!("cannot make certificates in {}", dir.display()))?;
    println!("{}", settings(&files).trim_end());
    Ok(())
}

/// The lines, for the broker's file and for clients'.
fn settings(files: &DevelopmentFiles) -> String {
    let place = |path: &Path| path.display().to_string();
    let (authority, server) = (place(&files.authority), place(&files.server));
    let mut broker = format!("ssl.keystore.type=PEM\nssl.keystore.location={server}\n");
    let mut client = format!("ssl.truststore.type=PEM\nssl.truststore.location={authority}\n");
    if let Some(path) = &files.client {
        broker += &format!("ssl.truststore.type=PEM\nssl.truststore.location={authority}\nssl.client.auth=requested\n");
        client += &format!("ssl.keystore.type=PEM\nssl.keystore.location={}\n", place(path));
    }
    format!(
        "# The broker's (millstream broker --config FILE); SASL_SSL instead of SSL asks for a log-in, too.\n\
         listeners=SSL://localhost:9093\n{broker}\n\
         # Its clients' (--command-config FILE, Java). librdkafka: ssl.ca.location={authority}; kafka-python: ssl_cafile.\n\
         security.protocol=SSL\n{client}"
    )
}
