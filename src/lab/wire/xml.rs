//! XML as the EC2 query protocol has it: elements, text, and lists of `<item>`.

use quick_xml::escape::escape;

use crate::lab::world::{Tags, Time};

/// The children of an element, in order.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(&'static str, Node)>);

#[derive(Clone, Debug)]
enum Node {
    Text(String),
    Fields(Fields),
    Items(Vec<Node>),
}

impl Fields {
    /// No children.
    pub fn new() -> Self {
        Self::default()
    }

    /// An element with text.
    pub fn text(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.push((name, Node::Text(value.to_string())));
        self
    }

    /// An element with text, if there is any.
    pub fn opt(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// An element with a moment in it.
    pub fn time(self, name: &'static str, at: Time) -> Self {
        self.text(name, iso(at))
    }

    /// An element with children.
    pub fn fields(mut self, name: &'static str, fields: Fields) -> Self {
        self.0.push((name, Node::Fields(fields)));
        self
    }

    /// A list of structures.
    pub fn items(mut self, name: &'static str, items: impl IntoIterator<Item = Fields>) -> Self {
        self.0.push((name, Node::Items(items.into_iter().map(Node::Fields).collect())));
        self
    }

    /// A list of texts.
    pub fn texts<T: ToString>(mut self, name: &'static str, items: impl IntoIterator<Item = T>) -> Self {
        self.0
            .push((name, Node::Items(items.into_iter().map(|item| Node::Text(item.to_string())).collect())));
        self
    }

    /// `tagSet`.
    pub fn tags(self, tags: &Tags) -> Self {
        self.items(
            "tagSet",
            tags.iter().map(|(key, value)| Fields::new().text("key", key).text("value", value)),
        )
    }

    /// Appends the children of another.
    pub fn and(mut self, other: Fields) -> Self {
        self.0.extend(other.0);
        self
    }

    /// A whole document.
    pub fn document(&self, root: &str, namespace: Option<&str>) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<");
        out.push_str(root);
        if let Some(namespace) = namespace {
            out.push_str(" xmlns=\"");
            out.push_str(namespace);
            out.push('"');
        }
        out.push('>');
        self.write(&mut out);
        out.push_str(&format!("</{root}>"));
        out
    }

    fn write(&self, out: &mut String) {
        for (name, node) in &self.0 {
            node.write(name, out);
        }
    }
}

impl Node {
    fn write(&self, name: &str, out: &mut String) {
        out.push('<');
        out.push_str(name);
        out.push('>');
        match self {
            // XML has no way to write most control characters.
            Node::Text(text) => {
                let printable = |letter: char| match letter {
                    '\t' | '\n' | '\r' => letter,
                    control if control.is_control() => char::REPLACEMENT_CHARACTER,
                    letter => letter,
                };
                out.push_str(&escape(text.chars().map(printable).collect::<String>()));
            }
            Node::Fields(fields) => fields.write(out),
            Node::Items(items) => items.iter().for_each(|item| item.write("item", out)),
        }
        out.push_str("</");
        out.push_str(name);
        out.push('>');
    }
}

/// `2026-11-21T09:00:00.000Z`.
pub fn iso(at: Time) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(&format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_lists_are_items() {
        let fields = Fields::new()
            .text("a", "<&>\u{1}")
            .items("set", [Fields::new().text("b", 1)])
            .texts("ids", ["x", "y"])
            .time("at", Time(1_763_715_600_123));
        assert_eq!(
            fields.document("R", Some("ns")),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"ns\"><a>&lt;&amp;&gt;\u{fffd}</a><set><item><b>1</b></item></set><ids><item>x</item><item>y</item></ids><at>2025-11-21T09:00:00.123Z</at></R>"
        );
    }
}
