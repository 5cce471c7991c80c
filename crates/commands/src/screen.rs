//! Where output goes: a person's terminal, or a program.

use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};

use clap::Args;
use serde::Serialize;

use crate::table::{Column, table};
use crate::{CommandError, hidden, human};

/// Flags of what lists and describes.
#[derive(Debug, Args, Clone, Copy, Default)]
pub struct Listing {
    /// One JSON object a line (the default where the output is no terminal)
    #[arg(long)]
    pub json: bool,
    /// A table, also where the output is no terminal
    #[arg(long, conflicts_with = "json")]
    pub table: bool,
}

/// Standard input, output and error, as far as a verb needs them.
pub struct Screen {
    /// Results.
    pub out: Box<dyn Write + Send>,
    /// Remarks, prompts and summaries.
    pub notes: Box<dyn Write + Send>,
    /// What is read; taken by whom reads it.
    pub input: Option<Box<dyn Read + Send>>,
    /// Whether a person reads the results.
    pub is_terminal: bool,
    /// Whether a person types the input.
    pub input_is_terminal: bool,
    /// Whether a person reads the remarks.
    pub notes_are_terminal: bool,
    /// Whether results may be coloured.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: Option<usize>,
    /// The time, ms since 1970.
    pub now_ms: fn() -> i64,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("is_terminal", &self.is_terminal).finish_non_exhaustive()
    }
}

impl Screen {
    /// The process's own. Colours only on a terminal, and not with NO_COLOR (no-color.org).
    pub fn of_process() -> Screen {
        let is_terminal = io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen {
            out: Box::new(BufWriter::with_capacity(64 << 10, io::stdout())),
            notes: Box::new(io::stderr()),
            input: Some(Box::new(io::stdin())),
            is_terminal,
            input_is_terminal: io::stdin().is_terminal(),
            notes_are_terminal: io::stderr().is_terminal(),
            colour: is_terminal && !plain,
            width: terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)),
            now_ms: || chrono::Utc::now().timestamp_millis(),
        }
    }

    /// The time, ms since 1970.
    pub fn now(&self) -> i64 {
        (self.now_ms)()
    }

    /// Writes results.
    pub fn print(&mut self, text: &str) -> Result<(), CommandError> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Tells the person something that is no result.
    pub fn note(&mut self, text: &str) {
        // Who closed standard error does not want to know.
        let _ = writeln!(self.notes, "{text}");
    }

    /// Hands results over now.
    pub fn flush(&mut self) -> Result<(), CommandError> {
        Ok(self.out.flush()?)
    }

    /// Whether a listing is a table.
    pub fn tabular(&self, listing: Listing) -> bool {
        listing.table || (self.is_terminal && !listing.json)
    }

    /// Prints things: a table for a person, one JSON object a line for a program.
    pub fn list<T: Serialize>(
        &mut self,
        listing: Listing,
        items: &[T],
        columns: &[Column],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), CommandError> {
        if self.tabular(listing) {
            let text = table(columns, items.iter().map(cells), self.colour);
            return self.print(&text);
        }
        items.iter().try_for_each(|item| self.json(item))
    }

    /// Prints a thing as a line of JSON.
    pub fn json<T: Serialize>(&mut self, item: &T) -> Result<(), CommandError> {
        serde_json::to_writer(&mut self.out, item).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Asks for a yes. Without a terminal nobody can say it.
    pub fn confirm(&mut self, question: &str) -> Result<(), CommandError> {
        if !self.input_is_terminal {
            return Err(CommandError::NotConfirmed);
        }
        let _ = write!(self.notes, "{question} [y/N] ");
        let _ = self.notes.flush();
        let mut answer = String::new();
        if let Some(input) = &mut self.input {
            BufReader::new(input.take(100)).read_line(&mut answer)?;
        }
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CommandError::NotConfirmed),
        }
    }

    /// Asks for something that must not be seen; the input has to be a terminal.
    pub fn ask_hidden(&mut self, question: &str) -> Result<String, CommandError> {
        let unreadable = |reason| CommandError::File { path: "standard input".to_owned(), reason };
        let _ = write!(self.notes, "{question}");
        let _ = self.notes.flush();
        let mute = hidden::Mute::standard_input().map_err(unreadable)?;
        let typed = self.input.as_mut().map(|input| hidden::line(input)).transpose();
        drop(mute);
        let _ = writeln!(self.notes);
        typed.map_err(unreadable)?.flatten().ok_or(CommandError::Interrupted)
    }

    /// `text` in bold, where colours are allowed.
    pub fn bold(&self, text: &str) -> String {
        human::styled(text, "1", self.colour)
    }

    /// `text` in the background, where colours are allowed.
    pub fn dim(&self, text: &str) -> String {
        human::styled(text, "2", self.colour)
    }
}
