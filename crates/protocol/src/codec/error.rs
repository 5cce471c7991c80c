//! Why bytes are no message.

use std::fmt;

/// Bytes that are no message: what is wrong, where, and in which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Bytes from the end of the frame: what was left when it was found.
    pub bytes_left: usize,
    /// Type and field of the message, innermost first found.
    pub field: Option<(&'static str, &'static str)>,
}

/// What is wrong with the bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The bytes end inside a field.
    #[error("{needed} bytes are needed, {left} are left")]
    Truncated {
        /// Bytes the field needs.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
    /// A length or count that the bytes left cannot hold.
    #[error("a length of {stated} cannot be, {left} bytes are left")]
    Length {
        /// As stated.
        stated: i64,
        /// Bytes left.
        left: usize,
    },
    /// Null where the schema has none.
    #[error("null is not allowed here")]
    Null,
    /// Text that is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// A varint of more than its bits.
    #[error("a variable-length number does not end")]
    Varint,
    /// The message would take far more memory than bytes.
    #[error("the message would take far more memory than its bytes")]
    Amplification,
    /// Bytes are left behind the message or a tagged field.
    #[error("{0} bytes are left behind the last field")]
    Trailing(usize),
    /// The version has no schema here.
    #[error("version {0} is not known")]
    Version(i16),
}

impl DecodeError {
    /// Adds the field, unless an inner one is known.
    #[cold]
    pub fn within(mut self, message: &'static str, field: &'static str) -> DecodeError {
        self.field.get_or_insert((message, field));
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some((message, field)) => write!(f, "{message}.{field}: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl std::error::Error for DecodeError {}
