//! The books of the shop, by shelf, best first.

use crate::proto::{Book, BookCategory};

type Entry = (u64, &'static str, &'static str);

const MYSTERY: &[Entry] = &[
    (1, "Murder on the Orient Express", "Agatha Christie"),
    (2, "The Hound of the Baskervilles", "Arthur Conan Doyle"),
    (3, "The Maltese Falcon", "Dashiell Hammett"),
];

const SCIENCE_FICTION: &[Entry] = &[
    (4, "Dune", "Frank Herbert"),
    (5, "The Hitchhiker's Guide to the Galaxy", "Douglas Adams"),
    (6, "Ender's Game", "Orson Scott Card"),
    (7, "The Left Hand of Darkness", "Ursula K. Le Guin"),
];

const SELF_HELP: &[Entry] = &[
    (8, "The 7 Habits of Highly Effective People", "Stephen R. Covey"),
    (9, "Man's Search for Meaning", "Viktor E. Frankl"),
    (10, "How to Win Friends & Influence People", "Dale Carnegie"),
];

/// The books of a category, best first; nothing for [`BookCategory::Unspecified`].
pub fn shelf(category: BookCategory) -> impl Iterator<Item = Book> {
    let entries = match category {
        BookCategory::Unspecified => &[],
        BookCategory::Mystery => MYSTERY,
        BookCategory::ScienceFiction => SCIENCE_FICTION,
        BookCategory::SelfHelp => SELF_HELP,
    };
    entries.iter().map(|(id, title, author)| Book {
        id: *id,
        title: (*title).to_owned(),
        author: Some((*author).to_owned()),
    })
}

/// Every category that has a shelf.
pub const SHELVES: &[BookCategory] =
    &[BookCategory::Mystery, BookCategory::ScienceFiction, BookCategory::SelfHelp];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_reference_page_comes_first_and_in_order() {
        let titles: Vec<_> = shelf(BookCategory::Mystery).map(|book| book.title).collect();
        assert_eq!(
            titles[..3],
            ["Murder on the Orient Express", "The Hound of the Baskervilles", "The Maltese Falcon"]
        );
    }

    #[test]
    fn ids_are_unique_over_all_shelves() {
        let books: Vec<_> = SHELVES.iter().flat_map(|category| shelf(*category)).collect();
        let ids: BTreeSet<_> = books.iter().map(|book| book.id).collect();
        assert_eq!(ids.len(), books.len());
        assert!(SHELVES.iter().all(|category| shelf(*category).next().is_some()));
    }
}
