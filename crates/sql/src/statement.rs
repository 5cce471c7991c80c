//! The statements of a pipeline, read from their words. Queries stay words until they are planned.

use std::collections::{BTreeMap, VecDeque};

use datafusion::arrow::datatypes::Fields;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use millstream_functions::ddl;

use crate::error::{Diagnostic, Result, nearest};
use crate::lex::{ident, is_word, parse, place, string};
use crate::pipeline::FileFormat;
use crate::relations::{Clauses, extract, key_values};
use crate::settings::{check_option, check_property};
use crate::source::Span;

/// What a statement of `transformations/` says.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    /// `SET key = value`.
    Set { key: String, value: String },
    /// `SET CATALOG name`: there is one catalog.
    SetCatalog,
    /// `CREATE [TEMPORARY] VIEW`.
    View { name: Name, temporary: bool, query: ParsedQuery },
    /// `CREATE MATERIALIZED VIEW`, `CREATE STREAMING TABLE`.
    Table(Box<TableStatement>),
    /// `CREATE FLOW name AS INSERT INTO target BY NAME query`.
    Flow { name: Name, target: Name, query: ParsedQuery },
    /// `CREATE TABLE … USING … LOCATION …` of `sources.sql`.
    Source(SourceTable),
}

/// A table that the pipeline makes.
#[derive(Debug, Clone)]
pub(crate) struct TableStatement {
    pub name: Name,
    pub streaming: bool,
    pub if_not_exists: bool,
    pub columns: Option<(Fields, Span)>,
    pub format: FileFormat,
    pub partitioned_by: Vec<Name>,
    pub comment: Option<String>,
    /// TBLPROPERTIES, each value with the place of its key.
    pub properties: BTreeMap<String, (String, Span)>,
    pub query: Option<ParsedQuery>,
}

/// A table over files that are there already.
#[derive(Debug, Clone)]
pub(crate) struct SourceTable {
    pub name: Name,
    pub columns: Option<Fields>,
    pub format: FileFormat,
    pub options: BTreeMap<String, String>,
    pub location: String,
    pub location_span: Span,
}

/// A name and its place. Only the last part of `catalog.database.name` counts.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub text: String,
    pub span: Span,
}

/// A query, with what sqlparser does not know set aside.
#[derive(Debug, Clone)]
pub(crate) struct ParsedQuery {
    pub query: Box<Query>,
    pub clauses: Clauses,
    pub span: Span,
}

/// Reads a statement. `text` is its text with variables replaced, `in_sources` whether it stands in `sources.sql`.
pub(crate) fn parse_statement(
    tokens: Vec<TokenWithSpan>,
    text: &str,
    span: Span,
    in_sources: bool,
) -> Result<Statement> {
    let mut words = Words { tokens: tokens.into(), after: Span { start: span.end, ..span }, start: span };
    let first = words.span();
    words.check_end()?;
    words.check_parentheses()?;
    if words.eat("SET") {
        return words.set(text);
    }
    if in_sources {
        if words.eat("CREATE") {
            words.eat("EXTERNAL");
            if words.eat("TABLE") {
                return words.source_table();
            }
        }
        let error =
            Diagnostic::at(first, "UNSUPPORTED_STATEMENT", "sources.sql holds CREATE TABLE … USING … LOCATION … only");
        return Err(error.label("not a source").help("queries belong in transformations/").into());
    }
    if !words.eat("CREATE") {
        return Err(words.refused_verb(first));
    }
    if words.eat_all(&["OR", "REFRESH"]) {
        return Err(unsupported(first.to(words.before()), "CREATE OR REFRESH is not part of Spark's pipelines")
            .help("write CREATE STREAMING TABLE or CREATE MATERIALIZED VIEW; every run refreshes it")
            .into());
    }
    if words.eat_all(&["OR", "REPLACE"]) {
        return Err(unsupported(first.to(words.before()), "CREATE OR REPLACE is not part of Spark's pipelines")
            .help("leave OR REPLACE out: the pipeline's files say what there is")
            .into());
    }
    let persisted = !(words.eat("TEMPORARY") || words.eat("TEMP"));
    if words.eat("VIEW") {
        return words.view(!persisted);
    }
    if words.eat_all(&["MATERIALIZED", "VIEW"]) {
        return words.table(false);
    }
    if words.eat_all(&["STREAMING", "TABLE"]) {
        return words.table(true);
    }
    if words.eat_all(&["STREAMING", "LIVE", "TABLE"]) || words.eat_all(&["LIVE", "TABLE"]) {
        return Err(unsupported(first.to(words.before()), "LIVE tables are not part of Spark's pipelines")
            .help("write CREATE STREAMING TABLE or CREATE MATERIALIZED VIEW")
            .into());
    }
    if words.eat("FLOW") {
        return words.flow();
    }
    Err(words.refused_object(first))
}

