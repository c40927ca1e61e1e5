//! What a client makes of the server's table of its calls.

use std::time::Instant;

use super::{ClientMachine, Phase};
use crate::call::{CallEndCause, CallState};
use crate::entropy::EntropySource;
use crate::event::CallEvent;
use crate::id::CallId;
use crate::message::{Answered, CallSnapshot, ClientMessage, Ended, Hangup, Incoming, Snapshot};

impl<E: EntropySource> ClientMachine<E> {
    /// Takes over the server's table; the server has handled our frames up to `ack`.
    pub(super) fn handle_snapshot(&mut self, now: Instant, snapshot: Snapshot, ack: u64) {
        if self.phase != Phase::AwaitingSnapshot {
            return;
        }
        self.link.snapshot_came();
        let gone: Vec<CallId> = self
            .live_calls()
            .map(|(id, _)| id)
            .filter(|id| {
                !snapshot.calls.iter().any(|call| call.call_id == **id) && !self.link.is_starting(id, ack)
            })
            .cloned()
            .collect();
        for id in gone {
            self.end(now, &id, Ended { cause: CallEndCause::Failure, error: None });
        }
        self.go_online(now);
        for call in snapshot.calls {
            self.adopt(now, call);
        }
        self.repeat_reveals();
    }

    fn adopt(&mut self, now: Instant, snapshot: CallSnapshot) {
        let id = snapshot.call_id;
        if self.calls.contains_key(&id) {
            match (snapshot.outgoing, snapshot.state, snapshot.sdp) {
                (true, CallState::Ringing, _) => {
                    self.advance(now, &id, CallState::Ringing, CallEvent::Ringing)
                }
                (true, CallState::Answered, Some(sdp)) => {
                    self.handle_answered(
                        now,
                        &id,
                        Answered { sdp, by: Some(snapshot.remote), nonce: snapshot.nonce },
                    );
                }
                _ => {}
            }
            return;
        }
        match (snapshot.outgoing, snapshot.state, snapshot.sdp) {
            (false, CallState::Init, Some(sdp)) => {
                self.handle_incoming(
                    now,
                    &id,
                    Incoming {
                        from: snapshot.remote,
                        headers: snapshot.headers,
                        sdp,
                        commitment: snapshot.commitment,
                        display_name: snapshot.display_name,
                        // They come with the event that follows a snapshot.
                        ice_servers: Vec::new(),
                    },
                );
            }
            // Its event follows: it did not fit into the snapshot.
            (false, CallState::Init, None) => {}
            // A call of this device's past life: nobody here can talk in it any more.
            _ => {
                let hangup = Hangup { cause: CallEndCause::Inactive, error: None };
                self.send_command(Some(id), ClientMessage::CallHangup(hangup));
            }
        }
    }
}
