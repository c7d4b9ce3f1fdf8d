//! The templates and how values get into them: shell-quoted, unless marked `safe`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

const TEMPLATES: [(&str, &str); 6] = [
    ("prelude", include_str!("../../templates/prelude.sh")),
    ("install", include_str!("../../templates/install.sh")),
    ("init", include_str!("../../templates/init.sh")),
    ("join", include_str!("../../templates/join.sh")),
    ("adopt-host-key", include_str!("../../templates/adopt-host-key.sh")),
    ("switch-host-key", include_str!("../../templates/switch-host-key.sh")),
];

/// Renders one of our templates. They are part of the program: one that does not render is a bug
/// that every test of this module would show.
pub(super) fn render(template: &str, context: Value) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax =
        SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the default delimiters"));
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("sh".into()));
    environment.set_formatter(shell_words);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).expect("the template parses");
    }
    environment
        .get_template(template)
        .and_then(|template| template.render(context))
        .unwrap_or_else(|error| panic!("template {template}: {error:#}"))
}

/// Writes a string as one shell word, a list as many.
fn shell_words(out: &mut Output, _state: &mut State, value: &Value) -> Result<(), Error> {
    let write = |out: &mut Output, text: &str| {
        out.write_str(text).map_err(|_| Error::new(ErrorKind::WriteFailure, "cannot write"))
    };
    match value.kind() {
        ValueKind::Seq => {
            for (index, word) in value.try_iter()?.enumerate() {
                let separator = if index == 0 { "" } else { " " };
                write(out, &format!("{separator}{}", quoted(&word.to_string())))?;
            }
            Ok(())
        }
        _ if value.is_safe() => write(out, &value.to_string()),
        _ => write(out, &quoted(&value.to_string())),
    }
}

/// One shell word that means exactly `text`.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