fn unsupported(span: Span, message: &str) -> Diagnostic {
    Diagnostic::at(span, "UNSUPPORTED_STATEMENT", message).label("not supported")
}

struct Words {
    tokens: VecDeque<TokenWithSpan>,
    after: Span,
    start: Span,
}

impl Words {
    fn span(&self) -> Span {
        self.tokens.front().and_then(|token| place(token.span)).unwrap_or(self.after)
    }

    /// Place of what was just read, near enough for marking.
    fn before(&self) -> Span {
        let end = self.span().start;
        Span { start: end.saturating_sub(1), end: end.saturating_sub(1), ..self.after }
    }

    fn eat(&mut self, word: &str) -> bool {
        self.tokens.pop_front_if(|token| is_word(Some(token), word)).is_some()
    }

    fn eat_all(&mut self, expected: &[&str]) -> bool {
        let all = expected.iter().enumerate().all(|(i, word)| is_word(self.tokens.get(i), word));
        if all {
            self.tokens.drain(..expected.len());
        }
        all
    }

    fn expected(&self, what: &str) -> Diagnostic {
        let found =
            self.tokens.front().map_or("the end of the statement".to_string(), |token| format!("`{}`", token.token));
        Diagnostic::at(self.span(), "PARSE_SYNTAX_ERROR", format!("expected {what}, found {found}")).label("here")
    }

    fn name(&mut self, what: &str) -> Result<Name> {
        let start = self.span();
        loop {
            let Some(part) = self.tokens.front().and_then(ident) else { return Err(self.expected(what).into()) };
            let span = start.to(self.span());
            self.tokens.pop_front();
            if self.tokens.pop_front_if(|token| token.token == Token::Period).is_none() {
                return Ok(Name { text: part.value, span });
            }
        }
    }

    fn string(&mut self, what: &str) -> Result<String> {
        match self.tokens.front().and_then(string).map(str::to_string) {
            Some(text) => {
                self.tokens.pop_front();
                Ok(text)
            }
            None => Err(self.expected(what).into()),
        }
    }

    /// Statements that run into each other: another one begins where this one does not end.
    fn check_end(&self) -> Result<()> {
        let kinds = ["STREAMING", "MATERIALIZED", "TEMPORARY", "TEMP", "VIEW", "FLOW"];
        let next = (1..self.tokens.len()).find(|&at| {
            let kind = self.tokens.get(at + 1);
            is_word(self.tokens.get(at), "CREATE") && kinds.iter().any(|word| is_word(kind, word))
        });
        let Some(span) = next.and_then(|at| place(self.tokens[at].span)) else { return Ok(()) };
        Err(Diagnostic::at(span, "PARSE_SYNTAX_ERROR", "the statement before this one has no end")
            .label("begins another statement")
            .help("write `;` between them")
            .into())
    }

