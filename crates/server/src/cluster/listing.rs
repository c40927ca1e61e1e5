//! Lists whose entries are spread over nodes: what is asked of each, its page, and how pages become one. Pure.

use std::collections::BTreeMap;

use offhook_signaling::{CallId, DeviceId, UserId};
use serde::{Deserialize, Serialize};

use super::message::{MOST_NAMED, SeenCall};

/// Of one node's page, as it goes to another node: far below what a message may have, whatever the entries hold.
const MOST_BYTES: usize = 256 * 1024;

/// Which list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum List {
    /// Live calls by id, of one user if one is named.
    Calls { user: Option<UserId>, after: Option<CallId> },
    /// Users with a connected device, by name.
    Online { after: Option<UserId> },
    /// One user, when a device of theirs is connected.
    User { user: UserId },
}

/// One node's part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Listed {
    /// Calls that the node owns.
    Calls(Page<ListedCall>),
    /// Users with a device that is connected to the node.
    Users(Page<SeenUser>),
}

/// The first entries of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) entries: Vec<T>,
    /// Whether others follow the last of these.
    pub(crate) more: bool,
}

/// A live call and the term of who owns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedCall {
    pub(crate) epoch: u64,
    pub(crate) call: SeenCall,
}

/// A user as a hub sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenUser {
    pub(crate) user: UserId,
    /// Those that are connected.
    pub(crate) devices: Vec<SeenDevice>,
}

/// A connected device, and for how long it has been: clocks of nodes differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenDevice {
    pub(crate) device: DeviceId,
    pub(crate) connected_ms: u64,
}

/// What a list is of.
pub(crate) trait Entry: Serialize {
    /// By which it is in order.
    type Key: Ord + Clone;

    fn key(&self) -> &Self::Key;

    /// One entry of two nodes that both have it.
    fn with(self, other: Self) -> Self;

    /// Whether it names no more than an honest node does.
    fn is_sane(&self) -> bool;
}

impl Entry for ListedCall {
    type Key = CallId;

    fn key(&self) -> &CallId {
        &self.call.so_far.call_id
    }

    fn with(self, other: Self) -> Self {
        // Parted nodes both take it for theirs: the later term counts.
        if other.epoch > self.epoch { other } else { self }
    }

    fn is_sane(&self) -> bool {
        self.call.legs.len() <= MOST_NAMED
    }
}

impl Entry for SeenUser {
    type Key = UserId;

    fn key(&self) -> &UserId {
        &self.user
    }

    fn with(mut self, other: Self) -> Self {
        for seen in other.devices {
            match self.devices.iter_mut().find(|known| known.device == seen.device) {
                // It went from one to the other: where it came last, it is.
                Some(known) => known.connected_ms = known.connected_ms.min(seen.connected_ms),
                None => self.devices.push(seen),
            }
        }
        self
    }

    fn is_sane(&self) -> bool {
        self.devices.len() <= MOST_NAMED
    }
}

impl<T: Entry> Page<T> {
    /// Of entries in order, of which there is one more than `limit` where a page follows.
    pub(crate) fn new(mut entries: Vec<T>, limit: usize) -> Self {
        let more = entries.len() > limit;
        entries.truncate(limit);
        Self { entries, more }
    }

    /// As much of it as goes into a message.
    fn in_bounds(mut self) -> Self {
        let mut bytes = 0;
        let fits = self.entries.iter().take_while(|entry| {
            let is_first = bytes == 0;
            bytes += serde_json::to_vec(entry).map_or(MOST_BYTES, |text| text.len() + 1);
            is_first || bytes <= MOST_BYTES
        });
        let fits = fits.count();
        self.more |= fits < self.entries.len();
        self.entries.truncate(fits);
        self
    }

    fn is_sane(&self, most: usize) -> bool {
        self.entries.len() <= most
            && self.entries.iter().all(Entry::is_sane)
            && !(self.more && self.entries.is_empty())
    }

    /// One page of those of several nodes, with at most `limit` entries. Of what comes behind the end of a page that another follows
    /// nothing is known: there it ends, too, and may be shorter than `limit`.
    pub(crate) fn of_all(pages: Vec<Self>, limit: usize) -> Self {
        let ends = pages.iter().filter(|page| page.more);
        let end = ends.filter_map(|page| page.entries.iter().map(Entry::key).max()).min().cloned();
        let mut all: BTreeMap<T::Key, T> = BTreeMap::new();
        for entry in pages.into_iter().flat_map(|page| page.entries) {
            let key = entry.key().clone();
            if end.as_ref().is_none_or(|end| key <= *end) {
                let entry = match all.remove(&key) {
                    Some(known) => known.with(entry),
                    None => entry,
                };
                all.insert(key, entry);
            }
        }
        let more = end.is_some() || all.len() > limit;
        Self { entries: all.into_values().take(limit).collect(), more }
    }
}

impl Listed {
    /// As much of it as goes into a message.
    pub(crate) fn in_bounds(self) -> Self {
        match self {
            Self::Calls(page) => Self::Calls(page.in_bounds()),
            Self::Users(page) => Self::Users(page.in_bounds()),
        }
    }

