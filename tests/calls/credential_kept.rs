//! The device credential: one token, many starts; a credential that is revoked is asked for again.

use std::sync::Arc;

use crate::support::{KEY, builder, client_event, register, server_config, token, within};
use offhook::{Client, ClientEvent, ClientEvents, FileStore};
use offhook_server::{RunningServer, Server};
use offhook_signaling::call::DeviceAddress;
use offhook_signaling::{ApplicationKey, DeviceId, UserId};

fn client(server: &RunningServer, file: &std::path::Path) -> Client {
    builder(server, "alice").credential_store(Arc::new(FileStore::new(file))).build().unwrap()
}

/// The first event of a start.
async fn first(events: &mut ClientEvents) -> ClientEvent {
    within("an event", events.next()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_start_needs_no_token_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registrations.json");
    let server = Server::bind(server_config()).await.unwrap();

    let one = client(&server, &file);
    register(&mut one.start().await.unwrap(), &token("alice")).await;
    one.terminate().await;

    let two = client(&server, &file);
    let mut events = two.start().await.unwrap();
    assert!(matches!(first(&mut events).await, ClientEvent::Started));
    two.terminate().await;
    // The same client object again.
    let mut events = two.start().await.unwrap();
    assert!(matches!(first(&mut events).await, ClientEvent::Started));
    two.terminate().await;

    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let device = kept["registrations"][0]["device_id"].as_str().unwrap();
    let address = DeviceAddress {
        application: ApplicationKey::new(KEY).unwrap(),
        user: UserId::new("alice").unwrap(),
        device: DeviceId::new(device).unwrap(),
    };
    assert!(server.revoke_device(&address).await.unwrap());
    let three = client(&server, &file);
    let mut events = three.start().await.unwrap();
    register(&mut events, &token("alice")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_renewed_before_it_ends() {
    let config = server_config().credential_lifetime(std::time::Duration::from_secs(2));
    let server = Server::bind(config).await.unwrap();
    let alice = builder(&server, "alice").build().unwrap();
    let mut events = alice.start().await.unwrap();
    register(&mut events, &token("alice")).await;
    // Shorter than the margin: renewed half-way.
    for _ in 0..2 {
        let renewal = client_event(&mut events, "renewal", |event| match event {
            ClientEvent::CredentialsRequired(registration) => Some(registration),
            _ => None,
        })
        .await;
        renewal.register(token("alice")).await.unwrap();
        assert!(alice.is_started());
    }
}
