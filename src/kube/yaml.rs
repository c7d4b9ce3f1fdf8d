//! YAML in and out. The only file that knows the YAML crates: serde-saphyr reads what others wrote,
//! serde_yaml (unmaintained, sound for output) writes our own.

use serde_json::Value;

use crate::ports::ClusterError;

/// The documents of a multi-document text; empty ones drop out, `List` objects are opened up.
pub(super) fn documents(what: &str, text: &str) -> Result<Vec<Value>, ClusterError> {
    let malformed = |message: String| ClusterError::Malformed { what: what.to_owned(), message };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| malformed(error.to_string()))?;
    let mut objects = Vec::new();
    for (position, document) in documents.into_iter().enumerate() {
        match document {
            Value::Null => {}
            Value::Object(mut map) if map.get("kind").and_then(Value::as_str) == Some("List") => {
                match map.remove("items") {
                    Some(Value::Array(items)) => objects.extend(items),
                    _ => return Err(malformed(format!("document {}: a List without items", position + 1))),
                }
            }
            object @ Value::Object(_) => objects.push(object),
            _ => return Err(malformed(format!("document {} is not an object", position + 1))),
        }
    }
    Ok(objects)
}

/// One document.
pub(super) fn document(what: &str, text: &str) -> Result<Value, ClusterError> {
    serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| ClusterError::Malformed { what: what.to_owned(), message: error.to_string() })
}

/// One document as text that Kubernetes' tools read back as the same value.
///
/// serde_yaml writes the strings `yes` and `on` bare, which YAML 1.1 readers (kubectl among them) take
/// for booleans. A document in which that matters is written as JSON, which is YAML too.
pub(super) fn render(value: &Value) -> String {
    let text = serde_yaml::to_string(value).expect("string keys and plain values always have a YAML form");
    match document("our own text", &text) {
        Ok(read) if read == *value => text,
        _ => format!("{value:#}\n"),
    }
}

/// Several documents as one text.
pub(super) fn render_all(documents: &[Value]) -> String {
    documents.iter().map(render).collect::<Vec<_>>().join("---\n")
}

/// Kubernetes reads YAML 1.1, where `0644` is octal. The default budget stops a runaway document and is
/// far above Calico's 330 kB.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { legacy_octal_numbers: true }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_read_as_kubernetes_reads_them() {
        let text = "# nothing\n---\nkind: A\nmode: 0644\non: yes\n---\n---\nkind: List\nitems: [{kind: B}]\n";
        let read = documents("the manifest", text).expect("sound");
        assert_eq!(read, [json!({"kind": "A", "mode": 420, "on": true}), json!({"kind": "B"})]);
    }

    #[test]
    fn text_that_looks_like_something_else_stays_text() {
        let object = json!({"a": "yes", "b": "0644", "c": "1e3", "d": "null", "e": "on", "f": "", "g": "~", "h": "a: b"});
        assert_eq!(
            documents("it", &render_all(&[object.clone(), object.clone()])).expect("ours"),
            [object.clone(), object]
        );
    }

    #[test]
    fn what_is_no_object_is_refused_by_its_place() {
        let message = |text: &str| documents("the manifest", text).expect_err("refused").to_string();
        assert_eq!(message("kind: A\n---\njust text\n"), "the manifest: document 2 is not an object");
        assert_eq!(message("kind: List\n"), "the manifest: document 1: a List without items");
    }
}
