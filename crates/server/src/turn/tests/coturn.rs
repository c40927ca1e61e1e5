//! Another implementation as the client: coturn's test program, which sends between clients of its own and counts what arrives.

use std::process::Command;

use super::*;

const PROGRAM: &str = "turnutils_uclient";
/// Of each client: what one call sends in a second.
const MESSAGES: u32 = 50;
const CLIENTS: u32 = 2;

/// Runs it against the relay; what it says, or `None` when it is not installed.
async fn uclient(address: SocketAddr, credentials: &Minted, options: &[&str]) -> Option<String> {
    let (port, messages) = (address.port().to_string(), MESSAGES.to_string());
    let clients = CLIENTS.to_string();
    let mut command = Command::new(PROGRAM);
    command.args(["-u", &credentials.username, "-w", &credentials.password, "-p", &port]);
    // From client to client, 160 bytes, without second addresses for RTCP.
    command.args(["-y", "-c", "-l", "160", "-n", &messages, "-m", &clients]).args(options);
    command.arg(address.ip().to_string());
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
            eprintln!("{why}");
            None
        }
    }
}

/// The last of the numbers it prints by this name.
fn number(said: &str, name: &str) -> Option<u32> {
    let (_, rest) = said.rsplit_once(&format!("{name}="))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Everything that is sent arrives.
async fn relays(options: &[&str]) {
    let server = serve(open_config()).await;
    let credentials = minted(SECRET, "alice", 600);
    let Some(said) = uclient(server.turn_addr().unwrap(), &credentials, options).await else { return };
    let counts = ["tot_send_msgs", "tot_recv_msgs"].map(|name| number(&said, name));
    assert_eq!(counts, [Some(MESSAGES * CLIENTS); 2], "{options:?}: {said}");
    let counters = counters(&server);
    assert!(counters.relayed_bytes >= u64::from(MESSAGES * CLIENTS * 160), "{counters:?}");
    assert_eq!(counters.dropped_datagrams, 0, "{counters:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coturns_client_talks_over_udp_by_channels_and_by_indications() {
    relays(&[]).await;
    relays(&["-s"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coturns_client_talks_over_tcp_by_channels_and_by_indications() {
    relays(&["-t"]).await;
    relays(&["-t", "-s"]).await;
}

/// Permissions for peers that it has none to send to, some of which are refused, and frames that are padded although they need not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coturns_client_may_ask_for_more_than_it_needs() {
    relays(&["-G"]).await;
    relays(&["-D"]).await;
    relays(&["-t", "-G", "-D"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coturns_client_gets_nothing_with_a_wrong_password() {
    let server = serve(open_config()).await;
    let wrong = Minted { password: "wrong".to_owned(), ..minted(SECRET, "alice", 600) };
    for options in [&[][..], &["-t"]] {
        if uclient(server.turn_addr().unwrap(), &wrong, options).await.is_some() {
            assert_eq!((counters(&server).allocated, counters(&server).relayed_bytes), (0, 0));
            assert!(counters(&server).refused_credentials > 0);
        }
    }
}