    /// Whether a node of this release can have said it, which was asked for at most so many.
    pub(crate) fn is_sane(&self, most: usize) -> bool {
        match self {
            Self::Calls(page) => page.is_sane(most),
            Self::Users(page) => page.is_sane(most),
        }
    }

    pub(crate) fn into_calls(self) -> Option<Page<ListedCall>> {
        if let Self::Calls(page) = self { Some(page) } else { None }
    }

    pub(crate) fn into_users(self) -> Option<Page<SeenUser>> {
        if let Self::Users(page) = self { Some(page) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, devices: &[(&str, u64)]) -> SeenUser {
        let device = |&(name, connected_ms): &(&str, u64)| SeenDevice {
            device: DeviceId::new(name).unwrap(),
            connected_ms,
        };
        SeenUser { user: UserId::new(name).unwrap(), devices: devices.iter().map(device).collect() }
    }

    fn page(names: &[&str], more: bool) -> Page<SeenUser> {
        Page { entries: names.iter().map(|name| user(name, &[("d", 1)])).collect(), more }
    }

    fn names(page: &Page<SeenUser>) -> (Vec<&str>, bool) {
        (page.entries.iter().map(|seen| seen.user.as_str()).collect(), page.more)
    }

    #[test]
    fn pages_of_nodes_become_one_in_order_and_each_entry_stands_once() {
        let all = Page::of_all(vec![page(&["b", "d"], false), page(&["a", "b", "c"], false)], 10);
        assert_eq!(names(&all), (vec!["a", "b", "c", "d"], false));
        let cut = Page::of_all(vec![page(&["b", "d"], false), page(&["a", "b", "c"], false)], 3);
        assert_eq!(names(&cut), (vec!["a", "b", "c"], true));
        assert_eq!(names(&Page::of_all(vec![], 3)), (vec![], false));
        assert_eq!(
            names(&Page::of_all(vec![page(&["a", "b", "c"], false)], 3)),
            (vec!["a", "b", "c"], false)
        );
    }

    #[test]
    fn nothing_is_shown_behind_the_end_of_a_page_that_another_follows() {
        let all = Page::of_all(vec![page(&["a", "x", "y"], false), page(&["b", "c"], true)], 10);
        assert_eq!(names(&all), (vec!["a", "b", "c"], true), "d may follow c, before x");
    }

    #[test]
    fn a_walk_over_pages_of_any_size_meets_everybody_once() {
        let own: Vec<String> = (0..40).map(|index| format!("u{index:02}")).collect();
        let nodes: Vec<Vec<&String>> =
            (0..3).map(|node| own.iter().skip(node).step_by(3).chain(own.iter().take(1)).collect()).collect();
        for (limit, bounded) in [(1, 1), (3, 2), (7, 7), (7, 1), (100, 5), (100, 100)] {
            let (mut seen, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
            loop {
                let of_node = |names: &Vec<&String>| {
                    let mut names = names.clone();
                    names.sort();
                    let left =
                        names.into_iter().filter(|name| after.as_ref().is_none_or(|after| *name > after));
                    let entries = left.take(limit + 1).map(|name| user(name, &[])).collect();
                    let mut page = Page::new(entries, limit);
                    page.more |= page.entries.len() > bounded;
                    page.entries.truncate(bounded);
                    page
                };
                let page = Page::of_all(nodes.iter().map(of_node).collect(), limit);
                assert!(page.entries.len() <= limit);
                seen.extend(page.entries.iter().map(|seen| seen.user.to_string()));
                if !page.more {
                    break;
                }
                after = seen.last().cloned();
            }
            assert_eq!(seen, own, "{limit} {bounded}");
        }
    }

    #[test]
    fn a_user_of_two_nodes_has_the_devices_of_both() {
        let pages = vec![
            Page::new(vec![user("a", &[("d1", 50), ("d2", 7)])], 5),
            Page::new(vec![user("a", &[("d1", 3), ("d3", 9)])], 5),
        ];
        assert_eq!(Page::of_all(pages, 5).entries, [user("a", &[("d1", 3), ("d2", 7), ("d3", 9)])]);
    }

    #[test]
    fn a_page_for_another_node_is_bounded_and_never_empty_when_more_follows() {
        let devices: Vec<(String, u64)> = (0..200).map(|index| (format!("{index:064}"), 1)).collect();
        let devices: Vec<(&str, u64)> = devices.iter().map(|(name, ms)| (name.as_str(), *ms)).collect();
        let users: Vec<SeenUser> = (0..40).map(|index| user(&format!("u{index}"), &devices)).collect();
        let page = Page::new(users, 100).in_bounds();
        let bytes = serde_json::to_vec(&page).unwrap().len();
        assert!(page.more && !page.entries.is_empty() && bytes <= MOST_BYTES + 100, "{bytes}");
        assert!(
            page.is_sane(100)
                && !page.is_sane(1)
                && !Page::<SeenUser> { entries: vec![], more: true }.is_sane(9)
        );
        let small = Page::new(vec![user("a", &[])], 100);
        assert_eq!(small.clone().in_bounds(), small);
    }
}
