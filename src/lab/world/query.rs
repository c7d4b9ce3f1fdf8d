//! Describe calls: ids, filters with wildcards, pages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::World;
use super::error::{ApiError, ApiResult};
use super::store::{Resource, Store};

/// One filter: the resource passes if any of its values matches any of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// e.g. `tag:Name`, `vpc-id`.
    pub name: String,
    /// Values, in which `*` and `?` are wildcards and `\` quotes one.
    pub values: Vec<String>,
}

/// What a describe call asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Ids that must exist; empty is all.
    pub ids: Vec<String>,
    /// All must match.
    pub filters: Vec<Filter>,
    /// Size of a page; `None` is everything.
    pub max_results: Option<i64>,
    /// Where the last page ended.
    pub next_token: Option<String>,
}

/// A page of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The results.
    pub items: Vec<T>,
    /// Ask again with this for more.
    pub next_token: Option<String>,
}

/// A filter that a kind of resource knows: its name and the values of one resource under it.
pub type Field<T> = (&'static str, fn(&World, &T) -> Vec<String>);

/// Smallest page that EC2 accepts.
const SMALLEST_PAGE: i64 = 5;

/// Refuses filters outside `known`; tags are known for everything that has them.
///
/// # Errors
/// `InvalidParameterValue`, in EC2's words.
pub fn check_filters(filters: &[Filter], known: impl Fn(&str) -> bool, tags: bool) -> ApiResult<()> {
    for filter in filters {
        let tag = tags && (filter.name.starts_with("tag:") || filter.name == "tag-key");
        if !tag && !known(&filter.name) {
            return Err(ApiError::value(format!("The filter '{}' is invalid", filter.name)));
        }
        if filter.values.is_empty() {
            return Err(ApiError::value(format!(
                "The filter '{}' must have at least one value",
                filter.name
            )));
        }
    }
    Ok(())
}

/// Whether `text` matches the filter value `pattern`. Never worse than the product of both lengths:
/// only the last star is ever tried again.
pub fn glob(pattern: &str, text: &str) -> bool {
    enum Part {
        Star,
        Any,
        Literal(char),
    }
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '*' => Part::Star,
            '?' => Part::Any,
            '\\' => Part::Literal(letters.next().unwrap_or('\\')),
            literal => Part::Literal(literal),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut part, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Star) => {
                star = Some((part, at));
                part += 1;
            }
            Some(Part::Any) => {
                part += 1;
                at += 1;
            }
            Some(Part::Literal(literal)) if *literal == text[at] => {
                part += 1;
                at += 1;
            }
            _ => match star {
                Some((before, from)) => {
                    star = Some((before, from + 1));
                    part = before + 1;
                    at = from + 1;
                }
                None => return false,
            },
        }
    }
    parts[part..].iter().all(|rest| matches!(rest, Part::Star))
}

/// Cuts a page out of `items`, which are ordered by `key`.
///
/// # Errors
/// A page size below 5, or a token that this world did not give.
pub fn page<T>(items: Vec<T>, query: &Query, key: impl Fn(&T) -> String) -> ApiResult<Page<T>> {
    if let Some(size) = query.max_results
        && size < SMALLEST_PAGE
    {
        return Err(ApiError::value(format!(
            "Value ( {size} ) for parameter maxResults is invalid. Expecting a value greater than or equal to 5."
        )));
    }
    if query.max_results.is_some() && !query.ids.is_empty() {
        return Err(ApiError::combination(
            "The parameter maxResults cannot be used with a list of ids in the same request",
        ));
    }
    let after = query.next_token.as_deref().map(open_token).transpose()?;
    let mut items: Vec<T> =
        items.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after)).collect();
    let size = query.max_results.map_or(1000, |size| size.min(1000)) as usize;
    let next_token = (items.len() > size).then(|| {
        items.truncate(size);
        BASE64.encode(format!("after {}", items.last().map(&key).unwrap_or_default()))
    });
    Ok(Page { items, next_token })
}

/// The key in a page token.
fn open_token(token: &str) -> ApiResult<String> {
    BASE64
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix("after ").map(str::to_owned))
        .ok_or_else(|| ApiError::value("Unable to parse pagination token"))
}

impl World {
    /// The resources of a store that a query asks for, one page of them, by id.
    ///
    /// # Errors
    /// Unknown ids or filters, bad pages.
    pub(super) fn list<T: Resource + Clone>(
        &self,
        store: &Store<T>,
        query: &Query,
        fields: &[Field<T>],
    ) -> ApiResult<Page<T>> {
        let chosen = self.select(store, query, fields)?.into_iter().cloned().collect();
        page(chosen, query, |item: &T| item.id().to_owned())
    }

    /// The resources of a store that a query asks for, without paging.
    ///
    /// # Errors
    /// Unknown ids or filters.
    pub(super) fn select<'a, T: Resource>(
        &self,
        store: &'a Store<T>,
        query: &Query,
        fields: &[Field<T>],
    ) -> ApiResult<Vec<&'a T>> {
        let field = |name: &str| fields.iter().find(|(known, _)| *known == name).map(|(_, values)| values);
        check_filters(&query.filters, |name| field(name).is_some(), true)?;
        for id in &query.ids {
            store.get(id)?;
        }
        let passes = |item: &T| {
            query.filters.iter().all(|filter| {
                let values = match (filter.name.strip_prefix("tag:"), field(&filter.name)) {
                    (_, Some(values)) => values(self, item),
                    (Some(key), None) => item.tags().get(key).cloned().into_iter().collect(),
                    (None, None) => item.tags().keys().cloned().collect(),
                };
                values.iter().any(|value| filter.values.iter().any(|wanted| glob(wanted, value)))
            })
        };
        Ok(store
            .visible()
            .filter(|item| query.ids.is_empty() || query.ids.iter().any(|id| id == item.id()))
            .filter(|item| passes(item))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_ec2_documents_them() {
        assert!(glob("books", "books"));
        assert!(!glob("books", "Books"));
        assert!(glob("book*", "books-worker"));
        assert!(glob("*work??", "books-worker"));
        assert!(!glob("?", ""));
        assert!(glob(r"\*a", "*a"));
        assert!(!glob(r"\*a", "ba"));
        assert!(glob(&"*".repeat(60), &"a".repeat(200)));
        assert!(!glob(&format!("{}b", "*a".repeat(60)), &"a".repeat(2000)));
        assert!(glob("*ab*ab", "abaabab"));
        assert!(glob("", "") && !glob("", "a"));
    }

    #[test]
    fn pages_walk_every_item_once_and_refuse_foreign_tokens() {
        let items: Vec<u32> = (100..112).collect();
        let mut seen = Vec::new();
        let mut query = Query { max_results: Some(5), ..Query::default() };
        loop {
            let got = page(items.clone(), &query, |item| item.to_string()).unwrap();
            seen.extend(got.items);
            query.next_token = got.next_token;
            if query.next_token.is_none() {
                break;
            }
        }
        assert_eq!(seen, items);
        query.next_token = Some("bm9wZQ==".into());
        let error = page(items.clone(), &query, |item| item.to_string()).unwrap_err();
        assert_eq!(error.to_string(), "InvalidParameterValue: Unable to parse pagination token");
        query = Query { max_results: Some(1), ..Query::default() };
        let error = page(items, &query, |item| item.to_string()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "InvalidParameterValue: Value ( 1 ) for parameter maxResults is invalid. Expecting a value greater than or equal to 5."
        );
    }
}
