//! What stands before each message on a connection, and whole frames.
//!
//! ```text
//! request:  length i32 | api key i16 | api version i16 | correlation id i32 | client id (i16 length, nullable) | tagged fields, if flexible
//! response: length i32 | correlation id i32 | tagged fields, if flexible and not ApiVersions
//! ```

use bytes::Bytes;

use crate::ApiKey;
use crate::codec::{DecodeError, DecodeErrorKind, Frame, Reader, Writer};
use crate::messages::{Message, Request, api_info};

/// What stands before a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Number of the API, known or not.
    pub api_key: i16,
    /// Version of the request.
    pub api_version: i16,
    /// Given back with the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// The API, if its number is known.
    pub fn api(&self) -> Option<ApiKey> {
        ApiKey::from_code(self.api_key)
    }

    /// Reads the header of a request. The body follows only if the API has a schema here and the version is one of its own; otherwise the
    /// reader stands behind the client id, and what follows is not known.
    pub fn read(reader: &mut Reader<'_>) -> Result<RequestHeader, DecodeError> {
        let mut read = || {
            let (api_key, api_version, correlation_id) = (reader.i16()?, reader.i16()?, reader.i32()?);
            let client_id = reader.string(false)?.map(str::to_owned);
            if let Some(api) = ApiKey::from_code(api_key).and_then(api_info)
                && api_version >= api.flexible_since
                && api_version <= api.version_max
            {
                reader.tagged_fields(|_, _| Ok(false))?;
            }
            Ok(RequestHeader { api_key, api_version, correlation_id, client_id })
        };
        read().map_err(|error: DecodeError| error.within("RequestHeader", "fields"))
    }

    /// Appends the header; `flexible` as the request's version is.
    pub fn write(&self, writer: &mut Writer, flexible: bool) {
        writer.i16(self.api_key);
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        // Never compact, whatever the version.
        writer.string(self.client_id.as_deref(), false);
        if flexible {
            writer.uvarint(0);
        }
    }
}

/// A whole request with its length in front.
pub fn encode_request<R: Request>(request: &R, version: i16, correlation_id: i32, client_id: Option<&str>) -> Frame {
    let mut writer = Writer::new();
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    header.write(&mut writer, version >= R::FLEXIBLE_SINCE);
    request.write(&mut writer, version);
    writer.finish_framed()
}

/// Whether the response to such a request has tagged fields in its header. ApiVersions never has, so that a client can read the answer
/// of any broker.
fn response_header_is_flexible<M: Message>(version: i16) -> bool {
    version >= M::FLEXIBLE_SINCE && M::KEY != ApiKey::ApiVersions
}

/// A whole response with its length in front.
pub fn encode_response<M: Message>(response: &M, version: i16, correlation_id: i32) -> Frame {
    let mut writer = Writer::new();
    writer.i32(correlation_id);
    if response_header_is_flexible::<M>(version) {
        writer.uvarint(0);
    }
    response.write(&mut writer, version);
    writer.finish_framed()
}

/// Reads the response to a request of version `version` out of a frame without its length; gives the correlation id too.
pub fn decode_response<R: Request>(frame: &Bytes, version: i16) -> Result<(i32, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation_id = reader.i32()?;
    if response_header_is_flexible::<R::Response>(version) {
        reader.tagged_fields(|_, _| Ok(false))?;
    }
    Ok((correlation_id, R::Response::read(&mut reader, version)?))
}

/// Reads the body of a request of type `R` behind its header.
pub fn decode_request<R: Request>(reader: &mut Reader<'_>, header: &RequestHeader) -> Result<R, DecodeError> {
    if header.api_key != R::KEY.code() {
        return Err(reader.error(DecodeErrorKind::Version(header.api_version)).within(R::NAME, "api_key"));
    }
    R::read(reader, header.api_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse};

    fn body(frame: Frame) -> Bytes {
        let bytes = frame.into_bytes();
        let length = u32::from_be_bytes(*bytes.first_chunk().expect("a length"));
        assert_eq!(length as usize, bytes.len() - 4);
        bytes.slice(4..)
    }

    #[test]
    fn a_request_comes_back_with_its_header() {
        for version in [1, 9, 12] {
            let request = MetadataRequest { topics: Some(vec![]), ..Default::default() };
            let frame = body(encode_request(&request, version, 42, Some("me")));
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::read(&mut reader).expect("a header");
            let expected =
                RequestHeader { api_key: 3, api_version: version, correlation_id: 42, client_id: Some("me".into()) };
            assert_eq!(header, expected);
            assert_eq!(decode_request::<MetadataRequest>(&mut reader, &header), Ok(request));
        }
    }

    #[test]
    fn the_header_of_an_unknown_api_is_read_as_far_as_it_is_known() {
        let mut writer = Writer::new();
        RequestHeader { api_key: 999, api_version: 1, correlation_id: 7, client_id: None }.write(&mut writer, true);
        let frame = writer.finish().into_bytes();
        assert_eq!(RequestHeader::read(&mut Reader::new(&frame)).expect("a header").api(), None);
    }

    #[test]
    fn the_answer_to_api_versions_has_the_oldest_header() {
        let frame = body(encode_response(&ApiVersionsResponse::default(), 3, 5));
        // Correlation id, then at once the error code.
        assert_eq!(frame[..6], [0, 0, 0, 5, 0, 0]);
        assert_eq!(decode_response::<ApiVersionsRequest>(&frame, 3), Ok((5, ApiVersionsResponse::default())));
        let frame = body(encode_response(&MetadataResponse::default(), 9, 5));
        assert_eq!(frame[4], 0, "an empty block of tagged fields");
        assert!(decode_response::<MetadataRequest>(&frame, 9).is_ok());
    }
}
