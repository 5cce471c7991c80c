//! Who a verb is to a cluster that asks: a properties file as Kafka's own tools take it by `--command-config`.
//!
//! | property | also as | |
//! | --- | --- | --- |
//! | `security.protocol` | | PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL |
//! | `sasl.mechanism` | `sasl.mechanisms` | PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 |
//! | `sasl.username`, `sasl.password` | `sasl.jaas.config` | |
//! | `ssl.ca.location` | `ssl.truststore.location` | PEM; without one, the system's authorities |
//! | `ssl.certificate.location`, `ssl.key.location` | `ssl.keystore.location` | PEM |
//!
//! Other properties are other programs' business, but one that looks like these is said: a `security.protcol=SSL` would talk in the clear.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_client::{Login, Security, Tls};
use millstream_protocol::sasl::{Mechanism, Secret};

use crate::CommandError;
use crate::error::nearest;

/// What is read here.
const KNOWN: [&str; 13] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "sasl.jaas.config",
    "ssl.ca.location",
    "ssl.truststore.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.truststore.type",
    "ssl.keystore.type",
];
/// What other clients read, and nothing is lost without.
const OTHERS: [&str; 8] = [
    "security.providers",
    "ssl.truststore.password",
    "ssl.keystore.password",
    "ssl.endpoint.identification.algorithm",
    "ssl.enabled.protocols",
    "ssl.protocol",
    "ssl.cipher.suites",
    "sasl.kerberos.service.name",
];

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Spec {
    tls: bool,
    login: Option<Login>,
    authorities: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
}

/// Reads the file, and the certificates it names. Also gives what a person should be told of it.
pub fn read(path: &Path) -> Result<(Security, Vec<String>), CommandError> {
    let text = std::fs::read_to_string(path)
        .map_err(|reason| CommandError::File { path: path.display().to_string(), reason })?;
    let spec = parse(&text).map_err(|what| CommandError::Input { place: path.display().to_string(), what })?;
    let tls = match spec.tls {
        true => {
            let certificate = spec.certificate.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()));
            Some(Tls::new(spec.authorities.as_deref(), certificate)?)
        }
        false => None,
    };
    let told = doubts(&text).into_iter().map(|doubt| format!("{}: {doubt}", path.display())).collect();
    Ok((Security { tls, login: spec.login }, told))
}

fn properties(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.trim(), value.trim())).collect()
}

/// Properties that are passed over and look as if they should not be.
fn doubts(text: &str) -> Vec<String> {
    let unknown = properties(text).into_keys().filter(|name| !KNOWN.contains(name) && !OTHERS.contains(name));
    let doubt = |name: &str| match nearest(name, KNOWN.into_iter()) {
        Some(near) => Some(format!("{name} is not known here and is passed over (did you mean '{near}'?)")),
        None if name.starts_with("security.") || name.starts_with("sasl.") || name.starts_with("ssl.") => {
            Some(format!("{name} is not known here and is passed over"))
        }
        None => None,
    };
    unknown.filter_map(doubt).collect()
}

fn parse(text: &str) -> Result<Spec, String> {
    let properties = properties(text);
    let get = |names: &[&str]| names.iter().find_map(|name| properties.get(name).copied());
    let (tls, sasl) = match get(&["security.protocol"]).unwrap_or("PLAINTEXT").to_ascii_uppercase().as_str() {
        "PLAINTEXT" => (false, false),
        "SSL" => (true, false),
        "SASL_PLAINTEXT" => (false, true),
        "SASL_SSL" => (true, true),
        other => return Err(format!("security.protocol={other}: it is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")),
    };
    let login = if sasl { Some(login(&get)?) } else { None };
    let certificate = match (get(&["ssl.certificate.location"]), get(&["ssl.key.location"])) {
        (Some(chain), Some(key)) => Some((chain.into(), key.into())),
        (None, None) => get(&["ssl.keystore.location"]).map(|both| (both.into(), both.into())),
        _ => return Err("ssl.certificate.location and ssl.key.location belong together".to_owned()),
    };
    let authorities = get(&["ssl.ca.location", "ssl.truststore.location"]).map(PathBuf::from);
    Ok(Spec { tls, login, authorities, certificate })
}

fn login<'a>(get: &impl Fn(&[&str]) -> Option<&'a str>) -> Result<Login, String> {
    let name = get(&["sasl.mechanism", "sasl.mechanisms"]).unwrap_or("PLAIN");
    let mechanism = Mechanism::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Mechanism::ALL.iter().map(|mechanism| mechanism.name()).collect();
        format!("sasl.mechanism={name}: known here are {}", known.join(", "))
    })?;
    let jaas = get(&["sasl.jaas.config"]).unwrap_or_default();
    let user = get(&["sasl.username"]).map(str::to_owned).or_else(|| option(jaas, "username"));
    let password = get(&["sasl.password"]).map(str::to_owned).or_else(|| option(jaas, "password"));
    match (user, password) {
        (Some(user), Some(password)) => Ok(Login { mechanism, user, password: Secret::new(password) }),
        _ => Err("no user: give sasl.username and sasl.password, or sasl.jaas.config".to_owned()),
    }
}

/// `name="value"` of `…LoginModule required name="value" …;`
fn option(jaas: &str, name: &str) -> Option<String> {
    let at =
        jaas.match_indices(name).map(|(at, _)| &jaas[at + name.len()..]).find_map(|rest| rest.strip_prefix("=\""))?;
    let mut value = String::new();
    let mut chars = at.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_java_and_of_librdkafka_are_understood() {
        let java = "# prod\nsecurity.protocol=SASL_SSL\nsasl.mechanism = SCRAM-SHA-256\nssl.truststore.type=PEM\n\
             ssl.truststore.location=/etc/ca.pem\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
             username=\"ann\" password=\"a\\\"b=c\";\n";
        let spec = parse(java).expect("legal");
        let login = spec.login.expect("a user");
        assert_eq!(
            (login.user.as_str(), login.password.reveal(), login.mechanism.name()),
            ("ann", "a\"b=c", "SCRAM-SHA-256")
        );
        assert_eq!((spec.tls, spec.authorities.as_deref()), (true, Some(Path::new("/etc/ca.pem"))));
        let librdkafka =
            "security.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\nsasl.username=bob\nsasl.password=x\n";
        let spec = parse(librdkafka).expect("legal");
        assert_eq!((spec.tls, spec.login.map(|login| login.user)), (false, Some("bob".to_owned())));
        assert_eq!(parse("client.id=x\n"), Ok(Spec::default()));
        let mutual = parse("security.protocol=SSL\nssl.keystore.location=both.pem").expect("legal");
        assert_eq!(mutual.certificate, Some(("both.pem".into(), "both.pem".into())));
    }

    #[test]
    fn what_looks_like_a_typo_is_said() {
        let doubts = doubts("security.protocl=SSL\nssl.truststore.type=PEM\nclient.id=x\nsasl.login.class=x\n");
        assert_eq!(doubts.len(), 2, "{doubts:?}");
        assert!(doubts[0].starts_with("sasl.login.class is not known here"));
        assert!(doubts[1].ends_with("(did you mean 'security.protocol'?)"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("security.protocol=TLS", "SASL_SSL"),
            ("security.protocol=SASL_SSL", "sasl.username"),
            ("security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI", "SCRAM-SHA-512"),
            ("ssl.key.location=x", "belong together"),
        ] {
            assert!(parse(text).is_err_and(|error| error.contains(words)), "{text}");
        }
    }
}
