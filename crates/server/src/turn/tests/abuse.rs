//! What others get: nothing, at no cost.

use super::*;

#[tokio::test]
async fn nothing_is_relayed_without_valid_credentials() {
    let server = serve(open_config()).await;
    let (peer, address) = peer().await;
    let good = minted(SECRET, "alice", 600);
    let bad = [
        minted("another secret!!", "alice", 600),
        minted(SECRET, "alice", -1),
        Minted { username: "alice".to_owned(), ..good.clone() },
        Minted { username: good.username.replace(':', ";"), ..good.clone() },
        Minted { username: format!("9{}", good.username), ..good.clone() },
        Minted { password: String::new(), ..good.clone() },
    ];
    let tries = bad.len() as u64;
    for minted in bad {
        let mut client = Client::greet(&server, minted).await;
        let request = client.requests.allocate();
        assert_eq!(client.ask(&request).await.error(), Some(401));
        for request in [client.requests.permission(&["127.0.0.1:9"]), client.requests.refresh(600)] {
            assert_eq!(client.ask(&request).await.error(), Some(401));
        }
        let send = client.requests.send(address, b"psst");
        client.socket.send(&send).await.unwrap();
        client.socket.send(&channel_data(0x4001, b"psst")).await.unwrap();
    }
    assert!(timeout(SOON, receive(&peer)).await.is_err());
    let counters = counters(&server);
    assert_eq!((counters.allocated, counters.relayed_bytes), (0, 0));
    assert!(counters.refused_credentials >= tries * 4);
}

#[tokio::test]
async fn a_nonce_is_good_for_one_address_and_only_as_made_here() {
    let server = serve(open_config()).await;
    let good = minted(SECRET, "alice", 600);
    let mut client = Client::greet(&server, good.clone()).await;
    for nonce in ["", "0000000000", "zz", &"0".repeat(34), &format!("{}x", client.requests.nonce)] {
        let mut other = Client::connect(&server, good.clone()).await;
        nonce.clone_into(&mut other.requests.nonce);
        let request = other.requests.allocate();
        assert_eq!(other.ask(&request).await.error(), Some(438), "{nonce}");
    }
    let request = client.requests.allocate();
    assert!(client.ask(&request).await.is_success());
}

#[tokio::test]
async fn an_allocation_obeys_nobody_but_who_made_it() {
    let server = serve(open_config()).await;
    let (mut client, _) = Client::allocate(&server, minted(SECRET, "alice", 600)).await;
    client.requests.minted = minted(SECRET, "eve", 600);
    for request in [client.requests.refresh(0), client.requests.permission(&["127.0.0.1:9"])] {
        assert_eq!(client.ask(&request).await.error(), Some(441));
    }
}

#[tokio::test]
async fn inside_addresses_are_refused_and_nothing_arrives() {
    let server = serve(turn_config()).await;
    let (mut client, _) = Client::allocate(&server, minted(SECRET, "alice", 600)).await;
    let (peer, address) = peer().await;
    let port = address.port();
    let own = server.turn_addr().unwrap();
    let inside = [
        format!("127.0.0.1:{port}"),
        format!("127.0.0.2:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::1]:{port}"),
        format!("[::]:{port}"),
        "10.0.0.1:80".to_owned(),
        "192.168.0.1:80".to_owned(),
        "169.254.169.254:80".to_owned(),
        "224.0.0.1:80".to_owned(),
        own.to_string(),
    ];
    for (number, inside) in (0x4001..).zip(&inside) {
        let request = client.requests.permission(&[inside]);
        assert_eq!(client.ask(&request).await.error(), Some(403), "{inside}");
        let both = client.requests.permission(&["192.0.2.1:9", inside]);
        assert_eq!(client.ask(&both).await.error(), Some(403), "{inside}");
        let request = client.requests.channel(number, inside.parse().unwrap());
        assert_eq!(client.ask(&request).await.error(), Some(403), "{inside}");
        let send = client.requests.send(inside.parse().unwrap(), b"psst");
        client.socket.send(&send).await.unwrap();
        client.socket.send(&channel_data(number, b"psst")).await.unwrap();
    }
    assert!(timeout(SOON, receive(&peer)).await.is_err());
    let counters = counters(&server);
    assert_eq!(counters.relayed_bytes, 0);
    assert!(counters.refused_peers >= 3 * inside.len() as u64);
}

