//! SaslHandshake: choose how to authenticate.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    SaslHandshake = 17, versions 0..=1, flexible i16::MAX..;

    request SaslHandshakeRequest {
        mechanism: String,
    }

    response SaslHandshakeResponse {
        error_code: ErrorCode,
        mechanisms: Vec<String>,
    }
}
