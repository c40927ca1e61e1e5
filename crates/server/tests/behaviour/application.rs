//! Which applications a server serves: configured, from a file, or made on the spot.

use offhook_server::{ConfigError, Server, ServerConfig, StartError};
use offhook_signaling::message::Credential;
use offhook_signaling::token::{MintRequest, mint};
use offhook_signaling::{DeviceId, UserId};

use crate::support::{KEY, Phone, SECRET, config, hello, now, serve};

#[tokio::test]
async fn without_one_a_development_application_is_made_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = || ServerConfig::default().listen("127.0.0.1:0".parse().unwrap()).data(folder.path());
    let server = serve(fresh()).await;
    let made = server.development_application().unwrap().clone();
    let user = UserId::new("alice").unwrap();
    let token = mint(&MintRequest {
        application_key: made.key(),
        secret: &made.application().secrets()[0],
        user: &user,
        issued_at: now(),
        ttl_seconds: 600,
        nonce: "n",
        instance_expires: None,
    });
    let mut hello = hello("alice", "a1", Credential::Token(token));
    hello.application_key = made.key().clone();
    hello.device_id = DeviceId::new("a1").unwrap();
    Phone::log_in(&server, hello).await;
    server.shutdown().await;
    assert_eq!(serve(fresh()).await.development_application(), Some(&made));
}

#[tokio::test]
async fn a_configured_application_makes_a_development_application_needless() {
    assert!(serve(config()).await.development_application().is_none());
}

#[tokio::test]
async fn a_configuration_file_is_all_a_server_needs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offhook.toml");
    let text = format!("listen = '127.0.0.1:0'\n[[application]]\nkey = '{KEY}'\nsecret = '{SECRET}'\n");
    std::fs::write(&file, text).unwrap();
    let server = serve(ServerConfig::load(&file).unwrap()).await;
    Phone::register(&server, "alice", "a1").await;
    let missing = ServerConfig::load(folder.path().join("none.toml"));
    assert!(matches!(missing, Err(ConfigError::Read { .. })));
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let server = serve(config()).await;
    let again = Server::bind(config().listen(server.local_addr())).await;
    assert!(matches!(again, Err(StartError::Listen { address, .. }) if address == server.local_addr()));
}

#[tokio::test]
async fn it_listens_on_this_machine_only_unless_told_otherwise() {
    let server = serve(config()).await;
    assert!(server.local_addr().ip().is_loopback() && !server.is_exposed_without_tls());
    let open = serve(config().listen("0.0.0.0:0".parse().unwrap())).await;
    assert!(open.is_exposed_without_tls());
}