    /// The grammar gives up at some other word, so that parentheses are counted first. One that stays open is blamed at the first word that
    /// cannot stand in it.
    fn check_parentheses(&self) -> Result<()> {
        let mut open: Vec<(usize, Span, bool)> = Vec::new();
        let mut blamed = None;
        for (at, token) in self.tokens.iter().enumerate() {
            let span = place(token.span).unwrap_or(self.start);
            match &token.token {
                Token::LParen => {
                    let next = self.tokens.get(at + 1);
                    let query = ["SELECT", "WITH", "FROM", "VALUES"].iter().any(|word| is_word(next, word))
                        || next.is_some_and(|next| next.token == Token::LParen);
                    let before = at.checked_sub(1).and_then(|before| self.tokens.get(before));
                    let takes_from = ["EXTRACT", "TRIM", "SUBSTRING"].iter().any(|word| is_word(before, word));
                    open.push((at, span, query || takes_from));
                }
                Token::RParen if open.pop().is_none() => {
                    let error = Diagnostic::at(span, "PARSE_SYNTAX_ERROR", "this `)` closes nothing");
                    return Err(error.label("no `(` before it is open").help("take it out").into());
                }
                _ if blamed.is_none() && ["FROM", "WHERE", "GROUP"].iter().any(|word| is_word(Some(token), word)) => {
                    blamed = open.last().filter(|(.., query)| !query).map(|(at, span, _)| (*at, *span));
                }
                _ => {}
            }
        }
        let Some((at, span)) = blamed.or(open.last().map(|(at, span, _)| (*at, *span))).filter(|_| !open.is_empty())
        else {
            return Ok(());
        };
        let name = at.checked_sub(1).and_then(|before| ident(&self.tokens[before]));
        let start = name.and_then(|name| place(name.span)).filter(|name| name.end == span.start).unwrap_or(span);
        let error = Diagnostic::at(start.to(span), "PARSE_SYNTAX_ERROR", "this `(` is not closed");
        Err(error.label("opened here").help("write its `)`").into())
    }

    fn set(mut self, text: &str) -> Result<Statement> {
        if self.eat("CATALOG") {
            self.name("the name of a catalog")?;
            return Ok(Statement::SetCatalog);
        }
        // As in Spark, the value is the rest of the text as it stands.
        let assignment = text.trim_start().get(3..).unwrap_or_default();
        let Some((key, value)) = assignment.split_once('=') else {
            return Err(Diagnostic::at(self.start, "PARSE_SYNTAX_ERROR", "SET needs a value here")
                .label("shows a setting, which a pipeline cannot")
                .help("write SET key = value")
                .into());
        };
        let unquoted = |text: &str| {
            let text = text.trim();
            let inner = ["'", "\"", "`"].iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
            inner.unwrap_or(text).to_string()
        };
        Ok(Statement::Set { key: unquoted(key), value: unquoted(value) })
    }

    fn view(mut self, temporary: bool) -> Result<Statement> {
        self.eat_all(&["IF", "NOT", "EXISTS"]);
        let name = self.name("the name of the view")?;
        if self.tokens.front().is_some_and(|token| token.token == Token::LParen) {
            return Err(unsupported(self.span(), "a view's columns take their names from its query")
                .help("name them in the query: SELECT a AS x")
                .into());
        }
        if self.eat("COMMENT") {
            self.string("a comment in quotes")?;
        }
        if !self.eat("AS") {
            return Err(self.expected("AS and a query").into());
        }
        Ok(Statement::View { name, temporary, query: self.query()? })
    }

