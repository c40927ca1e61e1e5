//! What a data folder keeps over a restart.

use offhook_signaling::message::{Credential, WireError};

use crate::support::{Phone, address, config, hello, serve, token};

#[tokio::test]
async fn credentials_used_tokens_and_revocations_survive() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(config().data(folder.path())).await;
    let alice = Phone::register(&server, "alice", "a1").await;
    let bob = Phone::register(&server, "bob", "b1").await;
    let once = token("carol", "once");
    Phone::log_in(&server, hello("carol", "c1", Credential::Token(once.clone()))).await;
    server.revoke_device(&address("bob", "b1")).await.unwrap();
    server.shutdown().await;

    let server = serve(config().data(folder.path())).await;
    Phone::log_in(&server, hello("alice", "a1", Credential::Device(alice.credential()))).await;
    let revoked = hello("bob", "b1", Credential::Device(bob.credential()));
    assert_eq!(Phone::refusal(&server, revoked).await.0, Some(WireError::CredentialRefused));
    let replayed = hello("carol", "c2", Credential::Token(once));
    assert_eq!(Phone::refusal(&server, replayed).await.0, Some(WireError::TokenReplayed));
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let _server = serve(config().data(folder.path())).await;
    let mode = std::fs::metadata(folder.path().join("offhook.sqlite3")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}
