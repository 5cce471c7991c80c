//! SaslHandshake: a client chooses how to show who it is.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::{Access, Api, Context};

pub(crate) struct SaslHandshake;

impl Api for SaslHandshake {
    type Request = SaslHandshakeRequest;

    const ACCESS: Access<SaslHandshakeRequest> = Access::BeforeLogin;

    async fn handle(context: Context, request: SaslHandshakeRequest) -> SaslHandshakeResponse {
        let chosen = context.session.handshake(&request.mechanism, context.version);
        SaslHandshakeResponse {
            error_code: chosen.err().unwrap_or(ErrorCode::None),
            mechanisms: context.session.door.sasl.iter().map(|mechanism| mechanism.name().to_string()).collect(),
        }
    }
}