    fn table(mut self, streaming: bool) -> Result<Statement> {
        let if_not_exists = self.eat_all(&["IF", "NOT", "EXISTS"]);
        let name = self.name("the name of the table")?;
        let mut table = TableStatement {
            name,
            streaming,
            if_not_exists,
            columns: None,
            format: FileFormat::Parquet,
            partitioned_by: Vec::new(),
            comment: None,
            properties: BTreeMap::new(),
            query: None,
        };
        if self.tokens.front().is_some_and(|token| token.token == Token::LParen) {
            table.columns = Some(self.columns()?);
        }
        loop {
            let clause = self.span();
            if self.eat("USING") {
                table.format = self.format(streaming)?;
            } else if self.eat_all(&["PARTITIONED", "BY"]) {
                table.partitioned_by = self.names()?;
            } else if self.eat("COMMENT") {
                table.comment = Some(self.string("a comment in quotes")?);
            } else if self.eat("TBLPROPERTIES") {
                let pairs = key_values(&mut self.tokens, self.after)?;
                for (key, value, span) in pairs {
                    check_property(&key, span)?;
                    table.properties.insert(key, (value, span));
                }
            } else if self.eat("OPTIONS") || self.eat("LOCATION") {
                return Err(unsupported(clause, "a pipeline's table has no OPTIONS and no LOCATION")
                    .help("its files are written to lake/NAME of the project; settings are TBLPROPERTIES: 'millstream.csv.header' = 'true', 'mapreduce.output.fileoutputformat.compress.codec', 'spark.sql.parquet.compression.codec'")
                    .into());
            } else if self.eat_all(&["CLUSTER", "BY"]) {
                return Err(unsupported(clause, "CLUSTER BY needs a table format that clusters")
                    .help("leave it out, or write PARTITIONED BY (column)")
                    .into());
            } else if self.eat("AS") {
                table.query = Some(self.query()?);
                break;
            } else if self.tokens.is_empty() {
                break;
            } else {
                return Err(self.expected("USING, PARTITIONED BY, COMMENT, TBLPROPERTIES or AS and a query").into());
            }
        }
        if !streaming && table.query.is_none() {
            return Err(self.expected("AS and a query").into());
        }
        Ok(Statement::Table(Box::new(table)))
    }

    fn flow(mut self) -> Result<Statement> {
        let name = self.name("the name of the flow")?;
        if self.eat("COMMENT") {
            self.string("a comment in quotes")?;
        }
        if !self.eat("AS") {
            return Err(self.expected("AS INSERT INTO table BY NAME query").into());
        }
        let start = self.span();
        if self.eat_all(&["AUTO", "CDC"]) {
            return Err(unsupported(start, "AUTO CDC needs a table format with MERGE")
                .help("csv, json and Parquet folders only grow: keep every change, and pick the last one of each key in a materialized view")
                .into());
        }
        if !self.eat_all(&["INSERT", "INTO"]) {
            return Err(self.expected("INSERT INTO table BY NAME query").into());
        }
        let target = self.name("the name of the streaming table")?;
        if !self.eat_all(&["BY", "NAME"]) {
            return Err(self
                .expected("BY NAME")
                .help(format!("a flow matches columns by their names: INSERT INTO {} BY NAME SELECT …", target.text))
                .into());
        }
        Ok(Statement::Flow { name, target, query: self.query()? })
    }

    fn source_table(mut self) -> Result<Statement> {
        self.eat_all(&["IF", "NOT", "EXISTS"]);
        let name = self.name("the name of the table")?;
        let mut table = SourceTable {
            name,
            columns: None,
            format: FileFormat::Parquet,
            options: BTreeMap::new(),
            location: String::new(),
            location_span: self.start,
        };
        if self.tokens.front().is_some_and(|token| token.token == Token::LParen) {
            table.columns = Some(self.columns()?.0);
        }
        let mut has_format = false;
        while !self.tokens.is_empty() {
            if self.eat("USING") {
                let format = self.span();
                let word = self.name("csv, json, parquet or text")?.text.to_ascii_lowercase();
                table.format = format_named(&word).ok_or_else(|| {
                    unsupported(format, &format!("files of the format {word} cannot be read"))
                        .help("csv, json, parquet or text; a Kafka topic needs no table: FROM STREAM kafka WITH (subscribe = 'topic')")
                })?;
                has_format = true;
            } else if self.eat("OPTIONS") || self.eat("TBLPROPERTIES") {
                for (key, value, span) in key_values(&mut self.tokens, self.after)? {
                    check_option(&key, span)?;
                    table.options.insert(key.to_ascii_lowercase(), value);
                }
            } else if self.eat("LOCATION") {
                table.location_span = self.span();
                table.location = self.string("a path in quotes")?;
            } else if self.eat("COMMENT") {
                self.string("a comment in quotes")?;
            } else {
                return Err(self.expected("USING, OPTIONS, LOCATION or COMMENT").into());
            }
        }
        if let Some(path) = table.options.remove("path").filter(|_| table.location.is_empty()) {
            table.location = path;
        }
        if !has_format || table.location.is_empty() {
            let what = if has_format { "LOCATION" } else { "USING" };
            return Err(Diagnostic::at(
                table.name.span,
                "INVALID_SOURCE_TABLE",
                format!("the source `{}` has no {what}", table.name.text),
            )
            .help("CREATE TABLE name (columns) USING csv OPTIONS (header 'true') LOCATION '/dir'")
            .into());
        }
        Ok(Statement::Source(table))
    }

