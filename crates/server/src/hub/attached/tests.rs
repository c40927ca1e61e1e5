//! A device in a call of another node, and what that one answers: in virtual time.

use std::net::IpAddr;
use std::sync::Arc;

use offhook_signaling::message::{Empty, Headers, Incoming};
use offhook_signaling::{ApplicationKey, DeviceId, MessageId};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::application::Application;
use crate::cluster::message::Message;
use crate::cluster::{Cluster, ClusterConfig, Intake, LocalBus};
use crate::config::ServerConfig;
use crate::hub::Open;
use crate::outbox::{self, Delivery, Inbox};
use crate::server::{RunningServer, Server};

const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";

/// A node with a device, and another that owns a call which rings there: a test says what that one answers.
struct Ringing {
    _server: RunningServer,
    application: ApplicationKey,
    hub: mpsc::Sender<Command>,
    line: Line,
    inbox: Inbox,
    owner: Arc<Cluster>,
    intake: Intake,
    call: CallTerm,
    device: Device,
}

impl Ringing {
    async fn start() -> Self {
        let bus = LocalBus::default();
        let application = Application::from_parts(KEY, "ax8hTTQJF0OPXL32r1LHMA==").unwrap();
        let config = ServerConfig::default()
            .listen("127.0.0.1:0".parse().unwrap())
            .application(application)
            .cluster(Some(ClusterConfig::local("here".parse().unwrap(), bus.clone())));
        let server = Server::bind(config).await.unwrap();
        let join = ClusterConfig::local("owner".parse().unwrap(), bus);
        let (owner, intake) = Cluster::join(&join).await.unwrap();
        let application = ApplicationKey::new(KEY).unwrap();
        let device = Device { user: UserId::new("bob").unwrap(), device: DeviceId::new("b1").unwrap() };
        let hub = server.hub(&application);
        let ((outbox, inbox), (opened, answer)) = (outbox::channel(), oneshot::channel());
        let open = Open {
            address: Arc::new(device.address(&application)),
            from: IpAddr::from([127, 0, 0, 1]),
            resume: None,
            calls: Vec::new(),
            credential: None,
            outbox,
            opened,
            resolved: None,
        };
        hub.send(Command::Open(Box::new(open))).await.unwrap();
        let line = answer.await.unwrap().unwrap();
        let call = CallTerm { call_id: CallId::new("c").unwrap(), epoch: 1 };
        let mut ringing =
            Self { _server: server, application, hub, line, inbox, owner, intake, call, device };
        let incoming = ServerMessage::CallIncoming(Incoming {
            from: UserId::new("alice").unwrap(),
            headers: Headers::new(),
            sdp: "s".to_owned(),
            commitment: None,
            display_name: None,
            ice_servers: Vec::new(),
        });
        ringing.deliver(incoming);
        ringing.until("call.incoming").await;
        tokio::time::pause();
        ringing
    }

    fn deliver(&self, message: ServerMessage) {
        let (device, owner) = (self.device.clone(), self.owner.node().clone());
        let body = Body::Deliver { device, owner, call: self.call.clone(), message: Box::new(message) };
        let user = Subject::user(&self.application, &self.device.user);
        self.owner.say(&user, &self.application, body);
    }

    async fn says(&self, id: &str, message: ClientMessage) {
        let id = MessageId::new(id).unwrap();
        let call_id = Some(self.call.call_id.clone());
        let frame = Frame { id, seq: 0, ack: 0, call_id, message };
        self.hub.send(Command::Frame(self.line.clone(), Box::new(frame))).await.unwrap();
    }

    /// The next question to the owner about the call.
    async fn asked(&mut self) -> Message {
        loop {
            let delivery = self.intake.deliveries.recv().await.unwrap();
            let crate::cluster::bus::Delivery::Message(bytes) = delivery else { continue };
            let message = Message::parse(&bytes).unwrap();
            if matches!(message.body, Body::Command { .. } | Body::Attach { .. }) {
                return message;
            }
        }
    }

