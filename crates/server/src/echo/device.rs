//! The echo user's device at one hub: opens its session, answers calls, hands each its news and tells what it says.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use offhook_echo::EchoEnd;
use offhook_signaling::call::{CallEndCause, DeviceAddress};
use offhook_signaling::message::{
    Answer, Candidate, Empty, Hangup, Incoming, Resume, SdpKind, Update, WireError,
};
use offhook_signaling::wire::{self, Frame};
use offhook_signaling::{ApplicationKey, CallId, ClientMessage, DeviceId, MessageId, ServerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::Instrument as _;

use super::Echo;
use super::media::{self, News, ToMedia};
use crate::close::CloseReason;
use crate::hub::{Command, Line, Open};
use crate::outbox::{self, Delivery, Inbox};
use crate::server::StopSign;

/// Before the session is taken up again, after the queue was cut.
const PAUSE: Duration = Duration::from_millis(100);
/// News of all calls that wait to be told.
const MOST_NEWS: usize = 256;
/// What waits for one call: its candidates, and some updates.
const MOST_WAITING: usize = 96;

/// Serves until the hub or the server ends.
pub(super) async fn run(
    echo: Echo,
    application: ApplicationKey,
    hub: mpsc::Sender<Command>,
    mut stop: StopSign,
) {
    let device = DeviceId::new("echo").expect("four letters are a well-formed identifier");
    let address = Arc::new(DeviceAddress { application, user: echo.user.clone(), device });
    let (news, told) = mpsc::channel(MOST_NEWS);
    let device =
        Device { echo, address, hub, news, calls: HashMap::new(), resume: None, last_seq: 0, sent: 0 };
    tokio::select! {
        () = device.serve(told) => {}
        // Dropping the device ends its calls.
        () = stop.now() => {}
    }
}

struct Device {
    echo: Echo,
    address: Arc<DeviceAddress>,
    hub: mpsc::Sender<Command>,
    news: mpsc::Sender<(CallId, News)>,
    calls: HashMap<CallId, mpsc::Sender<ToMedia>>,
    /// How the session is taken up again: all but the last event.
    resume: Option<Resume>,
    last_seq: u64,
    sent: u64,
}

/// The hub is gone, and so is all that is to be done.
struct HubGone;

impl Device {
    async fn serve(mut self, mut told: mpsc::Receiver<(CallId, News)>) {
        while let Ok((line, inbox)) = self.open().await {
            match self.exchange(&line, inbox, &mut told).await {
                Ok(CloseReason::Shutdown) | Err(HubGone) => return,
                Ok(reason) => tracing::debug!(reason = reason.text(), "the echo user was cut off"),
            }
            sleep(PAUSE).await;
        }
    }

    async fn open(&mut self) -> Result<(Line, Inbox), HubGone> {
        let (outbox, inbox) = outbox::channel();
        let (opened, answer) = oneshot::channel();
        let resume = self.resume.take().map(|resume| Resume { last_seq: self.last_seq, ..resume });
        let address = self.address.clone();
        let open = Open {
            address,
            from: Ipv4Addr::LOCALHOST.into(),
            resume,
            calls: Vec::new(),
            credential: None,
            outbox,
            opened,
            resolved: None,
        };
        self.hub.send(Command::Open(Box::new(open))).await.map_err(|_| HubGone)?;
        let line = answer.await.map_err(|_| HubGone)?.map_err(|_| HubGone)?;
        Ok((line, inbox))
    }

    async fn exchange(
        &mut self,
        line: &Line,
        mut inbox: Inbox,
        told: &mut mpsc::Receiver<(CallId, News)>,
    ) -> Result<CloseReason, HubGone> {
        loop {
            tokio::select! {
                delivery = inbox.next() => match delivery {
                    Delivery::Frame(text) => self.handle_text(line, &text).await?,
                    Delivery::Close(reason) => return Ok(reason),
                },
                // This device holds a sender: there is always one.
                Some((call, news)) = told.recv() => self.tell(line, call, news).await?,
            }
        }
    }

    async fn handle_text(&mut self, line: &Line, text: &str) -> Result<(), HubGone> {
        let Ok(frame) = wire::parse::<ServerMessage>(text) else { return Ok(()) };
        self.last_seq = self.last_seq.max(frame.seq);
        match (frame.message, frame.call_id) {
            (ServerMessage::Welcome(welcome), _) => {
                self.resume = Some(Resume {
                    session: welcome.session,
                    token: welcome.resume_token,
                    last_seq: 0,
                    epoch: welcome.epoch,
                });
                if !welcome.resumed {
                    self.last_seq = 0;
                }
            }
            (ServerMessage::Snapshot(snapshot), _) => {
                self.calls.retain(|id, _| snapshot.calls.iter().any(|call| call.call_id == *id));
            }
            (ServerMessage::CallIncoming(incoming), Some(call)) => self.answer(line, call, incoming).await?,
            (ServerMessage::CallCandidate(candidate), Some(call)) => {
                self.pass_on(&call, ToMedia::Candidate(line_of(candidate)));
            }
            (ServerMessage::CallUpdate(Update { kind: SdpKind::Offer, sdp }), Some(call)) => {
                self.pass_on(&call, ToMedia::Offer(sdp));
            }
            (ServerMessage::CallEnded(_), Some(call)) => drop(self.calls.remove(&call)),
            _ => {}
        }
        // What is not acknowledged is kept for a resume.
        if frame.seq == 0 { Ok(()) } else { self.say(line, None, ClientMessage::Ack(Empty {})).await }
    }

    async fn answer(&mut self, line: &Line, call: CallId, incoming: Incoming) -> Result<(), HubGone> {
        if self.calls.contains_key(&call) {
            return Ok(());
        }
        let Ok(place) = self.echo.places.clone().try_acquire_owned() else {
            let busy = Hangup { cause: CallEndCause::Denied, error: Some(WireError::Busy) };
            return self.say(line, Some(call), ClientMessage::CallHangup(busy)).await;
        };
        self.say(line, Some(call.clone()), ClientMessage::CallRinging(Empty {})).await?;
        let (to_media, inbox) = mpsc::channel(MOST_WAITING);
        match media::answer(&self.echo, &incoming.sdp) {
            Ok((media, sdp)) => {
                let answer = ClientMessage::CallAnswer(Answer { sdp, nonce: None });
                self.say(line, Some(call.clone()), answer).await?;
                self.calls.insert(call.clone(), to_media);
                let span = tracing::info_span!("echo", call_id = %call);
                tokio::spawn(media.run(call, inbox, self.news.clone(), place).instrument(span));
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%call, %error, "the echo user cannot answer");
                self.say(line, Some(call), hang_up(EchoEnd::MediaFailed)).await
            }
        }
    }

    fn pass_on(&self, call: &CallId, message: ToMedia) {
        if let Some(media) = self.calls.get(call) {
            // More than a call may have; it goes on with what it has.
            let _ = media.try_send(message);
        }
    }

    async fn tell(&mut self, line: &Line, call: CallId, news: News) -> Result<(), HubGone> {
        let message = match news {
            News::Connected => ClientMessage::CallEstablished(Empty {}),
            News::Answer(sdp) => ClientMessage::CallUpdate(Update { kind: SdpKind::Answer, sdp }),
            News::Ended(end) if self.calls.remove(&call).is_some() => hang_up(end),
            News::Ended(_) => return Ok(()),
        };
        self.say(line, Some(call), message).await
    }

    async fn say(
        &mut self,
        line: &Line,
        call_id: Option<CallId>,
        message: ClientMessage,
    ) -> Result<(), HubGone> {
        self.sent += 1;
        let id = MessageId::new(format!("c{}", self.sent))
            .expect("a letter and digits are a well-formed identifier");
        let frame = Frame { id, seq: self.sent, ack: self.last_seq, call_id, message };
        self.hub.send(Command::Frame(line.clone(), Box::new(frame))).await.map_err(|_| HubGone)
    }
}

fn hang_up(end: EchoEnd) -> ClientMessage {
    let (cause, error) = match end {
        EchoEnd::MediaFailed => (CallEndCause::Failure, Some(WireError::MediaFailed)),
        EchoEnd::Lost => (CallEndCause::Inactive, None),
        EchoEnd::TimeLimit => (CallEndCause::HungUp, None),
    };
    ClientMessage::CallHangup(Hangup { cause, error })
}

/// The line with its generation, which the message may name beside it.
fn line_of(candidate: Candidate) -> String {
    let Candidate { candidate: line, ufrag, .. } = candidate;
    if ufrag.is_empty() || line.is_empty() || line.contains(" ufrag ") {
        line
    } else {
        format!("{line} ufrag {ufrag}")
    }
}