    fn format(&mut self, streaming: bool) -> Result<FileFormat> {
        let span = self.span();
        let word = self.name("csv, json or parquet")?.text.to_ascii_lowercase();
        if word == "kafka" {
            let class = if streaming { "a streaming table" } else { "a materialized view" };
            return Err(unsupported(span, &format!("{class} cannot be written as kafka"))
                .help("keep csv, json or parquet, and send the rows to a topic too: TBLPROPERTIES ('millstream.topic' = 'name')")
                .into());
        }
        match format_named(&word) {
            Some(FileFormat::Text) | None => {
                Err(unsupported(span, &format!("tables of the format {word} cannot be written"))
                    .help("csv, json or parquet")
                    .into())
            }
            Some(format) => Ok(format),
        }
    }

    /// Words between the parenthesis that comes next and its partner.
    fn parenthesised(&mut self) -> Result<(Vec<TokenWithSpan>, Span)> {
        let start = self.span();
        let mut depth = 0;
        let mut inner = Vec::new();
        while let Some(token) = self.tokens.pop_front() {
            let span = place(token.span).unwrap_or(start);
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                inner.drain(..1.min(inner.len()));
                return Ok((inner, start.to(span)));
            }
            inner.push(token);
        }
        Err(self.expected("`)`").into())
    }

    fn columns(&mut self) -> Result<(Fields, Span)> {
        let (tokens, span) = self.parenthesised()?;
        if let Some(constraint) =
            tokens.iter().find(|token| is_word(Some(token), "CONSTRAINT") || is_word(Some(token), "EXPECT"))
        {
            return Err(unsupported(
                place(constraint.span).unwrap_or(span),
                "expectations are not part of Spark's pipelines",
            )
            .help("filter in the query with WHERE, and read what is left out with a second table")
            .into());
        }
        let text: Vec<String> = tokens.iter().map(|token| token.token.to_string()).collect();
        match ddl::parse_fields(&text.join(" ")) {
            Ok(fields) => Ok((fields, span)),
            Err(error) => {
                Err(Diagnostic::at(span, "PARSE_SYNTAX_ERROR", format!("the columns do not read: {}", error.reason))
                    .help("write (name TYPE, …), for example (station STRING, entries BIGINT, ts TIMESTAMP)")
                    .into())
            }
        }
    }

    fn names(&mut self) -> Result<Vec<Name>> {
        let (tokens, span) = self.parenthesised()?;
        let mut words = Words { tokens: tokens.into(), after: Span { start: span.end, ..span }, start: span };
        let mut names = Vec::new();
        loop {
            names.push(words.name("the name of a column")?);
            if words.tokens.is_empty() {
                return Ok(names);
            }
            if words.tokens.pop_front_if(|token| token.token == Token::Comma).is_none() {
                return Err(words.expected("`,` or `)`").help("PARTITIONED BY takes names of columns").into());
            }
        }
    }

    fn query(&mut self) -> Result<ParsedQuery> {
        let start = self.span();
        let end = self.tokens.back().and_then(|token| place(token.span)).unwrap_or(self.after);
        if self.tokens.is_empty() {
            return Err(self.expected("a query").into());
        }
        let (tokens, clauses) = extract(std::mem::take(&mut self.tokens).into(), self.after)?;
        let query = parse(tokens, self.after, |parser| parser.parse_query())?;
        Ok(ParsedQuery { query, clauses, span: start.to(end) })
    }

    fn refused_verb(&self, first: Span) -> crate::error::Errors {
        let verb =
            self.tokens.front().and_then(ident).map(|ident| ident.value.to_ascii_uppercase()).unwrap_or_default();
        let (message, help) = match verb.as_str() {
            "SELECT" | "WITH" | "FROM" | "VALUES" => (
                "a query alone does nothing in a pipeline".to_string(),
                "give its rows a place: CREATE STREAMING TABLE name AS SELECT … or CREATE MATERIALIZED VIEW name AS SELECT …",
            ),
            "INSERT" => (
                "INSERT is not part of a pipeline".to_string(),
                "CREATE FLOW name AS INSERT INTO table BY NAME SELECT …",
            ),
            "USE" => ("USE is not part of a pipeline".to_string(), "catalog and database stand in spark-pipeline.yml"),
            _ => {
                let known = ["CREATE", "SET"];
                let near = nearest(&verb, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                (
                    format!("{verb} is not part of a pipeline{near}"),
                    "a pipeline is made of SET, CREATE VIEW, CREATE STREAMING TABLE, CREATE MATERIALIZED VIEW and CREATE FLOW",
                )
            }
        };
        unsupported(first, &message).help(help).into()
    }

    fn refused_object(&self, first: Span) -> crate::error::Errors {
        let object =
            self.tokens.front().and_then(ident).map(|ident| ident.value.to_ascii_uppercase()).unwrap_or_default();
        let span = first.to(self.span());
        let second = ["STREAMING", "MATERIALIZED", "TEMPORARY", "TEMP"].into_iter().find(|word| *word == object);
        if let Some(word) = second {
            let wanted = match word {
                "STREAMING" => "TABLE",
                _ => "VIEW",
            };
            let found = self.tokens.get(1).map_or("the end".to_string(), |token| format!("`{}`", token.token));
            let at = self.tokens.get(1).and_then(|token| place(token.span)).unwrap_or(self.after);
            let message = format!("expected {wanted} after CREATE {word}, found {found}");
            return Diagnostic::at(at, "PARSE_SYNTAX_ERROR", message)
                .label("here")
                .help(format!("write CREATE {word} {wanted} name …"))
                .into();
        }
        let help = match object.as_str() {
            "TABLE" | "EXTERNAL" => {
                "CREATE STREAMING TABLE or CREATE MATERIALIZED VIEW makes a table; files that are there already are declared in sources.sql"
            }
            "DATABASE" | "SCHEMA" => "catalog and database stand in spark-pipeline.yml",
            "FUNCTION" => {
                "functions of one's own are not part of Spark's SQL pipelines; write the expression out, in a view if it is used often"
            }
            "SINK" => "a streaming table with TBLPROPERTIES ('millstream.topic' = 'name') sends its rows to a topic",
            _ => {
                "a pipeline is made of SET, CREATE VIEW, CREATE STREAMING TABLE, CREATE MATERIALIZED VIEW and CREATE FLOW"
            }
        };
        unsupported(span, &format!("CREATE {object} is not part of a pipeline")).help(help).into()
    }
}

fn format_named(word: &str) -> Option<FileFormat> {
    Some(match word {
        "csv" => FileFormat::Csv,
        "json" => FileFormat::Json,
        "parquet" => FileFormat::Parquet,
        "text" => FileFormat::Text,
        _ => return None,
    })
}
