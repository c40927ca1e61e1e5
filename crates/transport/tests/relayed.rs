//! Calls through a TURN server: where nothing else passes, and where nothing else is wanted.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::turn::{PASSWORD, TURN_SERVER, TurnNode, USER};
use common::{ALICE, BOB, Datagram, World, address, config};
use offhook_transport::{
    CandidateKind, Carrier, Event, RelayError, RelayProtocol, TransportError, TurnServer,
};

const LIMIT: Duration = Duration::from_secs(10);

fn server(protocol: RelayProtocol) -> TurnServer {
    TurnServer {
        address: address(TURN_SERVER),
        protocol,
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

/// Two sides and a TURN server; who is in `hidden` uses nothing else.
fn world(hidden: [bool; 2], seed: u64) -> World {
    let configs = [ALICE, BOB].map(|side| {
        let mut config = config(side);
        config.relay_only = hidden[side];
        config
    });
    let mut world = World::new(configs, seed);
    world.turn = Some(TurnNode::new(world.start));
    world
}

fn ask(world: &mut World, side: usize) {
    let now = world.now;
    let session = &mut world.peers[side].session;
    session.add_turn_server(now, server(RelayProtocol::Udp));
    session.end_of_local_candidates(now);
}

fn connect(world: &mut World) {
    world.negotiate();
    let connected = world.run_until(LIMIT, World::both_connected);
    assert!(connected, "{:?}\n{:?}", world.peers[ALICE].events, world.peers[BOB].events);
}

/// Both hear each other, every packet.
fn talk(world: &mut World) {
    let before = [ALICE, BOB].map(|side| world.peers[side].heard.len());
    world.talk(Duration::from_secs(1));
    world.run(Duration::from_millis(200));
    for side in [ALICE, BOB] {
        assert_eq!(world.peers[side].heard.len() - before[side], 50, "side {side}");
    }
}

fn is_turn(address: SocketAddr) -> bool {
    address.ip() == common::address(TURN_SERVER).ip()
}

/// Everything that does not go to or come from the server.
fn direct(datagram: &Datagram) -> bool {
    !is_turn(datagram.source) && !is_turn(datagram.destination)
}

fn candidates(world: &World, side: usize) -> Vec<&String> {
    let events = world.peers[side].events.iter();
    let lines = events.filter_map(|event| match event {
        Event::LocalCandidate(line) => Some(line),
        _ => None,
    });
    lines.collect()
}

#[test]
fn where_nothing_passes_directly_one_relay_connects_them() {
    let mut world = world([false, false], 1);
    world.blocks = direct;
    ask(&mut world, ALICE);
    connect(&mut world);
    let (ours, theirs) = world.peers[ALICE].session.stats().path.unwrap();
    assert_eq!((ours.kind, ours.relay), (Some(CandidateKind::Relayed), Some(RelayProtocol::Udp)));
    assert!(!is_turn(theirs.address));
    let (_, relay) = world.peers[BOB].session.stats().path.unwrap();
    assert_eq!(relay.address, ours.address);
    assert_eq!(relay.relay, None, "it is the other side's");
    talk(&mut world);
}

#[test]
fn media_passes_through_a_channel() {
    let mut world = world([true, false], 2);
    ask(&mut world, ALICE);
    connect(&mut world);
    world.run(Duration::from_secs(1));
    let before = world.turn.as_ref().unwrap().channel_frames;
    talk(&mut world);
    assert!(world.turn.as_ref().unwrap().channel_frames >= before + 50);
}

#[test]
fn who_hides_behind_relays_tells_no_address_of_their_own() {
    let mut world = world([true, true], 3);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    connect(&mut world);
    talk(&mut world);
    for side in [ALICE, BOB] {
        let lines = candidates(&world, side);
        assert!(lines.iter().all(|line| line.contains(" typ relay raddr 0.0.0.0 rport 0")), "{lines:?}");
        assert_eq!(lines.len(), 1);
        let (ours, theirs) = world.peers[side].session.stats().path.unwrap();
        assert!(is_turn(ours.address) && is_turn(theirs.address));
    }
    assert!(world.tapped.iter().all(|datagram| is_turn(datagram.destination)), "nothing goes past the relay");
}

#[test]
fn a_direct_path_is_taken_where_there_is_one() {
    let mut world = world([false, false], 4);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    world.run(Duration::from_secs(1));
    connect(&mut world);
    let (ours, theirs) = world.peers[ALICE].session.stats().path.unwrap();
    assert_eq!((ours.kind, theirs.kind), (Some(CandidateKind::Host), Some(CandidateKind::Host)));
    assert!(world.peers[ALICE].session.stats().setup.unwrap() < Duration::from_secs(1));
}

/// Near the server nothing waits for the pace of connectivity checks: the answers are the pace.
#[test]
fn near_the_server_an_address_is_there_in_two_round_trips() {
    for (delay, limit) in [(1, 10), (10, 45), (25, 105)] {
        let mut world = world([true, false], 29);
        world.delay = Duration::from_millis(delay);
        ask(&mut world, ALICE);
        let has_address = |world: &World| !candidates(world, ALICE).is_empty();
        assert!(world.run_until(Duration::from_millis(limit), has_address), "{delay} ms");
    }
}

/// However near, requests are five milliseconds apart (RFC 8445, section 14.2).
#[test]
fn requests_are_never_a_burst() {
    let mut world = world([true, true], 30);
    world.delay = Duration::from_micros(100);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    connect(&mut world);
    world.run(Duration::from_millis(500));
    for side in [ALICE, BOB] {
        let requests: Vec<_> = (world.tapped.iter())
            .filter(|datagram| is_request(datagram) && world.peers[side].sockets.contains(&datagram.source))
            .map(|datagram| datagram.due)
            .collect();
        assert!(requests.len() >= 4, "two for the address, permission, channel: {requests:?}");
        let pauses = requests.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(pauses.min() >= Some(Duration::from_millis(5)), "{requests:?}");
    }
}

/// Two that hide wait for no check that the other's relay dropped because it came before the permission.
#[test]
fn two_relays_let_each_others_first_check_through() {
    let mut world = world([true, true], 33);
    world.delay = Duration::from_millis(2);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    world.run(Duration::from_secs(1));
    world.negotiate();
    assert!(
        world.run_until(Duration::from_millis(190), World::both_connected),
        "sooner than a check is repeated"
    );
}

/// The callee's first check comes before the caller's relay knows of the callee: it is repeated when the caller's comes through.
#[test]
fn a_check_that_came_too_early_is_repeated_when_the_others_comes() {
    let mut world = world([true, true], 34);
    world.delay = Duration::from_millis(2);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    world.run(Duration::from_secs(1));
    let offer = world.peers[ALICE].session.create_offer().unwrap();
    let answer = world.peers[BOB].session.handle_offer(world.now, &offer).unwrap();
    world.run(Duration::from_millis(40));
    let now = world.now;
    world.peers[ALICE].session.handle_answer(now, &answer).unwrap();
    assert!(world.run_until(Duration::from_millis(120), World::both_connected));
}

/// To the server: Allocate, Refresh, CreatePermission or ChannelBind.
fn is_request(datagram: &Datagram) -> bool {
    is_turn(datagram.destination) && matches!(datagram.contents[..], [0, 3 | 4 | 8 | 9, ..])
}

#[test]
fn hidden_without_any_relay_a_session_ends_at_once_and_says_why() {
    let mut world = world([true, false], 31);
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.add_turn_server(now, TurnServer { password: "wrong".to_owned(), ..server(RelayProtocol::Udp) });
    session.end_of_local_candidates(now);
    world.run(Duration::from_secs(1));
    assert_eq!(world.failure(ALICE), None, "before the descriptions are exchanged more may be told");
    world.negotiate();
    world.run(Duration::from_millis(1));
    let why = TransportError::NoRelay { last: Some(RelayError::Credentials) };
    assert_eq!(world.failure(ALICE), Some(&why));
    assert!(why.to_string().contains("user name and password"), "{why}");
}

#[test]
fn who_asks_after_the_end_is_told_how_the_relay_was_reached() {
    let mut world = world([true, false], 32);
    ask(&mut world, ALICE);
    connect(&mut world);
    let before = world.peers[ALICE].session.stats().path;
    let now = world.now;
    world.peers[ALICE].session.close(now);
    let after = world.peers[ALICE].session.stats().path;
    assert_eq!(after, before);
    assert_eq!(after.unwrap().0.relay, Some(RelayProtocol::Udp));
}

#[test]
fn the_password_is_shown_nowhere() {
    let mut world = world([true, false], 28);
    ask(&mut world, ALICE);
    world.run(Duration::from_secs(1));
    let shown = format!("{:?}", world.peers[ALICE].session);
    assert!(shown.contains(TURN_SERVER) && !shown.contains(PASSWORD));
}

#[test]
fn wrong_credentials_are_told_and_end_gathering() {
    let mut world = world([false, false], 5);
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.add_turn_server(now, TurnServer { password: "wrong".to_owned(), ..server(RelayProtocol::Udp) });
    session.end_of_local_candidates(now);
    world.run(Duration::from_secs(1));
    assert_eq!(failures(&world, ALICE), [RelayError::Credentials]);
    assert!(world.peers[ALICE].events.contains(&Event::GatheringDone));
}

#[test]
fn a_server_that_does_not_answer_does_not_hold_up_the_end_of_gathering() {
    let mut world = world([false, false], 6);
    world.turn = None;
    ask(&mut world, ALICE);
    let done = |world: &World| world.peers[ALICE].events.contains(&Event::GatheringDone);
    assert!(!world.run_until(Duration::from_secs(1), done));
    assert!(world.run_until(Duration::from_secs(6), done));
    assert_eq!(failures(&world, ALICE), [RelayError::NoAnswer]);
    connect(&mut world);
}

fn failures(world: &World, side: usize) -> Vec<RelayError> {
    let failure = |event: &Event| match event {
        Event::RelayFailed { error, .. } => Some(*error),
        _ => None,
    };
    world.peers[side].events.iter().filter_map(failure).collect()
}

#[test]
fn lost_datagrams_are_repeated() {
    for seed in 10..20 {
        let mut world = world([true, true], seed);
        world.loss = 0.1;
        ask(&mut world, ALICE);
        ask(&mut world, BOB);
        connect(&mut world);
    }
}

/// Allocations last ten minutes, permissions five: both are renewed.
#[test]
fn an_hour_through_a_relay() {
    let mut world = world([true, true], 7);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    connect(&mut world);
    world.run(Duration::from_secs(3600));
    assert!(world.both_connected());
    talk(&mut world);
    assert!(failures(&world, ALICE).is_empty());
}

#[test]
fn a_call_through_a_relay_survives_a_new_address() {
    let mut world = world([true, true], 8);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    connect(&mut world);
    world.talk(Duration::from_secs(1));
    let (old, new) = (address("127.0.0.1:4000"), address("127.0.0.2:4000"));
    world.peers[ALICE].sockets = vec![new];
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.add_local_candidate(now, new).unwrap();
    session.remove_local_candidate(now, old);
    let offer = session.restart_ice(now).unwrap();
    world.talk(Duration::from_millis(60));
    world.exchange(ALICE, &offer);
    let before = world.peers[BOB].heard.len();
    world.talk(Duration::from_secs(3));
    let heard = world.peers[BOB].heard.len() - before;
    assert!(heard >= 100, "less than a second was lost of three: {heard}");
    let longest =
        world.peers[BOB].heard.windows(2).map(|pair| pair[1].arrival - pair[0].arrival).max().unwrap();
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

#[test]
fn addresses_are_given_back_at_the_end() {
    let mut world = world([true, true], 9);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    connect(&mut world);
    world.tapped.clear();
    let now = world.now;
    world.peers[ALICE].session.close(now);
    world.run(Duration::from_millis(200));
    let is_refresh = |datagram: &&Datagram| datagram.contents.starts_with(&[0, 4]);
    assert_eq!(world.tapped.iter().filter(is_refresh).count(), 1);
    assert!(world.peers[BOB].events.contains(&Event::RemoteBye), "said before the address was given back");
    assert_eq!(world.tapped.iter().filter(|datagram| datagram.carrier == Carrier::Tcp).count(), 0);
}

/// Alice's firewall lets no datagram out.
fn without_udp(datagram: &Datagram) -> bool {
    let alice = address("127.0.0.1:4000");
    datagram.carrier == Carrier::Udp && (datagram.source == alice || datagram.destination == alice)
}

/// Alice reaches the server over a connection.
fn over_tcp(seed: u64) -> World {
    let mut world = world([false, false], seed);
    world.blocks = without_udp;
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.add_turn_connection(now, address("127.0.0.1:6000"), &server(RelayProtocol::Tcp));
    session.end_of_local_candidates(now);
    world
}

#[test]
fn without_any_udp_a_connection_carries_the_call() {
    let mut world = over_tcp(21);
    connect(&mut world);
    let (ours, _) = world.peers[ALICE].session.stats().path.unwrap();
    assert_eq!((ours.kind, ours.relay), (Some(CandidateKind::Relayed), Some(RelayProtocol::Tcp)));
    world.run(Duration::from_secs(1));
    talk(&mut world);
}

/// Packets of every length in a row, so that every padding occurs.
#[test]
fn frames_on_a_connection_are_whole_words() {
    let mut world = over_tcp(22);
    connect(&mut world);
    talk(&mut world);
    let frames = world.tapped.iter().filter(|datagram| datagram.carrier == Carrier::Tcp);
    let lengths: Vec<usize> = frames.map(|frame| frame.contents.len()).collect();
    assert!(lengths.len() > 50 && lengths.iter().all(|length| length.is_multiple_of(4)), "{lengths:?}");
}

#[test]
fn a_relay_over_datagrams_is_preferred_to_one_over_a_connection() {
    let mut world = world([true, false], 23);
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.add_turn_connection(now, address("127.0.0.1:6000"), &server(RelayProtocol::Tcp));
    ask(&mut world, ALICE);
    world.run(Duration::from_secs(1));
    assert_eq!(candidates(&world, ALICE).len(), 2);
    connect(&mut world);
    world.run(Duration::from_secs(2));
    let (ours, _) = world.peers[ALICE].session.stats().path.unwrap();
    assert_eq!(ours.relay, Some(RelayProtocol::Udp));
}

#[test]
fn a_connection_that_ends_takes_its_address_along() {
    let mut world = over_tcp(24);
    connect(&mut world);
    let (ours, _) = world.peers[ALICE].session.stats().path.unwrap();
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.handle_stream_closed(now, address("127.0.0.1:6000"), address(TURN_SERVER));
    world.run(Duration::from_millis(1));
    let told = Event::RelayFailed {
        local: address("127.0.0.1:6000"),
        server: address(TURN_SERVER),
        protocol: RelayProtocol::Tcp,
        relayed: Some(ours.address),
        error: RelayError::ConnectionClosed,
    };
    assert!(world.peers[ALICE].events.contains(&told), "{:?}", world.peers[ALICE].events);
    // A new connection and an ICE restart bring the call back.
    let session = &mut world.peers[ALICE].session;
    session.add_turn_connection(now, address("127.0.0.1:6001"), &server(RelayProtocol::Tcp));
    let offer = session.restart_ice(now).unwrap();
    world.exchange(ALICE, &offer);
    world.run(Duration::from_secs(2));
    talk(&mut world);
}

#[test]
fn something_else_that_listens_there_is_told() {
    let mut world = world([false, false], 25);
    world.turn = None;
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    session.add_turn_connection(now, address("127.0.0.1:6000"), &server(RelayProtocol::Tls));
    session.handle_stream(
        now,
        address("127.0.0.1:6000"),
        address(TURN_SERVER),
        b"HTTP/1.1 400 Bad Request\r\n",
    );
    world.run(Duration::from_millis(1));
    assert_eq!(failures(&world, ALICE), [RelayError::NotTurn]);
}

/// The far end's relay is gone without a word: both sides know it in time (RFC 7675).
#[test]
fn through_a_relay_too_a_lost_peer_is_noticed_within_thirty_seconds() {
    let mut world = world([true, true], 26);
    ask(&mut world, ALICE);
    ask(&mut world, BOB);
    connect(&mut world);
    world.talk(Duration::from_secs(1));
    let broke = world.now;
    world.blocks = |_| true;
    let lost = |world: &World| world.peers.iter().all(|peer| peer.events.contains(&Event::PeerLost));
    assert!(world.run_until(Duration::from_secs(40), lost));
    assert!(world.now - broke <= Duration::from_secs(30), "{:?}", world.now - broke);
}

/// Names are not looked up; the peer that has only those is reached through its own checks.
#[test]
fn candidates_with_names_are_passed_over() {
    let mut world = world([false, false], 27);
    world.peers[BOB].trickle = false;
    let offer = world.peers[ALICE].session.create_offer().unwrap();
    let answer = world.peers[BOB].session.handle_offer(world.now, &offer).unwrap();
    let hidden = answer
        .replace(" 127.0.0.1 5000 typ host", " 6f1bbf1a-7a3a-4a0e-9d0b-6f8b0a1b2c3d.local 5000 typ host");
    assert_ne!(hidden, answer);
    let now = world.now;
    world.peers[ALICE].session.handle_answer(now, &hidden).unwrap();
    assert!(world.run_until(LIMIT, World::both_connected));
    let (_, theirs) = world.peers[ALICE].session.stats().path.unwrap();
    assert_eq!(theirs.kind, Some(CandidateKind::PeerReflexive));
}
