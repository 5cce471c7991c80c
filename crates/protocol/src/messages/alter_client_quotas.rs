//! AlterClientQuotas: sets and removes quotas of users, client ids and addresses (KIP-546).

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    AlterClientQuotas = 49, versions 0..=1, flexible 1..;

    request AlterClientQuotasRequest {
        entries: Vec<EntryData>,
        validate_only: bool,
    }

    response AlterClientQuotasResponse {
        throttle_time_ms: i32,
        entries: Vec<AlteredEntryData>,
    }

    struct EntryData {
        entity: Vec<EntityData>,
        ops: Vec<OpData>,
    }

    struct OpData {
        key: String,
        value: f64,
        remove: bool,
    }

    struct AlteredEntryData {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        entity: Vec<EntityData>,
    }

    struct EntityData {
        entity_type: String,
        entity_name: Option<String> [0.., null 0..],
    }
}
