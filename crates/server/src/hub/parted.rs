//! Owners that were parted from the others: their calls may have been taken over, and may be over, without their hearing of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use offhook_signaling::call::{CallEndCause, CallRecord, DeviceAddress};
use offhook_signaling::message::Ended;
use offhook_signaling::{ApplicationKey, CallId, ServerMessage, UserId};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::far::own_part;
use super::{Command, Hub};
use crate::cluster::Cluster;
use crate::cluster::bus::{Bucket, Kept};
use crate::cluster::journal::{Entry, Snapshot, key};
use crate::cluster::message::{Body, CallTerm, Device};
use crate::cluster::node::{NodeId, Subject};
use crate::store::{Store, UnixMillis};

/// Between two times that it is said where people may be of whom nothing was heard since their call was taken over. Nodes that were parted
/// for longer compare all they have; see `cluster::lease`.
const REPEATING: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(5)];
/// Between two looks into a memory that has no leader now.
const PAUSE: Duration = Duration::from_millis(500);
/// A leader is elected in some four to nine seconds, sometimes twice.
const TRIES: u32 = 40;
/// So often there may be no record yet of a call that is over: where it ended it is written a moment later.
const UNRECORDED: u32 = 6;
/// Calls that are looked at in one moment: after a partition it is all of them.
const LOOKS: usize = 64;

/// What became of a call of ours while this node may not have heard of it.
#[derive(Debug)]
pub(crate) enum Finding {
    /// It is ours, as far as is known.
    Ours,
    /// Another node has it, under this term.
    Fenced(NodeId, u64),
    /// Another node had it, and ended it, for this reason where it is known.
    Over(Option<CallEndCause>),
    /// What is remembered, at this revision, is an earlier call of the same id: its client starts once more what it has no outcome of.
    Another(u64),
}

/// Looks at one call.
struct Look {
    cluster: Arc<Cluster>,
    store: Arc<dyn Store>,
    application: ApplicationKey,
    /// When it was started: an earlier call of the same id was started earlier.
    started: UnixMillis,
    looks: Arc<Semaphore>,
}

impl Look {
    async fn find(&self, call_id: &CallId) -> Finding {
        let key = key(&(self.application.clone(), call_id.clone()));
        let mut unrecorded = 0;
        for _ in 0..TRIES {
            // Nobody closes it.
            let turn = self.looks.acquire().await;
            let record = self.store.record(&self.application, call_id).await.ok().flatten();
            if let Some(record) = record.as_ref().filter(|record| record.started >= self.started) {
                return Finding::Over(Some(record.cause));
            }
            let kept = self.cluster.bus().get(Bucket::Calls, key.clone()).await;
            drop(turn);
            match kept {
                Ok(Some(Kept { value: Some(value), .. })) => {
                    return match Snapshot::parse(&value) {
                        Some(Snapshot { epoch, owner: Some(owner), .. }) if owner != *self.cluster.node() => {
                            Finding::Fenced(owner, epoch)
                        }
                        _ => Finding::Ours,
                    };
                }
                Ok(Some(Kept { value: None, revision })) if record.is_some() => {
                    return Finding::Another(revision);
                }
                Ok(Some(Kept { value: None, .. })) if unrecorded == UNRECORDED => return Finding::Over(None),
                Ok(Some(Kept { value: None, .. })) => unrecorded += 1,
                Ok(None) => return Finding::Ours,
                Err(_) => {}
            }
            sleep(PAUSE).await;
        }
        Finding::Ours
    }
}

/// Turns for looking at calls.
pub(super) fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(LOOKS))
}

impl Hub {
    /// Another node has this call under a later term: it is not ours any more, but our devices are still in it.
    pub(super) fn fenced(&mut self, call_id: &CallId, owner: &NodeId, epoch: u64) {
        let owned = self.far.as_ref().and_then(|far| far.owned.get(call_id));
        if owned.is_none_or(|owned| owned.epoch >= epoch) {
            return;
        }
        let Some((call, here)) = self.let_go(call_id) else { return };
        tracing::warn!(%call_id, %owner, epoch, "another node has taken this call over");
        let Some(far) = &mut self.far else { return };
        for address in here {
            let part = own_part(owner, epoch, &address, &call, call.talked.is_some());
            far.attach(Device::of(&address), &part);
        }
        self.start_locating(call_id, None);
    }

