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
        let kept = cluster.bus().get(Bucket::Calls, key).await.map_err(|_| AWAY)?;
        let snapshot = kept.and_then(|kept| kept.value).and_then(|value| Snapshot::parse(&value));
        let owner = snapshot.and_then(|snapshot| snapshot.owner);
        let Some(owner) = owner.filter(|owner| owner != cluster.node()) else { return Ok(None) };
        let body = Body::Control { call_id: call_id.clone(), wish };
        match cluster.ask(&Subject::node(&owner), application, body).await {
            Answer::Body(Body::Controlled(Controlled::Unknown)) => Ok(None),
            Answer::Body(Body::Controlled(answer)) => Ok(Some(answer)),
            _ => Err(AWAY),
        }
    }
}
