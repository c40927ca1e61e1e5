//! What a data folder keeps over a restart.

use offhook_server::{ClusterConfig, LocalBus, Server, ServerConfig, StartError, StoreError};
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

async fn is_kept_out(config: ServerConfig, folder: &tempfile::TempDir) {
    match Server::bind(config).await {
        Err(StartError::Store(StoreError::InUse { path })) => {
            assert_eq!(path, folder.path().display().to_string());
        }
        other => panic!("two servers that know nothing of each other share a folder: {other:?}"),
    }
}

#[tokio::test]
async fn a_folder_belongs_to_one_server_or_to_the_nodes_of_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let alone = || config().data(folder.path());
    let bus = LocalBus::default();
    let node = |name: &str| alone().cluster(Some(ClusterConfig::local(name.parse().unwrap(), bus.clone())));
    let first = serve(alone()).await;
    tokio::join!(is_kept_out(alone(), &folder), is_kept_out(node("a"), &folder));
    Phone::register(&first, "alice", "a1").await;
    // One that is dropped is gone in a moment, as one that was killed is.
    drop(first);
    let (a, b) = (serve(node("a")).await, serve(node("b")).await);
    is_kept_out(alone(), &folder).await;
    a.shutdown().await;
    is_kept_out(alone(), &folder).await;
    b.shutdown().await;
    serve(alone()).await.shutdown().await;
}
