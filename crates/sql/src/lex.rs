//! Words of a statement, each with its place in the file.
//!
//! sqlparser counts lines and columns; its syntax tree carries those along. Here they are put to another use: "line" is the number of
//! the file plus one and "column" the byte in it plus one, so that every node of the tree leads back to the file, also past variables.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident};
use datafusion::sql::sqlparser::dialect::{DatabricksDialect, Dialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan, Token, TokenWithSpan, Tokenizer, Word};

use crate::error::{Diagnostic, Result};
use crate::source::{Replaced, Span};

/// Spark's lexical rules and grammar, as far as sqlparser lets a dialect choose.
#[derive(Debug)]
pub(crate) struct SparkDialect;

impl Dialect for SparkDialect {
    // sqlparser asks some questions of the dialect's type; Databricks' answers are Spark's.
    fn dialect(&self) -> TypeId {
        TypeId::of::<DatabricksDialect>()
    }
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }
    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }
    fn ignores_wildcard_escapes(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }
    fn supports_lambda_functions(&self) -> bool {
        true
    }
    fn supports_select_wildcard_except(&self) -> bool {
        true
    }
    fn supports_nested_comments(&self) -> bool {
        true
    }
    fn supports_long_type_as_bigint(&self) -> bool {
        true
    }
    fn supports_values_as_table_factor(&self) -> bool {
        true
    }
    fn supports_bang_not_operator(&self) -> bool {
        true
    }
    fn supports_cte_without_as(&self) -> bool {
        true
    }
    fn supports_select_item_multi_column_alias(&self) -> bool {
        true
    }
    fn supports_string_literal_concatenation(&self) -> bool {
        true
    }
    fn supports_order_by_all(&self) -> bool {
        true
    }
    fn supports_struct_literal(&self) -> bool {
        true
    }
    fn supports_select_expr_star(&self) -> bool {
        true
    }

    /// `interval` may be the name of a column: it begins a length of time only before a number or a text.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let Token::Word(Word { keyword: Keyword::INTERVAL, quote_style: None, .. }) = parser.peek_token_ref().token
        else {
            return None;
        };
        let begins_length = match parser.peek_nth_token_ref(1).token {
            Token::Number(..) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => true,
            Token::Minus => {
                matches!(parser.peek_nth_token_ref(2).token, Token::Number(..) | Token::SingleQuotedString(_))
            }
            _ => false,
        };
        if begins_length {
            return None;
        }
        Some(parser.parse_identifier().map(Expr::Identifier))
    }

    /// `7 DIV 2`, which binds like `*`.
    fn parse_infix(&self, parser: &mut Parser, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if !parser.parse_keyword(Keyword::DIV) {
            return None;
        }
        let op = BinaryOperator::MyIntegerDivide;
        let right = parser.parse_subexpr(precedence);
        Some(right.map(|right| Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right) }))
    }
}

/// The words of a statement, without blanks and comments.
pub(crate) fn tokenize(statement: &Replaced) -> Result<Vec<TokenWithSpan>> {
    let line_starts: Vec<usize> =
        [0].into_iter().chain(statement.text.match_indices('\n').map(|(newline, _)| newline + 1)).collect();
    let byte = |location: Location| {
        let line = line_starts.get((location.line as usize).saturating_sub(1)).copied().unwrap_or(statement.text.len());
        let column = (location.column as usize).saturating_sub(1);
        let rest = &statement.text[line..];
        line + rest.char_indices().nth(column).map_or(rest.len(), |(byte, _)| byte)
    };
    let tokens = Tokenizer::new(&SparkDialect, &statement.text).tokenize_with_location().map_err(|error| {
        let at = byte(error.location);
        let span = statement.original(at, (at + 1).min(statement.text.len()));
        Diagnostic::at(span, "PARSE_SYNTAX_ERROR", lower_first(&error.message)).label("begins here")
    })?;
    let mut words: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if matches!(token.token, Token::Whitespace(_) | Token::EOF) {
            continue;
        }
        let span = statement.original(byte(token.span.start), byte(token.span.end));
        words.push(TokenWithSpan::new(token.token, sql_span(span)));
    }
    Ok(words)
}

/// A place as sqlparser carries it.
pub(crate) fn sql_span(span: Span) -> SqlSpan {
    let location = |byte: usize| Location::new(span.file as u64 + 1, byte as u64 + 1);
    SqlSpan::new(location(span.start), location(span.end))
}

/// The place that a span of sqlparser's stands for; `None` for nodes that carry none.
pub(crate) fn place(span: SqlSpan) -> Option<Span> {
    if span.start.line == 0 || span.start.column == 0 {
        return None;
    }
    let byte = |location: Location| (location.column as usize).saturating_sub(1);
    let start = byte(span.start);
    Some(Span { file: span.start.line as usize - 1, start, end: byte(span.end).max(start) })
}

/// An unquoted word, upper or lower case.
pub(crate) fn is_word(token: Option<&TokenWithSpan>, word: &str) -> bool {
    matches!(token, Some(TokenWithSpan { token: Token::Word(Word { value, quote_style: None, .. }), .. }) if value.eq_ignore_ascii_case(word))
}

/// The name that a token is, if it is one.
pub(crate) fn ident(token: &TokenWithSpan) -> Option<Ident> {
    match &token.token {
        Token::Word(word) => Some(Ident { value: word.value.clone(), quote_style: word.quote_style, span: token.span }),
        _ => None,
    }
}

/// The text of a string literal.
pub(crate) fn string(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// Runs a part of sqlparser's grammar over words, which it has to use up; `after` is where the words end.
pub(crate) fn parse<T>(
    tokens: Vec<TokenWithSpan>,
    after: Span,
    rule: impl FnOnce(&mut Parser) -> Result<T, ParserError>,
) -> Result<T> {
    let mut parser = Parser::new(&SparkDialect).with_tokens_with_locations(tokens);
    let parsed = rule(&mut parser);
    let next = parser.peek_token();
    let span = place(next.span).unwrap_or(after);
    match parsed {
        Ok(value) if next.token == Token::EOF => Ok(value),
        Ok(_) => Err(Diagnostic::at(span, "PARSE_SYNTAX_ERROR", format!("syntax error at {}", shown(&next.token)))
            .label("not expected here")
            .into()),
        Err(error) => {
            let (message, span) = parser_error(&error, span);
            Err(Diagnostic::at(span, "PARSE_SYNTAX_ERROR", message).label("here").into())
        }
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::EOF => "the end of the statement".to_string(),
        token => format!("`{token}`"),
    }
}

/// sqlparser says the place inside its message: ` at Line: 1, Column: 20`, in our numbers.
fn parser_error(error: &ParserError, fallback: Span) -> (String, Span) {
    let text = match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => "the query is nested too deep".to_string(),
    };
    let Some((message, at)) = text.rsplit_once(" at Line: ") else {
        return (lower_first(&text).replace("EOF", "the end of the statement"), fallback);
    };
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let span = at.split_once(", Column: ").and_then(|(line, column)| {
        let (file, byte) = (number(line)?.checked_sub(1)?, number(column)?.checked_sub(1)?);
        Some(Span { file, start: byte, end: byte + 1 })
    });
    // The parser is behind the word in question by now; a place before it is closer to the truth.
    let span = match span {
        Some(span) if span.start == fallback.start => fallback,
        Some(span) => span,
        None => fallback,
    };
    (lower_first(message), span)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
