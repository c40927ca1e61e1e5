//! Finds where a session or a call of a device is now, when the node that had it may be gone. Runs beside the hub, which never waits.

use std::sync::Arc;
use std::time::Duration;

use offhook_signaling::call::{CallEndCause, DeviceAddress, EndedBy};
use offhook_signaling::message::{Headers, LiveCall, Resume};
use offhook_signaling::session::SessionState;
use tokio::time::{sleep, timeout};

use crate::cluster::bus::{Bucket, KeepError, Kept};
use crate::cluster::journal::{Snapshot, key};
use crate::cluster::message::{Body, ClaimedSession, Device, Part};
use crate::cluster::node::{NodeId, Subject};
use crate::cluster::{Answer, Cluster};
use crate::environment;
use crate::store::{CallDetailRecord, Store, UnixMillis};

/// Nodes that do not have the session do not answer: how long to wait for the one that may.
const GATHERING: Duration = Duration::from_millis(300);
/// Between two looks into a memory that has no leader now.
const PAUSE: Duration = Duration::from_millis(300);
/// So often a node that is said to have a call may not know of it.
const MOST_STRANGE: u32 = 4;
/// A node that is not heard may be on its way to another NATS server.
const CHANGING: Duration = Duration::from_secs(1);
/// A leader is elected in some four seconds.
const TRIES: u32 = 22;

/// A call that was looked for.
#[derive(Debug)]
pub(super) enum Located {
    /// Another node has it, and knows that the device is here now.
    Elsewhere(Part),
    /// It was taken over, or was here already.
    Mine { snapshot: Box<Snapshot>, revision: u64 },
    /// It is over, for this reason when it is known.
    Over(Option<CallEndCause>),
    /// The cluster's memory cannot be reached.
    Unknown,
}

/// A device whose session was looked for.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The session, when its token was right.
    pub(super) session: Option<Box<SessionState>>,
    /// Its parts in calls of other nodes.
    pub(super) parts: Vec<Part>,
    /// Calls that are this node's from now on.
    pub(super) mine: Vec<(Snapshot, u64)>,
    /// Whether a call could not be looked for: better to ask the client to come back than to end it.
    pub(super) is_incomplete: bool,
}

/// What the shared memory says of a call.
#[derive(Debug)]
enum Look {
    /// This, where it can be read, at this revision; nothing of a call that nobody has written down.
    Kept(Option<Box<Snapshot>>, Option<u64>),
    /// It is over.
    Over,
}

impl Look {
    /// Whether this is a later call than one with the same id that is over.
    fn is_later(&self, over: &CallDetailRecord) -> bool {
        matches!(self, Self::Kept(Some(kept), _) if kept.so_far.started > over.started)
    }
}

/// What whoever looks for a call knows of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lead {
    /// Who had it last.
    pub(super) owner: Option<NodeId>,
    /// In which term. What the shared memory says of an earlier one is old: a copy of it that has just come back does not know better.
    pub(super) epoch: u64,
    /// A node that is known not to have it any more.
    pub(super) gone: Option<NodeId>,
}

/// Who looks.
#[derive(Debug, Clone)]
pub(super) struct Seeker {
    pub(super) cluster: Arc<Cluster>,
    pub(super) store: Arc<dyn Store>,
    pub(super) address: Arc<DeviceAddress>,
}

impl Seeker {
    /// The session of the device and the calls it remembers.
    pub(super) async fn resolve(&self, resume: Option<Resume>, calls: Vec<LiveCall>) -> Resolved {
        let mut resolved =
            Resolved { session: None, parts: Vec::new(), mine: Vec::new(), is_incomplete: false };
        if let Some((state, parts)) = self.claim(resume.as_ref(), &calls).await {
            resolved.session = state;
            resolved.parts = parts;
        }
        for live in calls {
            if resolved.parts.iter().any(|part| part.term.call_id == live.call_id) {
                continue;
            }
            match self.locate(&live, true, Lead::default()).await {
                Located::Elsewhere(part) => resolved.parts.push(part),
                Located::Mine { snapshot, revision } => resolved.mine.push((*snapshot, revision)),
                Located::Over(_) => {}
                Located::Unknown => resolved.is_incomplete = true,
            }
        }
        resolved
    }

    /// Takes the session from the node that has it, which the epoch of the session names.
    async fn claim(
        &self,
        resume: Option<&Resume>,
        calls: &[LiveCall],
    ) -> Option<(Option<Box<SessionState>>, Vec<Part>)> {
        let claim = |only_if_here| Body::Claim {
            device: Device::of(&self.address),
            resume: resume.cloned().map(ClaimedSession),
            calls: calls.iter().map(|call| call.call_id.clone()).collect(),
            only_if_here,
        };
        let own = self.cluster.node();
        let had = resume.and_then(|resume| resume.epoch.parse::<NodeId>().ok());
        if let Some(had) = had.filter(|had| had != own && !self.cluster.is_dead(had)) {
            let asked = self.ask(&Subject::node(&had), claim(false));
            if let Answer::Body(Body::Session { state, parts }) = asked.await {
                return Some((state, parts));
            }
        }
        let nodes = Subject::user(&self.address.application, &self.address.user);
        let asked = self.ask(&nodes, claim(true));
        match timeout(GATHERING, asked).await {
            Ok(Answer::Body(Body::Session { state, parts })) => Some((state, parts)),
            _ => None,
        }
    }

