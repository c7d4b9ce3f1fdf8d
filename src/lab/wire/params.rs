//! Form parameters of the EC2 query protocol: `Filter.1.Value.2`, read by name and by index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::lab::world::{ApiError, ApiResult, Filter, Query, TagSpec, Tags};

/// Parameters that every call may have.
const COMMON: [&str; 3] = ["Action", "Version", "DryRun"];

/// The parameters of one call. It remembers which were read, so that what nobody understood can be
/// refused instead of ignored.
#[derive(Debug)]
pub struct Params {
    values: BTreeMap<String, String>,
    /// Behind a lock and not in a cell because the call is served on any thread.
    read: Mutex<BTreeSet<String>>,
}

/// The parameters below a prefix: all of them, or one member of a list.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    params: &'a Params,
    prefix: String,
}

impl Params {
    /// Reads a form-encoded body.
    pub fn new(body: &[u8]) -> Self {
        let values = form_urlencoded::parse(body).into_owned().collect();
        Self { values, read: Mutex::default() }
    }

    fn read(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    pub fn root(&self) -> Scope<'_> {
        Scope { params: self, prefix: String::new() }
    }

    /// Names and values as they came.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// Refuses what no reader asked for.
    ///
    /// # Errors
    /// `UnknownParameter`, naming the first of them.
    pub fn finish(&self) -> ApiResult<()> {
        let read = self.read();
        match self.values.keys().find(|name| !read.contains(*name) && !COMMON.contains(&name.as_str())) {
            Some(name) => {
                Err(ApiError::new("UnknownParameter", format!("The parameter {name} is not recognized")))
            }
            None => Ok(()),
        }
    }
}

impl<'a> Scope<'a> {
    fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// A value, if given.
    pub fn text(&self, name: &str) -> Option<String> {
        let key = self.key(name);
        let value = self.params.values.get(&key).cloned();
        if value.is_some() {
            self.params.read().insert(key);
        }
        value
    }

    /// A value that must be given and not be empty.
    ///
    /// # Errors
    /// `MissingParameter`.
    pub fn need(&self, name: &str) -> ApiResult<String> {
        self.text(name).filter(|value| !value.is_empty()).ok_or_else(|| ApiError::missing(&self.key(name)))
    }

    /// A truth value, if given.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn flag(&self, name: &str) -> ApiResult<Option<bool>> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true" | "True") => Ok(Some(true)),
            Some("false" | "False") => Ok(Some(false)),
            Some(other) => Err(ApiError::value(format!(
                "Invalid value '{other}' for parameter {}: it must be true or false.",
                self.key(name)
            ))),
        }
    }

    /// A whole number, if given.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn number(&self, name: &str) -> ApiResult<Option<i64>> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::value(format!(
                        "Invalid value '{text}' for parameter {}: it must be a whole number.",
                        self.key(name)
                    ))
                })
            })
            .transpose()
    }

    /// The indices that a list has, in order.
    fn indices(&self, name: &str) -> Vec<u32> {
        let prefix = format!("{}.", self.key(name));
        let index = |key: &String| key.strip_prefix(&prefix)?.split('.').next()?.parse().ok();
        let found: BTreeSet<u32> = self
            .params
            .values
            .range(prefix.clone()..)
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(&prefix))
            .filter_map(index)
            .collect();
        found.into_iter().collect()
    }

    /// A list of values.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let indices = self.indices(name).into_iter();
        indices.filter_map(|index| self.text(&format!("{name}.{index}"))).collect()
    }

    /// A list of structures.
    pub fn members(&self, name: &str) -> Vec<Scope<'a>> {
        let member = |index| Scope { params: self.params, prefix: self.key(&format!("{name}.{index}")) };
        self.indices(name).into_iter().map(member).collect()
    }

    /// A structure.
    pub fn member(&self, name: &str) -> Scope<'a> {
        Scope { params: self.params, prefix: self.key(name) }
    }

    /// `X.Value`, as Modify...Attribute calls have it.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn attribute(&self, name: &str) -> ApiResult<Option<bool>> {
        self.member(name).flag("Value")
    }

    /// Tags in a member called `list`: `Tag.1.Key`, `Tag.1.Value`.
    ///
    /// # Errors
    /// A tag without a key, or twice the same key.
    pub fn tags(&self, list: &str) -> ApiResult<Tags> {
        let mut tags = Tags::new();
        for tag in self.members(list) {
            let key = tag.need("Key")?;
            let value = tag.text("Value").unwrap_or_default();
            if tags.insert(key.clone(), value).is_some() {
                return Err(ApiError::value(format!("Duplicate tag key '{key}' specified.")));
            }
        }
        Ok(tags)
    }

    /// `TagSpecification.N`.
    ///
    /// # Errors
    /// As [`Scope::tags`].
    pub fn tag_specs(&self) -> ApiResult<Vec<TagSpec>> {
        let spec = |scope: Scope<'_>| {
            Ok(TagSpec { resource_type: scope.need("ResourceType")?, tags: scope.tags("Tag")? })
        };
        self.members("TagSpecification").into_iter().map(spec).collect()
    }

    /// Ids, filters and page of a describe call.
    ///
    /// # Errors
    /// A filter without a name, a page size that is no number.
    pub fn query(&self, ids: &str) -> ApiResult<Query> {
        let filter =
            |scope: Scope<'_>| Ok(Filter { name: scope.need("Name")?, values: scope.texts("Value") });
        Ok(Query {
            ids: if ids.is_empty() { Vec::new() } else { self.texts(ids) },
            filters: self.members("Filter").into_iter().map(filter).collect::<ApiResult<_>>()?,
            max_results: self.number("MaxResults")?,
            next_token: self.text("NextToken").filter(|token| !token.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_in_numeric_order_whatever_the_order_of_the_form() {
        let params = Params::new(b"Id.10=c&Id.2=b&Id.1=a&Idx.1=other");
        assert_eq!(params.root().texts("Id"), ["a", "b", "c"]);
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_refused_by_name() {
        let params = Params::new(b"Action=X&VpcId=vpc-1&Surprise.1.Value=2");
        assert_eq!(params.root().need("VpcId").unwrap(), "vpc-1");
        assert_eq!(
            params.finish().unwrap_err().to_string(),
            "UnknownParameter: The parameter Surprise.1.Value is not recognized"
        );
    }

    #[test]
    fn filters_and_tags_are_read_from_their_members() {
        let params = Params::new(
            b"Filter.1.Name=tag%3AName&Filter.1.Value.1=a&Filter.1.Value.2=b&MaxResults=7&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v",
        );
        let query = params.root().query("VpcId").unwrap();
        assert_eq!(query.filters, [Filter { name: "tag:Name".into(), values: vec!["a".into(), "b".into()] }]);
        assert_eq!(query.max_results, Some(7));
        let specs = params.root().tag_specs().unwrap();
        assert_eq!(specs[0].tags.get("k").map(String::as_str), Some("v"));
        params.finish().unwrap();
    }
}
