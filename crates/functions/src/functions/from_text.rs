//! `from_csv(text, 'schema'[, map('option', 'value')])` and `from_json(…)`.
//!
//! In a query these are [`FromTextCall`]s; the optimizer turns them into [`FromText`]s, whose schema and options are read once and
//! which can be narrowed to the fields that a query uses.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::ddl::{parse_fields, parse_schema, type_name};
use crate::error::SparkError;
use crate::session::Session;
use crate::text::column::{nullable, nullable_type};
use crate::text::csv::CsvDecoder;
use crate::text::json::JsonDecoder;
use crate::text::options::{CsvOptions, JsonOptions, ParseMode};
use crate::udf::{as_strings, scalar_text};

/// A text format with its options.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TextFormat {
    /// `from_csv`.
    Csv(CsvOptions),
    /// `from_json`.
    Json(JsonOptions),
}

/// Counts malformed records over all batches. Shared by all clones of a [`FromText`], those narrowed by [`FromText::with_fields`] too.
#[derive(Debug, Clone, Default)]
pub struct MalformedCounter(Arc<AtomicU64>);

impl MalformedCounter {
    /// Records found malformed so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, count: u64) {
        if count > 0 {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl PartialEq for MalformedCounter {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for MalformedCounter {}
impl Hash for MalformedCounter {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A reader of texts by a schema, as a function of one argument.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FromText {
    format: TextFormat,
    /// The whole schema; for CSV a struct.
    declared: DataType,
    /// Places in `declared` of the fields that come out.
    wanted: Option<Vec<usize>>,
    session: Session,
    malformed: MalformedCounter,
    signature: Signature,
}

impl FromText {
    /// A CSV reader of a schema like `a INT, b STRING`.
    pub fn csv(schema: &str, options: CsvOptions, session: &Session) -> Result<Self> {
        let fields = parse_fields(schema).map_err(|e| DataFusionError::Plan(format!("from_csv: {e}")))?;
        Self::new(TextFormat::Csv(options), DataType::Struct(nullable(&fields)), session)
    }

    /// A JSON reader of a schema like `a INT, b STRUCT<c: STRING>`, or of an array or map type.
    pub fn json(schema: &str, options: JsonOptions, session: &Session) -> Result<Self> {
        let data_type = parse_schema(schema).map_err(|e| DataFusionError::Plan(format!("from_json: {e}")))?;
        Self::new(TextFormat::Json(options), nullable_type(&data_type), session)
    }

    fn new(format: TextFormat, declared: DataType, session: &Session) -> Result<Self> {
        let name = match &format {
            TextFormat::Csv(_) => "from_csv",
            TextFormat::Json(_) => "from_json",
        };
        if !declared.is_nested() {
            return Err(DataFusionError::Plan(format!(
                "{name}: the schema should name columns (or be an ARRAY or MAP), not {}",
                type_name(&declared)
            )));
        }
        let mode = match &format {
            TextFormat::Csv(options) => options.text.mode,
            TextFormat::Json(options) => options.text.mode,
        };
        if mode == ParseMode::DropMalformed {
            let message = format!("{name}: mode DROPMALFORMED is for files only; use PERMISSIVE or FAILFAST");
            return Err(SparkError::new("PARSE_MODE_UNSUPPORTED", message).into());
        }
        let out = Self {
            format,
            declared,
            wanted: None,
            session: session.clone(),
            malformed: MalformedCounter::default(),
            signature: Signature::any(1, Volatility::Immutable),
        };
        // Types and patterns that cannot be read are found now, not with the first row.
        out.parse(&StringArray::from(Vec::<&str>::new()))?;
        Ok(out)
    }

    /// The schema's fields as written; nothing where it is an array or a map.
    pub fn declared_fields(&self) -> Option<&Fields> {
        match &self.declared {
            DataType::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// The same reader giving only these of the declared fields, in this order. Values of the others are not looked at.
    pub fn with_fields(&self, wanted: &[usize]) -> Self {
        Self { wanted: Some(wanted.to_vec()), ..self.clone() }
    }

    /// The declared places of the fields that come out, if they are not all.
    pub fn wanted(&self) -> Option<&[usize]> {
        self.wanted.as_deref()
    }

    /// Type of the result.
    pub fn output_type(&self) -> DataType {
        match (&self.declared, &self.wanted) {
            (DataType::Struct(fields), Some(wanted)) => {
                DataType::Struct(wanted.iter().map(|&place| Arc::clone(&fields[place])).collect())
            }
            (other, _) => other.clone(),
        }
    }

    /// The function of an expression.
    pub fn call(self, argument: Expr) -> Expr {
        ScalarUDF::new_from_impl(self).call(vec![argument])
    }

    /// How many malformed records were met since this reader was made.
    pub fn malformed(&self) -> &MalformedCounter {
        &self.malformed
    }

    /// Reads texts; null gives null.
    pub fn parse(&self, texts: &StringArray) -> Result<ArrayRef> {
        match (&self.format, self.output_type()) {
            (TextFormat::Csv(options), DataType::Struct(output)) => {
                let declared = self.declared_fields().cloned().unwrap_or_default();
                let all: Vec<usize>;
                let wanted = match &self.wanted {
                    Some(wanted) => wanted.as_slice(),
                    None => {
                        all = (0..declared.len()).collect();
                        &all
                    }
                };
                let mut decoder = CsvDecoder::new(&declared, wanted, options, &self.session)?;
                for row in 0..texts.len() {
                    if texts.is_null(row) {
                        decoder.append_nulls(None);
                    } else {
                        decoder.append(texts.value(row))?;
                    }
                }
                let (columns, _, malformed) = decoder.finish()?;
                self.malformed.add(malformed);
                Ok(Arc::new(StructArray::try_new_with_length(output, columns, texts.nulls().cloned(), texts.len())?))
            }
            (TextFormat::Csv(_), other) => Err(DataFusionError::Plan(format!(
                "from_csv: the schema should name columns, not {}",
                type_name(&other)
            ))),
            (TextFormat::Json(options), output) => {
                let mut decoder = JsonDecoder::new(&output, options, &self.session)?;
                for row in 0..texts.len() {
                    if texts.is_null(row) {
                        decoder.append_null();
                    } else {
                        decoder.append(texts.value(row))?;
                    }
                }
                let (column, _, malformed) = decoder.finish()?;
                self.malformed.add(malformed);
                Ok(column)
            }
        }
    }

    /// For each text why it is malformed by the whole schema; null where it is not.
    pub fn reasons(&self, texts: &StringArray) -> Result<StringArray> {
        let mut reasons = StringBuilder::new();
        match &self.format {
            TextFormat::Csv(options) => {
                let declared = self.declared_fields().cloned().unwrap_or_default();
                let all: Vec<usize> = (0..declared.len()).collect();
                let mut decoder = CsvDecoder::new(&declared, &all, options, &self.session)?;
                for text in texts {
                    match text {
                        Some(text) => decoder.reason(text, &declared, &mut reasons)?,
                        None => reasons.append_null(),
                    }
                }
            }
            TextFormat::Json(options) => {
                let mut decoder = JsonDecoder::new(&self.declared, options, &self.session)?;
                for text in texts {
                    match text {
                        Some(text) => decoder.reason(text, &mut reasons)?,
                        None => reasons.append_null(),
                    }
                }
            }
        }
        Ok(reasons.finish())
    }
}

impl ScalarUDFImpl for FromText {
    fn name(&self) -> &str {
        match self.format {
            TextFormat::Csv(_) => "from_csv",
            TextFormat::Json(_) => "from_json",
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.schema_name(args)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let argument = args.first().map(|arg| arg.schema_name().to_string()).unwrap_or_default();
        Ok(format!("{}({argument}, {})", self.name(), type_name(&self.output_type())))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.output_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        invoke(self, &args)
    }
}

fn invoke(reader: &FromText, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    match &args.args[0] {
        ColumnarValue::Array(array) => Ok(ColumnarValue::Array(reader.parse(as_strings(array)?.as_string::<i32>())?)),
        ColumnarValue::Scalar(value) => {
            let array = as_strings(&value.to_array()?)?;
            let parsed = reader.parse(array.as_string::<i32>())?;
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&parsed, 0)?))
        }
    }
}

/// `from_csv` or `from_json` as a query names it, with the schema and the options as arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FromTextCall {
    csv: bool,
    session: Session,
    signature: Signature,
}

impl FromTextCall {
    /// `from_csv`.
    pub fn csv(session: &Session) -> Self {
        Self { csv: true, session: session.clone(), signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// `from_json`.
    pub fn json(session: &Session) -> Self {
        Self { csv: false, ..Self::csv(session) }
    }

    fn reader(&self, schema: &str, options: &[(String, String)]) -> Result<FromText> {
        let options = options.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        if self.csv {
            FromText::csv(schema, CsvOptions::parse(options)?, &self.session)
        } else {
            FromText::json(schema, JsonOptions::parse(options)?, &self.session)
        }
    }

    /// The reader that a call with these arguments stands for; an error where schema or options are not written as literals.
    pub fn resolve(&self, args: &[Expr]) -> Result<FromText> {
        let schema = args.get(1).and_then(literal_text).ok_or_else(|| self.literal_expected("schema"))?;
        let options = match args.get(2) {
            None => Vec::new(),
            Some(expr) => literal_map(expr).ok_or_else(|| self.literal_expected("map of options"))?,
        };
        self.reader(&schema, &options)
    }

    fn literal_expected(&self, what: &str) -> DataFusionError {
        DataFusionError::Plan(format!("{}: the {what} should be written as a literal", self.name()))
    }
}

impl ScalarUDFImpl for FromTextCall {
    fn name(&self) -> &str {
        if self.csv { "from_csv" } else { "from_json" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if !(2..=3).contains(&arg_types.len()) {
            return Err(DataFusionError::Plan(format!(
                "{} takes a text, a schema and perhaps a map of options",
                self.name()
            )));
        }
        let mut out = arg_types.to_vec();
        if !matches!(out[0], DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null) {
            return Err(DataFusionError::Plan(format!(
                "{}: the first argument should be a STRING, not {}; CAST(value AS STRING) reads a topic's bytes as text",
                self.name(),
                type_name(&out[0])
            )));
        }
        out[0] = DataType::Utf8;
        Ok(out)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal("the type depends on the schema argument".into()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let schema = args.scalar_arguments.get(1).copied().flatten().and_then(scalar_text);
        let schema = schema.ok_or_else(|| self.literal_expected("schema"))?;
        Ok(Arc::new(Field::new(self.name(), self.reader(&schema, &[])?.output_type(), true)))
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.resolve(&args) {
            Ok(reader) => {
                let text = args.into_iter().next().ok_or_else(|| self.literal_expected("text"))?;
                Ok(ExprSimplifyResult::Simplified(reader.call(text)))
            }
            // The options may become a literal in a later round.
            Err(_) => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = |i: usize| match args.args.get(i) {
            Some(ColumnarValue::Scalar(value)) => Some(value.clone()),
            _ => None,
        };
        let schema = scalar(1).as_ref().and_then(scalar_text).ok_or_else(|| self.literal_expected("schema"))?;
        let options = match args.args.get(2) {
            None => Vec::new(),
            Some(ColumnarValue::Scalar(value)) => {
                scalar_map(value).ok_or_else(|| self.literal_expected("map of options"))?
            }
            Some(ColumnarValue::Array(_)) => return Err(self.literal_expected("map of options")),
        };
        invoke(&self.reader(&schema, &options)?, &args)
    }
}

fn literal_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => scalar_text(value),
        Expr::Alias(alias) => literal_text(&alias.expr),
        Expr::Cast(cast) => literal_text(&cast.expr),
        _ => None,
    }
}

fn literal_map(expr: &Expr) -> Option<Vec<(String, String)>> {
    match expr {
        Expr::Literal(value, _) => scalar_map(value),
        Expr::Alias(alias) => literal_map(&alias.expr),
        Expr::ScalarFunction(function) if function.name() == "map" => {
            let texts: Vec<String> = function.args.iter().map(literal_text).collect::<Option<_>>()?;
            Some(texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        }
        _ => None,
    }
}

fn scalar_map(value: &ScalarValue) -> Option<Vec<(String, String)>> {
    let ScalarValue::Map(map) = value else { return None };
    let (keys, values) = (as_strings(map.keys()).ok()?, as_strings(map.values()).ok()?);
    let (keys, values) = (keys.as_string::<i32>(), values.as_string::<i32>());
    Some((0..keys.len()).map(|i| (keys.value(i).to_owned(), values.value(i).to_owned())).collect())
}
