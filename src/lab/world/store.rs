//! Resources by id, and the lookups whose errors clients match on.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{ApiError, ApiResult};

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// What every kind of resource can tell about itself.
pub trait Resource {
    /// Prefix of its ids, with the dash: `vpc-`.
    const PREFIX: &'static str;
    /// Its name in a TagSpecification and in DescribeTags: `vpc`.
    const KIND: &'static str;
    /// How the error text names an id: `vpc ID`.
    const NOUN: &'static str;
    /// Error code for an unknown id.
    const NOT_FOUND: &'static str;
    /// Error code for something that is no id of this kind.
    const MALFORMED: &'static str;

    /// Its id.
    fn id(&self) -> &str;
    /// Its tags.
    fn tags(&self) -> &Tags;
    /// Its tags, to change them.
    fn tags_mut(&mut self) -> &mut Tags;
}

/// Resources of one kind, ordered by id.
#[derive(Clone, Debug)]
pub struct Store<T> {
    items: BTreeMap<String, T>,
    /// Ids that answers must pretend not to know yet (the `stale` fault).
    hidden: BTreeSet<String>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), hidden: BTreeSet::new() }
    }
}

impl<T: Resource> Store<T> {
    /// The resource with this id.
    ///
    /// # Errors
    /// `...Malformed` for what cannot be an id, `...NotFound` for an unknown one.
    pub fn get(&self, id: &str) -> ApiResult<&T> {
        match self.items.get(id) {
            Some(item) if !self.hidden.contains(id) => Ok(item),
            _ => Err(Self::unknown(id)),
        }
    }

    /// Like [`Store::get`], to change it.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get_mut(&mut self, id: &str) -> ApiResult<&mut T> {
        match self.items.get_mut(id) {
            Some(item) if !self.hidden.contains(id) => Ok(item),
            _ => Err(Self::unknown(id)),
        }
    }

    /// The resource if it exists, hidden or not: for the world's own bookkeeping.
    pub fn find(&self, id: &str) -> Option<&T> {
        self.items.get(id)
    }

    /// Like [`Store::find`], to change it.
    pub fn find_mut(&mut self, id: &str) -> Option<&mut T> {
        self.items.get_mut(id)
    }

    /// Adds a resource under its own id.
    pub fn insert(&mut self, item: T) {
        self.items.insert(item.id().to_owned(), item);
    }

    /// Takes a resource out.
    pub fn remove(&mut self, id: &str) -> Option<T> {
        self.items.remove(id)
    }

    /// All resources, hidden ones too.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.items.values()
    }

    /// All resources, to change them.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.values_mut()
    }

    /// The resources that answers may show.
    pub fn visible(&self) -> impl Iterator<Item = &T> {
        self.items.iter().filter(|(id, _)| !self.hidden.contains(*id)).map(|(_, item)| item)
    }

    /// Replaces the set of ids that answers must not know.
    pub fn hide(&mut self, ids: &BTreeSet<String>) {
        self.hidden = ids.iter().filter(|id| self.items.contains_key(*id)).cloned().collect();
    }

    /// The error for an id that is not here.
    pub fn unknown(id: &str) -> ApiError {
        if is_id(T::PREFIX, id) {
            ApiError::new(T::NOT_FOUND, format!("The {} '{id}' does not exist", T::NOUN))
        } else {
            ApiError::new(T::MALFORMED, format!("Invalid id: \"{id}\" (expecting \"{}...\")", T::PREFIX))
        }
    }
}

/// Whether `id` has the shape of an id with this prefix: 8 or 17 hexadecimal digits.
pub fn is_id(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix)
        .is_some_and(|rest| matches!(rest.len(), 8 | 17) && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Mints ids that are unique in one world and the same for the same seed.
#[derive(Clone, Debug)]
pub struct Ids {
    state: u64,
}

impl Ids {
    /// A sequence for this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits (SplitMix64: no two outputs of one sequence are equal).
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A fresh id with this prefix (dash included).
    pub fn mint(&mut self, prefix: &str) -> String {
        format!("{prefix}0{:016x}", self.next())
    }
}
