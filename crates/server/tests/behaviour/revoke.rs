//! An operator throws a device out.

use offhook_signaling::message::{ByeAction, Credential, WireError};

use crate::support::{Phone, address, config, hello, serve, talking};

#[tokio::test]
async fn a_revoked_device_is_told_and_its_credential_works_no_more() {
    let server = serve(config()).await;
    let mut phone = Phone::register(&server, "alice", "a1").await;
    assert!(server.revoke_device(&address("alice", "a1")).await.unwrap());
    let (bye, code) = phone.end().await;
    let bye = bye.unwrap();
    assert_eq!((bye.action, bye.error), (ByeAction::Stop, Some(WireError::CredentialRefused)));
    assert_eq!(code, Some(4008));
    let again = hello("alice", "a1", Credential::Device(phone.credential()));
    assert_eq!(Phone::refusal(&server, again).await.0, Some(WireError::CredentialRefused));
    assert!(!server.revoke_device(&address("alice", "a1")).await.unwrap());
}

#[tokio::test]
async fn a_revoked_device_leaves_its_calls() {
    let server = serve(config()).await;
    let (mut alice, _bob) = talking(&server, "c").await;
    server.revoke_device(&address("bob", "b1")).await.unwrap();
    alice.expect("ended Inactive").await;
}
