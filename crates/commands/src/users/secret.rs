//! Passwords as they come in, and secrets as they are made.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millstream_protocol::sasl::{Secret, TEXT_BYTES_MAX};
use ring::rand::{SecureRandom, SystemRandom};

use crate::{CommandError, Screen};

/// Letters of generated names: none that looks like another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Asks on a terminal, twice; otherwise takes the first line of standard input.
pub fn ask(user: &str, screen: &mut Screen) -> Result<Secret, CommandError> {
    if !screen.input_is_terminal {
        let input =
            screen.input.as_mut().ok_or_else(|| CommandError::Usage("there is no standard input".to_owned()))?;
        return first_line(input, "standard input");
    }
    let password = screen.ask_hidden(&format!("Password of {user}: "))?;
    if password.is_empty() {
        return Err(CommandError::Usage("the password is empty: nothing was changed".to_owned()));
    }
    if screen.ask_hidden("The same again: ")? != password {
        return Err(CommandError::Usage("the two are not equal: nothing was changed".to_owned()));
    }
    Ok(Secret::new(password))
}

/// The first line of a file.
pub fn from_file(path: &Path) -> Result<Secret, CommandError> {
    let place = path.display().to_string();
    let mut file = File::open(path).map_err(|reason| CommandError::File { path: place.clone(), reason })?;
    first_line(&mut file, &place)
}

fn first_line(input: &mut dyn Read, place: &str) -> Result<Secret, CommandError> {
    let wrong = |what: String| CommandError::Input { place: place.to_owned(), what };
    let failed = |reason: io::Error| CommandError::File { path: place.to_owned(), reason };
    let mut bytes = Vec::new();
    // One more than allowed, and a line end of two bytes.
    input.take(TEXT_BYTES_MAX as u64 + 3).read_to_end(&mut bytes).map_err(failed)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| wrong("the password is not UTF-8".to_owned()))?;
    match text.len() {
        0 => Err(wrong("the first line, which is the password, is empty".to_owned())),
        1..=TEXT_BYTES_MAX => Ok(Secret::new(text)),
        _ => Err(wrong(format!("the password has more than {TEXT_BYTES_MAX} bytes"))),
    }
}

/// A secret that nobody guesses: 256 bits in 43 letters that no shell and no properties file minds.
pub fn key() -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()))
}

/// Six letters.
pub fn name() -> String {
    random::<6>().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    SystemRandom::new().fill(&mut out).expect("the system has chance to give");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        let read = |text: &str| first_line(&mut text.as_bytes(), "here");
        for (text, password) in [("a b \nc", "a b "), ("ü\r\n", "ü"), ("x", "x")] {
            assert_eq!(read(text).expect("a password").reveal(), password);
        }
        assert_eq!(read(&"x".repeat(TEXT_BYTES_MAX)).expect("long enough").reveal().len(), TEXT_BYTES_MAX);
        for text in ["", "\nx", &"x".repeat(TEXT_BYTES_MAX + 1), &"x".repeat(5000)] {
            assert!(read(text).is_err());
        }
        assert!(first_line(&mut &b"\xff\n"[..], "here").is_err());
    }

    #[test]
    fn keys_are_long_and_plain() {
        assert_eq!((key().reveal().len(), name().len()), (43, 6));
        assert_ne!(key(), key());
    }
}
