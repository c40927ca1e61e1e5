//! Another implementation as the client: coturn's test program.

use std::process::Command;

use super::*;

const PROGRAM: &str = "turnutils_uclient";

/// Runs it against the relay; `None` when it is not installed.
async fn uclient(server: &RunningServer, credentials: &Minted, options: &[&str]) -> Option<String> {
    let address = server.turn_addr().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args([
        "-u",
        &credentials.username,
        "-w",
        &credentials.password,
        "-p",
        &address.port().to_string(),
    ]);
    // Client to client, 160 bytes, no RTCP port of its own.
    command
        .args(["-y", "-c", "-n", "50", "-l", "160", "-m", "2"])
        .args(options)
        .arg(address.ip().to_string());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    match output {
        Ok(output) => Some(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => {
            let why = format!("NOT RUN: {PROGRAM} is missing ({error}); scripts/setup.sh test installs it");
            assert!(std::env::var_os("OFFHOOK_REQUIRE_COTURN").is_none(), "{why}");
            tracing::warn!("{why}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coturns_client_gets_nothing_with_a_wrong_password() {
    let server = serve(open_config()).await;
    let wrong = Minted { password: "wrong".to_owned(), ..minted(SECRET, "alice", 600) };
    if uclient(&server, &wrong, &[]).await.is_some() {
        assert_eq!(counters(&server).allocated, 0);
        assert!(counters(&server).refused_credentials > 0);
    }
}
