//! Servers for NAT traversal: STUN for everybody, credentials of a relay only for the devices of a call.

use std::collections::HashSet;

use offhook_server::{TurnConfig, TurnSecret};
use offhook_signaling::message::{Empty, IceServer};
use offhook_signaling::{ClientMessage, ServerMessage};

use crate::support::{Phone, config, serve};

const CALL: &str = "call-1";

async fn brought(phone: &mut Phone) -> Vec<IceServer> {
    loop {
        match phone.next().await.message {
            ServerMessage::CallIncoming(incoming) => return incoming.ice_servers,
            ServerMessage::CallProgressing(progressing) => return progressing.ice_servers,
            ServerMessage::CallIceServers(servers) => return servers.ice_servers,
            _ => {}
        }
    }
}

fn relays(servers: &[IceServer]) -> Vec<&IceServer> {
    servers.iter().filter(|server| server.credential.is_some()).collect()
}

#[tokio::test]
async fn every_device_of_a_call_gets_credentials_of_its_own_and_nobody_else_any() {
    let turn = TurnConfig::new("127.0.0.1:0".parse().unwrap());
    let external = TurnSecret::new("shared with coturn");
    let config = config().turn(turn).shared_relay(vec!["turn:relay.example.org".to_owned()], external);
    let server = serve(config).await;
    let relay = server.turn_addr().unwrap();
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let mut bob = Phone::register(&server, "bob", "b1").await;
    let mut tablet = Phone::register(&server, "bob", "b2").await;
    let welcome = &alice.welcome.as_ref().unwrap().ice_servers;
    assert_eq!(welcome[0].urls, [format!("stun:{relay}")]);
    assert!(relays(welcome).is_empty(), "no credentials outside of a call");

    alice.call(CALL, "bob").await;
    let mut names = HashSet::new();
    for phone in [&mut alice, &mut bob, &mut tablet] {
        let servers = brought(phone).await;
        let [own, shared] = relays(&servers)[..] else { panic!("{servers:?}") };
        assert_eq!(own.urls, ["udp", "tcp"].map(|how| format!("turn:{relay}?transport={how}")));
        assert_eq!(shared.urls, ["turn:relay.example.org"]);
        assert_ne!(own.credential, shared.credential, "each relay has a secret of its own");
        names.extend(own.username.clone());
    }
    assert_eq!(names.len(), 3, "one user name per device: {names:?}");

    let mut eve = Phone::register(&server, "eve", "e1").await;
    let asks = || ClientMessage::CallIceServers(Empty {});
    assert!(eve.ask(CALL, asks()).await.is_some(), "not her call");
    alice.send(Some(CALL), asks()).await;
    assert_eq!(relays(&brought(&mut alice).await).len(), 2);
}

#[tokio::test]
async fn without_a_relay_a_call_names_no_servers() {
    let server = serve(config()).await;
    assert_eq!(server.turn_addr(), None, "none on loopback unless asked for");
    let mut alice = Phone::register(&server, "alice", "a1").await;
    let _bob = Phone::register(&server, "bob", "b1").await;
    alice.call(CALL, "bob").await;
    assert!(brought(&mut alice).await.is_empty());
}
