//! What names mean at a place in a query.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Rows of a plan under the names that a query gives them.
///
/// The plan's own column names are unique; what people call them need not be, and is looked up without regard to case, as in Spark.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub plan: LogicalPlan,
    pub columns: Vec<ScopeColumn>,
    /// Does a stream take part?
    pub streaming: bool,
}

/// A column by its name.
#[derive(Debug, Clone)]
pub(crate) struct ScopeColumn {
    /// Name or alias of its relation.
    pub qualifier: Option<String>,
    pub name: String,
    /// The column of the plan.
    pub column: Column,
    /// Part of `*`. A time window is not, nor are the right side's columns of a join with USING.
    pub starred: bool,
    /// Found with its qualifier only: the right side's columns of a join with USING.
    pub hidden: bool,
}

/// What a name turned out to be.
pub(crate) enum Found<'a> {
    Column(&'a ScopeColumn),
    Ambiguous,
    Nothing,
}

impl Scope {
    /// All columns of a plan, under their own names.
    pub fn of(plan: LogicalPlan, qualifier: Option<&str>, streaming: bool) -> Self {
        let columns = plan
            .schema()
            .iter()
            .map(|(relation, field)| ScopeColumn {
                qualifier: qualifier.map(str::to_string),
                name: field.name().clone(),
                column: Column::new(relation.cloned(), field.name()),
                starred: true,
                hidden: false,
            })
            .collect();
        Self { plan, columns, streaming }
    }

    /// Looks a column up.
    pub fn find(&self, qualifier: Option<&str>, name: &str) -> Found<'_> {
        let mut found = self.columns.iter().filter(|column| {
            column.name.eq_ignore_ascii_case(name)
                && match (qualifier, &column.qualifier) {
                    (None, _) => !column.hidden,
                    (Some(wanted), Some(qualifier)) => wanted.eq_ignore_ascii_case(qualifier),
                    (Some(_), None) => false,
                }
        });
        match (found.next(), found.next()) {
            (None, _) => Found::Nothing,
            (Some(column), None) => Found::Column(column),
            (Some(_), Some(_)) => Found::Ambiguous,
        }
    }

    /// Is there a relation of this name?
    pub fn has_qualifier(&self, qualifier: &str) -> bool {
        self.columns.iter().any(|column| column.qualifier.as_deref().is_some_and(|q| q.eq_ignore_ascii_case(qualifier)))
    }

    /// The field of a column.
    pub fn field(&self, column: &ScopeColumn) -> &Field {
        let (_, field) =
            self.plan.schema().qualified_field_from_column(&column.column).expect("a scope's columns are its plan's");
        field
    }

    /// Columns as expressions.
    pub fn exprs(&self) -> Vec<Expr> {
        self.columns.iter().map(|column| Expr::Column(column.column.clone())).collect()
    }

    /// A column name that the plan does not have yet.
    pub fn fresh(&self, name: &str) -> String {
        fresh_name(name, |candidate| self.plan.schema().fields().iter().any(|field| field.name() == candidate))
    }

    /// Names for a message, with their types.
    pub fn describe(&self) -> String {
        const SHOWN: usize = 12;
        let mut names: Vec<&str> = self.columns.iter().filter(|c| !c.hidden).map(|c| c.name.as_str()).collect();
        let more = names.len().saturating_sub(SHOWN);
        names.truncate(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", names.join(", "))
    }
}

/// `name`, or `name_1`, `name_2`, … if that is taken.
pub(crate) fn fresh_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_string();
    }
    (1..).map(|i| format!("{name}_{i}")).find(|candidate| !taken(candidate)).expect("numbers do not end")
}

/// Is this the type of a time?
pub(crate) fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}
