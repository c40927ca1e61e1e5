//! No secret is in what `Debug` shows: it ends up in logs.

use std::time::Instant;

use offhook_signaling::client::{ClientConfig, ClientMachine};
use offhook_signaling::message::IceServer;
use offhook_signaling::{ApplicationKey, DeviceId, EntropySource, UnixSeconds, UserId};

#[derive(Debug)]
struct Zeros;

impl EntropySource for Zeros {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[test]
fn a_machine_shows_neither_token_nor_session_secret_nor_turn_password() {
    let key = ApplicationKey::new("a32e5a8d-f7d8-411c-9645-9038e8dd051d").unwrap();
    let config = ClientConfig::new(key, UserId::new("alice").unwrap(), DeviceId::new("a1").unwrap());
    let mut machine = ClientMachine::new(config, Zeros);
    #[expect(clippy::disallowed_methods, reason = "the zero of virtual time: only differences count")]
    let now = Instant::now();
    machine.start(now, UnixSeconds(1_000_000), None).unwrap();
    machine.register(now, "s3cret-token".to_owned()).unwrap();
    while machine.poll_output().is_some_and(|output| format!("{output:?}").starts_with("Event")) {}
    assert!(!format!("{machine:?}").contains("s3cret"));
    machine.handle_connected(now);
    let welcome = r#"{"v":1,"id":"s1","type":"welcome","body":{"session":"x1","resume_token":"s3cret-session","epoch":"e1",
        "resumed":true,"heartbeat_ms":10000,"server_time":1000000,"limits":{"candidates":64,"frame_bytes":65536,
        "header_bytes":1024,"sdp_bytes":32768},"ice_servers":[{"urls":["turn:192.0.2.1"],"username":"u",
        "credential":"s3cret-password"}],"credential":{"expires":1864000,"secret":"s3cret-device"}}}"#;
    machine.handle_frame(now, welcome);
    assert!(machine.ice_servers()[0].credential.is_some(), "the welcome was understood");
    let shown = format!("{machine:?}");
    // Frames on their way out are text as the server gets it.
    let kept = shown.split("outputs:").next().unwrap();
    assert!(!kept.contains("s3cret"), "{kept}");
    let server = IceServer { urls: Vec::new(), username: None, credential: Some("s3cret".to_owned()) };
    assert!(!format!("{server:?}").contains("s3cret"));
}
