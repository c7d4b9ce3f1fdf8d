//! Which node an instance is.
//!
//! One RunInstances call launches several nodes and tags them all alike; each gets its own
//! name in a second call. A crash may fall between the two, so the first call's tags already say
//! which nodes were launched, and EC2 numbers the instances of a call: the name follows from both.

use std::collections::{BTreeMap, BTreeSet};

use crate::ports::tag;

/// Tag on instances: the node names of the launch, in launch order, written short (`general-[1-3,5]`).
pub(super) const NODES_TAG: &str = "kubestrap:nodes";
/// Tag on instances: the client token of their launch.
pub(super) const LAUNCH_TAG: &str = "kubestrap:launch";
/// EC2's limit for a tag value, characters.
const LONGEST_VALUE: usize = 256;

/// What tells an instance's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unnamed {
    /// `i-...`.
    pub id: String,
    /// Position in its launch.
    pub index: usize,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
}

/// The value of [`NODES_TAG`] for these nodes of `pool`; `None` when it does not fit.
pub(super) fn nodes_value(pool: &str, nodes: &[String]) -> Option<String> {
    let value = match ordinals(pool, nodes) {
        Some(ordinals) => format!("{pool}-[{}]", ranges(&ordinals)),
        None => nodes.join(","),
    };
    (value.len() <= LONGEST_VALUE).then_some(value)
}

/// Node names by instance id, the same for the same instances in whatever order they come.
///
/// A name tag counts first; then the launch's own list and the position in it; then, for a list
/// that did not fit its tag, the free ordinals of the pool in order of position and id.
pub(super) fn names(instances: &[Unnamed]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    let mut rest: BTreeMap<String, Vec<&Unnamed>> = BTreeMap::new();
    for instance in instances {
        let logical = instance.tags.get(tag::LOGICAL).map(String::as_str).unwrap_or_default();
        let listed = instance.tags.get(NODES_TAG).and_then(|value| listed(value, instance.index));
        match (logical.strip_prefix("node/"), listed, logical.strip_prefix("pool/")) {
            (Some(name), ..) => _ = names.insert(instance.id.clone(), name.to_owned()),
            (None, Some(name), _) => _ = names.insert(instance.id.clone(), name),
            (None, None, Some(pool)) => rest.entry(pool.to_owned()).or_default().push(instance),
            // Ours by its cluster id, and no node of any pool: its id is all there is to say.
            (None, None, None) => _ = names.insert(instance.id.clone(), instance.id.clone()),
        }
    }
    let taken: BTreeSet<String> = names.values().cloned().collect();
    for (pool, mut unnamed) in rest {
        unnamed.sort_by(|a, b| (a.index, &a.id).cmp(&(b.index, &b.id)));
        let free =
            (1..).map(|ordinal: usize| format!("{pool}-{ordinal}")).filter(|name| !taken.contains(name));
        names.extend(unnamed.into_iter().map(|instance| instance.id.clone()).zip(free));
    }
    names
}

/// Sorts `general-2` before `general-10`.
pub(super) fn natural(name: &str) -> (String, u64) {
    match name.rsplit_once('-') {
        Some((pool, ordinal)) => match ordinal.parse() {
            Ok(ordinal) => (pool.to_owned(), ordinal),
            Err(_) => (name.to_owned(), 0),
        },
        None => (name.to_owned(), 0),
    }
}

fn ordinals(pool: &str, nodes: &[String]) -> Option<Vec<u32>> {
    let ordinal = |node: &String| {
        let text = node.strip_prefix(pool)?.strip_prefix('-')?;
        let number: u32 = text.parse().ok()?;
        (number.to_string() == text).then_some(number)
    };
    nodes.iter().map(ordinal).collect()
}

/// `[1, 2, 3, 5]` is `1-3,5`; the order is kept.
fn ranges(ordinals: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &ordinal in ordinals {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(ordinal) => *last = ordinal,
            _ => ranges.push((ordinal, ordinal)),
        }
    }
    let text = |(from, to): &(u32, u32)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

