//! UpdateFeatures: levels of what the cluster's brokers agreed on.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    UpdateFeatures = 57, versions 0..=2, flexible 0..;

    request UpdateFeaturesRequest {
        timeout_ms: i32 = 60_000,
        feature_updates: Vec<FeatureUpdateKey>,
        validate_only: bool [1..],
    }

    response UpdateFeaturesResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        results: Vec<UpdatableFeatureResult> [0..=1],
    }

    struct FeatureUpdateKey {
        feature: String,
        max_version_level: i16,
        allow_downgrade: bool [0..=0],
        upgrade_type: i8 [1..] = 1,
    }

    struct UpdatableFeatureResult {
        feature: String,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
    }
}
