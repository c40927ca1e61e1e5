//! Both sides of a call have the same authentication string, and no two calls do.

use crate::support::{ALICE_HUMS, BOB_HUMS, Person, server, talk, within};
use offhook::{AuthenticationString, Call, CallEvent, Verification};

async fn string(call: &Call) -> AuthenticationString {
    let mut events = call.events();
    let told = async {
        loop {
            if let Some(CallEvent::Verification(verification)) = events.next().await {
                return verification;
            }
        }
    };
    let told = within("the authentication string", told).await;
    assert_eq!(call.verification(), told);
    let Verification::Ready(string) = told else { panic!("{told:?}") };
    assert_eq!(call.authentication_string(), Some(string));
    string
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_have_the_same_and_the_next_call_another() {
    let server = server().await;
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let mut before = None;
    for _ in 0..2 {
        let (outgoing, incoming) = talk(&alice, &mut bob).await;
        let (one, other) = (string(&outgoing).await, string(&incoming).await);
        assert_eq!(one, other);
        assert_ne!(before.replace(one), Some(one));
        let text = one.to_string();
        assert!(text.len() == 9 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b' '), "{text}");
        let report = serde_json::to_value(outgoing.report()).unwrap();
        assert_eq!(
            (&report["verification"], &report["authentication_string"]),
            (&"Ready".into(), &text.into())
        );
        outgoing.hang_up();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holding_and_another_path_keep_it() {
    let server = server().await;
    let mut alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let mut bob = Person::start(&server, "bob", BOB_HUMS).await;
    let (outgoing, incoming) = talk(&alice, &mut bob).await;
    let before = string(&outgoing).await;
    incoming.hold().unwrap();
    alice.ear.hears_silence().await;
    incoming.resume().unwrap();
    alice.ear.hears(BOB_HUMS).await;
    assert_eq!((string(&outgoing).await, string(&incoming).await), (before, before));
}

/// The echo user belongs to the server: it takes no part, and that is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_no_part_leaves_it_unavailable() {
    let config = crate::support::server_config().echo_user(Some(offhook_server::EchoUser::default()));
    let server = offhook_server::Server::bind(config).await.unwrap();
    let alice = Person::start(&server, "alice", ALICE_HUMS).await;
    let call = alice.client.call_client().call_user("echo").await.unwrap();
    crate::support::established(&mut call.events()).await;
    assert_eq!((call.verification(), call.authentication_string()), (Verification::Unavailable, None));
}
