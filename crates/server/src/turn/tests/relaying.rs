//! What clients with good credentials get.

use super::*;

#[tokio::test]
async fn data_passes_both_ways_by_indications_and_by_channel() {
    let server = serve(open_config()).await;
    let (mut client, relayed) = Client::allocate(&server, minted(SECRET, "alice", 600)).await;
    let (peer, address) = peer().await;

    let request = client.requests.permission(&[&address.to_string()]);
    assert!(client.ask(&request).await.is_success());
    let send = client.requests.send(address, b"one");
    client.socket.send(&send).await.unwrap();
    assert_eq!(receive(&peer).await, (b"one".to_vec(), relayed));
    peer.send_to(b"two", relayed).await.unwrap();
    let data = Answer { bytes: client.receive().await };
    assert_eq!(data.message().kind(), DATA_INDICATION);
    assert_eq!(data.message().first(DATA), Some(&b"two"[..]));
    assert_eq!(data.message().peers().unwrap(), [address]);

    let request = client.requests.channel(0x4001, address);
    assert!(client.ask(&request).await.is_success());
    client.socket.send(&channel_data(0x4001, b"three")).await.unwrap();
    assert_eq!(receive(&peer).await, (b"three".to_vec(), relayed));
    peer.send_to(b"four", relayed).await.unwrap();
    assert_eq!(client.receive().await[..8], channel_data(0x4001, b"four"));
    assert_eq!(counters(&server).relayed_bytes, 15);
    assert_eq!(counters(&server).allocations, 1);
}

#[tokio::test]
async fn every_peer_of_one_permission_request_is_let_through() {
    let server = serve(open_config()).await;
    let (mut client, relayed) = Client::allocate(&server, minted(SECRET, "alice", 600)).await;
    let request = client.requests.permission(&["127.0.0.5:1", "127.0.0.6:1"]);
    assert!(client.ask(&request).await.is_success());
    for ip in ["127.0.0.5", "127.0.0.6"] {
        let peer = UdpSocket::bind((ip, 0)).await.unwrap();
        peer.send_to(ip.as_bytes(), relayed).await.unwrap();
        let data = Answer { bytes: timeout(PATIENCE, client.receive()).await.unwrap() };
        assert_eq!(data.message().first(DATA), Some(ip.as_bytes()));
    }
}

#[tokio::test]
async fn two_clients_of_one_relay_reach_each_other_and_nothing_else_of_its_machine() {
    let server = serve(turn_config()).await;
    let (mut alice, of_alice) = Client::allocate(&server, minted(SECRET, "alice", 600)).await;
    let (mut bob, of_bob) = Client::allocate(&server, minted(SECRET, "bob", 600)).await;
    for (client, other) in [(&mut alice, of_bob), (&mut bob, of_alice)] {
        let request = client.requests.channel(0x4001, other);
        assert!(client.ask(&request).await.is_success());
    }
    alice.socket.send(&channel_data(0x4001, b"hello")).await.unwrap();
    assert_eq!(timeout(PATIENCE, bob.receive()).await.unwrap()[4..9], *b"hello");
    // The permission is for the address; datagrams still go to relayed ports only.
    let (stranger, address) = peer().await;
    let send = alice.requests.send(address, b"psst");
    alice.socket.send(&send).await.unwrap();
    assert!(timeout(SOON, receive(&stranger)).await.is_err());
}

#[tokio::test]
async fn an_allocation_outlives_its_credentials_but_no_new_one_is_made() {
    let server = serve(open_config()).await;
    let credentials = minted(SECRET, "alice", 2);
    let (mut client, _) = Client::allocate(&server, credentials.clone()).await;
    let mut late = Client::greet(&server, credentials.clone()).await;
    while environment::wall().0 < credential::read(&credentials.username).unwrap().until.0 {
        tokio::time::sleep(SOON).await;
    }
    let refresh = client.requests.refresh(600);
    assert!(client.ask(&refresh).await.is_success());
    let allocate = late.requests.allocate();
    assert_eq!(late.ask(&allocate).await.error(), Some(401));
}

#[tokio::test]
async fn a_request_that_comes_twice_gets_the_same_answer() {
    let server = serve(open_config()).await;
    let mut client = Client::greet(&server, minted(SECRET, "alice", 600)).await;
    let request = client.requests.allocate();
    let first = client.ask(&request).await;
    assert_eq!(client.ask(&request).await.bytes, first.bytes);
    let another = client.requests.allocate();
    assert_eq!(client.ask(&another).await.error(), Some(437));
    assert_eq!(counters(&server).allocated, 1);
}

#[tokio::test]
async fn an_even_port_is_given_when_asked_for() {
    let server = serve(open_config()).await;
    // A later one from the port of one that is gone would be told that the allocation there is somebody else's.
    let mut clients = Vec::new();
    for user in 0..8 {
        let mut client = Client::greet(&server, minted(SECRET, &format!("user{user}"), 600)).await;
        let request =
            client.requests.begin(code::ALLOCATE).with(REQUESTED_TRANSPORT, &UDP).with(code::EVEN_PORT, &[0]);
        let request = client.requests.sign(request);
        let answer = client.ask(&request).await;
        assert_eq!(answer.address(XOR_RELAYED_ADDRESS).port() % 2, 0);
        clients.push(client);
    }
    assert_eq!(counters(&server).allocations, 8);
}

#[tokio::test]
async fn an_allocation_that_is_given_back_frees_its_place() {
    let mut config = open_config();
    config.limits.allocations_per_user = 1;
    let server = serve(config).await;
    let (mut first, _) = Client::allocate(&server, minted(SECRET, "alice", 600)).await;
    let mut second = Client::greet(&server, minted(SECRET, "alice", 601)).await;
    let request = second.requests.allocate();
    assert_eq!(second.ask(&request).await.error(), Some(486));
    let (_bob, _) = Client::allocate(&server, minted(SECRET, "bob", 600)).await;
    let refresh = first.requests.refresh(0);
    assert!(first.ask(&refresh).await.is_success());
    let again = async {
        loop {
            let request = second.requests.allocate();
            if second.ask(&request).await.is_success() {
                return;
            }
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    assert_eq!(counters(&server).allocations, 2);
}

#[tokio::test]
async fn the_previous_secret_is_still_taken() {
    let mut config = open_config();
    config.previous_secret = Some(TurnSecret::new("the secret before"));
    let server = serve(config).await;
    Client::allocate(&server, minted("the secret before", "alice", 600)).await;
    Client::allocate(&server, minted(SECRET, "alice", 600)).await;
}
