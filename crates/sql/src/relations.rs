//! Spark's streaming clauses behind `FROM`, which sqlparser does not know:
//!
//! ```text
//! [STREAM] name [WITH (options)] [WATERMARK expression [AS column] DELAY OF interval] [[AS] alias]
//! STREAM(name) …            (subquery) WATERMARK …
//! ```
//!
//! They are taken out of the words of a query and put aside; in their place stands an alias that names the clause
//! ([`Clauses::of_alias`]). What is left is plain SQL.

use std::collections::VecDeque;

use datafusion::sql::sqlparser::ast::{Ident, SelectItem};
use datafusion::sql::sqlparser::keywords::RESERVED_FOR_TABLE_ALIAS;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::{Diagnostic, Result};
use crate::lex::{ident, is_word, parse, place, string};
use crate::source::Span;

/// What was said about a relation beyond its name.
#[derive(Debug, Clone)]
pub(crate) struct Clause {
    /// Place of the word `STREAM`, if it is there.
    pub stream: Option<Span>,
    /// `WITH (…)`, keys as they were written.
    pub options: Vec<(String, String, Span)>,
    pub watermark: Option<Watermark>,
    /// The alias that was written.
    pub alias: Option<Ident>,
}

/// `WATERMARK item DELAY OF interval`.
#[derive(Debug, Clone)]
pub(crate) struct Watermark {
    pub item: SelectItem,
    pub delay_us: i64,
    pub span: Span,
}

/// The clauses of a query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clauses(Vec<Clause>);

const ALIAS_PREFIX: &str = "\u{1}relation ";

impl Clauses {
    /// The clause that an alias stands for.
    pub fn of_alias(&self, alias: &Ident) -> Option<&Clause> {
        self.0.get(alias.value.strip_prefix(ALIAS_PREFIX)?.parse::<usize>().ok()?)
    }

    fn add(&mut self, clause: Clause) -> Token {
        self.0.push(clause);
        let value = format!("{ALIAS_PREFIX}{}", self.0.len() - 1);
        Token::Word(Word {
            value,
            quote_style: Some('`'),
            keyword: datafusion::sql::sqlparser::keywords::Keyword::NoKeyword,
        })
    }
}

/// Between an opening and a closing parenthesis.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// Behind `FROM`, before the clause that ends it.
    in_from: bool,
    /// The next word begins a relation.
    at_relation: bool,
    /// These parentheses are themselves a relation, so that a watermark may follow them.
    is_relation: bool,
}

/// Takes the streaming clauses out of a query's words.
pub(crate) fn extract(tokens: Vec<TokenWithSpan>, after: Span) -> Result<(Vec<TokenWithSpan>, Clauses)> {
    let mut rest = Cursor { tokens: tokens.into(), after };
    let mut out = Vec::new();
    let mut clauses = Clauses::default();
    let mut levels = vec![Level::default()];
    while let Some(token) = rest.tokens.front() {
        let level = levels.last_mut().expect("the outermost level is never left");
        let at_relation = level.in_from && level.at_relation;
        match &token.token {
            Token::LParen => {
                level.at_relation = false;
                levels.push(Level { in_from: at_relation, at_relation, is_relation: at_relation });
                out.extend(rest.tokens.pop_front());
            }
            Token::RParen => {
                let closed = if levels.len() > 1 { levels.pop().unwrap_or_default() } else { Level::default() };
                out.extend(rest.tokens.pop_front());
                if closed.is_relation && rest.is_watermark() {
                    rest.finish_relation(None, Vec::new(), &mut out, &mut clauses)?;
                }
            }
            Token::Comma => {
                level.at_relation = level.in_from;
                out.extend(rest.tokens.pop_front());
            }
            Token::Word(word) if word.quote_style.is_none() && !at_relation => {
                let upper = word.value.to_ascii_uppercase();
                match upper.as_str() {
                    // Not EXTRACT(x FROM y): what stands in a function's parentheses is never read as a relation by the parser,
                    // and a name that nothing follows is left as it is.
                    "FROM" => *level = Level { in_from: true, at_relation: true, ..*level },
                    "JOIN" => level.at_relation = level.in_from,
                    "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "UNION" | "EXCEPT" | "INTERSECT" | "SELECT"
                    | "QUALIFY" | "WINDOW" | "VIEW" | "ON" | "USING" => {
                        // ON and USING belong to a join; a comma behind them begins a relation again.
                        let stays = matches!(upper.as_str(), "ON" | "USING") && level.in_from;
                        *level = Level { in_from: stays, at_relation: false, ..*level };
                    }
                    _ => {}
                }
                out.extend(rest.tokens.pop_front());
            }
            Token::Word(word) if word.quote_style.is_none() && is_query_start(&word.value) => {
                *level = Level { in_from: false, at_relation: false, ..*level };
                out.extend(rest.tokens.pop_front());
            }
            Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("LATERAL") => {
                out.extend(rest.tokens.pop_front());
            }
            Token::Word(_) if at_relation => {
                level.at_relation = false;
                rest.relation(&mut out, &mut clauses)?;
            }
            _ => out.extend(rest.tokens.pop_front()),
        }
    }
    Ok((out, clauses))
}

