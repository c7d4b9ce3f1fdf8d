//! Tags.

use super::World;
use super::error::{ApiError, ApiResult};
use super::model::{
    Address, GroupRule, Instance, Interface, InternetGateway, KeyPair, RouteTable, SecurityGroup, Subnet,
    Volume, Vpc,
};
use super::query::{Query, check_filters, glob, page};
use super::request::TagSpec;
use super::response::{Response, TagView};
use super::store::{Resource, Store, Tags};

/// Most tags on one resource.
const MOST_TAGS: usize = 50;

/// Filters of DescribeTags.
const TAG_FILTERS: [&str; 4] = ["key", "value", "resource-id", "resource-type"];

/// The tags in `specs` for a resource of this kind; every spec must be for it.
///
/// # Errors
/// A spec for another kind, or tags outside EC2's limits.
pub(super) fn tags_for(kind: &str, specs: Vec<TagSpec>) -> ApiResult<Tags> {
    tags_of(kind, &[kind], &specs)
}

/// The tags in `specs` for one kind, where a call takes specs for several.
///
/// # Errors
/// A spec for a kind outside `allowed`, or tags outside EC2's limits.
pub(super) fn tags_of(kind: &str, allowed: &[&str], specs: &[TagSpec]) -> ApiResult<Tags> {
    let mut tags = Tags::new();
    for spec in specs {
        if !allowed.contains(&spec.resource_type.as_str()) {
            return Err(ApiError::value(format!(
                "'{}' is not a valid taggable resource type for this operation.",
                spec.resource_type
            )));
        }
        if spec.resource_type == kind {
            tags.extend(spec.tags.clone());
        }
    }
    check(&tags)?;
    Ok(tags)
}

fn check(tags: &Tags) -> ApiResult<()> {
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(ApiError::value(format!("Tag key '{key}' must have between 1 and 128 characters.")));
        }
        if key.starts_with("aws:") {
            return Err(ApiError::value(
                "Value ( aws: ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use",
            ));
        }
        if value.chars().count() > 256 {
            return Err(ApiError::value(format!(
                "The value of tag '{key}' must have at most 256 characters."
            )));
        }
    }
    if tags.len() > MOST_TAGS {
        return Err(ApiError::new(
            "TagLimitExceeded",
            "The maximum number of Tags for a resource has been reached.",
        ));
    }
    Ok(())
}

impl World {
    /// The tags of a resource, by the prefix of its id.
    fn tags_mut(&mut self, id: &str) -> ApiResult<&mut Tags> {
        fn of<'a, T: Resource>(store: &'a mut Store<T>, id: &str) -> ApiResult<&'a mut Tags> {
            store.get_mut(id).map(Resource::tags_mut)
        }
        match id.rsplit_once('-').map(|(prefix, _)| prefix).unwrap_or_default() {
            "vpc" => of(&mut self.vpcs, id),
            "subnet" => of(&mut self.subnets, id),
            "igw" => of(&mut self.gateways, id),
            "rtb" => of(&mut self.tables, id),
            "eipalloc" => of(&mut self.addresses, id),
            "sg" => of(&mut self.groups, id),
            "key" => of(&mut self.keys, id),
            "eni" => of(&mut self.interfaces, id),
            "vol" => of(&mut self.volumes, id),
            "i" => of(&mut self.instances, id),
            "sgr" => self
                .groups
                .all_mut()
                .flat_map(|group| &mut group.rules)
                .find(|rule| rule.id == id)
                .map(|rule| &mut rule.tags)
                .ok_or_else(|| Store::<GroupRule>::unknown(id)),
            _ => Err(ApiError::new("InvalidID", format!("The ID '{id}' is not valid"))),
        }
    }

    pub(super) fn create_tags(&mut self, ids: &[String], tags: &Tags) -> ApiResult<Response> {
        if ids.is_empty() {
            return Err(ApiError::missing("resourceIdSet"));
        }
        if tags.is_empty() {
            return Err(ApiError::missing("tagSet"));
        }
        for id in ids {
            let of = self.tags_mut(id)?;
            of.extend(tags.clone());
            check(of)?;
        }
        Ok(Response::Done)
    }

    /// A tag without a value is removed whatever its value; one with a value only if it is equal;
    /// no tags at all removes all.
    pub(super) fn delete_tags(
        &mut self,
        ids: &[String],
        tags: &[(String, Option<String>)],
    ) -> ApiResult<Response> {
        if ids.is_empty() {
            return Err(ApiError::missing("resourceIdSet"));
        }
        for id in ids {
            let of = self.tags_mut(id)?;
            if tags.is_empty() {
                of.clear();
            }
            for (key, value) in tags {
                if value.as_ref().is_none_or(|value| of.get(key) == Some(value)) {
                    of.remove(key);
                }
            }
        }
        Ok(Response::Done)
    }

    pub(super) fn describe_tags(&self, query: &Query) -> ApiResult<Response> {
        fn add<T: Resource>(store: &Store<T>, all: &mut Vec<TagView>) {
            for item in store.visible() {
                add_one(item, all);
            }
        }
        fn add_one<T: Resource>(item: &T, all: &mut Vec<TagView>) {
            all.extend(item.tags().iter().map(|(key, value)| TagView {
                id: item.id().to_owned(),
                kind: T::KIND,
                key: key.clone(),
                value: value.clone(),
            }));
        }
        check_filters(&query.filters, |name| TAG_FILTERS.contains(&name) || name.starts_with("tag:"), false)?;
        let mut all = Vec::new();
        add::<Vpc>(&self.vpcs, &mut all);
        add::<Subnet>(&self.subnets, &mut all);
        add::<InternetGateway>(&self.gateways, &mut all);
        add::<RouteTable>(&self.tables, &mut all);
        add::<Address>(&self.addresses, &mut all);
        add::<SecurityGroup>(&self.groups, &mut all);
        self.groups.visible().flat_map(|group| &group.rules).for_each(|rule| add_one(rule, &mut all));
        add::<KeyPair>(&self.keys, &mut all);
        add::<Interface>(&self.interfaces, &mut all);
        add::<Volume>(&self.volumes, &mut all);
        add::<Instance>(&self.instances, &mut all);
        let passes = |view: &TagView| {
            query.filters.iter().all(|filter| {
                let value = match filter.name.as_str() {
                    "key" => &view.key,
                    "value" => &view.value,
                    "resource-id" => &view.id,
                    "resource-type" => view.kind,
                    tag => match tag.strip_prefix("tag:") {
                        Some(key) if key == view.key => &view.value,
                        _ => return false,
                    },
                };
                filter.values.iter().any(|wanted| glob(wanted, value))
            })
        };
        let mut chosen: Vec<TagView> = all.into_iter().filter(passes).collect();
        let key = |view: &TagView| format!("{}\0{}", view.id, view.key);
        chosen.sort_by_key(key);
        page(chosen, query, key).map(Response::TagList)
    }
}
