//! What a person types without seeing it.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Longest line, bytes.
const LINE_BYTES_MAX: usize = 4096;

/// A terminal that neither echoes nor interprets keys, until this is dropped: Ctrl-C comes as a byte, so that no signal can leave the
/// terminal mute.
pub struct Mute {
    terminal: BorrowedFd<'static>,
    before: Termios,
}

impl Mute {
    /// Silences standard input.
    pub fn standard_input() -> io::Result<Mute> {
        let terminal = rustix::stdio::stdin();
        let before = tcgetattr(terminal)?;
        let mut mute = before.clone();
        mute.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(terminal, OptionalActions::Flush, &mute)?;
        Ok(Mute { terminal, before })
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Reads keys up to Enter. Backspace, Ctrl-U and Ctrl-W mean what they mean at a prompt; `None`: Ctrl-C, or Ctrl-D at the start.
pub fn line(keys: &mut dyn Read) -> io::Result<Option<String>> {
    let mut typed = Vec::new();
    loop {
        let mut key = [0];
        if keys.read(&mut key)? == 0 {
            return Ok(None);
        }
        match key[0] {
            b'\r' | b'\n' => break,
            0x03 => return Ok(None),
            0x04 if typed.is_empty() => return Ok(None),
            0x04 => break,
            0x08 | 0x7f => {
                // A letter may be several bytes.
                while typed.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {}
            }
            0x15 | 0x17 => typed.clear(),
            _ if typed.len() == LINE_BYTES_MAX => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
            }
            byte => typed.push(byte),
        }
    }
    String::from_utf8(typed).map(Some).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_a_line() {
        let typed = |keys: &str| line(&mut keys.as_bytes()).expect("text");
        for (keys, text) in [
            ("pencil\n", "pencil"),
            ("pem\x7fn\r", "pen"),
            ("aü\x7f\x7fb\n", "b"),
            ("\x7f\x7fx\n", "x"),
            ("wrong\x15right\n", "right"),
            ("x\x04", "x"),
            ("\n", ""),
        ] {
            assert_eq!(typed(keys).as_deref(), Some(text), "{keys:?}");
        }
        for keys in ["pen\x03", "\x04", "", "pen"] {
            assert_eq!(typed(keys), None, "{keys:?}");
        }
        assert!(line(&mut "x".repeat(LINE_BYTES_MAX + 1).as_bytes()).is_err());
    }
}