fn is_query_start(word: &str) -> bool {
    ["SELECT", "WITH", "VALUES", "TABLE", "FROM"].iter().any(|start| word.eq_ignore_ascii_case(start))
}

struct Cursor {
    tokens: VecDeque<TokenWithSpan>,
    after: Span,
}

impl Cursor {
    fn span(&self) -> Span {
        self.tokens.front().and_then(|token| place(token.span)).unwrap_or(self.after)
    }

    fn error(&self, expected: &str) -> Diagnostic {
        Diagnostic::at(self.span(), "PARSE_SYNTAX_ERROR", format!("expected {expected}")).label("here")
    }

    fn eat(&mut self, token: &Token) -> Option<TokenWithSpan> {
        self.tokens.pop_front_if(|next| next.token == *token)
    }

    fn eat_word(&mut self, word: &str) -> Option<TokenWithSpan> {
        self.tokens.pop_front_if(|next| is_word(Some(next), word))
    }

    /// `[STREAM] name …`.
    fn relation(&mut self, out: &mut Vec<TokenWithSpan>, clauses: &mut Clauses) -> Result<()> {
        let follows_name = match self.tokens.get(1).map(|token| &token.token) {
            Some(Token::LParen) => true,
            Some(Token::Word(word)) => {
                word.quote_style.is_some() || !RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword) && !ends_relation(word)
            }
            _ => false,
        };
        let stream = follows_name.then(|| self.eat_word("STREAM")).flatten().and_then(|token| place(token.span));
        let parens = stream.and_then(|_| self.eat(&Token::LParen)).is_some();
        if parens
            && self
                .tokens
                .front()
                .is_some_and(|token| matches!(&token.token, Token::Word(word) if is_query_start(&word.value)))
        {
            return Err(self
                .error("the name of a relation after STREAM")
                .help(
                    "give the subquery a name: CREATE TEMPORARY VIEW v AS …, with STREAM inside it, and read STREAM v",
                )
                .into());
        }
        self.name(out)?;
        if parens && self.eat(&Token::RParen).is_none() {
            return Err(self.error("`)` after STREAM(name").into());
        }
        let mut options = Vec::new();
        if is_word(self.tokens.front(), "WITH") && self.tokens.get(1).is_some_and(|token| token.token == Token::LParen)
        {
            self.tokens.pop_front();
            options = key_values(&mut self.tokens, self.after)?;
        }
        if stream.is_some() || !options.is_empty() || self.is_watermark() {
            self.finish_relation(stream, options, out, clauses)?;
        }
        Ok(())
    }

    /// `a.b.c`.
    fn name(&mut self, out: &mut Vec<TokenWithSpan>) -> Result<()> {
        loop {
            if self.tokens.front().and_then(ident).is_none() {
                return Err(self.error("the name of a relation").into());
            }
            out.extend(self.tokens.pop_front());
            match self.eat(&Token::Period) {
                Some(period) => out.push(period),
                None => return Ok(()),
            }
        }
    }

    /// Does `WATERMARK … DELAY` follow?
    fn is_watermark(&self) -> bool {
        if !is_word(self.tokens.front(), "WATERMARK") {
            return false;
        }
        !matches!(self.tokens.get(1).map(|token| &token.token), None | Some(Token::Comma | Token::RParen))
            && (1..self.tokens.len()).any(|i| is_word(self.tokens.get(i), "DELAY"))
    }

    /// What may follow a relation's name and options.
    fn finish_relation(
        &mut self,
        stream: Option<Span>,
        options: Vec<(String, String, Span)>,
        out: &mut Vec<TokenWithSpan>,
        clauses: &mut Clauses,
    ) -> Result<()> {
        let watermark = if self.is_watermark() { Some(self.watermark()?) } else { None };
        let alias = self.alias()?;
        if alias.is_some() && self.is_watermark() {
            let error = Diagnostic::at(self.span(), "PARSE_SYNTAX_ERROR", "the alias stands before the watermark");
            return Err(error.help("the alias comes last: … WATERMARK ts DELAY OF INTERVAL 10 MINUTES AS a").into());
        }
        let span = alias.as_ref().map(|alias| alias.span).or(out.last().map(|last| last.span));
        let span = span.unwrap_or_else(|| crate::lex::sql_span(self.after));
        let placeholder = clauses.add(Clause { stream, options, watermark, alias });
        out.push(TokenWithSpan::new(Token::make_keyword("AS"), span));
        out.push(TokenWithSpan::new(placeholder, span));
        Ok(())
    }

    fn alias(&mut self) -> Result<Option<Ident>> {
        let explicit = self.eat_word("AS").is_some();
        let next = self.tokens.front().and_then(ident);
        let is_alias = match self.tokens.front().map(|token| &token.token) {
            Some(Token::Word(word)) if explicit || word.quote_style.is_some() => true,
            Some(Token::Word(word)) => !RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword) && !ends_relation(word),
            _ => false,
        };
        match next {
            Some(alias) if is_alias => {
                self.tokens.pop_front();
                Ok(Some(alias))
            }
            _ if explicit => Err(self.error("an alias after AS").into()),
            _ => Ok(None),
        }
    }

    fn watermark(&mut self) -> Result<Watermark> {
        let start = self.span();
        self.tokens.pop_front();
        let mut item = Vec::new();
        let mut depth = 0;
        while let Some(token) = self.tokens.front() {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth < 0 || depth == 0 && is_word(Some(token), "DELAY") && is_word(self.tokens.get(1), "OF") {
                break;
            }
            item.extend(self.tokens.pop_front());
        }
        let item = parse(item, self.span(), |parser| parser.parse_select_item())?;
        if self.eat_word("DELAY").is_none() || self.eat_word("OF").is_none() {
            return Err(self.error("DELAY OF after the watermark's column").into());
        }
        let interval = self.span();
        let (delay_us, last) = self.interval()?;
        if delay_us < 0 {
            let error = Diagnostic::at(interval.to(last), "INVALID_WATERMARK_DELAY", "a watermark's delay is negative");
            return Err(error.help("write how long to wait for late rows: INTERVAL 10 MINUTES").into());
        }
        Ok(Watermark { item, delay_us, span: start.to(last) })
    }

    /// `INTERVAL 10 MINUTES`, `INTERVAL '10 minutes'`, `INTERVAL 1 HOUR 30 MINUTES`, in µs, and the last word of it.
    fn interval(&mut self) -> Result<(i64, Span)> {
        let start = self.span();
        if self.eat_word("INTERVAL").is_none() {
            return Err(self.error("INTERVAL").help("write it as INTERVAL 10 MINUTES").into());
        }
        let mut text = String::new();
        let mut last = self.span();
        loop {
            let part = match self.tokens.front().map(|token| &token.token) {
                Some(Token::Number(number, _)) => number.clone(),
                Some(Token::Minus) => "-".to_string(),
                Some(Token::SingleQuotedString(value) | Token::DoubleQuotedString(value)) => value.clone(),
                Some(Token::Word(word)) if word.quote_style.is_none() && is_unit(&word.value) => word.value.clone(),
                _ => break,
            };
            last = self.span();
            self.tokens.pop_front();
            text.push_str(&part);
            if part != "-" {
                text.push(' ');
            }
        }
        match crate::interval::parse_us(&text) {
            Ok(us) => Ok((us, last)),
            Err(why) => Err(Diagnostic::at(start.to(last), "INVALID_INTERVAL_FORMAT", why)
                .help("write it as INTERVAL 10 MINUTES")
                .into()),
        }
    }
}

