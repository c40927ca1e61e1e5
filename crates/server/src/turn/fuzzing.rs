//! Bytes of anybody, before anything is authenticated.

use std::net::SocketAddr;
use std::sync::Arc;

use offhook_signaling::UnixSeconds;

use super::credential::{Claim, TurnSecret};
use super::frame::Framer;
use super::gate::{Gate, Verdict};
use super::ledger::Ledger;
use super::peer::PeerFilter;
use super::stun::Stun;
use crate::config::TurnLimits;

/// A datagram of somebody without credentials, and of a client that has an allocation. Neither gets what it may not.
///
/// # Panics
/// When an invariant does not hold.
pub fn turn_datagram(data: &[u8]) {
    let ledger = Arc::new(Ledger::new(TurnLimits::default()));
    let gate = Gate {
        realm: super::REALM.to_owned(),
        secrets: vec![TurnSecret::new([7; 32]), TurnSecret::new([8; 32])],
        nonce_key: [9; 32],
        filter: Arc::new(PeerFilter::default()),
        ledger: Arc::clone(&ledger),
        external: [198, 51, 100, 7].into(),
    };
    let (source, now) = (SocketAddr::from(([192, 0, 2, 1], 5)), UnixSeconds(1_700_000_000));
    match gate.judge(data, source, None, now) {
        Verdict::Drop => {}
        Verdict::Reply(reply) => assert!(Stun::parse(&reply).is_some(), "an answer is a message"),
        Verdict::Data | Verdict::Request(_) => panic!("nothing is given without credentials"),
    }
    let claim = Claim { until: UnixSeconds(1), user: "a", call: None };
    let Ok(lease) = ledger.lease(&claim, "1:a.b", vec![1; 16], [0; 12]) else { return };
    match gate.judge(data, source, Some(&lease), now) {
        Verdict::Request(_) => panic!("nobody knows the key"),
        Verdict::Data => {
            let peers = Stun::parse(data).and_then(|message| message.peers()).unwrap_or_default();
            assert!(peers.iter().all(|peer| gate.filter.allows(peer.ip())), "only peers that are served");
        }
        Verdict::Drop | Verdict::Reply(_) => {}
    }
    drop(lease);
    assert_eq!(ledger.count(), 0, "nothing is kept");
}

/// A stream, cut at a place that its first byte names: the frames are the same as uncut.
///
/// # Panics
/// When an invariant does not hold.
pub fn turn_stream(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let cut = usize::from(*cut).min(stream.len());
    let frames = |chunks: &[&[u8]]| {
        let (mut framer, mut frames) = (Framer::default(), Vec::new());
        for chunk in chunks {
            framer.push(chunk);
            loop {
                match framer.next() {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(_) => return (frames, true),
                }
            }
        }
        (frames, false)
    };
    let whole = frames(&[stream]);
    assert_eq!(whole, frames(&[&stream[..cut], &stream[cut..]]));
    assert!(whole.0.iter().map(Vec::len).sum::<usize>() <= stream.len());
}