    fn ask(&self, to: &Subject, body: Body) -> impl Future<Output = Answer> + use<> {
        self.cluster.ask(to, &self.address.application, body)
    }

    /// Finds a call, and takes it over where its owner is gone. Only one node does.
    pub(super) async fn locate(&self, live: &LiveCall, is_answered: bool, lead: Lead) -> Located {
        if let Some(part) = self.follow(&lead, live).await {
            return Located::Elsewhere(part);
        }
        let mut gone = lead.gone.clone();
        let application = &self.address.application;
        let key = key(&(application.clone(), live.call_id.clone()));
        let (mut unheard, mut strange) = (0, 0);
        for _ in 0..TRIES {
            let record = self.store.record(application, &live.call_id).await.ok().flatten();
            let look = self.look(&key, is_answered, lead.epoch).await;
            if let Some(record) =
                record.filter(|record| !look.as_ref().is_some_and(|look| look.is_later(record)))
            {
                return Located::Over(Some(record.cause));
            }
            let (kept, revision) = match look {
                Some(Look::Kept(kept, revision)) => (kept, revision),
                Some(Look::Over) => return Located::Over(None),
                None => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let own = self.cluster.node();
            match kept.as_ref().and_then(|kept| kept.owner.as_ref()) {
                Some(owner) if owner == own => {
                    if let (Some(kept), Some(revision)) = (kept, revision) {
                        return Located::Mine { snapshot: kept, revision };
                    }
                }
                Some(owner) if gone.as_ref() != Some(owner) && !self.cluster.is_dead(owner) => {
                    match self.attach(owner, live).await {
                        Answer::Body(Body::Attached { part }) => return Located::Elsewhere(part),
                        // A node that has just taken it over knows of it in a moment.
                        Answer::Body(_) if strange < MOST_STRANGE => {
                            strange += 1;
                            sleep(PAUSE).await;
                        }
                        Answer::Body(_) => return Located::Over(None),
                        // It may be changing its NATS server.
                        Answer::Unheard if unheard == 0 => {
                            unheard += 1;
                            sleep(CHANGING).await;
                        }
                        Answer::Unheard => gone = Some(owner.clone()),
                        // A node that hangs loses its calls like one that is dead: the next term says so when it comes back.
                        Answer::Silent if self.cluster.is_up() => gone = Some(owner.clone()),
                        Answer::Silent => sleep(PAUSE).await,
                    }
                }
                _ => match self.take_over(&key, kept, revision, (live, is_answered, lead.epoch)).await {
                    Ok(mine) => return mine,
                    Err(KeepError::Changed) => {}
                    Err(KeepError::Unavailable(_)) => {
                        // Who was not heard may be by now: it was this node that was parted from the others.
                        gone.clone_from(&lead.gone);
                        sleep(PAUSE).await;
                    }
                },
            }
        }
        Located::Unknown
    }

    /// Looks into the shared memory; nothing while it cannot be reached or knows only of terms before `epoch`.
    async fn look(&self, key: &str, is_answered: bool, epoch: u64) -> Option<Look> {
        match self.cluster.bus().get(Bucket::Calls, key.to_owned()).await.ok()? {
            Some(Kept { value: Some(value), revision }) => {
                let kept = Snapshot::parse(&value).map(Box::new);
                let is_old = kept.as_ref().is_some_and(|kept| kept.epoch < epoch);
                (!is_old).then_some(Look::Kept(kept, Some(revision)))
            }
            Some(Kept { value: None, .. }) => Some(Look::Over),
            // What was never written down rang at most for a moment.
            None if !is_answered => Some(Look::Over),
            None => Some(Look::Kept(None, None)),
        }
    }

    /// Asks the node that had it last.
    async fn follow(&self, lead: &Lead, live: &LiveCall) -> Option<Part> {
        let owner = lead.owner.as_ref().filter(|owner| {
            lead.gone.as_ref() != Some(owner) && *owner != self.cluster.node() && !self.cluster.is_dead(owner)
        })?;
        match self.attach(owner, live).await {
            Answer::Body(Body::Attached { part }) => Some(part),
            _ => None,
        }
    }

    async fn attach(&self, owner: &NodeId, live: &LiveCall) -> Answer {
        let body = Body::Attach { device: Device::of(&self.address), live: live.clone() };
        self.ask(&Subject::node(owner), body).await
    }

    async fn take_over(
        &self,
        key: &str,
        kept: Option<Box<Snapshot>>,
        revision: Option<u64>,
        (live, is_answered, epoch): (&LiveCall, bool, u64),
    ) -> Result<Located, KeepError> {
        let mut snapshot = kept.unwrap_or_else(|| Box::new(self.remembered(live)));
        if !takes_part(&snapshot.so_far, &self.address, live) {
            return Ok(Located::Over(None));
        }
        if is_answered {
            note_answer(&mut snapshot.so_far, &self.address, live, environment::wall_millis());
        }
        snapshot.epoch = snapshot.epoch.max(epoch).saturating_add(1);
        snapshot.owner = Some(self.cluster.node().clone());
        let bus = self.cluster.bus();
        let revision = bus.put(Bucket::Calls, key.to_owned(), snapshot.bytes(), revision).await?;
        Ok(Located::Mine { snapshot, revision })
    }

    /// What one side remembers of a call that nobody wrote down: it was answered.
    fn remembered(&self, live: &LiveCall) -> Snapshot {
        let now = environment::wall_millis();
        let DeviceAddress { application, user, device } = &*self.address;
        let (caller, callee) = if live.outgoing { (user, &live.remote) } else { (&live.remote, user) };
        let own = Some(device.clone());
        Snapshot {
            epoch: super::far::FIRST_EPOCH,
            owner: None,
            so_far: CallDetailRecord {
                call_id: live.call_id.clone(),
                application: application.clone(),
                caller: caller.clone(),
                callee: callee.clone(),
                caller_device: own.clone().filter(|_| live.outgoing),
                callee_device: own.filter(|_| !live.outgoing),
                started: now,
                rang: None,
                answered: Some(now),
                established: None,
                ended: now,
                talked_ms: Some(0),
                cause: CallEndCause::None,
                error: None,
                ended_by: EndedBy::Server,
                taken_over: true,
                headers: Headers::new(),
            },
        }
    }
}

/// An owner that dies right after the answer has not written it down: who took part remembers it.
fn note_answer(call: &mut CallDetailRecord, address: &DeviceAddress, live: &LiveCall, now: UnixMillis) {
    if call.answered.is_none() {
        call.answered = Some(now);
        call.talked_ms = Some(0);
        if !live.outgoing {
            call.callee_device = Some(address.device.clone());
        }
    }
}

/// Both must remember the same two people: a call id alone lets nobody in.
fn takes_part(call: &CallDetailRecord, address: &DeviceAddress, live: &LiveCall) -> bool {
    let (local, remote, device) = if live.outgoing {
        (&call.caller, &call.callee, &call.caller_device)
    } else {
        (&call.callee, &call.caller, &call.callee_device)
    };
    *local == address.user
        && *remote == live.remote
        && device.as_ref().is_none_or(|device| *device == address.device)
}

#[cfg(test)]
mod tests {
    use offhook_signaling::{ApplicationKey, CallId, DeviceId, UserId};

