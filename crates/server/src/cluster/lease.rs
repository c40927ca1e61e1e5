//! Which nodes live. Pure: time is an argument.
//!
//! A node renews its lease every two seconds. One whose lease was not seen for seven is taken for dead, but only by a node that saw its
//! own lease meanwhile: when the cluster's memory has no leader, nobody's renewals are seen, and nobody is dead because of it. Whatever a
//! node says shows that it lives, too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::node::NodeId;

/// How often a lease is renewed.
pub(crate) const RENEWAL: Duration = Duration::from_secs(2);
/// How long one lives.
const LIFE: Duration = Duration::from_secs(7);
/// How long a node that is taken for dead is missed: it may only be parted from this one, and serve people where it is.
const MISSED: Duration = Duration::from_secs(300);
/// Names of runs that are over need not be remembered for ever.
const MOST_GONE: usize = 1024;

/// The leases as one node sees them.
#[derive(Debug)]
pub(crate) struct Leases {
    own: NodeId,
    own_seen: Option<Instant>,
    /// Since when the own lease has been seen without a gap.
    watching_since: Option<Instant>,
    seen: BTreeMap<NodeId, Instant>,
    /// Those that were declared dead and were not seen again, and when they were seen last.
    dead: BTreeMap<NodeId, Instant>,
    /// Those that said that they leave.
    left: BTreeSet<NodeId>,
}

/// The nodes that there should be beside this one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// They were heard a moment ago.
    pub(crate) alive: Vec<NodeId>,
    /// They are taken for dead, and nothing of them came back.
    pub(crate) missed: Vec<NodeId>,
}

impl Leases {
    pub(crate) const fn new(own: NodeId) -> Self {
        Self {
            own,
            own_seen: None,
            watching_since: None,
            seen: BTreeMap::new(),
            dead: BTreeMap::new(),
            left: BTreeSet::new(),
        }
    }

    /// Whether a node has never been heard of.
    pub(crate) fn is_new(&self, node: &NodeId) -> bool {
        *node != self.own && !self.seen.contains_key(node) && !self.dead.contains_key(node)
    }

    /// A node leaves, and nothing of it is missing after this.
    pub(crate) fn handle_left(&mut self, node: NodeId) {
        self.left.insert(node);
        while self.left.len() > MOST_GONE {
            self.left.pop_first();
        }
    }

    /// Who else there should be at `now`. Of several runs of a node the last counts.
    pub(crate) fn others(&self, now: Instant) -> Others {
        let dead = self.dead.iter().filter(|(_, seen)| now.duration_since(**seen) < MISSED);
        let mut runs: BTreeMap<&str, (Instant, &NodeId)> = BTreeMap::new();
        for (node, seen) in self.seen.iter().chain(dead) {
            let last = runs.entry(node.name()).or_insert((*seen, node));
            if *seen >= last.0 {
                *last = (*seen, node);
            }
        }
        let mut others = Others::default();
        for (_, node) in runs.into_values() {
            let is_dead = self.dead.contains_key(node);
            if node.name() != self.own.name() && !self.left.contains(node) {
                let known = if is_dead { &mut others.missed } else { &mut others.alive };
                known.push(node.clone());
            }
        }
        others
    }

    /// A renewal was seen, or the node was heard. Whether this node and that one were parted before: it had been taken for dead or was silent
    /// for as long, or this node did not see even its own renewals.
    pub(crate) fn handle_lease(&mut self, now: Instant, node: NodeId) -> bool {
        if node == self.own {
            let is_gap = self.own_seen.is_none_or(|seen| now.duration_since(seen) > RENEWAL * 2);
            if is_gap {
                self.watching_since = Some(now);
            }
            return self.own_seen.replace(now).is_some() && is_gap;
        }
        let was_silent =
            self.seen.insert(node.clone(), now).is_some_and(|seen| now.duration_since(seen) > LIFE);
        self.dead.remove(&node).is_some() || was_silent
    }