/// The name at `index` of a [`NODES_TAG`] value.
fn listed(value: &str, index: usize) -> Option<String> {
    let Some((pool, ranges)) = value.strip_suffix(']').and_then(|value| value.split_once("-[")) else {
        return value.split(',').nth(index).filter(|name| !name.is_empty()).map(str::to_owned);
    };
    let mut left = index;
    for range in ranges.split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        let length = usize::try_from(to.checked_sub(from)?).ok()? + 1;
        if left < length {
            return Some(format!("{pool}-{}", from + u32::try_from(left).ok()?));
        }
        left -= length;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instance(id: &str, index: usize, logical: &str, nodes: Option<&str>) -> Unnamed {
        let mut tags = BTreeMap::from([(tag::LOGICAL.to_owned(), logical.to_owned())]);
        tags.extend(nodes.map(|nodes| (NODES_TAG.to_owned(), nodes.to_owned())));
        Unnamed { id: id.into(), index, tags }
    }

    fn named(instances: &[Unnamed]) -> Vec<(String, String)> {
        names(instances).into_iter().collect()
    }

    #[test]
    fn a_crash_before_the_name_tags_loses_no_name() {
        let nodes = Some("general-[1-2]");
        let launched = [instance("i-b", 0, "pool/general", nodes), instance("i-a", 1, "pool/general", nodes)];
        assert_eq!(
            named(&launched),
            [("i-a".to_owned(), "general-2".to_owned()), ("i-b".to_owned(), "general-1".to_owned())]
        );
    }

    #[test]
    fn a_crash_between_two_name_tags_keeps_what_is_tagged_and_fills_the_rest() {
        let nodes = Some("general-[2,5]");
        let launched =
            [instance("i-a", 0, "node/general-2", nodes), instance("i-b", 1, "pool/general", nodes)];
        assert_eq!(named(&launched)[1], ("i-b".to_owned(), "general-5".to_owned()));
    }

    #[test]
    fn two_launches_of_one_node_show_as_duplicates() {
        let nodes = Some("general-[1]");
        let launched =
            [instance("i-a", 0, "node/general-1", nodes), instance("i-b", 0, "pool/general", nodes)];
        assert_eq!(named(&launched).iter().filter(|(_, name)| name == "general-1").count(), 2);
    }

    #[test]
    fn without_a_list_the_free_ordinals_are_given_in_launch_order() {
        let launched = [
            instance("i-c", 1, "pool/general", None),
            instance("i-a", 0, "node/general-2", None),
            instance("i-b", 0, "pool/general", None),
        ];
        assert_eq!(
            named(&launched),
            [
                ("i-a".to_owned(), "general-2".to_owned()),
                ("i-b".to_owned(), "general-1".to_owned()),
                ("i-c".to_owned(), "general-3".to_owned()),
            ]
        );
    }

    #[test]
    fn the_list_is_short_and_a_hundred_nodes_fit() {
        let nodes: Vec<String> = (1..=100).map(|ordinal| format!("general-{ordinal}")).collect();
        assert_eq!(nodes_value("general", &nodes).as_deref(), Some("general-[1-100]"));
        let odd: Vec<String> = (0..100).map(|ordinal| format!("general-{}", 1000 + 2 * ordinal)).collect();
        assert_eq!(nodes_value("general", &odd), None);
    }

    #[test]
    fn names_sort_as_people_count() {
        let mut names = ["general-10", "general-2", "control-plane-1"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["control-plane-1", "general-2", "general-10"]);
    }

    proptest! {
        #[test]
        fn every_launched_node_is_found_again(
            picked in proptest::sample::subsequence((1u32..=40).collect::<Vec<_>>(), 1..=40)
        ) {
            let nodes: Vec<String> = picked.iter().map(|ordinal| format!("gpu-big-{ordinal}")).collect();
            if let Some(value) = nodes_value("gpu-big", &nodes) {
                let found: Vec<String> = (0..nodes.len()).filter_map(|index| listed(&value, index)).collect();
                prop_assert_eq!(found, nodes.clone());
                prop_assert_eq!(listed(&value, nodes.len()), None);
            }
        }
    }
}
