//! DescribeUserScramCredentials: which users have SCRAM credentials, of which kind (KIP-554).

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeUserScramCredentials = 50, versions 0..=0, flexible 0..;

    request DescribeUserScramCredentialsRequest {
        users: Option<Vec<UserName>> [0.., null 0..],
    }

    response DescribeUserScramCredentialsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        results: Vec<DescribeUserScramCredentialsResult>,
    }

    struct UserName {
        name: String,
    }

    struct DescribeUserScramCredentialsResult {
        user: String,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        credential_infos: Vec<CredentialInfo>,
    }

    struct CredentialInfo {
        mechanism: i8,
        iterations: i32,
    }
}
