//! The language in which the schemas are written.
//!
//! ```text
//! api! {
//!     Heartbeat = 12, versions 0..=4, flexible 4..;
//!
//!     request HeartbeatRequest {
//!         group_id: String,                                    a field of all versions
//!         group_instance_id: Option<String> [3.., null 3..],   since version 3, may be null since version 3
//!         epoch: i32 [3..=5] = -1,                     of versions 3 to 5; otherwise, and at first, -1
//!         cluster: Option<String> [4.., null 4.., tag 0],      a tagged field
//!     }
//!
//!     response HeartbeatResponse { … }
//!
//!     struct Part { … }                                types of fields
//! }
//! ```
//!
//! Each becomes a struct with public fields, a `Default` with Kafka's default values, and its bytes in both directions. A field that a version
//! does not have is left out when written and has its default when read; a tagged field is written if it is not its default.

use std::ops::RangeInclusive;

use crate::ApiKey;
use crate::codec::{DecodeError, DecodeErrorKind, Field, Reader, Wire, Writer};

/// A request or a response as a whole.
pub trait Message: Wire + Default + Clone + PartialEq + std::fmt::Debug + Send + 'static {
    /// Its name in Kafka's documentation.
    const NAME: &'static str;
    /// Which API it belongs to.
    const KEY: ApiKey;
    /// Versions that can be read and written.
    const VERSIONS: RangeInclusive<i16>;
    /// First version with compact lengths and tagged fields; `i16::MAX` = none.
    const FLEXIBLE_SINCE: i16;

    /// Appends the message in version `version`, which must be one of [`Message::VERSIONS`].
    fn write(&self, writer: &mut Writer, version: i16) {
        debug_assert!(Self::VERSIONS.contains(&version), "{} has no version {version}", Self::NAME);
        self.encode(writer, field::<Self>(version));
    }

    /// Reads a message of version `version`, to the end of the frame.
    fn read(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(reader.error(DecodeErrorKind::Version(version)).within(Self::NAME, "version"));
        }
        let message = Self::decode(reader, field::<Self>(version))?;
        reader.finish().map_err(|error| error.within(Self::NAME, "end"))?;
        Ok(message)
    }

    /// How long the client is to wait because of a quota, in milliseconds, where the message says that.
    fn throttle_time_ms(&mut self) -> Option<&mut i32> {
        None
    }
}

fn field<M: Message>(version: i16) -> Field {
    Field { version, flexible: version >= M::FLEXIBLE_SINCE, nullable: false }
}

/// A request, and what answers it.
pub trait Request: Message {
    /// The answer, of the same version.
    type Response: Message;
}

/// One API: its request, its response and the types of their fields.
macro_rules! api {
    (
        $key:ident = $code:literal, versions $versions:expr, flexible $flexible:expr;
        request $request:ident $request_body:tt
        response $response:ident $response_body:tt
        $(struct $name:ident $body:tt)*
    ) => {
        $crate::messages::schema::fields!($request $request_body);
        $crate::messages::schema::fields!($response $response_body);
        $($crate::messages::schema::fields!($name $body);)*

        const _: () = assert!($crate::ApiKey::$key as i16 == $code);

        impl $crate::messages::Message for $request {
            const NAME: &'static str = stringify!($request);
            const KEY: $crate::ApiKey = $crate::ApiKey::$key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE_SINCE: i16 = $flexible.start;
        }

        impl $crate::messages::Message for $response {
            const NAME: &'static str = stringify!($response);
            const KEY: $crate::ApiKey = $crate::ApiKey::$key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FLEXIBLE_SINCE: i16 = $flexible.start;

            $crate::messages::schema::throttle_time! { $response_body }
        }

        impl $crate::messages::Request for $request {
            type Response = $response;
        }
    };
}

/// [`Message::throttle_time_ms`] of a response that has such a field.
macro_rules! throttle_time {
    ({ throttle_time_ms: i32 $($rest:tt)* }) => {
        fn throttle_time_ms(&mut self) -> Option<&mut i32> {
            Some(&mut self.throttle_time_ms)
        }
    };
    ({ $first:tt $($rest:tt)* }) => {
        $crate::messages::schema::throttle_time! { { $($rest)* } }
    };
    ({}) => {};
}

