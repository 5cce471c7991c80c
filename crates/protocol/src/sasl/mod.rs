//! What is said inside of SaslAuthenticate: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677). Both sides, as bytes in and bytes out.

pub mod scram;

use std::fmt;

/// Longest user name or password, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// A password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a password.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How a client shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// User and password as they are: to be used under TLS.
    Plain,
    /// A proof that the password is known, which neither shows nor can be repeated.
    Scram(scram::Hash),
}

impl Mechanism {
    /// Every mechanism there is.
    pub const ALL: [Mechanism; 3] =
        [Mechanism::Plain, Mechanism::Scram(scram::Hash::Sha256), Mechanism::Scram(scram::Hash::Sha512)];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram(hash) => hash.mechanism(),
        }
    }

    /// The mechanism of this name.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a message of an authentication was not taken. Says nothing of secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// It breaks the mechanism's form.
    #[error("the message is not what the mechanism prescribes: {0}")]
    Malformed(&'static str),
    /// It asks for what is not there: channel binding, delegation tokens, acting for somebody else.
    #[error("not served: {0}")]
    Unsupported(&'static str),
    /// The proof does not fit.
    #[error("user or password is wrong")]
    Wrong,
    /// The other side does not know the password either.
    #[error("the broker could not show that it knows the password's hash: it may not be the one it says it is")]
    ServerUnknown,
}

/// The message of PLAIN.
pub fn plain(user: &str, password: &Secret) -> Vec<u8> {
    ["\0", user, "\0", password.reveal()].concat().into_bytes()
}

/// User and password out of a message of PLAIN.
///
/// # Errors
/// What is not of that form, or somebody who wants to act for somebody else.
pub fn parse_plain(message: &[u8]) -> Result<(String, Secret), SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed("it is not UTF-8"))?;
    let parts: Vec<&str> = text.splitn(4, '\0').collect();
    let [authorization, user, password] = parts[..] else {
        return Err(SaslError::Malformed("user and password are to stand between zero bytes"));
    };
    if user.is_empty() || password.is_empty() || user.len() > TEXT_BYTES_MAX || password.len() > TEXT_BYTES_MAX {
        return Err(SaslError::Malformed("user or password is empty or too long"));
    }
    if !authorization.is_empty() && authorization != user {
        return Err(SaslError::Unsupported("acting for another user"));
    }
    Ok((user.to_owned(), Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_comes_back_and_nothing_else_is_taken() {
        let secret = Secret::new("pencil ü");
        assert_eq!(parse_plain(&plain("user", &secret)), Ok(("user".to_owned(), secret.clone())));
        assert_eq!(parse_plain(b"user\0user\0x").map(|(user, _)| user), Ok("user".to_owned()));
        for bad in [&b""[..], b"user", b"\0user", b"\0\0x", b"\0u\0", b"\0u\0p\0more", b"other\0u\0p", b"\0u\0\xff"] {
            assert!(parse_plain(bad).is_err(), "{bad:?}");
        }
        assert_eq!(format!("{secret:?}"), "***");
    }

    #[test]
    fn mechanisms_have_their_registered_names() {
        for name in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            assert_eq!(Mechanism::from_name(name).expect("known").name(), name);
        }
        assert_eq!(Mechanism::from_name("GSSAPI"), None);
    }
}