    /// The nodes that have just been found dead.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<NodeId> {
        let is_watching = self.own_seen.is_some_and(|seen| now.duration_since(seen) <= RENEWAL * 2);
        let watched = self.watching_since.filter(|_| is_watching).map(|since| now.duration_since(since));
        // Whoever has just begun to see again gives the others time to be seen, too.
        if watched.is_none_or(|watched| watched < LIFE) {
            return Vec::new();
        }
        let silent = self.seen.extract_if(.., |_, seen| now.duration_since(*seen) > LIFE);
        let gone: Vec<(NodeId, Instant)> = silent.collect();
        self.dead.extend(gone.iter().cloned());
        while self.dead.len() > MOST_GONE {
            self.dead.pop_first();
        }
        gone.into_iter().map(|(node, _)| node).collect()
    }

    /// Whether a node is known to be dead.
    pub(crate) fn is_dead(&self, node: &NodeId) -> bool {
        self.dead.contains_key(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        format!("{name}_0123456789abcdef").parse().unwrap()
    }

    /// Seconds 0, 2, 4 … up to `until`: `seen` of these nodes.
    fn renew(leases: &mut Leases, start: Instant, range: std::ops::Range<u64>, seen: &[&str]) {
        for second in range.step_by(2) {
            for name in seen {
                leases.handle_lease(start + Duration::from_secs(second), node(name));
            }
        }
    }

    #[test]
    fn a_node_that_is_not_seen_any_more_is_dead_once() {
        let (mut leases, start) = (Leases::new(node("a")), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        renew(&mut leases, start, 0..20, &["a", "b", "c"]);
        assert!(leases.handle_timeout(at(18)).is_empty());
        renew(&mut leases, start, 20..28, &["a", "c"]);
        assert_eq!(leases.handle_timeout(at(26)), [node("b")]);
        assert!(leases.handle_timeout(at(27)).is_empty());
        assert!(leases.is_dead(&node("b")) && !leases.is_dead(&node("c")));
        assert!(leases.handle_lease(at(28), node("b")), "they were parted");
        assert!(!leases.is_dead(&node("b")));
        assert!(!leases.handle_lease(at(30), node("b")));
    }

    #[test]
    fn a_node_that_is_heard_again_was_parted_also_for_one_that_saw_nobody_meanwhile() {
        let (mut leases, start) = (Leases::new(node("a")), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        renew(&mut leases, start, 0..20, &["a", "b"]);
        assert!(leases.handle_timeout(at(40)).is_empty() && !leases.is_dead(&node("b")));
        assert!(leases.handle_lease(at(40), node("b")));
        assert!(!leases.handle_lease(at(41), node("b")));
    }

    #[test]
    fn a_node_that_is_taken_for_dead_is_missed_for_a_while_unless_it_left_or_runs_again() {
        let (mut leases, start) = (Leases::new(node("a")), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let others =
            |alive: &[NodeId], missed: &[NodeId]| Others { alive: alive.into(), missed: missed.into() };
        renew(&mut leases, start, 0..20, &["a", "b", "c", "d"]);
        assert_eq!(leases.others(at(20)), others(&[node("b"), node("c"), node("d")], &[]));
        leases.handle_left(node("d"));
        assert_eq!(leases.others(at(20)), others(&[node("b"), node("c")], &[]), "one that left is not asked");
        renew(&mut leases, start, 20..28, &["a", "c"]);
        assert_eq!(leases.handle_timeout(at(26)), [node("b"), node("d")], "its calls are looked for still");
        assert_eq!(leases.others(at(27)), others(&[node("c")], &[node("b")]));
        let again: NodeId = "b_00000000000000ff".parse().unwrap();
        assert!(leases.is_new(&again) && !leases.is_new(&node("b")) && !leases.is_new(&node("a")));
        let mut runs_again = leases;
        runs_again.handle_lease(at(28), again.clone());
        assert_eq!(runs_again.others(at(29)), others(&[again, node("c")], &[]));
    }

    #[test]
    fn a_node_is_not_missed_for_ever() {
        let (mut leases, start) = (Leases::new(node("a")), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        renew(&mut leases, start, 0..20, &["a", "b"]);
        renew(&mut leases, start, 20..28, &["a"]);
        leases.handle_timeout(at(27));
        assert_eq!(leases.others(at(300)).missed, [node("b")]);
        assert_eq!(leases.others(at(330)), Others::default());
    }

    #[test]
    fn nobody_is_dead_while_nobody_can_be_seen() {
        let (mut leases, start) = (Leases::new(node("a")), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        renew(&mut leases, start, 0..20, &["a", "b"]);
        for second in 20..60 {
            assert!(leases.handle_timeout(at(second)).is_empty(), "the memory has no leader");
        }
        assert!(leases.handle_lease(at(60), node("a")), "it was parted from all");
        renew(&mut leases, start, 60..66, &["a"]);
        assert!(leases.handle_timeout(at(65)).is_empty(), "it may be a little later");
        renew(&mut leases, start, 66..70, &["a"]);
        assert_eq!(leases.handle_timeout(at(68)), [node("b")]);
    }
}