    /// A call of ours was taken over, and is over: its record is the other node's.
    pub(super) fn over_elsewhere(&mut self, call_id: &CallId, cause: Option<CallEndCause>) {
        let Some((call, here)) = self.let_go(call_id) else { return };
        tracing::warn!(%call_id, ?cause, "another node has taken this call over and ended it");
        let usual = if call.talked.is_some() { CallEndCause::HungUp } else { CallEndCause::Failure };
        let cause = cause.unwrap_or(usual);
        self.push_end((call.application, call.callee), call_id.clone(), cause);
        self.issuer.call_over(&self.application, call_id);
        for address in here {
            self.event(&address, call_id.clone(), ServerMessage::CallEnded(Ended { cause, error: None }));
        }
    }

    /// Owns a call no more, which another node has, or had. Gives what it was, and its devices that are here.
    fn let_go(&mut self, call_id: &CallId) -> Option<(CallRecord, Vec<DeviceAddress>)> {
        self.far.as_ref()?.owned.get(call_id)?;
        let call = self.view(call_id)?.so_far;
        let users = BTreeSet::from([&call.caller, &call.callee]);
        let here = users.into_iter().flat_map(|user| self.sessions.addresses_of(user));
        let here = here.filter(|address| self.board.involves(address, call_id));
        let here = here.map(|address| (*address).clone()).collect();
        self.board.handle_lost(&self.application, call_id);
        self.ring_for(call_id, None);
        let far = self.far.as_mut()?;
        far.owned.remove(call_id);
        far.cluster.note((self.application.clone(), call_id.clone()), Entry::Lost);
        Some((call, here))
    }

