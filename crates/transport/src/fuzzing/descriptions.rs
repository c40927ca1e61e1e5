//! What signaling brings from a peer: session descriptions and candidate lines.

use super::link::certificate;
use super::start;
use crate::candidate::{MAX_LINE, RemoteCandidate, parse};
use crate::config::{Role, SessionConfig};
use crate::sdp::{RemoteDescription, Setup};
use crate::session::Session;

fn session(role: Role) -> Option<Session> {
    let mut config = SessionConfig::new(certificate(), role);
    config.red_payload_type = Some(63);
    Session::new(config, start()).ok()
}

/// Any text as an offer, as the answer to ours, and as an offer during a call: refused, or answered by the rules.
///
/// # Panics
/// When an invariant does not hold.
pub fn sdp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (Some(mut fresh), Some(mut offering)) = (session(Role::Answerer), session(Role::Offerer)) else {
        return;
    };
    as_offer(&mut fresh, text);
    as_answer(&mut offering, text);
    as_offer(&mut offering, text);
    as_offer(&mut fresh, text);
}

fn as_offer(session: &mut Session, text: &str) {
    let Ok(answer) = session.handle_offer(start(), text) else { return };
    let offer = RemoteDescription::parse(text).expect("it was taken");
    let ours = RemoteDescription::parse(&answer).expect("we read what we write");
    assert_ne!(ours.setup, Setup::ActPass, "an answer takes a part");
    assert_eq!(ours.audio_section, offer.audio_section);
    let same = offer.sections.iter().map(|section| (&section.kind, &section.protocol, &section.mid));
    assert!(same.eq(ours.sections.iter().map(|section| (&section.kind, &section.protocol, &section.mid))));
    check_media(session);
    check_next_offer(session, offer.sections.len());
}

fn as_answer(session: &mut Session, text: &str) {
    session.create_offer().expect("nothing stands in the way of a first offer");
    if session.handle_answer(start(), text).is_err() {
        session.rollback();
        return;
    }
    check_media(session);
    check_next_offer(session, 1);
}

/// Numbers that would be taken for another protocol or for each other never become agreed.
fn check_media(session: &Session) {
    let media = session.media().expect("a description was taken");
    let mut numbers: Vec<u8> =
        [Some(media.opus), media.red, media.telephone_event_48k, media.telephone_event_8k]
            .into_iter()
            .flatten()
            .collect();
    assert!(numbers.iter().all(|number| matches!(number, 35..=63 | 96..=127)), "{numbers:?}");
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    let mut extensions = media.audio_level_id.into_iter().chain(media.transport_sequence_id);
    assert!(extensions.all(|id| (1..=14).contains(&id)));
    assert!(media.audio_level_id.is_none() || media.audio_level_id != media.transport_sequence_id);
}

/// Whatever was agreed on can be offered again, with all the sections there were.
fn check_next_offer(session: &mut Session, sections: usize) {
    let offer = session.create_offer().expect("no offer is out");
    session.rollback();
    let read = RemoteDescription::parse(&offer).expect("we read what we write");
    assert_eq!((read.sections.len(), read.setup), (sections, Setup::ActPass));
}

/// Any text as a candidate line: what is usable is usable for the library too, and means the same there.
///
/// # Panics
/// When an invariant does not hold.
pub fn ice_candidate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(RemoteCandidate::Usable(candidate)) = parse(text) {
        assert!(text.len() <= MAX_LINE);
        let library = is::Candidate::from_sdp_string(&candidate.line);
        assert_eq!(library.ok().map(|library| library.addr()), Some(candidate.address), "{}", candidate.line);
        assert_eq!(parse(&candidate.line), Ok(RemoteCandidate::Usable(candidate)));
    }
    let Some(mut session) = session(Role::Answerer) else { return };
    let _any_outcome = session.add_remote_candidate(start(), text);
    let _same_again = session.add_remote_candidate(start(), text);
}
