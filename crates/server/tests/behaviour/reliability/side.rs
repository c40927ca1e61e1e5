//! One end of a call: a device that goes to the next node when its connection is lost, and counts what it is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Credential, Empty, Hello, Resume, Welcome, WireError};
use offhook_signaling::{ClientMessage, DeviceCredential, ServerMessage};
use tokio::time::{sleep, timeout};

use crate::support::{Phone, hello, live, token};

/// Between two looks at the time.
const LISTENING: Duration = Duration::from_secs(5);
/// As clients do.
const PINGING: Duration = Duration::from_secs(10);
const GREETING: Duration = Duration::from_secs(10);
/// What a call may take after the fault before it counts as failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// One end of a call.
pub(super) struct Side {
    urls: Arc<Vec<String>>,
    at: usize,
    user: String,
    call: String,
    remote: String,
    outgoing: bool,
    phone: Option<Phone>,
    welcome: Option<Welcome>,
    credential: Option<DeviceCredential>,
    last_seq: u64,
    sent: u64,
    pub(super) resumed: Vec<Duration>,
    pub(super) gaps: u64,
    pub(super) repeated: u64,
    pub(super) dropped: bool,
    pub(super) talks: bool,
    pinged: Instant,
    /// Why the last command was not carried out.
    pub(super) refusal: Option<WireError>,
}

impl Side {
    fn hello(&self) -> Hello {
        let credential = match &self.credential {
            Some(secret) => Credential::Device(secret.clone()),
            None => Credential::Token(token(&self.user, &self.user)),
        };
        let mut hello = hello(&self.user, "d1", credential);
        hello.resume = self.welcome.as_ref().map(|welcome| Resume {
            session: welcome.session.clone(),
            token: welcome.resume_token.clone(),
            last_seq: self.last_seq,
            epoch: welcome.epoch.clone(),
        });
        if self.talks {
            hello.calls = vec![live(&self.call, self.outgoing, &self.remote)];
        }
        hello
    }

    /// Connects, at the next node when it does not work at this one.
    pub(super) async fn connect(&mut self) {
        let since = Instant::now();
        let is_back = self.welcome.is_some();
        loop {
            if self.try_connect().await.is_some() {
                break;
            }
            self.at += 1;
            sleep(Duration::from_millis(100)).await;
            if since.elapsed() > PATIENCE {
                self.dropped = true;
                return;
            }
        }
        if is_back {
            self.resumed.push(since.elapsed());
        }
    }

    async fn try_connect(&mut self) -> Option<()> {
        // As long as a client waits for its welcome.
        timeout(GREETING, self.greet()).await.ok()?
    }

    async fn greet(&mut self) -> Option<()> {
        let url = self.urls[self.at % self.urls.len()].clone();
        let mut phone = timeout(Duration::from_secs(3), Phone::try_connect(&url, None)).await.ok()?.ok()?;
        phone.say(ClientMessage::Hello(self.hello())).await;
        let welcome = loop {
            match phone.next_if_there().await?.message {
                ServerMessage::Welcome(welcome) => break welcome,
                ServerMessage::Bye(_) => return None,
                _ => {}
            }
        };
        if !welcome.resumed {
            self.last_seq = 0;
            let ServerMessage::Snapshot(snapshot) = phone.next_if_there().await?.message else { return None };
            if self.talks && !snapshot.calls.iter().any(|call| call.call_id.as_str() == self.call) {
                self.dropped = true;
            }
        }
        if let Some(credential) = &welcome.credential {
            self.credential = Some(credential.secret.clone());
        }
        self.welcome = Some(*welcome);
        phone.count_from(self.sent);
        self.phone = Some(phone);
        Some(())
    }

    pub(super) async fn send(&mut self, message: ClientMessage) {
        if self.phone.is_none() {
            self.connect().await;
        }
        let call = self.call.clone();
        if let Some(phone) = &mut self.phone {
            phone.last_seq = self.last_seq;
            phone.send(Some(&call), message).await;
            self.sent += 1;
        }
    }

    async fn say(&mut self, message: ClientMessage) {
        if let Some(phone) = &mut self.phone {
            phone.last_seq = self.last_seq;
            phone.say(message).await;
            self.sent += 1;
        }
    }

    /// Reads until this comes, or the time is over.
    pub(super) async fn read(&mut self, time: Duration, wanted: impl Fn(&ServerMessage) -> bool) -> bool {
        let until = Instant::now() + time;
        while !self.dropped {
            if self.phone.is_none() {
                self.connect().await;
            }
            if self.pinged.elapsed() > PINGING {
                self.pinged = Instant::now();
                self.say(ClientMessage::Ping(Empty {})).await;
            }
            let Some(phone) = &mut self.phone else { return false };
            let left = until.saturating_duration_since(Instant::now());
            // A phone alone is less patient.
            match timeout(left.min(LISTENING), phone.next_if_there()).await {
                Err(_) if Instant::now() < until => {}
                Err(_) => return false,
                Ok(None) => {
                    self.phone = None;
                    self.at += 1;
                }
                Ok(Some(frame)) => {
                    self.count(frame.seq);
                    if let ServerMessage::Outcome(outcome) = &frame.message {
                        self.refusal = outcome.error.or(self.refusal);
                    }
                    if let ServerMessage::CallEnded(ended) = &frame.message {
                        self.talks = false;
                        self.dropped |= ended.cause != CallEndCause::HungUp;
                    }
                    if wanted(&frame.message) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn count(&mut self, seq: u64) {
        if seq == 0 {
            return;
        }
        if seq <= self.last_seq {
            self.repeated += 1;
        } else {
            self.gaps += seq - self.last_seq - 1;
            self.last_seq = seq;
        }
    }
}

pub(super) fn side(
    urls: &Arc<Vec<String>>,
    at: usize,
    (user, remote): (&str, &str),
    call: &str,
    outgoing: bool,
) -> Side {
    Side {
        urls: urls.clone(),
        at,
        user: user.to_owned(),
        call: call.to_owned(),
        remote: remote.to_owned(),
        outgoing,
        phone: None,
        welcome: None,
        credential: None,
        last_seq: 0,
        // The hello of a connection is the frame before.
        sent: 1,
        resumed: Vec::new(),
        gaps: 0,
        repeated: 0,
        dropped: false,
        talks: false,
        pinged: Instant::now(),
        refusal: None,
    }
}
