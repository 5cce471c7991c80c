//! SaslAuthenticate: a step of the chosen authentication.

use bytes::Bytes;

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    SaslAuthenticate = 36, versions 0..=2, flexible 2..;

    request SaslAuthenticateRequest {
        auth_bytes: Bytes,
    }

    response SaslAuthenticateResponse {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        auth_bytes: Bytes,
        session_lifetime_ms: i64 [1..],
    }
}
