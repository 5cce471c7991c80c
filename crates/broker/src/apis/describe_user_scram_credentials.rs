//! DescribeUserScramCredentials: which users there are, and with which mechanisms they log in. Nothing secret.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use millstream_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};

use super::{Access, Api, Context, once};
use crate::security::acl::{Operation, Resource};
use crate::security::users::UserInfo;

pub(crate) struct DescribeUserScramCredentials;

impl Api for DescribeUserScramCredentials {
    type Request = DescribeUserScramCredentialsRequest;

    const ACCESS: Access<DescribeUserScramCredentialsRequest> = Access::One {
        operation: Operation::Describe,
        of: |_| Resource::CLUSTER,
        denied: |_| DescribeUserScramCredentialsResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..DescribeUserScramCredentialsResponse::default()
        },
    };

    async fn handle(
        context: Context,
        request: DescribeUserScramCredentialsRequest,
    ) -> DescribeUserScramCredentialsResponse {
        let known = context.broker.security.users.list();
        let results = match request.users.filter(|users| !users.is_empty()) {
            None => known.into_iter().map(found).collect(),
            Some(asked) => {
                let names: Vec<String> = asked.into_iter().map(|user| user.name).collect();
                let one = |(name, is_repeated): (String, bool)| match known.iter().find(|user| user.name == name) {
                    _ if is_repeated => {
                        let why = format!("user {name:?} stands more than once in the request");
                        refused(name, ErrorCode::DuplicateResource, why)
                    }
                    Some(user) => found(user.clone()),
                    None => {
                        let why = format!("there is no user {name:?} with SCRAM credentials");
                        refused(name, ErrorCode::ResourceNotFound, why)
                    }
                };
                once(names, String::clone).into_iter().map(one).collect()
            }
        };
        DescribeUserScramCredentialsResponse { results, ..DescribeUserScramCredentialsResponse::default() }
    }
}

fn found(user: UserInfo) -> DescribeUserScramCredentialsResult {
    let info = |(hash, iterations): (millstream_protocol::sasl::scram::Hash, u32)| CredentialInfo {
        mechanism: hash.code(),
        iterations: iterations as i32,
    };
    DescribeUserScramCredentialsResult {
        user: user.name,
        credential_infos: user.credentials.into_iter().map(info).collect(),
        ..DescribeUserScramCredentialsResult::default()
    }
}

fn refused(user: String, error_code: ErrorCode, words: String) -> DescribeUserScramCredentialsResult {
    DescribeUserScramCredentialsResult {
        user,
        error_code,
        error_message: Some(words),
        ..DescribeUserScramCredentialsResult::default()
    }
}
