//! The pages, rendered with escaping on.

use askama::Template;

use crate::backend::Unavailable;
use crate::proto::Book;

/// The shop's page.
#[derive(Template)]
#[template(path = "books.html")]
struct Books<'a> {
    books: &'a [Book],
}

/// What the reader sees when there are no recommendations to be had.
#[derive(Template)]
#[template(path = "failure.html")]
struct Sorry<'a> {
    status: u16,
    host: &'a str,
    port: u16,
    cause: String,
    remedy: &'a str,
}

/// Renders the books.
pub fn books(books: &[Book]) -> Result<String, askama::Error> {
    Books { books }.render()
}

/// Renders what failed and where to look.
pub fn sorry(error: &Unavailable) -> Result<String, askama::Error> {
    let Unavailable { host, port, failure } = error;
    let (status, cause) = (failure.http_status(), failure.to_string());
    Sorry { status, host, port: *port, cause, remedy: failure.remedy() }.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn a_title_cannot_bring_markup() {
        let book = |title: &str| Book { id: 1, title: title.into(), author: None };
        let html = books(&[book("<script>alert(1)</script>"), book("Crime & Co")]).unwrap();
        assert!(!html.contains("<script>"), "{html}");
        assert!(html.contains("&#60;script&#62;alert(1)&#60;/script&#62;"), "{html}");
        assert!(html.contains("Crime &#38; Co"), "{html}");
    }

    #[test]
    fn a_failure_cannot_bring_markup() {
        let failure = Failure::Resolve { host: "a".into(), detail: "<b>".into() };
        let html = sorry(&Unavailable { host: "<i>".into(), port: 1, failure }).unwrap();
        assert!(!html.contains("<b>") && !html.contains("<i>"), "{html}");
    }
}
