//! ApiVersions: exactly what works. Produce 0 to 2 are listed and refused, as Kafka 4 does: an older librdkafka that does not see them
//! silently stops compressing.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::api_versions::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use millstream_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{Api, Context, TABLE};

/// Features that clients look for, with their level.
const FEATURES: &[(&str, i16)] = &[("group.version", 1)];

pub(crate) struct ApiVersions;

impl Api for ApiVersions {
    type Request = ApiVersionsRequest;

    const BEFORE_LOGIN: bool = true;

    async fn handle(context: Context, request: ApiVersionsRequest) -> ApiVersionsResponse {
        tracing::debug!(
            peer = %context.peer,
            client = %context.client_id,
            software = %request.client_software_name,
            version = %request.client_software_version,
            "client"
        );
        response(ErrorCode::None)
    }
}

/// The list, also for a client whose own version is not known here: that one is answered in version 0 with an error and the list.
pub(crate) fn response(error_code: ErrorCode) -> ApiVersionsResponse {
    let api_keys = TABLE
        .iter()
        .map(|entry| ApiVersion {
            api_key: entry.key.code(),
            min_version: entry.advertised_since,
            max_version: entry.max,
        })
        .collect();
    let features = FEATURES.iter();
    ApiVersionsResponse {
        error_code,
        api_keys,
        supported_features: features
            .clone()
            .map(|(name, max)| SupportedFeatureKey { name: name.to_string(), min_version: 0, max_version: *max })
            .collect(),
        finalized_features_epoch: 0,
        finalized_features: features
            .map(|(name, max)| FinalizedFeatureKey {
                name: name.to_string(),
                max_version_level: *max,
                min_version_level: *max,
            })
            .collect(),
        ..ApiVersionsResponse::default()
    }
}
