//! Settings of Kafka's Java clients, as pipelines write them, for librdkafka.

use rdkafka::ClientConfig;

/// Settings of the Java client that mean nothing to librdkafka, or that a source and a sink set themselves as Spark does.
const LEFT_OUT: &[&str] = &[
    "group.id",
    "auto.offset.reset",
    "key.deserializer",
    "value.deserializer",
    "key.serializer",
    "value.serializer",
    "enable.auto.commit",
    "interceptor.classes",
    "max.poll.records",
    "default.api.timeout.ms",
    "sasl.client.callback.handler.class",
];

/// A configuration for `bootstrap` with the pipeline's own `kafka.*` options; the error names one that has no equal.
pub fn client_config<'a>(
    bootstrap: &str,
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("client.id", "millstream");
    for (name, value) in options {
        match name {
            _ if LEFT_OUT.contains(&name) => {}
            "sasl.mechanism" => drop(config.set("sasl.mechanisms", value)),
            "sasl.jaas.config" => {
                for (key, property) in [("username", "sasl.username"), ("password", "sasl.password")] {
                    let given = jaas(value, key).ok_or("kafka.sasl.jaas.config names no username and password")?;
                    config.set(property, given);
                }
            }
            "ssl.truststore.location"
            | "ssl.keystore.location"
            | "ssl.truststore.password"
            | "ssl.keystore.password" => {
                return Err(format!(
                    "kafka.{name} is a Java key store; give PEM files by kafka.ssl.ca.location and its like"
                ));
            }
            _ => drop(config.set(name, value)),
        }
    }
    Ok(config)
}

/// `key="value"` in a JAAS line.
fn jaas(line: &str, key: &str) -> Option<String> {
    let after = &line[line.find(&format!("{key}="))? + key.len() + 1..];
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    after[1..].split(quote).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_settings_are_understood() {
        let options = [
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.jaas.config", "org.apache.kafka.x.ScramLoginModule required username=\"u\" password=\"p w\";"),
            ("max.poll.records", "5"),
            ("fetch.min.bytes", "7"),
        ];
        let config = client_config("h:1", options).unwrap();
        assert_eq!(config.get("sasl.mechanisms"), Some("SCRAM-SHA-512"));
        assert_eq!((config.get("sasl.username"), config.get("sasl.password")), (Some("u"), Some("p w")));
        assert_eq!((config.get("max.poll.records"), config.get("fetch.min.bytes")), (None, Some("7")));
        assert!(client_config("h:1", [("ssl.truststore.location", "/a.jks")]).is_err());
    }
}