    /// Somebody may have written something else about a call of ours: looks what, once at a time.
    pub(super) fn overtaken(&mut self, call_id: &CallId) {
        let Some(far) = &mut self.far else { return };
        let Some(started) = far.owned.get(call_id).and_then(|owned| owned.started) else { return };
        if let Some(is_stale) = far.looking.get_mut(call_id) {
            *is_stale = true;
            return;
        }
        far.looking.insert(call_id.clone(), false);
        let look = Look {
            cluster: far.cluster.clone(),
            store: self.records.store(),
            application: self.application.clone(),
            started,
            looks: far.looks.clone(),
        };
        let (own, call_id) = (self.own.clone(), call_id.clone());
        tokio::spawn(async move {
            let finding = look.find(&call_id).await;
            // A hub that is gone has lost it anyway.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::Looked(call_id, started, finding)).await;
            }
        });
    }

    /// What was found of a call of ours that was started then.
    pub(super) fn looked(&mut self, call_id: &CallId, started: UnixMillis, finding: Finding) {
        let Some(far) = &mut self.far else { return };
        let is_stale = far.looking.remove(call_id).unwrap_or(false);
        if far.owned.get(call_id).is_some_and(|owned| owned.started == Some(started)) {
            match finding {
                Finding::Ours => {}
                Finding::Fenced(owner, epoch) => self.fenced(call_id, &owner, epoch),
                Finding::Over(cause) => self.over_elsewhere(call_id, cause),
                Finding::Another(revision) => {
                    far.cluster.note((self.application.clone(), call_id.clone()), Entry::TakenOver(revision));
                    far.stepped.insert(call_id.clone());
                }
            }
        }
        if is_stale {
            self.overtaken(call_id);
        }
    }

    /// The people of a call that was taken over show themselves when they hear of it; who does not is called again.
    pub(super) fn expect_people(&self, call_id: &CallId, called: usize) {
        let Some(pause) = REPEATING.get(called).copied() else { return };
        let (own, call_id) = (self.own.clone(), call_id.clone());
        tokio::spawn(async move {
            sleep(pause).await;
            // A hub that is gone has no calls.
            if let Some(own) = own.upgrade() {
                let _ = own.send(Command::CallPeople(call_id, called + 1)).await;
            }
        });
    }

    /// Tells the nodes of people of whom nothing was heard that their call is this node's now.
    pub(super) fn call_people(&self, call_id: &CallId, called: usize) {
        let Some(far) = &self.far else { return };
        let (Some(owned), Some(view)) = (far.owned.get(call_id), self.view(call_id)) else { return };
        let call = view.so_far;
        let is_seen = |user: &UserId| {
            let involved = |address: &DeviceAddress| self.board.involves(address, call_id);
            owned.homes.keys().any(|device| device.user == *user)
                || self.sessions.addresses_of(user).iter().any(|address| involved(address))
        };
        let unseen: Vec<&UserId> =
            [&call.caller, &call.callee].into_iter().filter(|user| !is_seen(user)).collect();
        for user in &unseen {
            let term = CallTerm { call_id: call_id.clone(), epoch: owned.epoch };
            let nodes = Subject::user(&self.application, user);
            far.cluster.say(&nodes, &self.application, Body::Adopted { call: term });
        }
        if !unseen.is_empty() {
            self.expect_people(call_id, called);
        }
    }

    /// Tells somebody of whom nothing was heard since their call was taken over, wherever they are, that it is over.
    pub(super) fn tell_unseen(&self, user: &UserId, over: Body) {
        let Some(far) = &self.far else { return };
        let (cluster, application) = (far.cluster.clone(), self.application.clone());
        let nodes = Subject::user(&application, user);
        tokio::spawn(async move {
            cluster.say(&nodes, &application, over.clone());
            for pause in REPEATING {
                sleep(pause).await;
                cluster.say(&nodes, &application, over.clone());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::cluster::{ClusterConfig, LocalBus};
    use crate::store::MemoryStore;

    /// A call that somebody else ended, of which there is no record yet: it is looked at again and again.
    async fn looks(cluster: &Arc<Cluster>, looks: &Arc<Semaphore>, call: &str) -> (Look, CallId) {
        let application = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
        let call_id = CallId::new(call).unwrap();
        let (store, cluster) = (Arc::new(MemoryStore::default()), cluster.clone());
        let key = key(&(application.clone(), call_id.clone()));
        let revision = cluster.bus().put(Bucket::Calls, key.clone(), "".into(), None).await.unwrap();
        cluster.bus().take(Bucket::Calls, key, revision).await.unwrap();
        (Look { cluster, store, application, started: UnixMillis(1), looks: looks.clone() }, call_id)
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_calls_are_looked_at_in_one_moment_and_who_pauses_gives_others_their_turn() {
        let config = ClusterConfig::local("a".parse().unwrap(), LocalBus::default());
        let (cluster, _intake) = Cluster::join(&config).await.unwrap();
        assert_eq!(turns().available_permits(), LOOKS);
        let one = Arc::new(Semaphore::new(1));
        let taken = one.clone().acquire_owned().await.unwrap();
        let (look, call_id) = looks(&cluster, &one, "waits").await;
        assert!(timeout(Duration::from_secs(60), look.find(&call_id)).await.is_err(), "it is not its turn");
        drop(taken);
        let begun = Instant::now();
        let mut found = Vec::new();
        for call in ["a", "b", "c"] {
            let (look, call_id) = looks(&cluster, &one, call).await;
            found.push(tokio::spawn(async move { look.find(&call_id).await }));
        }
        for found in found {
            assert!(matches!(found.await.unwrap(), Finding::Over(None)));
        }
        let took = begun.elapsed();
        assert!(
            took >= PAUSE * UNRECORDED && took < PAUSE * (UNRECORDED + 1),
            "none waits for the pauses of another: {took:?}"
        );
    }
}
