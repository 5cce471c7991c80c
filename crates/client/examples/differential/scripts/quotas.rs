//! Quotas of users, client ids and addresses: set, described, taken away, refused.

use millstream_protocol::messages::alter_client_quotas::{EntityData, EntryData, OpData};
use millstream_protocol::messages::describe_client_quotas::ComponentData;
use millstream_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};

use crate::side::Side;

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

type Entity<'a> = &'a [(&'a str, Option<&'a str>)];
type Filter<'a> = &'a [(&'a str, i8, Option<&'a str>)];

pub async fn run(side: &mut Side) {
    for version in side.versions::<AlterClientQuotasRequest>() {
        let user = side.name("user", version);
        let one: Entity<'_> = &[("user", Some(&user))];
        let both: Entity<'_> = &[("user", Some(&user)), ("client-id", None)];
        let steps: Vec<(&str, Entity<'_>, &str, f64, bool)> = vec![
            ("of a user", one, "producer_byte_rate", 1000.0, false),
            ("of a user's clients", both, "consumer_byte_rate", 2000.5, false),
            ("of an address", &[("ip", Some("127.0.0.9"))], "connection_creation_rate", 10.0, false),
            ("an unknown key", one, "no_such_rate", 1.0, false),
            ("a key of addresses for a user", one, "connection_creation_rate", 1.0, false),
            ("zero", one, "producer_byte_rate", 0.0, false),
            ("negative", one, "producer_byte_rate", -1.0, false),
            ("no whole number of bytes a second", one, "producer_byte_rate", 0.5, false),
            ("an unknown kind", &[("planet", Some("mars"))], "producer_byte_rate", 1.0, false),
            ("an empty name", &[("user", Some(""))], "producer_byte_rate", 1.0, false),
            ("a user twice", &[("user", Some("a")), ("user", Some("b"))], "producer_byte_rate", 1.0, false),
            (
                "a user and an address",
                &[("user", Some("a")), ("ip", Some("127.0.0.1"))],
                "producer_byte_rate",
                1.0,
                false,
            ),
            ("of nobody", &[], "producer_byte_rate", 1.0, false),
            ("no address", &[("ip", Some("nowhere.invalid"))], "connection_creation_rate", 1.0, false),
            ("taken away that is not there", &[("user", Some("stranger"))], "producer_byte_rate", 0.0, true),
        ];
        for (step, entity, key, value, remove) in steps {
            for validate_only in [true, false] {
                let word = if validate_only { ", only validated" } else { "" };
                let request =
                    AlterClientQuotasRequest { entries: vec![entry(entity, key, value, remove)], validate_only };
                side.call(&format!("{step}{word}"), version, &request).await;
            }
        }
        side.settle_metadata().await;
        describe(side, &user).await;
        for (entity, key) in [
            (one, "producer_byte_rate"),
            (both, "consumer_byte_rate"),
            (&[("ip", Some("127.0.0.9"))], "connection_creation_rate"),
        ] {
            let request =
                AlterClientQuotasRequest { entries: vec![entry(entity, key, 0.0, true)], validate_only: false };
            side.call("taken away", version, &request).await;
        }
    }
}

fn entry(entity: Entity<'_>, key: &str, value: f64, remove: bool) -> EntryData {
    let each = entity
        .iter()
        .map(|(kind, name)| EntityData { entity_type: (*kind).to_owned(), entity_name: name.map(str::to_owned) });
    EntryData { entity: each.collect(), ops: vec![OpData { key: key.to_owned(), value, remove }] }
}

async fn describe(side: &mut Side, user: &str) {
    let filters: [(&str, Filter<'_>, bool); 10] = [
        ("of the user", &[("user", EXACT, Some(user))], false),
        ("of the user alone", &[("user", EXACT, Some(user))], true),
        ("of the user and default clients", &[("user", EXACT, Some(user)), ("client-id", DEFAULT, None)], true),
        ("of any user", &[("user", ANY, None)], false),
        ("of addresses", &[("ip", ANY, None)], false),
        ("of a stranger", &[("user", EXACT, Some("stranger"))], false),
        ("of an unknown kind", &[("planet", ANY, None)], false),
        ("of a kind twice", &[("user", ANY, None), ("user", ANY, None)], false),
        ("of a match of type 7", &[("user", 7, None)], false),
        ("of all", &[], false),
    ];
    for (step, filter, strict) in filters {
        side.each(step, |_| {
            let each = filter.iter().map(|(kind, match_type, name)| ComponentData {
                entity_type: (*kind).to_owned(),
                match_type: *match_type,
                matched: name.map(str::to_owned),
            });
            Some(DescribeClientQuotasRequest { components: each.collect(), strict })
        })
        .await;
    }
}
