//! SaslAuthenticate: a step of the mechanism that was chosen. The last one tells how long the session holds (KIP-368).

use bytes::Bytes;
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use super::{Access, Api, Context};

pub(crate) struct SaslAuthenticate;

impl Api for SaslAuthenticate {
    type Request = SaslAuthenticateRequest;

    const ACCESS: Access<SaslAuthenticateRequest> = Access::BeforeLogin;

    async fn handle(context: Context, request: SaslAuthenticateRequest) -> SaslAuthenticateResponse {
        match context.session.step(&context.broker, &request.auth_bytes).await {
            Ok(step) => SaslAuthenticateResponse {
                error_code: ErrorCode::None,
                error_message: None,
                auth_bytes: step.answer.into(),
                session_lifetime_ms: step.lifetime_ms,
            },
            Err((error_code, words)) => SaslAuthenticateResponse {
                error_code,
                error_message: Some(words),
                auth_bytes: Bytes::new(),
                session_lifetime_ms: 0,
            },
        }
    }
}
