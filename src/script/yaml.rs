//! The one place that writes YAML: serde_yaml is unmaintained, and easy to replace from here.

use serde::Serialize;
use serde_yaml::Value;

/// A value as one YAML document.
pub(super) fn document(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).expect("plain data is YAML")
}

/// A value that can stand beside others of other types.
pub(super) fn value(value: &impl Serialize) -> Value {
    serde_yaml::to_value(value).expect("plain data is YAML")
}

/// Values as a stream of documents.
pub(super) fn documents(values: &[Value]) -> String {
    values.iter().map(document).collect::<Vec<_>>().join("---\n")
}