    fn answer(&self, question: &Message, body: Body) {
        self.owner.answer(&question.from, question.ask, &self.application, body);
    }

    fn part(&self) -> Part {
        let (term, owner, remote) =
            (self.call.clone(), self.owner.node().clone(), UserId::new("alice").unwrap());
        Part { term, owner, outgoing: false, remote, answered: false }
    }

    async fn until(&mut self, kind: &str) -> String {
        loop {
            let Delivery::Frame(text) = self.inbox.next().await else { panic!("the connection ended") };
            if text.contains(&format!("\"type\":\"{kind}\"")) {
                return text;
            }
        }
    }
}

const UNKNOWN: Body = Body::Outcome { error: Some(WireError::UnknownCall) };

#[tokio::test]
async fn what_an_owner_denies_that_it_knows_is_said_again_a_moment_later_until_it_does() {
    let mut ringing = Ringing::start().await;
    ringing.says("r", ClientMessage::CallRinging(Empty {})).await;
    let mut last = ringing.asked().await;
    for _ in 0..3 {
        assert!(matches!(last.body, Body::Command { .. }), "{last:?}");
        let denied = environment::now();
        ringing.answer(&last, UNKNOWN);
        let looks = ringing.asked().await;
        assert!(matches!(looks.body, Body::Attach { .. }), "{looks:?}");
        ringing.answer(&looks, Body::Attached { part: ringing.part() });
        last = ringing.asked().await;
        let waited = environment::now() - denied;
        assert!(waited >= DENIED && waited < DENIED * 2, "{waited:?}");
    }
    ringing.answer(&last, Body::Outcome { error: None });
    let outcome = ringing.until("outcome").await;
    assert!(outcome.contains("\"of\":\"r\"") && !outcome.contains("error"), "{outcome}");
}

#[tokio::test]
async fn a_call_that_is_over_while_something_about_it_is_said_again_leaves_nothing_behind() {
    let mut ringing = Ringing::start().await;
    ringing.says("r", ClientMessage::CallRinging(Empty {})).await;
    let said = ringing.asked().await;
    ringing.answer(&said, UNKNOWN);
    let looks = ringing.asked().await;
    ringing.deliver(ServerMessage::CallEnded(offhook_signaling::message::Ended {
        cause: offhook_signaling::call::CallEndCause::Canceled,
        error: None,
    }));
    ringing.until("call.ended").await;
    ringing.answer(&looks, Body::Nothing);
    let outcome = ringing.until("outcome").await;
    assert!(outcome.contains("unknown_call"), "{outcome}");
    // Were it still known, the owner would be asked about it now.
    ringing.says("h", ClientMessage::CallRinging(Empty {})).await;
    let outcome = ringing.until("outcome").await;
    assert!(outcome.contains("\"of\":\"h\"") && outcome.contains("unknown_call"), "{outcome}");
}

#[tokio::test]
async fn while_a_call_is_looked_for_only_so_much_waits() {
    let mut ringing = Ringing::start().await;
    ringing.says("first", ClientMessage::CallRinging(Empty {})).await;
    let said = ringing.asked().await;
    ringing.answer(&said, UNKNOWN);
    let looks = ringing.asked().await;
    for index in 0..MOST_WAITING {
        ringing.says(&format!("w{index}"), ClientMessage::CallRinging(Empty {})).await;
    }
    ringing.says("more", ClientMessage::CallRinging(Empty {})).await;
    // It goes to the owner as it was known: the table is full.
    let more = ringing.asked().await;
    ringing.answer(&more, Body::Outcome { error: None });
    assert!(ringing.until("outcome").await.contains("\"of\":\"more\""));
    ringing.answer(&looks, Body::Attached { part: ringing.part() });
    for index in 0..MOST_WAITING {
        let said = ringing.asked().await;
        ringing.answer(&said, Body::Outcome { error: None });
        let outcome = ringing.until("outcome").await;
        assert!(outcome.contains(&format!("\"of\":\"w{index}\"")), "in their order: {outcome}");
    }
}
