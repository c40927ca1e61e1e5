//! How a hub ends: every client is told to come back, in a cluster at another node and not all at once.

use std::collections::BTreeSet;
use std::time::Instant;

use offhook_signaling::CallId;
use offhook_signaling::call::DeviceAddress;
use tokio::sync::mpsc;
use tokio::time::{Duration, interval};

use super::{Command, Hub, until};
use crate::close::CloseReason;
use crate::cluster::message::{Body, CallTerm, DeviceEvent};
use crate::cluster::node::Subject;
use crate::environment;

/// Between two groups of clients that are told.
const STEP: Duration = Duration::from_millis(20);
/// Clients that are told in a second, at most, unless there are more than fit into the time.
const USUAL_RATE: usize = 1000;

impl Hub {
    /// Whoever still hangs up is told that the call is over, which needs its record.
    pub(super) async fn shut_down(mut self, mut commands: mpsc::Receiver<Command>) {
        if self.far.is_some() {
            self.hand_over(&mut commands).await;
            self.release_calls();
        } else {
            self.end_unanswered();
        }
        self.route();
        self.turn_away(&mut commands);
        while self.records.are_pending() {
            let number = self.records.next_written().await;
            self.release(environment::now(), number);
            self.route();
        }
        for entry in self.sessions.iter_mut() {
            entry.disconnect(CloseReason::Shutdown);
        }
    }

    /// Sends the clients away, spread over most of the time a shutdown has, and gives their sessions to the nodes they come to.
    async fn hand_over(&mut self, commands: &mut mpsc::Receiver<Command>) {
        let window = self.config.sessions.shutdown / 2;
        let deadline = environment::now() + self.config.sessions.shutdown * 3 / 4;
        let echo = self.config.echo.as_ref().map(|echo| echo.user.clone());
        let mut left: Vec<_> =
            self.sessions.addresses().filter(|address| Some(&address.user) != echo.as_ref()).collect();
        let steps = (window.as_millis() / STEP.as_millis()).max(1);
        let at_once = left.len().div_ceil(usize::try_from(steps).unwrap_or(usize::MAX)).max(USUAL_RATE / 50);
        let mut ticks = interval(STEP);
        loop {
            let is_empty = self.sessions.len() == echo.as_ref().map_or(0, |echo| self.sessions.of_user(echo));
            if (is_empty && !self.records.are_pending()) || environment::now() >= deadline {
                return;
            }
            let due = self.poll_timeout();
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(command) => self.handle(environment::now(), command),
                },
                number = self.records.next_written() => self.release(environment::now(), number),
                () = until(due) => self.handle_timeout(environment::now()),
                _ = ticks.tick() => {
                    for address in left.split_off(left.len().saturating_sub(at_once)) {
                        self.send_away(environment::now(), &address);
                    }
                }
            }
            self.route();
        }
    }

    /// What other nodes still ask goes to who has the calls now: they need not find out by waiting.
    fn turn_away(&self, commands: &mut mpsc::Receiver<Command>) {
        let Some(far) = &self.far else { return };
        commands.close();
        while let Ok(command) = commands.try_recv() {
            if let Command::Peer(message) = command {
                far.cluster.turn_away(&message);
            }
        }
    }

    fn send_away(&mut self, now: Instant, address: &DeviceAddress) {
        if let Some(entry) = self.sessions.get_mut(address) {
            entry.disconnect(CloseReason::Shutdown);
            self.absent(now, address);
            self.tell_owners(address, DeviceEvent::Disconnected);
        }
    }

    /// Nobody takes over calls that ring: they are over, and what was asked about them is told so.
    fn end_unanswered(&mut self) {
        let now = environment::now();
        for view in self.board.all_calls(now, usize::MAX) {
            if view.so_far.talked.is_none() {
                self.board.handle_failed(now, &self.application, &view.so_far.call_id);
            }
        }
    }

    /// Answered calls go to whichever node has a device of them; those that ring end.
    fn release_calls(&mut self) {
        let Some(far) = &self.far else { return };
        let calls: Vec<(CallId, u64)> =
            far.owned.iter().map(|(call_id, owned)| (call_id.clone(), owned.epoch)).collect();
        for (call_id, epoch) in calls {
            let Some(view) = self.board.call(environment::now(), &self.application, &call_id) else {
                continue;
            };
            let call = view.so_far;
            if call.talked.is_none() {
                self.board.handle_failed(environment::now(), &self.application, &call_id);
                continue;
            }
            self.board.handle_lost(&self.application, &call_id);
            let Some(far) = &mut self.far else { return };
            far.owned.remove(&call_id);
            let released = Body::Released { call: CallTerm { call_id, epoch } };
            for user in BTreeSet::from([call.caller, call.callee]) {
                let nodes = Subject::user(&self.application, &user);
                far.cluster.say(&nodes, &self.application, released.clone());
            }
        }
    }
}
