//! `listeners` and `advertised.listeners`: where the broker listens, and what clients that come by there are told.

use std::collections::BTreeMap;

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL inside TLS.
    SaslSsl,
}

impl Protocol {
    /// By Kafka's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Protocol::Plaintext,
            "SSL" => Protocol::Ssl,
            "SASL_PLAINTEXT" => Protocol::SaslPlaintext,
            "SASL_SSL" => Protocol::SaslSsl,
            _ => return None,
        })
    }

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "PLAINTEXT",
            Protocol::Ssl => "SSL",
            Protocol::SaslPlaintext => "SASL_PLAINTEXT",
            Protocol::SaslSsl => "SASL_SSL",
        }
    }
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// What is spoken.
    pub protocol: Protocol,
    /// Where it listens; no host: everywhere.
    pub host: String,
    /// Port; 0: any.
    pub port: u16,
    /// Host and port that clients are told. `None`: where they connected to, or `localhost` if that is a loopback address.
    pub advertised: Option<(String, u16)>,
}

impl Default for Listener {
    /// `PLAINTEXT://:9092`, as Kafka has it.
    fn default() -> Self {
        Listener {
            name: Protocol::Plaintext.name().to_string(),
            protocol: Protocol::Plaintext,
            host: String::new(),
            port: 9092,
            advertised: None,
        }
    }
}

impl Listener {
    /// The listeners of Kafka's four settings. Those in `controllers` (`controller.listener.names`) are passed over: one process is all.
    ///
    /// # Errors
    /// What is wrong, naming the setting.
    pub fn parse_all(
        listeners: &str,
        advertised: &str,
        protocols: &str,
        controllers: &str,
    ) -> Result<Vec<Listener>, String> {
        let controllers: Vec<String> = words(controllers).map(str::to_ascii_uppercase).collect();
        let mut names = BTreeMap::new();
        for word in words(protocols) {
            let pair = word.split_once(':').and_then(|(name, to)| Some((name, Protocol::from_name(to.trim())?)));
            let Some((name, protocol)) = pair else {
                return Err(format!(
                    "listener.security.protocol.map: {word:?} is not NAME:PROTOCOL, with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
                ));
            };
            names.insert(name.trim().to_ascii_uppercase(), protocol);
        }
        let mut out: Vec<Listener> = Vec::new();
        for word in words(listeners) {
            let (name, host, port) = endpoint("listeners", word)?;
            if controllers.contains(&name) {
                continue;
            }
            let protocol = names.get(&name).copied().or_else(|| Protocol::from_name(&name)).ok_or_else(|| {
                format!(
                    "listeners: what is spoken on {name}? listener.security.protocol.map=…,{name}:PLAINTEXT says it"
                )
            })?;
            if out.iter().any(|there| there.name == name || (port != 0 && there.port == port && there.host == host)) {
                return Err(format!("listeners: {word} stands there twice; each has its own name and port"));
            }
            out.push(Listener { name, protocol, host, port, advertised: None });
        }
        if out.is_empty() {
            return Err("listeners: there is none for clients".to_string());
        }
        for word in words(advertised) {
            let (name, host, port) = endpoint("advertised.listeners", word)?;
            if controllers.contains(&name) {
                continue;
            }
            if host.is_empty() || host == "0.0.0.0" || host == "::" {
                return Err(format!("advertised.listeners: {word} is no address that a client can connect to"));
            }
            let known = out.iter_mut().find(|listener| listener.name == name);
            let Some(listener) = known else {
                return Err(format!("advertised.listeners: {name} is not one of listeners={listeners}"));
            };
            listener.advertised = Some((host, port));
        }
        Ok(out)
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// `NAME://HOST:PORT`; an IPv6 address stands in brackets.
fn endpoint(setting: &str, word: &str) -> Result<(String, String, u16), String> {
    let parts = word.split_once("://").and_then(|(name, rest)| {
        let (host, port) = rest.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let legal = bare.is_some() || !host.contains(':');
        (legal && !name.is_empty()).then_some((name, bare.unwrap_or(host), port.parse().ok()?))
    });
    match parts {
        Some((name, host, port)) => Ok((name.to_ascii_uppercase(), host.to_string(), port)),
        None => Err(format!("{setting}: {word:?} is not NAME://HOST:PORT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_listeners_have_their_own_advertised_addresses() {
        let all = Listener::parse_all(
            "PLAINTEXT://:9092, DOCKER://0.0.0.0:29092,CONTROLLER://:9093",
            "PLAINTEXT://localhost:9092,docker://broker:29092",
            "DOCKER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "CONTROLLER",
        )
        .expect("good listeners");
        assert_eq!(all.len(), 2);
        assert_eq!((all[1].host.as_str(), all[1].port), ("0.0.0.0", 29092));
        assert_eq!(all[1].advertised, Some(("broker".to_string(), 29092)));
        let one = Listener::parse_all("SSL://[::1]:1", "", "", "").expect("a good listener");
        assert_eq!((one[0].host.as_str(), one[0].protocol), ("::1", Protocol::Ssl));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (listeners, advertised) in [
            ("", ""),
            ("localhost:9092", ""),
            ("PLAINTEXT://::1:9092", ""),
            ("PLAINTEXT://:99999", ""),
            ("MINE://:9092", ""),
            ("PLAINTEXT://:9092,PLAINTEXT://:9093", ""),
            ("PLAINTEXT://:9092", "OTHER://a:1"),
            ("PLAINTEXT://:9092", "PLAINTEXT://0.0.0.0:1"),
        ] {
            assert!(Listener::parse_all(listeners, advertised, "", "").is_err(), "{listeners} {advertised}");
        }
    }
}
