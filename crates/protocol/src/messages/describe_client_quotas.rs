//! DescribeClientQuotas: the quotas of users, client ids and addresses (KIP-546).

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeClientQuotas = 48, versions 0..=1, flexible 1..;

    request DescribeClientQuotasRequest {
        components: Vec<ComponentData>,
        strict: bool,
    }

    response DescribeClientQuotasResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        entries: Option<Vec<DescribedEntryData>> [0.., null 0..],
    }

    struct ComponentData {
        entity_type: String,
        match_type: i8,
        matched: Option<String> [0.., null 0..],
    }

    struct DescribedEntryData {
        entity: Vec<DescribedEntityData>,
        values: Vec<ValueData>,
    }

    struct DescribedEntityData {
        entity_type: String,
        entity_name: Option<String> [0.., null 0..],
    }

    struct ValueData {
        key: String,
        value: f64,
    }
}