/// One struct of a schema.
macro_rules! fields {
    ($name:ident {
        $($field:ident : $type:ty $([$versions:expr $(, null $nullable:expr)? $(, tag $tag:literal)?])? $(= $default:expr)?,)*
    }) => {
        #[doc = concat!("`", stringify!($name), "` as Kafka names it.")]
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(
                #[doc = $crate::messages::schema::versions_doc!($($versions $(, $nullable)?)?)]
                pub $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $crate::messages::schema::default_value!($($default)?),)* }
            }
        }

        impl $crate::codec::Wire for $name {
            #[allow(unused_variables, unused_mut, unused_assignments, clippy::nonminimal_bool)]
            fn encode(&self, writer: &mut $crate::codec::Writer, field: $crate::codec::Field) {
                let version = field.version;
                $(
                    if !$crate::messages::schema::is_some!($($($tag)?)?) && $crate::messages::schema::contains!(version, $($versions)?) {
                        let nullable = $crate::messages::schema::contains_null!(version $($(, $nullable)?)?);
                        $crate::codec::Wire::encode(&self.$field, writer, $crate::codec::Field { nullable, ..field });
                    }
                )*
                if field.flexible {
                    let defaults = Self::default();
                    let mut count = 0;
                    $(
                        let $field = $crate::messages::schema::is_some!($($($tag)?)?)
                            && $crate::messages::schema::contains!(version, $($versions)?)
                            && self.$field != defaults.$field;
                        count += u32::from($field);
                    )*
                    writer.uvarint(count);
                    $(
                        if $field {
                            let nullable = $crate::messages::schema::contains_null!(version $($(, $nullable)?)?);
                            let inner = $crate::codec::Field { nullable, ..field };
                            let tag = $crate::messages::schema::tag_number!($($($tag)?)?);
                            writer.tagged_field(tag, |writer| $crate::codec::Wire::encode(&self.$field, writer, inner));
                        }
                    )*
                }
            }

            #[allow(unused_variables, unused_mut, clippy::nonminimal_bool)]
            fn decode(
                reader: &mut $crate::codec::Reader<'_>,
                field: $crate::codec::Field,
            ) -> Result<Self, $crate::codec::DecodeError> {
                let version = field.version;
                let mut message = Self::default();
                $(
                    if !$crate::messages::schema::is_some!($($($tag)?)?) && $crate::messages::schema::contains!(version, $($versions)?) {
                        let nullable = $crate::messages::schema::contains_null!(version $($(, $nullable)?)?);
                        message.$field = $crate::codec::Wire::decode(reader, $crate::codec::Field { nullable, ..field })
                            .map_err(|error| error.within(stringify!($name), stringify!($field)))?;
                    }
                )*
                if field.flexible {
                    reader
                        .tagged_fields(|tag, reader| {
                            $(
                                if $crate::messages::schema::is_some!($($($tag)?)?)
                                    && tag == $crate::messages::schema::tag_number!($($($tag)?)?)
                                    && $crate::messages::schema::contains!(version, $($versions)?)
                                {
                                    let nullable = $crate::messages::schema::contains_null!(version $($(, $nullable)?)?);
                                    let inner = $crate::codec::Field { nullable, ..field };
                                    message.$field = $crate::codec::Wire::decode(reader, inner)
                                        .map_err(|error| error.within(stringify!($name), stringify!($field)))?;
                                    return Ok(true);
                                }
                            )*
                            Ok(false)
                        })
                        .map_err(|error| error.within(stringify!($name), "tagged fields"))?;
                }
                Ok(message)
            }
        }

        #[cfg(test)]
        impl $crate::codec::sample::Sample for $name {
            #[allow(unused_variables, unused_mut, clippy::nonminimal_bool)]
            fn sample(noise: &mut $crate::codec::sample::Noise, field: $crate::codec::Field) -> Self {
                let version = field.version;
                let mut message = Self::default();
                $(
                    let is_there = $crate::messages::schema::contains!(version, $($versions)?)
                        && (field.flexible || !$crate::messages::schema::is_some!($($($tag)?)?));
                    if is_there {
                        let nullable = $crate::messages::schema::contains_null!(version $($(, $nullable)?)?);
                        let inner = $crate::codec::Field { nullable, ..field };
                        message.$field = $crate::codec::sample::Sample::sample(noise, inner);
                    }
                )*
                message
            }
        }

        #[cfg(test)]
        impl $crate::codec::sample::Sample for Option<$name> {
            fn sample(noise: &mut $crate::codec::sample::Noise, field: $crate::codec::Field) -> Self {
                (noise.below(3) > 0).then(|| $crate::codec::sample::Sample::sample(noise, field))
            }
        }

        /// A struct that may be null: a byte says whether it is there.
        impl $crate::codec::Wire for Option<$name> {
            fn encode(&self, writer: &mut $crate::codec::Writer, field: $crate::codec::Field) {
                match self {
                    Some(message) => {
                        writer.i8(1);
                        message.encode(writer, field);
                    }
                    None => writer.i8(-1),
                }
            }

            fn decode(
                reader: &mut $crate::codec::Reader<'_>,
                field: $crate::codec::Field,
            ) -> Result<Self, $crate::codec::DecodeError> {
                if reader.i8()? < 0 { Ok(None) } else { <$name>::decode(reader, field).map(Some) }
            }
        }
    };
}

macro_rules! default_value {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

macro_rules! is_some {
    () => {
        false
    };
    ($value:literal) => {
        true
    };
}

macro_rules! tag_number {
    () => {
        0
    };
    ($tag:literal) => {
        $tag
    };
}

macro_rules! contains {
    ($version:ident,) => {
        true
    };
    ($version:ident, $versions:expr) => {
        ($versions).contains(&$version)
    };
}

macro_rules! contains_null {
    ($version:ident) => {
        false
    };
    ($version:ident, $versions:expr) => {
        ($versions).contains(&$version)
    };
}

macro_rules! versions_doc {
    () => {
        "All versions."
    };
    ($versions:expr) => {
        concat!("Versions ", stringify!($versions), ".")
    };
    ($versions:expr, $nullable:expr) => {
        concat!("Versions ", stringify!($versions), ", may be null in ", stringify!($nullable), ".")
    };
}

pub(crate) use {
    api, contains, contains_null, default_value, fields, is_some, tag_number, throttle_time, versions_doc,
};
