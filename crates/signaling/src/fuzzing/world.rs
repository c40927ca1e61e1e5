//! Client machines, a server and the network between them, in virtual time; checks what must hold at every step.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::device::{Device, Line, Seen};
use super::exchange::{Exchange, Sent};
use crate::UnixSeconds;
use crate::call::CallState;
use crate::client::{ClientMachine, Output};
use crate::entropy::EntropySource;
use crate::event::ClientEvent;
use crate::id::CallId;
use crate::message::Candidate;
use crate::verification::Verification;

const WALL: UnixSeconds = UnixSeconds(1_000_000);
/// The server takes a connection for dead after this silence.
const SERVER_SILENCE: Duration = Duration::from_millis(37_500);
/// Two users with two devices each and one with one.
const DEVICES: [(&str, &str); 5] =
    [("alice", "a1"), ("alice", "a2"), ("bob", "b1"), ("bob", "b2"), ("carol", "c1")];

/// Random bytes from a seed: the same run every time.
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl EntropySource for Dice {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

pub(super) struct World {
    pub(super) now: Instant,
    devices: Vec<Device>,
    pub(super) exchange: Exchange,
    dice: Dice,
    lines: u64,
    /// Half-open connections: the server finds out then.
    server_finds_out: BTreeMap<u64, (Instant, usize)>,
    candidates: usize,
    /// Since then sessions were lost, so that events may have been lost with them.
    pub(super) forgetful: bool,
}

impl World {
    pub(super) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the zero of virtual time: only differences count")]
        let now = Instant::now();
        let devices = DEVICES.iter().enumerate().map(|(i, (user, device))| Device::new(i, user, device));
        let mut dice = Dice(77);
        let mut world = Self {
            now,
            devices: devices.collect(),
            exchange: Exchange::new(now, &mut dice),
            dice,
            lines: 0,
            server_finds_out: BTreeMap::new(),
            candidates: 0,
            forgetful: false,
        };
        for i in 0..world.devices.len() {
            world.launch(i);
        }
        world.settle();
        world
    }

    pub(super) fn device_count(&self) -> usize {
        self.devices.len()
    }

    /// The machine of a device does something on behalf of its person.
    pub(super) fn act<T>(&mut self, i: usize, act: impl FnOnce(&mut ClientMachine<Dice>, Instant) -> T) -> T {
        let device = &mut self.devices[i];
        let result = act(&mut device.machine, self.now);
        self.drain(i);
        result
    }

    /// Some offers are so large that a few of them outgrow what a session keeps for a resume.
    pub(super) fn call(&mut self, i: usize, callee: usize, large: bool) {
        let offer = self.devices[i].description(if large { 24_000 } else { 5 });
        let to = self.devices[callee].address.user.clone();
        // The table must know the call before its first event is looked at.
        let device = &mut self.devices[i];
        if let Ok(id) = device.machine.call_user(self.now, to, BTreeMap::new(), offer) {
            device.seen.insert(id, Seen { outgoing: true, ..Seen::default() });
        }
        self.drain(i);
    }

    /// The person accepts the `nth` call that rings here.
    pub(super) fn answer(&mut self, i: usize, nth: usize) {
        let device = &mut self.devices[i];
        let ringing: Vec<CallId> = device
            .machine
            .live_calls()
            .filter(|(_, call)| !call.is_outgoing() && !call.is_answered())
            .map(|(id, _)| id.clone())
            .collect();
        let Some(id) = ringing.get(nth % ringing.len().max(1)) else { return };
        device.seen.entry(id.clone()).or_default().accepted = true;
        let answered = device.machine.answer(self.now, id, device.description(6));
        assert_eq!(answered, Ok(()), "a ringing call can be answered");
        self.drain(i);
    }

    /// The `nth` live call of a device.
    pub(super) fn pick(&self, i: usize, nth: usize) -> Option<CallId> {
        let live: Vec<&CallId> = self.devices[i].machine.live_calls().map(|(id, _)| id).collect();
        live.get(nth % live.len().max(1)).map(|id| (*id).clone())
    }

    pub(super) fn candidate(&mut self, i: usize, id: &CallId) {
        // The server passes on 64 of one side; more would be refused and break the count below.
        let said = self.devices[i].said.entry(id.clone()).or_default();
        if *said >= 60 {
            return;
        }
        *said += 1;
        self.candidates += 1;
        let candidate = Candidate { candidate: format!("{}", self.candidates), ..Candidate::default() };
        let taken = self.act(i, |machine, _| machine.local_candidate(id, candidate));
        assert_eq!(taken, Ok(()), "a live call takes candidates");
    }

    /// Carries up to `frames` from the device and then to it.
    pub(super) fn deliver(&mut self, i: usize, frames: usize) {
        for _ in 0..frames {
            let Some(line) = &mut self.devices[i].line else { return };
            let Some(text) = line.to_server.pop_front() else { break };
            self.hand_to_server(i, &text);
        }
        for _ in 0..frames {
            let Some(line) = &mut self.devices[i].line else { return };
            let Some(text) = line.to_client.pop_front() else { return };
            self.devices[i].machine.handle_frame(self.now, &text);
            self.drain(i);
        }
    }

    /// The last frame of the device that is under way arrives twice.
    pub(super) fn duplicate(&mut self, i: usize) {
        if let Some(line) = &mut self.devices[i].line
            && let Some(text) = line.to_server.back().cloned()
        {
            line.to_server.push_back(text);
        }
    }

    /// The network of a device goes away. Each end may notice at once or by its own timers.
    pub(super) fn cut(&mut self, i: usize, client_notices: bool, server_notices: bool) {
        let device = &mut self.devices[i];
        device.reachable = false;
        let Some(line) = &mut device.line else { return };
        line.cut = true;
        line.to_server.clear();
        line.to_client.clear();
        let number = line.number;
        if client_notices {
            device.line = None;
            device.machine.handle_disconnected(self.now);
            self.drain(i);
        }
        self.close_at_server(i, number, server_notices);
    }

    pub(super) fn restore(&mut self, i: usize) {
        self.devices[i].reachable = true;
    }

    /// The server loses the session of a device.
    pub(super) fn forget(&mut self, i: usize) {
        self.forgetful = true;
        let (connection, sent) = self.exchange.forget(self.now, &self.devices[i].address);
        self.send(sent);
        if connection.is_some() {
            self.drop_line(i);
        }
    }

    /// The back end ends the `nth` call of a device, as the server knows it.
    pub(super) fn control_hang_up(&mut self, i: usize, nth: usize) {
        let Some(id) = self.pick(i, nth) else { return };
        let sent = self.exchange.hang_up(self.now, &self.devices[i].address, &id);
        self.send(sent);
    }

    /// The back end leads the `nth` call of a device to the user of another device.
    pub(super) fn redirect(&mut self, i: usize, nth: usize, to: usize) {
        let Some(id) = self.pick(i, nth) else { return };
        let to = self.devices[to].address.user.clone();
        let sent = self.exchange.redirect(self.now, &self.devices[i].address, &id, to);
        self.send(sent);
    }

    /// The server is killed and comes back with nothing in memory.
    pub(super) fn restart_server(&mut self) {
        self.forgetful = true;
        self.exchange = Exchange::new(self.now, &mut self.dice);
        self.server_finds_out.clear();
        for i in 0..self.devices.len() {
            self.drop_line(i);
        }
    }

    /// The application of a device is killed and started again.
    pub(super) fn relaunch(&mut self, i: usize) {
        self.forgetful = true;
        if let Some(line) = self.devices[i].line.take() {
            self.close_at_server(i, line.number, true);
        }
        let (user, device) = DEVICES[i];
        let stored = self.devices[i].stored.take();
        let reachable = self.devices[i].reachable;
        self.candidates += 1;
        self.devices[i] = Device::new(i + 10 * self.candidates, user, device);
        self.devices[i].stored = stored;
        self.devices[i].reachable = reachable;
        self.launch(i);
    }

    /// Lets time pass; timers fire in their order, frames arrive only when delivered.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        loop {
            let wakes = self.devices.iter().filter_map(|device| device.wake);
            let found = self.server_finds_out.values().map(|(at, _)| *at);
            let next = wakes.chain(found).chain(self.exchange.poll_timeout()).min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.fire();
        }
        self.now = until;
    }

    pub(super) fn restore_all(&mut self) {
        for i in 0..self.devices.len() {
            self.restore(i);
        }
    }

    /// Delivers everything and lets time pass until all have come back and nothing is under way.
    pub(super) fn settle(&mut self) {
        for _ in 0..2000 {
            for i in 0..self.devices.len() {
                // A start that could not reach the server has failed; the person tries again.
                if self.devices[i].has_failed {
                    self.relaunch(i);
                }
                self.deliver(i, usize::MAX);
            }
            if self.devices.iter().all(Device::is_settled) {
                return;
            }
            self.advance(Duration::from_millis(50));
        }
        panic!("not everybody came back");
    }

    fn fire(&mut self) {
        let sent = self.exchange.handle_timeout(self.now);
        self.send(sent);
        let due: Vec<(u64, usize)> = self
            .server_finds_out
            .iter()
            .filter(|(_, (at, _))| *at <= self.now)
            .map(|(number, (_, i))| (*number, *i))
            .collect();
        for (number, i) in due {
            self.close_at_server(i, number, true);
        }
        for i in 0..self.devices.len() {
            if self.devices[i].wake.is_some_and(|at| at <= self.now) {
                self.devices[i].machine.handle_timeout(self.now);
                self.drain(i);
            }
        }
    }

    fn launch(&mut self, i: usize) {
        let stored = self.devices[i].stored.clone();
        let started = self.act(i, |machine, now| machine.start(now, WALL, stored));
        assert_eq!(started, Ok(()));
    }

    fn hand_to_server(&mut self, i: usize, text: &str) {
        let Some(line) = &self.devices[i].line else { return };
        let address = self.devices[i].address.clone();
        let sent = self.exchange.receive(self.now, line.number, &address, text, &mut self.dice);
        self.send(sent);
    }

    fn send(&mut self, sent: Sent) {
        for (number, text) in sent {
            let mut lines = self.devices.iter_mut().filter_map(|device| device.line.as_mut());
            if let Some(line) = lines.find(|line| line.number == number && !line.cut) {
                line.to_client.push_back(text);
            }
        }
    }

    fn drop_line(&mut self, i: usize) {
        if self.devices[i].line.take().is_some() {
            self.devices[i].machine.handle_disconnected(self.now);
            self.drain(i);
        }
    }

    fn close_at_server(&mut self, i: usize, number: u64, now: bool) {
        if now {
            self.server_finds_out.remove(&number);
            let sent = self.exchange.closed(self.now, number, &self.devices[i].address);
            self.send(sent);
        } else {
            self.server_finds_out.insert(number, (self.now + SERVER_SILENCE, i));
        }
    }

    /// Carries out what a machine wants.
    fn drain(&mut self, i: usize) {
        loop {
            let output = self.devices[i].machine.poll_output();
            let device = &mut self.devices[i];
            match output {
                None => {
                    device.wake = None;
                    return;
                }
                Some(Output::Timeout(at, _)) => {
                    device.wake = Some(at);
                    return;
                }
                Some(Output::Connect) => self.connect(i),
                Some(Output::Disconnect) => self.disconnect(i),
                Some(Output::Send(text)) => device.send(text),
                Some(Output::Event(ClientEvent::CredentialsRequired)) => {
                    // A token is at hand; when none is needed any more the machine says so.
                    let _ = device.machine.register(self.now, "token".to_owned());
                }
                Some(Output::Event(event)) => device.note(event),
                Some(Output::StoreCredential(stored)) => device.stored = Some(stored),
                Some(Output::ForgetCredential) => device.stored = None,
            }
        }
    }

    fn connect(&mut self, i: usize) {
        let device = &mut self.devices[i];
        assert!(device.line.is_none(), "one connection at a time");
        if device.reachable {
            self.lines += 1;
            let (to_server, to_client) = (VecDeque::new(), VecDeque::new());
            device.line = Some(Line { number: self.lines, to_server, to_client, cut: false });
            device.machine.handle_connected(self.now);
        } else {
            device.machine.handle_disconnected(self.now);
        }
    }

    fn disconnect(&mut self, i: usize) {
        let Some(line) = self.devices[i].line.as_mut() else { return };
        let (number, cut) = (line.number, line.cut);
        for text in std::mem::take(&mut line.to_server) {
            self.hand_to_server(i, &text);
        }
        self.devices[i].line = None;
        if !cut {
            self.close_at_server(i, number, true);
        }
    }

    /// After everything settled: both ends know the same calls, and each was answered by one device at most.
    pub(super) fn check_settled(&self) {
        for device in &self.devices {
            assert!(device.machine.is_started());
            let snapshot = self.exchange.board.snapshot_for(&device.address);
            let server: Vec<_> = snapshot
                .calls
                .iter()
                .map(|call| (&call.call_id, call.outgoing, &call.remote, call.state == CallState::Answered))
                .collect();
            let client: Vec<_> = device
                .machine
                .live_calls()
                .map(|(id, call)| (id, call.is_outgoing(), call.remote(), call.is_answered()))
                .collect();
            assert_eq!(client, server, "the tables of {:?} differ", device.address.device);
        }
        self.check_verified();
        if !self.forgetful {
            assert!(self.exchange.winners.values().all(|winners| *winners == 1));
            self.check_candidates();
        }
    }

    /// Both sides of an answered call have the same authentication string.
    fn check_verified(&self) {
        let mut strings = BTreeMap::new();
        for device in &self.devices {
            for (id, call) in device.machine.live_calls().filter(|(_, call)| call.is_answered()) {
                let verification = call.verification();
                if let Verification::Ready(string) = verification {
                    assert_eq!(*strings.entry(id).or_insert(string), string, "{id}");
                } else {
                    // After a restart of the server the other side may never come back.
                    let is_alone = self.forgetful && !self.is_outgoing_anywhere(id);
                    assert!(is_alone, "{id} is {verification:?} at {:?}", device.address.device);
                }
            }
        }
    }

    fn is_outgoing_anywhere(&self, id: &CallId) -> bool {
        let mut calls = self.devices.iter().flat_map(|device| device.machine.live_calls());
        calls.any(|(other, call)| other == id && call.is_outgoing() && call.is_answered())
    }

    /// Description of the device, for a renegotiation.
    pub(super) fn description(&self, i: usize) -> String {
        self.devices[i].description(8)
    }

    /// Of an answered call, each side has everything that the other sent.
    fn check_candidates(&self) {
        for device in &self.devices {
            for (id, call) in device.machine.live_calls().filter(|(_, call)| call.is_answered()) {
                let mine = &device.seen[id].candidates;
                let other = self.devices.iter().find(|other| {
                    other.address.user == *call.remote()
                        && other.machine.call(id).is_some_and(|there| there.is_answered())
                        && other.address != device.address
                });
                let other = other.expect("an answered call has two sides");
                let theirs = other.said.get(id).copied().unwrap_or(0);
                assert_eq!(mine.len(), theirs, "candidates of {id} for {:?}", device.address.device);
            }
        }
    }

    pub(super) fn live_calls(&self) -> usize {
        self.devices.iter().map(|device| device.machine.live_calls().count()).sum()
    }

    pub(super) fn check_glare(&self) {
        for id in &self.exchange.glared {
            for device in &self.devices {
                let seen = device.seen.get(id);
                assert!(seen.is_none_or(|seen| seen.outgoing), "{id} lost the glare and rang");
            }
        }
    }
}
