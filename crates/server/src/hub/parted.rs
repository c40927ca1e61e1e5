//! Owners that were parted from the others: their calls may have been taken over, and may be over, without their hearing of it.

use std::collections::BTreeSet;
use std::time::Duration;

use offhook_signaling::call::{CallEndCause, CallRecord, DeviceAddress};
use offhook_signaling::message::Ended;
use offhook_signaling::{CallId, ServerMessage, UserId};
use tokio::time::sleep;

use super::far::own_part;
use super::{Command, Hub};
use crate::cluster::bus::{Bucket, Kept};
use crate::cluster::journal::{Entry, Snapshot, key};
use crate::cluster::message::{Body, CallTerm, Device};
use crate::cluster::node::{NodeId, Subject};

/// Between two times that it is said where people may be of whom nothing was heard since their call was taken over. Nodes that were parted
/// for longer compare all they have; see `cluster::lease`.
const REPEATING: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3), Duration::from_secs(5)];
/// Between two looks into a memory that has no leader now.
const PAUSE: Duration = Duration::from_millis(500);
/// A leader is elected in some four to nine seconds, sometimes twice.
const TRIES: u32 = 40;

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

    /// Somebody may have written something else about a call of ours: looks what.
    pub(super) fn overtaken(&self, call_id: &CallId) {
        let Some(far) = &self.far else { return };
        let (own, cluster, call_id) = (self.own.clone(), far.cluster.clone(), call_id.clone());
        let (application, store) = (self.application.clone(), self.records.store());
        let key = key(&(application.clone(), call_id.clone()));
        tokio::spawn(async move {
            let mut tries = 0;
            let kept = loop {
                match cluster.bus().get(Bucket::Calls, key.clone()).await {
                    Ok(kept) => break kept,
                    Err(_) if tries < TRIES => tries += 1,
                    Err(_) => return,
                }
                sleep(PAUSE).await;
            };
            let command = match kept {
                Some(Kept { value: Some(value), .. }) => match Snapshot::parse(&value) {
                    Some(Snapshot { epoch, owner: Some(owner), .. }) if owner != *cluster.node() => {
                        Command::Fenced(call_id, owner, epoch)
                    }
                    _ => return,
                },
                Some(Kept { value: None, .. }) => {
                    let record = store.record(&application, &call_id).await.ok().flatten();
                    Command::OverElsewhere(call_id, record.map(|record| record.cause))
                }
                None => return,
            };
            // A hub that is gone has lost it anyway.
            if let Some(own) = own.upgrade() {
                let _ = own.send(command).await;
            }
        });
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
