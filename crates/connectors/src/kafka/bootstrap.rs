//! Which Kafka a bootstrap address means: the log in this process or a cluster.

/// The value of `KAFKA_BOOTSTRAP` under Millstream when the environment does not set one.
pub const EMBEDDED_MARKER: &str = "embedded";

/// Where topics are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bootstrap {
    /// In this process.
    Embedded,
    /// At these addresses (`host:port`, comma separated).
    Cluster(String),
}

impl Bootstrap {
    /// Decides by the addresses: none, the marker, or one of `own_listeners` (`host:port`, as they are bound and as they are advertised)
    /// is the embedded log; anything else is a cluster. All names of the loopback are one; so a listener bound to all interfaces is
    /// also meant by `localhost`.
    pub fn decide(addresses: Option<&str>, own_listeners: &[String]) -> Self {
        let Some(addresses) = addresses.map(str::trim).filter(|a| !a.is_empty()) else { return Self::Embedded };
        if addresses.eq_ignore_ascii_case(EMBEDDED_MARKER) {
            return Self::Embedded;
        }
        let own: Vec<(String, u16)> = own_listeners.iter().filter_map(|a| parse(a)).collect();
        let ours = addresses.split(',').filter_map(|a| parse(a.trim())).any(|(host, port)| {
            own.iter().any(|(own_host, own_port)| {
                *own_port == port && (*own_host == host || (own_host == ANY && host == LOOPBACK))
            })
        });
        if ours { Self::Embedded } else { Self::Cluster(addresses.to_owned()) }
    }
}

const LOOPBACK: &str = "localhost";
const ANY: &str = "0.0.0.0";

/// `host:port` with every name of the loopback as `localhost` and of all interfaces as `0.0.0.0`. A missing port is Kafka's 9092.
fn parse(address: &str) -> Option<(String, u16)> {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !host.is_empty() => (host, port.parse().ok()?),
        _ => (address, 9092),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let host = match host.as_str() {
        "localhost" | "::1" | "ip6-localhost" => LOOPBACK.to_owned(),
        "::" | "0.0.0.0" => ANY.to_owned(),
        h if h.starts_with("127.") => LOOPBACK.to_owned(),
        _ => host,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_and_the_marker_are_embedded() {
        let own = ["127.0.0.1:9092".to_owned(), "[::1]:9092".to_owned(), "box.example:9092".to_owned()];
        for address in
            ["embedded", "", "localhost:9092", "127.0.0.1:9092", "[::1]:9092", "BOX.example:9092", "localhost"]
        {
            assert_eq!(Bootstrap::decide(Some(address), &own), Bootstrap::Embedded, "{address}");
        }
        assert_eq!(Bootstrap::decide(None, &own), Bootstrap::Embedded);
        assert_eq!(Bootstrap::decide(Some("localhost:9999"), &["0.0.0.0:9999".into()]), Bootstrap::Embedded);
    }

    #[test]
    fn others_are_clusters() {
        let own = ["127.0.0.1:9092".to_owned()];
        for address in ["localhost:9093", "kafka-1:9092,kafka-2:9092", "10.0.0.1:9092"] {
            assert_eq!(Bootstrap::decide(Some(address), &own), Bootstrap::Cluster(address.into()), "{address}");
        }
    }
}