/// Words that end a relation but are not reserved in sqlparser.
fn ends_relation(word: &Word) -> bool {
    ["WATERMARK", "SELECT", "DELAY", "SEMI", "ANTI"].iter().any(|end| word.value.eq_ignore_ascii_case(end))
}

pub(crate) fn is_unit(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let unit = word.strip_suffix('s').unwrap_or(&word);
    ["microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "year"].contains(&unit)
}

/// `(key = 'value', a.b 'c', …)`, as OPTIONS, TBLPROPERTIES and WITH have it.
pub(crate) fn key_values(tokens: &mut VecDeque<TokenWithSpan>, after: Span) -> Result<Vec<(String, String, Span)>> {
    let span = |tokens: &VecDeque<TokenWithSpan>| tokens.front().and_then(|token| place(token.span)).unwrap_or(after);
    let expected = |tokens: &VecDeque<TokenWithSpan>, what: &str| {
        Diagnostic::at(span(tokens), "PARSE_SYNTAX_ERROR", format!("expected {what}")).label("here")
    };
    if tokens.pop_front_if(|token| token.token == Token::LParen).is_none() {
        return Err(expected(tokens, "`(`").into());
    }
    let mut pairs = Vec::new();
    loop {
        let start = span(tokens);
        let mut key = String::new();
        let mut last = start;
        while let Some(token) = tokens.front() {
            let part = match (&token.token, string(token)) {
                (_, Some(text)) if key.is_empty() => text.to_string(),
                (Token::Word(word), _) => word.value.clone(),
                (Token::Period, _) if !key.is_empty() => ".".to_string(),
                // `a.1b` and `a-b` come in more than one word.
                (Token::Minus, _) if !key.is_empty() => "-".to_string(),
                (Token::Number(number, _), _) if key.ends_with(['.', '-']) => number.clone(),
                _ => break,
            };
            let joins = key.is_empty() || key.ends_with(['.', '-']) || part == "." || part == "-";
            if !joins {
                break;
            }
            key.push_str(&part);
            last = span(tokens);
            tokens.pop_front();
        }
        if key.is_empty() {
            return Err(expected(tokens, "the key of an option").into());
        }
        tokens.pop_front_if(|token| token.token == Token::Eq);
        let minus = tokens.pop_front_if(|token| token.token == Token::Minus).map_or("", |_| "-");
        let value = match tokens.front() {
            Some(token) => match (&token.token, string(token)) {
                (_, Some(text)) => text.to_string(),
                (Token::Number(number, _), _) => format!("{minus}{number}"),
                (Token::Word(word), _) if word.value.eq_ignore_ascii_case("true") => "true".to_string(),
                (Token::Word(word), _) if word.value.eq_ignore_ascii_case("false") => "false".to_string(),
                _ => return Err(expected(tokens, &format!("a value for `{key}`, in quotes")).into()),
            },
            None => return Err(expected(tokens, &format!("a value for `{key}`")).into()),
        };
        tokens.pop_front();
        pairs.push((key, value, start.to(last)));
        match tokens.pop_front().map(|token| token.token) {
            Some(Token::Comma) => {}
            Some(Token::RParen) => return Ok(pairs),
            _ => return Err(expected(tokens, "`,` or `)` after an option").into()),
        }
    }
}
