//! Expressions.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::{
    Between, Case, Expr, ExprSchemable, Like, LogicalPlan, Operator, Projection, SortExpr, Subquery, lit,
};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType as SqlType, Expr as SqlExpr, Ident, Interval,
    OrderByExpr, Subscript, UnaryOperator, Value, ValueWithSpan,
};
use millstream_functions::ddl::{self, type_name};

use super::scope::Found;
use super::types::{common, common_numeric, comparable, integer_as_decimal, is_integer, is_numeric};
use super::{Context, Planner, Scope, refused};
use crate::error::{Diagnostic, Errors, Result, nearest};
use crate::lex::place;
use crate::source::Span;

/// Columns of the select list that later ones may name (Spark's lateral column aliases).
pub(super) type Aliases = Vec<(String, Expr)>;

/// Turns expressions of the syntax tree into expressions over the columns of a scope.
pub(super) struct ExprPlanner<'p, 'q> {
    pub planner: &'p Planner<'p>,
    pub context: &'p Context<'q>,
    pub scope: &'p Scope,
    /// Names that are looked up if the scope has none.
    pub aliases: &'p [(String, Expr)],
}

impl<'p, 'q> ExprPlanner<'p, 'q> {
    pub fn new(planner: &'p Planner<'_>, context: &'p Context<'q>, scope: &'p Scope) -> Self {
        Self { planner, context, scope, aliases: &[] }
    }

    pub fn with_aliases(mut self, aliases: &'p [(String, Expr)]) -> Self {
        self.aliases = aliases;
        self
    }

    pub fn place(&self, expr: &SqlExpr) -> Span {
        self.context.place(expr)
    }

    /// The type of an expression over the scope.
    pub fn type_of(&self, expr: &Expr, span: Span) -> Result<DataType> {
        expr.get_type(self.scope.plan.schema().as_ref()).map_err(|error| refused(&error, span))
    }

    /// A condition.
    pub fn predicate(&self, expr: &SqlExpr) -> Result<Expr> {
        let planned = self.expr(expr)?;
        match self.type_of(&planned, self.place(expr))? {
            DataType::Boolean | DataType::Null => Ok(planned),
            other => {
                let message = format!("a condition is BOOLEAN, this is {}", type_name(&other));
                Err(Diagnostic::at(self.place(expr), "DATATYPE_MISMATCH", message).label(type_name(&other)).into())
            }
        }
    }

