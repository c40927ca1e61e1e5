//! Names of nodes and of the subjects on which they hear each other.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use offhook_signaling::{ApplicationKey, EntropySource, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const MOST_NAME: usize = 32;
const BOOT_DIGITS: usize = 16;
/// The version of what nodes say to each other: another one would be on other subjects.
const PREFIX: &str = "offhook.1";

/// Why a text is no name of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node's name has 1 to 32 of a-z, 0-9 and -")]
pub struct NodeNameError;

/// What an operator calls a node: 1 to 32 of `a-z0-9-`, no two nodes of a cluster the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=MOST_NAME).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NodeNameError)
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One run of a node: its name and what tells this run from the ones before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl NodeId {
    pub(crate) fn new(name: &NodeName, source: &mut dyn EntropySource) -> Self {
        let mut boot = [0; BOOT_DIGITS / 2];
        source.fill(&mut boot);
        Self(format!("{name}_{:016x}", u64::from_be_bytes(boot)))
    }

    /// What the operator calls the node, the same in each of its runs.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('_').map_or(&self.0, |(name, _)| name)
    }

    /// The identity as text: name, `_`, and 16 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let (name, boot) = text.split_once('_').ok_or(NodeNameError)?;
        NodeName::from_str(name)?;
        let is_boot = boot.len() == BOOT_DIGITS
            && boot.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if is_boot { Ok(Self(text.to_owned())) } else { Err(NodeNameError) }
    }
}

impl TryFrom<String> for NodeId {
    type Error = NodeNameError;

    fn try_from(text: String) -> Result<Self, NodeNameError> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where something is said. Holds no user id: those are hashed, so that none can widen what is heard (`*`, `>`, `.`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Subject(String);

impl Subject {
    /// To one node.
    pub(crate) fn node(node: &NodeId) -> Self {
        Self(format!("{PREFIX}.node.{node}"))
    }

    /// To every node, whoever is there: presence is known a moment later than who comes, and some things nobody may miss.
    pub(crate) fn every_node() -> Self {
        Self(format!("{PREFIX}.nodes"))
    }

    /// To every node with a device of this user: being subscribed is the user's presence.
    pub(crate) fn user(application: &ApplicationKey, user: &UserId) -> Self {
        Self(format!("{PREFIX}.user.{application}.{}", hash(application, user)))
    }

    /// To every node that owns a call which rings for this user.
    pub(crate) fn ringing(application: &ApplicationKey, user: &UserId) -> Self {
        Self(format!("{PREFIX}.ring.{application}.{}", hash(application, user)))
    }

    /// Where a node learns that nobody hears a question of its own.
    pub(crate) fn unheard(node: &NodeId, ask: &str) -> Self {
        Self(format!("{PREFIX}.unheard.{node}.{ask}"))
    }

    /// The subject as NATS has it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn hash(application: &ApplicationKey, user: &UserId) -> String {
    let mut hash = Sha256::new();
    hash.update(application.as_str());
    hash.update([0]);
    hash.update(user.as_str());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::OsEntropy;

    #[test]
    fn a_node_is_its_name_and_its_run() {
        let name: NodeName = "fsn1-a".parse().unwrap();
        let (first, second) = (NodeId::new(&name, &mut OsEntropy), NodeId::new(&name, &mut OsEntropy));
        assert_ne!(first, second);
        assert_eq!(first.as_str().parse(), Ok(first));
        for wrong in ["", "A", "a.b", "a_b", "*", "a b", &"a".repeat(33)] {
            assert!(wrong.parse::<NodeName>().is_err(), "{wrong}");
        }
        for wrong in ["a", "a_", "a_0123", "a_0123456789abcdeG", "A_0123456789abcdef", ">_0123456789abcdef"] {
            assert!(wrong.parse::<NodeId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_user_id_stands_in_a_subject() {
        let application = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
        let user = UserId::new("alice=the-first_1").unwrap();
        for subject in [Subject::user(&application, &user), Subject::ringing(&application, &user)] {
            assert!(!subject.as_str().contains("alice"), "{subject:?}");
            assert_eq!(subject.as_str().split('.').count(), 5, "{subject:?}");
        }
        let other = UserId::new("alice").unwrap();
        assert_ne!(Subject::user(&application, &user), Subject::user(&application, &other));
    }
}
