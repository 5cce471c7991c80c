//! ApiVersions: exactly what works. Produce 0 to 2 are listed and refused, as Kafka 4 does: an older librdkafka that does not see them
//! silently stops compressing.

use millstream_protocol::messages::api_versions::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use millstream_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use millstream_protocol::{ApiKey, ErrorCode};

use super::{Access, Api, Context, TABLE};
use crate::features::{EPOCH, FEATURES};

pub(crate) struct ApiVersions;

impl Api for ApiVersions {
    type Request = ApiVersionsRequest;

    const ACCESS: Access<ApiVersionsRequest> = Access::BeforeLogin;

    async fn handle(context: Context, request: ApiVersionsRequest) -> ApiVersionsResponse {
        if context.version >= NAMED_SINCE
            && ![&request.client_software_name, &request.client_software_version].into_iter().all(|word| is_word(word))
        {
            return ApiVersionsResponse { error_code: ErrorCode::InvalidRequest, ..ApiVersionsResponse::default() };
        }
        tracing::debug!(
            peer = %context.peer,
            client = %context.client_id,
            software = %request.client_software_name,
            version = %request.client_software_version,
            "client"
        );
        response(ErrorCode::None, context.version)
    }
}

/// A client says what it is (KIP-511).
const NAMED_SINCE: i16 = 3;

/// What may stand for a client's name and version: letters and digits, dots and dashes between them.
fn is_word(text: &str) -> bool {
    let inside = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.');
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.bytes().all(inside) && ends.iter().all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric()))
}

/// Older clients cannot read a feature whose lowest level is 0.
const LEVEL_0_SINCE: i16 = 4;

/// The list; of it only this API for a client whose own version is not known here: that one is answered in version 0 with an error.
pub(crate) fn response(error_code: ErrorCode, version: i16) -> ApiVersionsResponse {
    let api_keys = TABLE
        .iter()
        .filter(|entry| error_code.is_ok() || entry.key == ApiKey::ApiVersions)
        .map(|entry| ApiVersion {
            api_key: entry.key.code(),
            min_version: entry.advertised_since,
            max_version: entry.max,
        })
        .collect();
    let readable = if version >= LEVEL_0_SINCE { FEATURES } else { &[] };
    let supported = readable.iter().map(|feature| SupportedFeatureKey {
        name: feature.name.to_string(),
        min_version: 0,
        max_version: feature.level_max,
    });
    let finalized = FEATURES.iter().map(|feature| FinalizedFeatureKey {
        name: feature.name.to_string(),
        max_version_level: feature.level,
        min_version_level: feature.level,
    });
    ApiVersionsResponse {
        error_code,
        api_keys,
        supported_features: supported.collect(),
        finalized_features_epoch: EPOCH,
        finalized_features: finalized.collect(),
        ..ApiVersionsResponse::default()
    }
}