#[tokio::test]
async fn wishes_that_are_not_granted_are_named() {
    let server = serve(open_config()).await;
    let mut client = Client::greet(&server, minted(SECRET, "alice", 600)).await;
    for (kind, value, error) in [
        (code::EVEN_PORT, &[0x80, 0, 0, 0][..], 420),
        (code::RESERVATION_TOKEN, &[0; 8], 420),
        (code::DONT_FRAGMENT, &[], 420),
        (code::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0], 440),
    ] {
        let request = client.requests.begin(code::ALLOCATE).with(REQUESTED_TRANSPORT, &UDP).with(kind, value);
        let request = client.requests.sign(request);
        assert_eq!(client.ask(&request).await.error(), Some(error), "{kind:#x}");
    }
    for request in [client.requests.refresh(600), client.requests.permission(&["127.0.0.1:9"])] {
        assert_eq!(client.ask(&request).await.error(), Some(437));
    }
    let request = client.requests.begin(code::ALLOCATE).with(REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
    let request = client.requests.sign(request);
    assert_eq!(client.ask(&request).await.error(), Some(442));
    assert_eq!(counters(&server).allocations, 0, "a place that was not used is given back");
}

#[tokio::test]
async fn an_allocation_carries_a_call_and_not_a_download() {
    let server = serve(open_config()).await;
    let (mut client, _) = Client::allocate(&server, minted(SECRET, "alice", 600)).await;
    let (_peer, address) = peer().await;
    let request = client.requests.channel(0x4001, address);
    assert!(client.ask(&request).await.is_success());
    for _ in 0..400 {
        client.socket.send(&channel_data(0x4001, &[0; 1000])).await.unwrap();
        tokio::task::yield_now().await;
    }
    let dropped = async {
        while counters(&server).dropped_datagrams == 0 {
            client.socket.send(&channel_data(0x4001, &[0; 1000])).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, dropped).await.unwrap();
}

/// Pages of this process in memory, as bytes.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_credentials_costs_no_memory_and_shuts_nobody_out() {
    const FLOOD: u64 = 100_000;
    const MOST_GROWTH: u64 = 16 * 1024 * 1024;
    let server = serve(open_config()).await;
    let before = resident();
    let target = server.turn_addr().unwrap();
    let flood = tokio::spawn(async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(target).await.unwrap();
        let mut requests = Requests::new(minted("another secret!!", "eve", 600));
        for number in 0..FLOOD {
            // Each with a user name and a nonce of its own, so that anything kept would pile up.
            requests.minted.username = format!("{}:eve{number}:e.e", u32::MAX);
            requests.nonce = format!("{number:034x}");
            let request = if number % 3 == 0 { requests.challenge() } else { requests.allocate() };
            let _ = socket.send(&request).await;
        }
    });
    // Somebody talks all the while, and others come and go.
    let (mut talking, relayed) = Client::allocate(&server, minted(SECRET, "bob", 600)).await;
    let (peer, address) = peer().await;
    let request = talking.requests.channel(0x4001, address);
    assert!(talking.ask(&request).await.is_success());
    let (mut served, mut relayed_both_ways) = (0, 0);
    while !flood.is_finished() || served < 3 {
        let (mut client, _) = Client::allocate(&server, minted(SECRET, "alice", 600)).await;
        let refresh = client.requests.refresh(0);
        assert!(client.ask(&refresh).await.is_success());
        served += 1;
        for _ in 0..10 {
            exchange(&talking, &peer, relayed, relayed_both_ways).await;
            relayed_both_ways += 1;
        }
    }
    flood.await.unwrap();
    let counters = counters(&server);
    assert!(counters.refused_credentials > FLOOD / 100, "the flood arrived: {counters:?}");
    assert!(counters.allocated > served && counters.allocations <= 3, "{counters:?}");
    assert!(counters.relayed_bytes >= u64::from(relayed_both_ways) * 8, "{counters:?}");
    if let (Some(before), Some(after)) = (before, resident()) {
        assert!(after.saturating_sub(before) < MOST_GROWTH, "from {before} to {after} bytes");
    }
}

/// Brings a number to the peer and back, sent again when it is lost, as sound is by the next packet.
async fn exchange(client: &Client, peer: &UdpSocket, relayed: SocketAddr, number: u32) {
    let sent = number.to_be_bytes();
    let there_and_back = async {
        let mut buffer = [0; 64];
        loop {
            client.socket.send(&channel_data(0x4001, &sent)).await.unwrap();
            let arrives = async {
                while peer.recv(&mut buffer).await.unwrap() != 4 || buffer[..4] != sent {}
                peer.send_to(&sent, relayed).await.unwrap();
                while client.receive().await[..] != channel_data(0x4001, &sent) {}
            };
            if timeout(SOON, arrives).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, there_and_back).await.unwrap();
}
