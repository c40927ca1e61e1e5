//! Live calls of other nodes: what a back end wants of one goes to the node that owns it.

use offhook_signaling::{ApplicationKey, CallId};

use super::Refusal;
use crate::cluster::Answer;
use crate::cluster::bus::Bucket;
use crate::cluster::journal::{self, Snapshot};
use crate::cluster::message::{Body, Controlled, Wish};
use crate::cluster::node::Subject;
use crate::server::Shared;

pub(super) const AWAY: Refusal =
    Refusal::Unavailable("another node, which may have it, cannot be reached now");

impl Shared {
    /// What the owner of a call answers to a wish. `None` where no other node has such a call: it is over or never was.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when that is not known now.
    pub(super) async fn control_elsewhere(
        &self,
        application: &ApplicationKey,
        call_id: &CallId,
        wish: Wish,
    ) -> Result<Option<Controlled>, Refusal> {
        let Some(cluster) = &self.cluster else { return Ok(None) };
        let key = journal::key(&(application.clone(), call_id.clone()));
        let kept = cluster.bus().get(Bucket::Calls, key).await;
        let is_known = kept.is_ok();
        let snapshot = kept.ok().flatten().and_then(|kept| kept.value);
        let owner = snapshot.and_then(|value| Snapshot::parse(&value)).and_then(|snapshot| snapshot.owner);
        let body = Body::Control { call_id: call_id.clone(), wish };
        match owner {
            Some(owner) if owner == *cluster.node() => Ok(None),
            Some(owner) => match cluster.ask(&Subject::node(&owner), application, body).await {
                Answer::Body(Body::Controlled(Controlled::Unknown)) => Ok(None),
                Answer::Body(Body::Controlled(answer)) => Ok(Some(answer)),
                _ => Err(AWAY),
            },
            // It may have begun a moment ago, and what is written down takes another; or nobody can look there now.
            None => {
                let answers = cluster.gather(application, &body).await.answers.into_iter();
                let mut done = answers.filter_map(|(_, body)| match body {
                    Body::Controlled(Controlled::Unknown) => None,
                    Body::Controlled(answer) => Some(answer),
                    _ => None,
                });
                match done.next() {
                    None if !is_known => Err(AWAY),
                    found => Ok(found),
                }
            }
        }
    }
}
