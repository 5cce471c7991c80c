//! Words of a statement, each with its place in the file.
//!
//! sqlparser counts lines and columns; its syntax tree carries those along. Here they are put to another use: "line" is the number of
//! the file plus one and "column" the byte in it plus one, so that every node of the tree leads back to the file, also past variables.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, Interval, Value};
use datafusion::sql::sqlparser::dialect::{DatabricksDialect, Dialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span as SqlSpan, Token, TokenWithSpan, Tokenizer, Word};

use crate::error::{Diagnostic, Result};
use crate::relations::is_unit;
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
    fn supports_comma_separated_trim(&self) -> bool {
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

    /// `interval` may be the name of a column: it begins a length of time only before a number or a text. `INTERVAL 1 HOUR 30 MINUTES` and
    /// `TRIM(BOTH FROM x)` are forms that sqlparser does not know.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        match &parser.peek_token_ref().token {
            Token::Word(Word { keyword: Keyword::INTERVAL, quote_style: None, .. }) => {}
            Token::Word(Word { keyword: Keyword::TRIM, quote_style: None, .. }) => return trim_of_blanks(parser),
            _ => return None,
        }
        let begins_length = match parser.peek_nth_token_ref(1).token {
            Token::Number(..) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => true,
            Token::Minus => {
                matches!(parser.peek_nth_token_ref(2).token, Token::Number(..) | Token::SingleQuotedString(_))
            }
            _ => false,
        };
        if !begins_length {
            return Some(parser.parse_identifier().map(Expr::Identifier));
        }
        interval_of_units(parser)
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

/// `INTERVAL 1 HOUR 30 MINUTES` as the interval of one text, if that is what comes next.
fn interval_of_units(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let (mut parts, mut at) = (Vec::new(), 1);
    loop {
        let minus = parser.peek_nth_token_ref(at).token == Token::Minus;
        let number = at + usize::from(minus);
        let (Token::Number(length, _) | Token::SingleQuotedString(length)) = &parser.peek_nth_token_ref(number).token
        else {
            break;
        };
        let Token::Word(unit) = &parser.peek_nth_token_ref(number + 1).token else { break };
        if !is_unit(&unit.value) {
            break;
        }
        parts.push(format!("{}{length} {}", if minus { "-" } else { "" }, unit.value));
        at = number + 2;
    }
    if parts.len() < 2 {
        return None;
    }
    let span = (0..at).fold(parser.peek_token_ref().span, |span, _| span.union(&parser.next_token().span));
    let value = Value::SingleQuotedString(parts.join(" ")).with_span(span);
    Some(Ok(Expr::Interval(Interval {
        value: Box::new(Expr::Value(value)),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })))
}

/// `TRIM(BOTH FROM x)`, if that is what comes next.
fn trim_of_blanks(parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
    let keyword = |at: usize| match &parser.peek_nth_token_ref(at).token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let sides = [Keyword::BOTH, Keyword::LEADING, Keyword::TRAILING];
    if parser.peek_nth_token_ref(1).token != Token::LParen
        || !sides.contains(&keyword(2))
        || keyword(3) != Keyword::FROM
    {
        return None;
    }
    parser.next_token();
    parser.next_token();
    let trim = parser.parse_trim_where().and_then(|side| {
        parser.expect_keyword(Keyword::FROM)?;
        let expr = Box::new(parser.parse_expr()?);
        parser.expect_token(&Token::RParen)?;
        Ok(Expr::Trim { expr, trim_where: Some(side), trim_what: None, trim_characters: None })
    });
    Some(trim)
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
    let mut last_end = 0;
    for token in tokens {
        if matches!(token.token, Token::Whitespace(_) | Token::EOF) {
            continue;
        }
        let (start, end) = (byte(token.span.start), byte(token.span.end));
        let span = statement.original(start, end);
        // `1.5D` is a DOUBLE, which a number with an exponent is, too.
        if let (Token::Word(Word { value, quote_style: None, .. }), Some(last)) = (&token.token, words.last_mut())
            && value.eq_ignore_ascii_case("d")
            && start == last_end
            && let Token::Number(digits, false) = &mut last.token
        {
            if !digits.contains(['e', 'E']) {
                digits.push_str("e0");
            }
            last_end = end;
            continue;
        }
        last_end = end;
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
