//! The published spelling: get a client, set an event listener, start, register in the callback, get the call client, add an event
//! listener. As in the Sinch page this project starts from.

use std::sync::Arc;

use crate::support::{KEY, server, token, within};
use offhook::{
    Call, CallClient, CallDetails, CallListener, Client, ClientListener, ClientRegistration, Device,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One object that listens to everything, as in the page.
struct Phone {
    heard: UnboundedSender<String>,
    answers: bool,
}

impl Phone {
    fn new(answers: bool) -> (Arc<Self>, UnboundedReceiver<String>) {
        let (heard, log) = unbounded_channel();
        (Arc::new(Self { heard, answers }), log)
    }

    fn note(&self, text: impl Into<String>) {
        self.heard.send(text.into()).unwrap();
    }
}

impl ClientListener for Phone {
    fn on_client_started(&self, sinch: &Client) {
        self.note(format!("started for {}", sinch.user_id()));
    }

    fn on_credentials_required(&self, sinch: &Client, client_registration: ClientRegistration) {
        self.note("credentials required");
        client_registration.register(token(sinch.user_id()));
    }

    fn on_incoming_call(&self, _call_client: &CallClient, call: Call) {
        self.note(format!("incoming from {}", call.remote_user_id()));
        if self.answers {
            tokio::spawn(async move { call.answer().await });
        }
    }
}

impl CallListener for Phone {
    fn on_call_progressing(&self, _call: &Call) {
        self.note("progressing");
    }

    fn on_call_ringing(&self, _call: &Call) {
        self.note("ringing");
    }

    fn on_call_answered(&self, _call: &Call) {
        self.note("answered");
    }

    fn on_call_established(&self, call: &Call) {
        self.note("established");
        call.hangup();
    }

    fn on_call_ended(&self, _call: &Call, details: &CallDetails) {
        self.note(format!("ended {:?}", details.end_cause));
    }
}

async fn next(log: &mut UnboundedReceiver<String>) -> String {
    within("a callback", log.recv()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_runs() {
    let server = server().await;
    let get_sinch_client = |user: &str| {
        let sinch = Client::new(KEY, user, server.url()).unwrap();
        let null = sinch.clone();
        (sinch, async move { null.set_microphone(Device::null()).await.unwrap() })
    };
    let (bob_phone, mut bob_log) = Phone::new(true);
    let (bob, without_sound_card) = get_sinch_client("bob");
    without_sound_card.await;
    bob.set_event_listener(bob_phone.clone());
    bob.get_call_client().add_event_listener(bob_phone);
    drop(bob.start().await.unwrap());
    assert_eq!(next(&mut bob_log).await, "credentials required");
    assert_eq!(next(&mut bob_log).await, "started for bob");

    let (alice_phone, mut alice_log) = Phone::new(false);
    let (alice, without_sound_card) = get_sinch_client("alice");
    without_sound_card.await;
    alice.set_event_listener(alice_phone.clone());
    drop(alice.start().await.unwrap());
    assert_eq!(next(&mut alice_log).await, "credentials required");
    assert_eq!(next(&mut alice_log).await, "started for alice");
    let call = alice.get_call_client().call_user("bob").await.unwrap();
    call.add_event_listener(alice_phone);
    for expected in ["progressing", "ringing", "answered", "established", "ended HungUp"] {
        assert_eq!(next(&mut alice_log).await, expected);
    }
    // Told once, though it was added twice.
    assert_eq!(next(&mut bob_log).await, "incoming from alice");
    assert!(bob_log.try_recv().is_err());
}