    /// Any expression.
    pub fn expr(&self, expr: &SqlExpr) -> Result<Expr> {
        match expr {
            SqlExpr::Identifier(ident) => self.path(std::slice::from_ref(ident)),
            SqlExpr::CompoundIdentifier(parts) => self.path(parts),
            SqlExpr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            SqlExpr::Nested(inner) => self.expr(inner),
            SqlExpr::Value(value) => self.literal(value),
            SqlExpr::TypedString(typed) => {
                let to = self.data_type(&typed.data_type, self.place(expr))?;
                let text = self.literal(&typed.value)?;
                Ok(self.planner.functions.cast(text, &to))
            }
            SqlExpr::Interval(interval) => self.interval(interval, self.place(expr)),
            SqlExpr::BinaryOp { left, op, right } => self.binary(left, op, right, self.place(expr)),
            SqlExpr::UnaryOp { op, expr: operand } => self.unary(op, operand, self.place(expr)),
            SqlExpr::IsNull(inner) => Ok(self.expr(inner)?.is_null()),
            SqlExpr::IsNotNull(inner) => Ok(self.expr(inner)?.is_not_null()),
            SqlExpr::IsTrue(inner) => Ok(self.predicate(inner)?.is_true()),
            SqlExpr::IsNotTrue(inner) => Ok(self.predicate(inner)?.is_not_true()),
            SqlExpr::IsFalse(inner) => Ok(self.predicate(inner)?.is_false()),
            SqlExpr::IsNotFalse(inner) => Ok(self.predicate(inner)?.is_not_false()),
            SqlExpr::IsDistinctFrom(left, right) => {
                self.compare(left, Operator::IsDistinctFrom, right, self.place(expr))
            }
            SqlExpr::IsNotDistinctFrom(left, right) => {
                self.compare(left, Operator::IsNotDistinctFrom, right, self.place(expr))
            }
            SqlExpr::Between { expr: value, negated, low, high } => {
                let parts = Errors::collect([self.expr(value), self.expr(low), self.expr(high)])?;
                let [value, low, high] = self.same_type(parts, self.place(expr))?.try_into().expect("three go in");
                Ok(Expr::Between(Between::new(Box::new(value), *negated, Box::new(low), Box::new(high))))
            }
            SqlExpr::InList { expr: value, list, negated } => {
                let parts = Errors::collect([value.as_ref()].into_iter().chain(list).map(|expr| self.expr(expr)))?;
                let mut parts = self.same_type(parts, self.place(expr))?.into_iter();
                let value = parts.next().expect("the value goes in first");
                Ok(value.in_list(parts.collect(), *negated))
            }
            SqlExpr::InSubquery { expr: value, subquery, negated } => {
                let value = self.expr(value)?;
                let scope = self.static_subquery(subquery)?;
                let [column] = scope.columns.as_slice() else {
                    let error = Diagnostic::at(
                        self.place(expr),
                        "IN_SUBQUERY_DATA_TYPE_MISMATCH",
                        "IN wants a subquery of one column",
                    );
                    return Err(error.into());
                };
                let (from, to) = (self.type_of(&value, self.place(expr))?, scope.field(column).data_type().clone());
                let common = comparable(&from, &to).ok_or_else(|| mismatch(&from, &to, self.place(expr)))?;
                if to != common {
                    return Err(mismatch(&from, &to, self.place(expr)).into());
                }
                let value = self.planner.functions.convert(value, &from, &common);
                // It is to become a join, in which the column may not have the name of one that is there.
                let name = self.scope.fresh("__in");
                let column = Expr::Column(column.column.clone()).alias(name);
                let subquery = self.subquery(scope.plan, column, self.place(expr))?;
                Ok(Expr::InSubquery(InSubquery::new(Box::new(value), subquery, *negated)))
            }
            SqlExpr::Like { negated, any: false, expr: value, pattern, escape_char } => {
                self.like(value, pattern, escape_char.as_ref(), *negated, false)
            }
            SqlExpr::ILike { negated, any: false, expr: value, pattern, escape_char } => {
                self.like(value, pattern, escape_char.as_ref(), *negated, true)
            }
            SqlExpr::RLike { negated, expr: value, pattern, .. } => {
                let args = Errors::collect([self.expr(value), self.expr(pattern)])?;
                let matches = self.named_call("rlike", args, self.place(expr))?;
                Ok(if *negated { Expr::Not(Box::new(matches)) } else { matches })
            }
            SqlExpr::Cast { kind, expr: value, data_type, .. } => {
                let to = self.data_type(data_type, self.place(expr))?;
                let planned = self.expr(value)?;
                let from = self.type_of(&planned, self.place(value))?;
                let cast = match kind {
                    _ if from == to => return Ok(planned),
                    CastKind::TryCast | CastKind::SafeCast => self.planner.functions.try_cast(planned, &to),
                    _ => self.planner.functions.cast(planned, &to),
                };
                self.type_of(&cast, self.place(expr))?;
                Ok(cast)
            }
            SqlExpr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), self.place(expr))
            }
            SqlExpr::Function(function) => self.function(function, self.place(expr)),
            SqlExpr::Substring { expr: value, substring_from, substring_for, .. } => {
                let args = [Some(value), substring_from.as_ref(), substring_for.as_ref()];
                self.call("substring", args.into_iter().flatten().map(|arg| arg.as_ref()), self.place(expr))
            }
            SqlExpr::Trim { expr: value, trim_where, trim_what, trim_characters } => {
                use datafusion::sql::sqlparser::ast::TrimWhereField::{Both, Leading, Trailing};
                let name = match trim_where {
                    None | Some(Both) => "trim",
                    Some(Leading) => "ltrim",
                    Some(Trailing) => "rtrim",
                };
                // What is trimmed stands first, also in `trim(what, text)`.
                let commas = trim_characters.iter().flatten();
                let args = trim_what.as_deref().into_iter().chain([value.as_ref()]).chain(commas);
                self.call(name, args, self.place(expr))
            }
            SqlExpr::Ceil { field: CeilFloorKind::Scale(_), .. } | SqlExpr::Floor { field: CeilFloorKind::Scale(_), .. } => {
                Err(self.unsupported(expr, "a number of digits").help("round(x, digits), or ceil(x * 100) / 100").into())
            }
            SqlExpr::Ceil { expr: value, .. } => self.call("ceil", [value.as_ref()], self.place(expr)),
            SqlExpr::Floor { expr: value, .. } => self.call("floor", [value.as_ref()], self.place(expr)),
            SqlExpr::Position { expr: part, r#in } => self.call("position", [part.as_ref(), r#in], self.place(expr)),
            SqlExpr::Extract { field, expr: value, .. } => {
                let args = vec![lit(field.to_string().to_lowercase()), self.expr(value)?];
                self.named_call("date_part", args, self.place(expr))
            }
            SqlExpr::Overlay { expr: value, overlay_what, overlay_from, overlay_for } => {
                let args = [value, overlay_what, overlay_from].into_iter().chain(overlay_for).map(|arg| arg.as_ref());
                self.call("overlay", args, self.place(expr))
            }
            SqlExpr::Subquery(_) => Err(self
                .unsupported(expr, "a subquery as a value")
                .help("put it into FROM: FROM a CROSS JOIN (SELECT max(x) AS highest FROM b), and name its column")
                .into()),
            SqlExpr::Exists { negated, .. } => Err(self
                .unsupported(expr, "EXISTS")
                .help(match negated {
                    false => "FROM a LEFT SEMI JOIN b ON a.key = b.key keeps the rows of a that have one in b; or WHERE key IN (SELECT key FROM b)",
                    true => "FROM a LEFT ANTI JOIN b ON a.key = b.key keeps the rows of a that have none in b",
                })
                .into()),
            SqlExpr::Lambda(_) => Err(self.unsupported(expr, "a function as an argument (x -> …)").into()),
            SqlExpr::Struct { values, fields } if fields.is_empty() => self.structure(values, self.place(expr)),
            SqlExpr::Array(array) => {
                let args = Errors::collect(array.elem.iter().map(|expr| self.expr(expr)))?;
                self.named_call("array", args, self.place(expr))
            }
            other => Err(self.unsupported(other, "this expression").into()),
        }
    }

    pub fn unsupported(&self, expr: &SqlExpr, what: &str) -> Diagnostic {
        Diagnostic::at(self.place(expr), "UNSUPPORTED_FEATURE", format!("{what} is not supported yet")).label("not yet")
    }

    /// `column`, `relation.column`, `column.field.field`, ….
    fn path(&self, parts: &[Ident]) -> Result<Expr> {
        let span = |parts: &[Ident]| {
            let places = parts.iter().filter_map(|part| place(part.span));
            places.reduce(Span::to).unwrap_or(self.context.span)
        };
        if let [qualifier, name, fields @ ..] = parts
            && let Some(expr) = self.column(Some(qualifier), name, span(&parts[..2]))?
        {
            return self.fields(expr, fields);
        }
        let (name, fields) = parts.split_first().expect("a name has a part");
        if let Some(expr) = self.column(None, name, span(&parts[..1]))? {
            return self.fields(expr, fields);
        }
        if let Some((_, expr)) = self.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(&name.value)) {
            return self.fields(expr.clone(), fields);
        }
        if let ([], Some(constant)) = (fields, self.constant_function(name)) {
            return Ok(constant);
        }
        Err(self.unresolved(parts, span(parts)).into())
    }

    fn column(&self, qualifier: Option<&Ident>, name: &Ident, span: Span) -> Result<Option<Expr>> {
        match self.scope.find(qualifier.map(|qualifier| qualifier.value.as_str()), &name.value) {
            Found::Column(column) => Ok(Some(Expr::Column(column.column.clone()))),
            Found::Nothing => Ok(None),
            Found::Ambiguous => {
                let owners: Vec<String> = self
                    .scope
                    .columns
                    .iter()
                    .filter(|column| column.name.eq_ignore_ascii_case(&name.value))
                    .filter_map(|column| Some(format!("{}.{}", column.qualifier.as_ref()?, column.name)))
                    .collect();
                let error = Diagnostic::at(
                    span,
                    "AMBIGUOUS_REFERENCE",
                    format!("`{}` could be more than one column", name.value),
                );
                Err(match owners.as_slice() {
                    [] => error.help("give the columns different names where they are selected"),
                    owners => error.help(format!("write {}", owners.join(" or "))),
                }
                .into())
            }
        }
    }

    fn unresolved(&self, parts: &[Ident], span: Span) -> Diagnostic {
        let written = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        let error =
            Diagnostic::at(span, "UNRESOLVED_COLUMN", format!("there is no column `{written}`")).label("unknown");
        let last = &parts.last().expect("a name has a part").value;
        let names = self.scope.columns.iter().filter(|column| !column.hidden).map(|column| column.name.as_str());
        if self.scope.columns.is_empty() {
            return error.help("nothing is read here: a text stands in 'quotes'");
        }
        match nearest(last, names) {
            Some(near) => error.help(format!("did you mean `{near}`? There are {}", self.scope.describe())),
            None => error.help(format!("there are {}", self.scope.describe())),
        }
    }

    /// Fields of structs, one after the other.
    fn fields(&self, expr: Expr, fields: &[Ident]) -> Result<Expr> {
        fields.iter().try_fold(expr, |expr, field| {
            self.field(expr, &field.value, place(field.span).unwrap_or(self.context.span))
        })
    }

    /// A field of a struct, a key of a map.
    pub fn field(&self, expr: Expr, name: &str, span: Span) -> Result<Expr> {
        match self.type_of(&expr, span)? {
            DataType::Struct(fields) => match fields.iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
                Some(field) => Ok(get_field(expr, field.name().as_str())),
                None => {
                    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
                    let error = Diagnostic::at(span, "FIELD_NOT_FOUND", format!("the struct has no field `{name}`"))
                        .label("unknown");
                    Err(match nearest(name, names.iter().copied()) {
                        Some(near) => error.help(format!("did you mean `{near}`? It has {}", names.join(", "))),
                        None => error.help(format!("it has {}", names.join(", "))),
                    }
                    .into())
                }
            },
            DataType::Map(..) => self.named_call("element_at", vec![expr, lit(name)], span),
            other => {
                let message = format!("{} has no fields", type_name(&other));
                Err(Diagnostic::at(span, "INVALID_EXTRACT_BASE_FIELD_TYPE", message)
                    .label(format!("no field `{name}`"))
                    .into())
            }
        }
    }

    fn access(&self, root: &SqlExpr, chain: &[AccessExpr]) -> Result<Expr> {
        // `relation.column[0]`: the names in front belong together.
        let mut names: Vec<Ident> = match root {
            SqlExpr::Identifier(name) => vec![name.clone()],
            SqlExpr::CompoundIdentifier(names) => names.clone(),
            _ => Vec::new(),
        };
        let dots = chain.iter().map_while(|access| match access {
            AccessExpr::Dot(SqlExpr::Identifier(name)) if !names.is_empty() => Some(name.clone()),
            _ => None,
        });
        let dots: Vec<Ident> = dots.collect();
        let chain = &chain[dots.len()..];
        names.extend(dots);
        let mut expr = if names.is_empty() { self.expr(root)? } else { self.path(&names)? };
        for access in chain {
            expr = match access {
                AccessExpr::Dot(SqlExpr::Identifier(field)) => {
                    self.field(expr, &field.value, place(field.span).unwrap_or(self.context.span))?
                }
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let span = self.place(index);
                    let key = self.expr(index)?;
                    match self.type_of(&expr, span)? {
                        DataType::Map(..) => self.named_call("element_at", vec![expr, key], span)?,
                        DataType::Struct(_) => match &key {
                            Expr::Literal(ScalarValue::Utf8(Some(name)), _) => self.field(expr, name, span)?,
                            _ => return Err(self.unsupported(index, "a computed field of a struct").into()),
                        },
                        _ => self.named_call("array_item", vec![expr, key], span)?,
                    }
                }
                _ => return Err(self.unsupported(root, "this way into a value").into()),
            };
        }
        Ok(expr)
    }

    fn literal(&self, value: &ValueWithSpan) -> Result<Expr> {
        let span = place(value.span).unwrap_or(self.context.span);
        match &value.value {
            Value::Number(digits, long) => number(digits, *long, span),
            Value::SingleQuotedString(text)
            | Value::DoubleQuotedString(text)
            | Value::SingleQuotedRawStringLiteral(text)
            | Value::DoubleQuotedRawStringLiteral(text) => Ok(lit(text.as_str())),
            Value::Boolean(value) => Ok(lit(*value)),
            Value::Null => Ok(Expr::Literal(ScalarValue::Null, None)),
            Value::HexStringLiteral(digits) => {
                let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
                let padded = digits.len() % 2 == 0;
                match (padded, (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()) {
                    (true, Some(bytes)) => Ok(lit(bytes)),
                    _ => {
                        Err(Diagnostic::at(span, "PARSE_SYNTAX_ERROR", "X'…' holds pairs of hexadecimal digits").into())
                    }
                }
            }
            other => {
                Err(Diagnostic::at(span, "UNSUPPORTED_FEATURE", format!("the literal {other} is not supported")).into())
            }
        }
    }

    fn interval(&self, interval: &Interval, span: Span) -> Result<Expr> {
        let mut text = match interval.value.as_ref() {
            SqlExpr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => number.clone(),
            SqlExpr::Value(ValueWithSpan {
                value: Value::SingleQuotedString(text) | Value::DoubleQuotedString(text),
                ..
            }) => text.clone(),
            SqlExpr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{expr}"),
            _ => {
                return Err(Diagnostic::at(
                    span,
                    "INVALID_INTERVAL_FORMAT",
                    "an interval's length is written as a number",
                )
                .into());
            }
        };
        let wrong = |why| Diagnostic::at(span, "INVALID_INTERVAL_FORMAT", why);
        match (&interval.leading_field, &interval.last_field) {
            (Some(from), Some(to)) => {
                text = crate::interval::spell_out(&text, &from.to_string(), &to.to_string()).map_err(wrong)?;
            }
            (Some(field), None) => text = format!("{text} {field}"),
            (None, _) => {}
        }
        let (months, days, micros) = crate::interval::parse_parts(&text).map_err(wrong)?;
        Ok(Expr::Literal(ScalarValue::new_interval_mdn(months, days, micros * 1000), None))
    }

    /// The type that is written in a CAST.
    fn data_type(&self, written: &SqlType, span: Span) -> Result<DataType> {
        ddl::parse_type(&written.to_string()).map_err(|error| {
            let error = Diagnostic::at(span, "UNSUPPORTED_DATATYPE", format!("`{written}` is no type: {}", error.reason));
            error.help("BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p,s), STRING, BINARY, DATE, TIMESTAMP, ARRAY<…>, MAP<…>, STRUCT<…>").into()
        })
    }

    fn unary(&self, op: &UnaryOperator, operand: &SqlExpr, span: Span) -> Result<Expr> {
        match op {
            UnaryOperator::Not | UnaryOperator::BangNot => Ok(Expr::Not(Box::new(self.predicate(operand)?))),
            UnaryOperator::Minus => {
                // The sign belongs to the number: -2147483648 is an INT.
                if let SqlExpr::Value(ValueWithSpan { value: Value::Number(digits, long), span: at }) = operand {
                    return number(&format!("-{digits}"), *long, place(*at).unwrap_or(span));
                }
                let value = self.expr(operand)?;
                match self.type_of(&value, span)? {
                    DataType::Interval(_) => Ok(Expr::Negative(Box::new(value))),
                    from if is_numeric(&from) => match self.planner.functions.operator("negative") {
                        Some(negative) => Ok(negative.call(vec![value])),
                        None => Ok(Expr::Negative(Box::new(value))),
                    },
                    from => {
                        let value = self.planner.functions.convert(value, &from, &DataType::Float64);
                        Ok(Expr::Negative(Box::new(value)))
                    }
                }
            }
            UnaryOperator::Plus => self.expr(operand),
            UnaryOperator::BitwiseNot => {
                let all_ones = lit(ScalarValue::Int32(Some(-1)));
                let value = self.expr(operand)?;
                let from = self.type_of(&value, span)?;
                self.bitwise_of((value, from), Operator::BitwiseXor, (all_ones, DataType::Int32), span)
            }
            other => {
                Err(Diagnostic::at(span, "UNSUPPORTED_FEATURE", format!("the operator {other} is not supported"))
                    .into())
            }
        }
    }

    fn binary(&self, left: &SqlExpr, op: &BinaryOperator, right: &SqlExpr, span: Span) -> Result<Expr> {
        use BinaryOperator as Op;
        match op {
            Op::And | Op::Or => {
                let both = Errors::collect([self.predicate(left), self.predicate(right)])?;
                let op = if *op == Op::And { Operator::And } else { Operator::Or };
                let [left, right] = both.try_into().expect("two go in");
                Ok(datafusion::logical_expr::binary_expr(left, op, right))
            }
            Op::Eq => self.compare(left, Operator::Eq, right, span),
            Op::NotEq => self.compare(left, Operator::NotEq, right, span),
            Op::Lt => self.compare(left, Operator::Lt, right, span),
            Op::LtEq => self.compare(left, Operator::LtEq, right, span),
            Op::Gt => self.compare(left, Operator::Gt, right, span),
            Op::GtEq => self.compare(left, Operator::GtEq, right, span),
            Op::Spaceship => self.compare(left, Operator::IsNotDistinctFrom, right, span),
            Op::StringConcat => {
                let args = Errors::collect([self.expr(left), self.expr(right)])?;
                self.named_call("concat", args, span)
            }
            Op::Plus => self.arithmetic(left, "add", Operator::Plus, right, span),
            Op::Minus => self.arithmetic(left, "subtract", Operator::Minus, right, span),
            Op::Multiply => self.arithmetic(left, "multiply", Operator::Multiply, right, span),
            Op::Divide => self.arithmetic(left, "divide", Operator::Divide, right, span),
            Op::Modulo => self.arithmetic(left, "remainder", Operator::Modulo, right, span),
            Op::BitwiseAnd => self.bitwise(left, Operator::BitwiseAnd, right, span),
            Op::BitwiseOr => self.bitwise(left, Operator::BitwiseOr, right, span),
            Op::BitwiseXor => self.bitwise(left, Operator::BitwiseXor, right, span),
            Op::MyIntegerDivide | Op::DuckIntegerDivide => {
                self.arithmetic(left, "div", Operator::IntegerDivide, right, span)
            }
            other => {
                Err(Diagnostic::at(span, "UNSUPPORTED_FEATURE", format!("the operator {other} is not supported"))
                    .into())
            }
        }
    }

    fn bitwise(&self, left: &SqlExpr, op: Operator, right: &SqlExpr, span: Span) -> Result<Expr> {
        let both = Errors::collect([self.expr(left), self.expr(right)])?;
        let [left, right] = both.try_into().expect("two go in");
        let (lt, rt) = (self.type_of(&left, span)?, self.type_of(&right, span)?);
        self.bitwise_of((left, lt), op, (right, rt), span)
    }

    fn bitwise_of(
        &self,
        (left, lt): (Expr, DataType),
        op: Operator,
        (right, rt): (Expr, DataType),
        span: Span,
    ) -> Result<Expr> {
        if !is_integer(&lt) || !is_integer(&rt) {
            return Err(mismatch(&lt, &rt, span).into());
        }
        let to = common_numeric(&lt, &rt).ok_or_else(|| mismatch(&lt, &rt, span))?;
        let functions = self.planner.functions;
        let (left, right) = (functions.convert(left, &lt, &to), functions.convert(right, &rt, &to));
        Ok(datafusion::logical_expr::binary_expr(left, op, right))
    }

    fn compare(&self, left: &SqlExpr, op: Operator, right: &SqlExpr, span: Span) -> Result<Expr> {
        let both = Errors::collect([self.expr(left), self.expr(right)])?;
        let [left, right] = self.same_type(both, span)?.try_into().expect("two go in");
        Ok(datafusion::logical_expr::binary_expr(left, op, right))
    }

    /// Brings values to the type that they have in common.
    pub fn same_type(&self, exprs: Vec<Expr>, span: Span) -> Result<Vec<Expr>> {
        let types = exprs.iter().map(|expr| self.type_of(expr, span)).collect::<Result<Vec<_>>>()?;
        let (first, rest) = types.split_first().expect("something is compared");
        let to = rest.iter().try_fold(first.clone(), |to, other| {
            comparable(&to, other).ok_or_else(|| Errors::from(mismatch(&to, other, span)))
        })?;
        let convert = |(expr, from): (Expr, &DataType)| self.planner.functions.convert(expr, from, &to);
        Ok(exprs.into_iter().zip(&types).map(convert).collect())
    }

    fn arithmetic(&self, left: &SqlExpr, name: &str, op: Operator, right: &SqlExpr, span: Span) -> Result<Expr> {
        let both = Errors::collect([self.expr(left), self.expr(right)])?;
        let [left, right] = both.try_into().expect("two go in");
        let (lt, rt) = (self.type_of(&left, span)?, self.type_of(&right, span)?);
        self.arithmetic_of((left, lt), name, op, (right, rt), span)
    }

    pub fn arithmetic_of(
        &self,
        (mut left, mut lt): (Expr, DataType),
        name: &str,
        op: Operator,
        (mut right, mut rt): (Expr, DataType),
        span: Span,
    ) -> Result<Expr> {
        let functions = self.planner.functions;
        let temporal = |t: &DataType| matches!(t, DataType::Timestamp(..) | DataType::Date32 | DataType::Interval(_));
        if temporal(&lt) || temporal(&rt) {
            return self.time_arithmetic((left, lt), op, (right, rt), span);
        }
        // In ANSI mode a text that meets a number is read as the number that the other side asks for.
        let others = [rt.clone(), lt.clone()];
        for ((expr, own), other) in [(&mut left, &mut lt), (&mut right, &mut rt)].into_iter().zip(&others) {
            if *own == DataType::Utf8 || *own == DataType::Null {
                let to = match other {
                    other if is_integer(other) && *own == DataType::Utf8 => DataType::Int64,
                    other if is_numeric(other) && *own == DataType::Null => other.clone(),
                    _ => DataType::Float64,
                };
                *expr = functions.convert(expr.clone(), own, &to);
                *own = to;
            }
        }
        if !is_numeric(&lt) || !is_numeric(&rt) {
            return Err(mismatch(&lt, &rt, span).into());
        }
        let decimal = |t: &DataType| matches!(t, DataType::Decimal128(..));
        let to = match op {
            Operator::IntegerDivide if !decimal(&lt) && !decimal(&rt) => DataType::Int64,
            Operator::Divide if !decimal(&lt) && !decimal(&rt) => DataType::Float64,
            _ => common_numeric(&lt, &rt).ok_or_else(|| mismatch(&lt, &rt, span))?,
        };
        if decimal(&to) {
            // Each side keeps its own precision: the result's follows from both.
            for (expr, own) in [(&mut left, &lt), (&mut right, &rt)] {
                if let Some(to) = literal_decimal(expr).or_else(|| integer_as_decimal(own)) {
                    *expr = functions.convert(expr.clone(), own, &to);
                }
            }
        } else {
            left = functions.convert(left, &lt, &to);
            right = functions.convert(right, &rt, &to);
        }
        let expr = match functions.operator(name) {
            Some(function) => function.call(vec![left, right]),
            None if op == Operator::IntegerDivide => {
                datafusion::logical_expr::binary_expr(left, Operator::Divide, right)
            }
            None => datafusion::logical_expr::binary_expr(left, op, right),
        };
        self.type_of(&expr, span)?;
        Ok(expr)
    }

    fn time_arithmetic(
        &self,
        (left, lt): (Expr, DataType),
        op: Operator,
        (right, rt): (Expr, DataType),
        span: Span,
    ) -> Result<Expr> {
        use DataType::{Date32, Interval, Timestamp};
        let functions = self.planner.functions;
        match (&lt, op, &rt) {
            (Timestamp(..), Operator::Plus | Operator::Minus, Interval(_))
            | (Interval(_), Operator::Plus, Timestamp(..)) => {
                Ok(datafusion::logical_expr::binary_expr(left, op, right))
            }
            (Interval(_), Operator::Plus | Operator::Minus, Interval(_)) => {
                Ok(datafusion::logical_expr::binary_expr(left, op, right))
            }
            (Date32, Operator::Plus | Operator::Minus, Interval(_)) => {
                let whole_days = matches!(&right, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) if interval.nanoseconds == 0);
                let time = functions.cast(left, &ddl::timestamp());
                let moved = datafusion::logical_expr::binary_expr(time, op, right);
                Ok(if whole_days { functions.cast(moved, &Date32) } else { moved })
            }
            (Interval(_), Operator::Plus, Date32) => self.time_arithmetic((right, rt), op, (left, lt), span),
            (Date32, Operator::Plus, t) if is_integer(t) => self.named_call("date_add", vec![left, right], span),
            (Date32, Operator::Minus, t) if is_integer(t) => self.named_call("date_sub", vec![left, right], span),
            (Date32, Operator::Minus, Date32) => self.named_call("date_diff", vec![left, right], span),
            (Timestamp(..), Operator::Minus, Timestamp(..)) => Err(Diagnostic::at(
                span,
                "UNSUPPORTED_FEATURE",
                "the difference of two times as an interval is not supported yet",
            )
            .help("in seconds: unix_timestamp(a) - unix_timestamp(b); in other units: timestampdiff(MINUTE, b, a)")
            .into()),
            _ => Err(mismatch(&lt, &rt, span).into()),
        }
    }

    fn like(
        &self,
        value: &SqlExpr,
        pattern: &SqlExpr,
        escape: Option<&ValueWithSpan>,
        negated: bool,
        case_insensitive: bool,
    ) -> Result<Expr> {
        let parts = Errors::collect([self.text(value), self.text(pattern)])?;
        let [value, pattern] = parts.try_into().expect("two go in");
        let escape = match escape.map(|escape| &escape.value) {
            Some(Value::SingleQuotedString(text) | Value::DoubleQuotedString(text)) => text.chars().next(),
            _ => Some('\\'),
        };
        Ok(Expr::Like(Like::new(negated, Box::new(value), Box::new(pattern), escape, case_insensitive)))
    }

    /// An expression as a text.
    fn text(&self, expr: &SqlExpr) -> Result<Expr> {
        let planned = self.expr(expr)?;
        let from = self.type_of(&planned, self.place(expr))?;
        Ok(self.planner.functions.convert(planned, &from, &DataType::Utf8))
    }

    fn case(
        &self,
        operand: Option<&SqlExpr>,
        conditions: &[datafusion::sql::sqlparser::ast::CaseWhen],
        otherwise: Option<&SqlExpr>,
        span: Span,
    ) -> Result<Expr> {
        let whens = conditions.iter().map(|when| match operand {
            None => self.predicate(&when.condition),
            Some(operand) => self.compare(operand, Operator::Eq, &when.condition, self.place(&when.condition)),
        });
        let whens = Errors::collect(whens);
        let results =
            Errors::collect(conditions.iter().map(|when| &when.result).chain(otherwise).map(|expr| self.expr(expr)));
        let (whens, results) = match (whens, results) {
            (Ok(whens), Ok(results)) => (whens, results),
            (whens, results) => {
                let mut errors = whens.err().unwrap_or_default();
                errors.append(results.err().unwrap_or_default());
                return Err(errors);
            }
        };
        let mut results = self.widest(results, span)?.into_iter();
        let when_then = whens.into_iter().zip(results.by_ref()).map(|(when, then)| (Box::new(when), Box::new(then)));
        let when_then = when_then.collect();
        Ok(Expr::Case(Case::new(None, when_then, results.next().map(Box::new))))
    }

    /// Brings values of one column (CASE, coalesce, array) to their common type.
    pub fn widest(&self, exprs: Vec<Expr>, span: Span) -> Result<Vec<Expr>> {
        let types = exprs.iter().map(|expr| self.type_of(expr, span)).collect::<Result<Vec<_>>>()?;
        let mut to = DataType::Null;
        for own in &types {
            to = common(&to, own).ok_or_else(|| mismatch(&to, own, span))?;
        }
        let convert = |(expr, from): (Expr, &DataType)| self.planner.functions.convert(expr, from, &to);
        Ok(exprs.into_iter().zip(&types).map(convert).collect())
    }

    /// ORDER BY: over `outputs` (columns of the select list) first, then over the scope. Nulls come first when ascending.
    pub fn sorts(&self, order: &[OrderByExpr], outputs: &[(String, Expr)]) -> Result<Vec<SortExpr>> {
        Errors::collect(order.iter().map(|order| {
            let named = match &order.expr {
                SqlExpr::Identifier(ident) => outputs
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(&ident.value))
                    .map(|(_, expr)| expr.clone()),
                SqlExpr::Value(ValueWithSpan { value: Value::Number(number, _), .. }) => {
                    number.parse::<usize>().ok().and_then(|i| Some(outputs.get(i.checked_sub(1)?)?.1.clone()))
                }
                _ => None,
            };
            let expr = match named {
                Some(expr) => expr,
                None => self.expr(&order.expr)?,
            };
            let ascending = order.options.asc.unwrap_or(true);
            Ok(SortExpr::new(expr, ascending, order.options.nulls_first.unwrap_or(ascending)))
        }))
    }

    fn static_subquery(&self, query: &'q datafusion::sql::sqlparser::ast::Query) -> Result<Scope>
    where
        'p: 'q,
    {
        let scope = self.planner.query(query, self.context)?;
        if scope.streaming {
            let error =
                Diagnostic::at(self.context.place(query), "UNSUPPORTED_STREAMING_OPERATION", "IN reads a stream");
            return Err(error.help("read a table without STREAM, or join the two streams").into());
        }
        Ok(scope)
    }

    /// A query inside of an expression: one column of a plan.
    fn subquery(&self, plan: LogicalPlan, column: Expr, span: Span) -> Result<Subquery> {
        let projection = Projection::try_new(vec![column], Arc::new(plan)).map_err(|error| refused(&error, span))?;
        let subquery = Arc::new(LogicalPlan::Projection(projection));
        Ok(Subquery { subquery, outer_ref_columns: Vec::new(), spans: Default::default() })
    }
}

