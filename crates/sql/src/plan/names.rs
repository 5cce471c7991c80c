//! The names that Spark gives to columns without an alias: the expression, written in Spark's way.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Subscript, UnaryOperator,
    Value,
};

/// Name of a column of the select list.
pub(crate) fn column_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(AccessExpr::Dot(Expr::Identifier(field))) => field.value.clone(),
            _ => text(expr),
        },
        Expr::Nested(inner) => column_name(inner),
        Expr::Function(function) if function_name(function) == "window" => "window".to_string(),
        expr => text(expr),
    }
}

fn function_name(function: &Function) -> String {
    function.name.0.last().map(|part| part.to_string().trim_matches('`').to_ascii_lowercase()).unwrap_or_default()
}

/// An expression inside of another one.
fn text(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => {
            // Only fields of a struct keep their path; whether the first part is a relation is not known here.
            parts.last().map(|part| part.value.clone()).unwrap_or_default()
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            access_chain.iter().fold(text(root), |base, access| match access {
                AccessExpr::Dot(field) => format!("{base}.{}", text(field)),
                AccessExpr::Subscript(Subscript::Index { index }) => format!("{base}[{}]", text(index)),
                AccessExpr::Subscript(slice) => format!("{base}[{slice}]"),
            })
        }
        Expr::Nested(inner) => text(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            Value::Number(number, _) => number.clone(),
            Value::Boolean(value) => value.to_string(),
            Value::Null => "NULL".to_string(),
            other => other.to_string(),
        },
        Expr::BinaryOp { left, op, right } => match op.to_string().as_str() {
            "||" => format!("concat({}, {})", text(left), text(right)),
            "DIV" => format!("({} div {})", text(left), text(right)),
            "==" => format!("({} = {})", text(left), text(right)),
            "<>" | "!=" => format!("(NOT ({} = {}))", text(left), text(right)),
            op => format!("({} {op} {})", text(left), text(right)),
        },
        Expr::UnaryOp { op, expr } => match op {
            UnaryOperator::Not | UnaryOperator::BangNot => format!("(NOT {})", text(expr)),
            UnaryOperator::Minus => match expr.as_ref() {
                Expr::Value(_) => format!("-{}", text(expr)),
                _ => format!("(- {})", text(expr)),
            },
            _ => format!("(+ {})", text(expr)),
        },
        Expr::IsNull(inner) => format!("({} IS NULL)", text(inner)),
        Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", text(inner)),
        Expr::Between { expr, negated, low, high } => {
            let between = format!("between({}, {}, {})", text(expr), text(low), text(high));
            if *negated { format!("(NOT {between})") } else { between }
        }
        Expr::InList { expr, list, negated } => {
            let inside = format!("({} IN ({}))", text(expr), all(list));
            if *negated { format!("(NOT {inside})") } else { inside }
        }
        Expr::Like { negated, expr, pattern, .. } => {
            let like = format!("{} LIKE {}", text(expr), text(pattern));
            if *negated { format!("(NOT {like})") } else { like }
        }
        Expr::RLike { negated, expr, pattern, .. } => {
            let like = format!("RLIKE({}, {})", text(expr), text(pattern));
            if *negated { format!("(NOT {like})") } else { like }
        }
        Expr::Cast { kind, expr, data_type, .. } => {
            let verb = if *kind == CastKind::TryCast { "TRY_CAST" } else { "CAST" };
            format!("{verb}({} AS {data_type})", text(expr))
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut out = String::from("CASE");
            for when in conditions {
                let condition = match operand {
                    Some(operand) => format!("({} = {})", text(operand), text(&when.condition)),
                    None => text(&when.condition),
                };
                out += &format!(" WHEN {condition} THEN {}", text(&when.result));
            }
            if let Some(result) = else_result {
                out += &format!(" ELSE {}", text(result));
            }
            out + " END"
        }
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let parts = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
            let parts: Vec<String> = parts.into_iter().flatten().map(|part| text(part)).collect();
            format!("substring({})", parts.join(", "))
        }
        Expr::Ceil { expr, .. } => format!("CEIL({})", text(expr)),
        Expr::Floor { expr, .. } => format!("FLOOR({})", text(expr)),
        Expr::Trim { expr, .. } => format!("trim({})", text(expr)),
        Expr::Extract { field, expr, .. } => format!("extract({field} FROM {})", text(expr)),
        Expr::Function(function) => call(function),
        other => other.to_string(),
    }
}

fn all(exprs: &[Expr]) -> String {
    exprs.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn call(function: &Function) -> String {
    let name = function_name(function);
    let (distinct, args) = match &function.args {
        FunctionArguments::List(list) => {
            let distinct =
                if list.duplicate_treatment.is_some_and(|d| d.to_string() == "DISTINCT") { "DISTINCT " } else { "" };
            let args: Vec<String> = list
                .args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => text(expr),
                    // Spark counts rows by counting ones.
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => "1".to_string(),
                    other => other.to_string(),
                })
                .collect();
            (distinct, args.join(", "))
        }
        _ => ("", String::new()),
    };
    let filter = function.filter.as_ref().map(|filter| format!(" FILTER (WHERE {})", text(filter))).unwrap_or_default();
    format!("{name}({distinct}{args}){filter}")
}
