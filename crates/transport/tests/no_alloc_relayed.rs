//! What a relay costs in memory: a packet through it is allocated no more often than a packet past it.

mod common;

use std::time::Duration;

use common::turn::{PASSWORD, TURN_SERVER, TurnNode, USER};
use common::{ALICE, World, address, config};
use offhook_sim::allocations::{Counting, of_this_thread};
use offhook_transport::{Output, RelayProtocol, RtpToSend, TurnServer};

#[global_allocator]
static ALLOCATOR: Counting = Counting(std::alloc::System);

const PACKETS: u32 = 500;

fn connected(relayed: bool) -> World {
    let configs = [0, 1].map(|side| {
        let mut config = config(side);
        config.relay_only = relayed && side == ALICE;
        config
    });
    let mut world = World::new(configs, 1);
    world.turn = Some(TurnNode::new(world.start));
    let now = world.now;
    let server = TurnServer {
        address: address(TURN_SERVER),
        protocol: RelayProtocol::Udp,
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
    };
    if relayed {
        world.peers[ALICE].session.add_turn_server(now, server);
    }
    world.negotiate();
    assert!(world.run_until(Duration::from_secs(10), World::both_connected));
    world.run(Duration::from_secs(1));
    world
}

/// Allocations and frees while packets are sent, each gone before the next.
fn cost(world: &mut World) -> u64 {
    let now = world.now;
    let session = &mut world.peers[ALICE].session;
    let payload_type = session.media().expect("negotiated").opus;
    let before = of_this_thread();
    for count in 0..PACKETS {
        let rtp = RtpToSend {
            payload_type,
            marker: false,
            timestamp: count * 960,
            audio_level: None,
            payload: &[7; 80],
        };
        session.send_rtp(now, &rtp).expect("connected");
        while let Output::Transmit(transmit) = session.poll_output(now) {
            drop(transmit);
        }
    }
    of_this_thread() - before
}

#[test]
fn a_relayed_packet_costs_no_allocation_of_its_own() {
    let (mut direct, mut relayed) = (connected(false), connected(true));
    // Once before, so that queues have their size.
    let _ = (cost(&mut direct), cost(&mut relayed));
    let (direct, relayed) = (cost(&mut direct), cost(&mut relayed));
    assert!(relayed <= direct + 4, "{PACKETS} packets: {direct} past the relay, {relayed} through it");
}