pub(super) fn mismatch(left: &DataType, right: &DataType, span: Span) -> Diagnostic {
    let message = format!("{} and {} do not go together", type_name(left), type_name(right));
    Diagnostic::at(span, "DATATYPE_MISMATCH", message).help("cast one of them to the type of the other")
}

/// A number as Spark reads it: INT if it fits, then BIGINT, then DECIMAL; with a point DECIMAL; with an exponent DOUBLE.
fn number(digits: &str, long: bool, span: Span) -> Result<Expr> {
    let invalid = || {
        Errors::from(Diagnostic::at(span, "INVALID_NUMERIC_LITERAL_RANGE", format!("{digits} fits no type of numbers")))
    };
    if digits.contains(['e', 'E']) {
        return digits.parse::<f64>().map(lit).map_err(|_| invalid());
    }
    if !digits.contains('.') {
        if long {
            return digits.parse::<i64>().map(lit).map_err(|_| invalid());
        }
        if let Ok(value) = digits.parse::<i32>() {
            return Ok(lit(value));
        }
        if let Ok(value) = digits.parse::<i64>() {
            return Ok(lit(value));
        }
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let unscaled: i128 = format!("{whole}{fraction}").parse().map_err(|_| invalid())?;
    let significant = unscaled.unsigned_abs().to_string().len();
    let precision = significant.max(fraction.len()).max(1);
    if precision > 38 {
        return Err(invalid());
    }
    Ok(Expr::Literal(ScalarValue::Decimal128(Some(unscaled), precision as u8, fraction.len() as i8), None))
}

/// A whole number that is written out meets decimals with just the digits it has.
fn literal_decimal(expr: &Expr) -> Option<DataType> {
    let value: i64 = match expr {
        Expr::Literal(ScalarValue::Int32(Some(value)), _) => i64::from(*value),
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => *value,
        _ => return None,
    };
    Some(DataType::Decimal128(value.unsigned_abs().to_string().len() as u8, 0))
}