    use super::*;
    use crate::cluster::LocalBus;
    use crate::cluster::{ClusterConfig, Intake};
    use crate::store::MemoryStore;

    async fn seeker(user: &str) -> (Seeker, Intake) {
        let config = ClusterConfig::local("b".parse().unwrap(), LocalBus::default());
        let (cluster, intake) = Cluster::join(&config).await.unwrap();
        let address = DeviceAddress {
            application: ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap(),
            user: UserId::new(user).unwrap(),
            device: DeviceId::new("d1").unwrap(),
        };
        let store = Arc::new(MemoryStore::default());
        (Seeker { cluster, store, address: Arc::new(address) }, intake)
    }

    #[tokio::test]
    async fn a_call_whose_owner_died_before_it_wrote_the_answer_down_is_answered_for_who_talks() {
        for (user, remote, outgoing) in [("alice", "bob", true), ("bob", "alice", false)] {
            let (seeker, _intake) = seeker(user).await;
            let remote = UserId::new(remote).unwrap();
            let live = LiveCall { call_id: CallId::new("c").unwrap(), outgoing, remote, nonce: None };
            let mut rang = seeker.remembered(&live);
            (rang.so_far.answered, rang.so_far.talked_ms, rang.so_far.callee_device) = (None, None, None);
            rang.owner = Some("a_0123456789abcdef".parse().unwrap());
            let key = key(&(seeker.address.application.clone(), live.call_id.clone()));
            seeker.cluster.bus().put(Bucket::Calls, key, rang.bytes(), None).await.unwrap();
            let lead = Lead { gone: rang.owner.clone(), ..Lead::default() };
            let Located::Mine { snapshot, .. } = seeker.locate(&live, true, lead).await else {
                panic!("it is taken over");
            };
            assert!(snapshot.so_far.answered.is_some() && snapshot.so_far.talked_ms.is_some());
            assert_eq!(
                snapshot.so_far.callee_device.is_some(),
                !outgoing,
                "only a callee knows who answered"
            );
        }
    }
}
