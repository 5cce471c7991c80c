//! UpdateFeatures: levels are what they are. To ask for the one that holds is no change; any other is refused.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::update_features::UpdatableFeatureResult;
use millstream_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::{Access, Api, Context};
use crate::features::FEATURES;
use crate::security::acl::{Operation, Resource};

/// One answer for all; before, one each.
const AT_ONCE_SINCE: i16 = 2;

pub(crate) struct UpdateFeatures;

impl Api for UpdateFeatures {
    type Request = UpdateFeaturesRequest;

    const ACCESS: Access<UpdateFeaturesRequest> = Access::One {
        operation: Operation::Alter,
        of: |_| Resource::CLUSTER,
        denied: |_| UpdateFeaturesResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..UpdateFeaturesResponse::default()
        },
    };

    async fn handle(context: Context, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse {
        let refused = |feature: &str, level: i16| match FEATURES.iter().find(|known| known.name == feature) {
            None => Some(format!("{feature} is no feature of this broker")),
            Some(known) if level > known.level_max => {
                Some(format!("{feature} {level}: this broker knows levels up to {}", known.level_max))
            }
            Some(known) if level != known.level => {
                Some(format!("{feature} is at level {} for good: a single node has nobody to agree with", known.level))
            }
            Some(_) => None,
        };
        let results: Vec<UpdatableFeatureResult> = request
            .feature_updates
            .into_iter()
            .map(|update| {
                let error_message = refused(&update.feature, update.max_version_level);
                let error_code =
                    if error_message.is_some() { ErrorCode::InvalidUpdateVersion } else { ErrorCode::None };
                UpdatableFeatureResult { feature: update.feature, error_code, error_message }
            })
            .collect();
        if context.version < AT_ONCE_SINCE {
            return UpdateFeaturesResponse { results, ..UpdateFeaturesResponse::default() };
        }
        let refused = results.into_iter().find(|result| !result.error_code.is_ok());
        let (error_code, error_message) =
            refused.map_or((ErrorCode::None, None), |result| (result.error_code, result.error_message));
        UpdateFeaturesResponse { error_code, error_message, ..UpdateFeaturesResponse::default() }
    }
}
