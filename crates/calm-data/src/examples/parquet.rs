//! Rows of Parquet files as the fields that JSON has.

use parquet::record::{Field, List, Map as ParquetMap, Row};
use serde_json::{Number, Value};

use super::Fields;

/// The fields of a row.
pub(super) fn fields(row: &Row) -> Fields {
    let columns = row.get_column_iter();
    columns
        .map(|(name, field)| (name.clone(), value(field)))
        .collect()
}

/// The value as JSON has it. What JSON has no number for is a text.
fn value(field: &Field) -> Value {
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(number) => (*number).into(),
        Field::Short(number) => (*number).into(),
        Field::Int(number) => (*number).into(),
        Field::Long(number) => (*number).into(),
        Field::UByte(number) => (*number).into(),
        Field::UShort(number) => (*number).into(),
        Field::UInt(number) => (*number).into(),
        Field::ULong(number) => (*number).into(),
        Field::Float16(number) => float(f64::from(*number)),
        Field::Float(number) => float(f64::from(*number)),
        Field::Double(number) => float(*number),
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned().into(),
        Field::Group(row) => fields(row).into(),
        Field::ListInternal(list) => list_value(list),
        Field::MapInternal(map) => map_value(map),
        other => other.to_string().into(),
    }
}

fn list_value(list: &List) -> Value {
    list.elements().iter().map(value).collect()
}

fn map_value(map: &ParquetMap) -> Value {
    let entries = map.entries().iter().map(|(key, field)| {
        let key = match key {
            Field::Str(text) => text.clone(),
            other => other.to_string(),
        };
        (key, value(field))
    });
    Value::Object(entries.collect())
}
