//! Offer, answer and candidates of a call: the first exchange, hold, ICE restarts.

use std::time::{Duration, Instant};

use offhook_media_core::recording::Settings;
use offhook_media_core::send::SendConfig;
use offhook_media_core::units::PacketTime;
use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::{Candidate, SdpKind, Update};
use offhook_transport::{Direction, Media, SessionError};

use super::{MediaDriver, MediaNews};
use crate::event::CallDirection;
use crate::stats::Codec;

/// An offer without an answer for this long gives way to another that is wanted; else it is sent again, less and less often: who was away
/// from the server for long does not learn it otherwise.
const ANSWER: Duration = Duration::from_secs(5);
/// An offer is sent again after five seconds, ten, twenty, forty, and then each minute and a quarter.
const MOST_DOUBLINGS: u32 = 4;

/// Where the negotiation of a call stands, as far as the session does not know it.
#[derive(Debug)]
pub(super) struct Negotiation {
    pub(super) direction: CallDirection,
    /// The caller's offer, on the callee's side, before the person accepted.
    pub(super) remote_offer: Option<String>,
    /// Our newest description: what stands in it need not be trickled.
    described: Option<String>,
    /// The answer that was made but may not have been sent.
    answer: Option<String>,
    /// An offer that is to be made as soon as it may.
    wanted: Option<Wanted>,
    /// Our offer that is out.
    offered: Option<Offered>,
    held: bool,
    configured: bool,
}

#[derive(Debug)]
struct Offered {
    wanted: Wanted,
    since: Instant,
    sdp: String,
    /// How often it was sent again, and when next.
    repeats: u32,
    repeat_at: Instant,
}

/// What an offer is for. A restart serves the other purpose too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Direction,
    Restart,
}

impl Negotiation {
    pub(super) fn new(direction: CallDirection, offer: Option<String>) -> Self {
        Self {
            direction,
            remote_offer: None,
            described: offer,
            answer: None,
            wanted: None,
            offered: None,
            held: false,
            configured: false,
        }
    }

    fn offer_made(&mut self, now: Instant, wanted: Wanted, sdp: &str) {
        self.wanted = None;
        self.described = Some(sdp.to_owned());
        let repeat_at = now + ANSWER;
        self.offered = Some(Offered { wanted, since: now, sdp: sdp.to_owned(), repeats: 0, repeat_at });
    }

    /// What an offer is to be made for now. One that is out is waited for, for a while; what it was for is then wanted still.
    fn offer_due(&self, now: Instant) -> Option<Wanted> {
        let wanted = self.wanted?;
        match &self.offered {
            Some(out) if now < out.since + ANSWER => None,
            Some(out) => Some(wanted.max(out.wanted)),
            None => Some(wanted),
        }
    }

    /// The offer that is out, word by word, when it is time to send it again: to a peer that has answered it, it says nothing new.
    fn repeat_due(&mut self, now: Instant) -> Option<String> {
        let out = self.offered.as_mut().filter(|out| now >= out.repeat_at)?;
        out.repeats = (out.repeats + 1).min(MOST_DOUBLINGS);
        out.repeat_at = now + ANSWER * (1 << out.repeats);
        Some(out.sdp.clone())
    }
}

impl MediaDriver {
    /// The answer to the caller's offer: made once, so that a person can accept again when the first try failed.
    pub(super) fn make_answer(&mut self, now: Instant) -> Result<String, String> {
        if let Some(made) = &self.negotiation.answer {
            return Ok(made.clone());
        }
        let offer = self.negotiation.remote_offer.take().ok_or("there is no offer")?;
        let answer = self.session.handle_offer(now, &offer).map_err(|error| error.to_string())?;
        self.negotiation.described = Some(answer.clone());
        self.negotiation.answer = Some(answer.clone());
        self.negotiated();
        Ok(answer)
    }

    pub(super) fn take_first_answer(&mut self, now: Instant, sdp: &str) {
        match self.session.handle_answer(now, sdp) {
            Ok(()) => self.negotiated(),
            Err(error) => {
                tracing::info!(call = %self.core.id, %error, "the answer cannot be used");
                self.push_news(MediaNews::Failed(CallEndCause::Failure));
            }
        }
    }

    pub(super) fn take_candidate(&mut self, now: Instant, candidate: &Candidate) {
        if candidate.end {
            return self.session.end_of_candidates(now);
        }
        let mut line = candidate.candidate.clone();
        if !candidate.ufrag.is_empty() && !line.contains(" ufrag ") {
            line = format!("{line} ufrag {}", candidate.ufrag);
        }
        if let Err(error) = self.session.add_remote_candidate(now, &line) {
            tracing::debug!(call = %self.core.id, %error, "candidate not used");
        }
    }

    pub(super) fn take_update(&mut self, now: Instant, update: &Update) {
        let taken = match update.kind {
            SdpKind::Offer => self.take_offer(now, &update.sdp),
            SdpKind::Answer => self.session.handle_answer(now, &update.sdp).map(|()| {
                self.negotiation.offered = None;
                self.negotiated();
            }),
        };
        if let Err(error) = taken {
            tracing::debug!(call = %self.core.id, kind = ?update.kind, %error, "update not used");
        }
        self.offer_if_wanted(now);
    }

    fn take_offer(&mut self, now: Instant, sdp: &str) -> Result<(), SessionError> {
        let answer = self.session.handle_offer(now, sdp)?;
        // Ours, when one was out, has given way: it is made again.
        if let Some(out) = self.negotiation.offered.take() {
            self.negotiation.wanted = self.negotiation.wanted.max(Some(out.wanted));
        }
        self.negotiation.described = Some(answer.clone());
        self.push_news(MediaNews::Update(Update { kind: SdpKind::Answer, sdp: answer }));
        self.negotiated();
        Ok(())
    }

    pub(super) fn hold(&mut self, now: Instant, hold: bool) {
        if self.negotiation.held == hold {
            return;
        }
        self.negotiation.held = hold;
        self.session.set_direction(if hold { Direction::Inactive } else { Direction::SendRecv });
        self.apply_direction();
        self.want(now, Wanted::Direction);
    }

    /// Looks for new paths: with the sockets of now.
    pub(super) fn restart_ice(&mut self, now: Instant) {
        self.want(now, Wanted::Restart);
    }

    /// Whether a first exchange is complete.
    pub(super) fn is_negotiated(&self) -> bool {
        self.session.media().is_some()
    }

    fn want(&mut self, now: Instant, wanted: Wanted) {
        self.negotiation.wanted = self.negotiation.wanted.max(Some(wanted));
        self.offer_if_wanted(now);
    }

    /// Makes the offer that is wanted, unless one is out; one that nobody answers is sent again.
    pub(super) fn offer_if_wanted(&mut self, now: Instant) {
        if !self.is_negotiated() {
            return;
        }
        let Some(wanted) = self.negotiation.offer_due(now) else {
            if let Some(sdp) = self.negotiation.repeat_due(now) {
                self.push_news(MediaNews::Update(Update { kind: SdpKind::Offer, sdp }));
            }
            return;
        };
        self.session.rollback();
        let offer = match wanted {
            Wanted::Restart => {
                self.refresh_ice_servers(now);
                self.session.restart_ice(now)
            }
            Wanted::Direction => self.session.create_offer(),
        };
        match offer {
            Ok(sdp) => {
                self.negotiation.offer_made(now, wanted, &sdp);
                self.push_news(MediaNews::Update(Update { kind: SdpKind::Offer, sdp }));
            }
            Err(error) => tracing::debug!(call = %self.core.id, %error, "no offer"),
        }
    }

    /// A candidate of this side, for the peer: unless a description says it, now or later.
    pub(super) fn tell_candidate(&mut self, line: &str) {
        let Some(described) = &self.negotiation.described else { return };
        if described.contains(line) {
            return;
        }
        let ufrag = line.split_once(" ufrag ").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest));
        let candidate = Candidate {
            candidate: line.to_owned(),
            mid: "0".to_owned(),
            ufrag: ufrag.unwrap_or_default().to_owned(),
            end: false,
        };
        self.push_news(MediaNews::Candidate(candidate));
    }

    /// Sends when a path is there, this side does not hold and the other takes sound.
    pub(super) fn apply_direction(&self) {
        let agreed = self.session.media().is_some_and(|media| media.direction.sends());
        self.stream.set_sending(self.stats.connected.is_some() && !self.negotiation.held && agreed);
    }

    /// Whether the peer's sound is to be expected.
    pub(super) fn is_receiving(&self) -> bool {
        !self.negotiation.held && self.session.media().is_some_and(|media| media.direction.receives())
    }

    /// What was agreed reaches the stream.
    fn negotiated(&mut self) {
        let Some(media) = self.session.media() else { return };
        let (mut send, mut receive) = (self.wanted.send, self.wanted.receive);
        agree(&mut send, media, self.shared.settings.follows_ptime);
        receive.opus_payload_type = media.opus;
        receive.red_payload_type = media.red;
        receive.dtmf_payload_types = [media.telephone_event_48k, media.telephone_event_8k];
        let changed =
            !self.negotiation.configured || send != self.config.send || receive != self.config.receive;
        self.stats.codec = Some(Codec {
            name: "opus",
            clock_rate: 48_000,
            payload_type: media.opus,
            packet_time: send.packet_time.duration(),
        });
        if changed {
            self.config.send = send;
            self.config.receive = receive;
            self.negotiation.configured = true;
            let settings = Settings::from(&receive);
            self.core.record(|recorder| recorder.set_settings(settings));
            if let Err(error) = self.stream.reconfigure(&self.config) {
                tracing::error!(call = %self.core.id, %error, "the stream cannot be configured");
                self.push_news(MediaNews::Failed(CallEndCause::Failure));
            }
        }
        self.apply_direction();
    }
}

/// What the other side asks for, within what this side wants. `follows_ptime`: a peer that is not Offhook chooses the packet time.
fn agree(send: &mut SendConfig, media: &Media, follows_ptime: bool) {
    // Who makes use of deep redundancy tells how its packets come: others do neither.
    send.deep_redundancy &= media.short_reports;
    if follows_ptime && !media.short_reports {
        let asked = media.packet_time.unwrap_or(PacketTime::Ms20.duration());
        send.packet_time = at_most(PacketTime::Ms60, asked.max(PacketTime::Ms10.duration()));
    }
    send.opus_payload_type = media.opus;
    send.red_payload_type = media.red;
    send.dtmf_payload_type = media.telephone_event_48k;
    send.encoder.in_band_fec &= media.in_band_fec;
    send.encoder.dtx |= media.dtx;
    if let Some(most) = media.max_average_bitrate {
        send.encoder.bitrate.0 = send.encoder.bitrate.0.min(most);
    }
    if let Some(most) = media.max_packet_time {
        send.packet_time = at_most(send.packet_time, most);
    }
}

fn at_most(wanted: PacketTime, most: Duration) -> PacketTime {
    let all = [
        PacketTime::Ms120,
        PacketTime::Ms60,
        PacketTime::Ms40,
        PacketTime::Ms20,
        PacketTime::Ms10,
        PacketTime::Ms5,
    ];
    let longest = all.into_iter().find(|time| *time <= wanted && time.duration() <= most);
    longest.unwrap_or(PacketTime::Ms2_5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_that_nobody_answers_is_sent_again_less_and_less_often() {
        let start = Instant::now();
        let mut negotiation = Negotiation::new(CallDirection::Outbound, None);
        negotiation.offer_made(start, Wanted::Direction, "offer");
        let sent_again = (1..=200).filter(|second| {
            let now = start + Duration::from_secs(*second);
            assert_eq!(negotiation.offer_due(now), None);
            let again = negotiation.repeat_due(now);
            assert!(again.as_deref().is_none_or(|sdp| sdp == "offer"));
            again.is_some()
        });
        assert_eq!(sent_again.collect::<Vec<_>>(), [5, 15, 35, 75, 155]);
        negotiation.offered = None;
        assert_eq!(negotiation.repeat_due(start + Duration::from_secs(900)), None, "answered");
    }

    #[test]
    fn a_new_wish_waits_for_the_answer_for_a_while_and_takes_over_what_was_not_answered() {
        let start = Instant::now();
        let mut negotiation = Negotiation::new(CallDirection::Outbound, None);
        assert_eq!(negotiation.offer_due(start), None);
        negotiation.wanted = Some(Wanted::Restart);
        assert_eq!(negotiation.offer_due(start), Some(Wanted::Restart));
        negotiation.offer_made(start, Wanted::Restart, "offer");
        negotiation.wanted = Some(Wanted::Direction);
        assert_eq!(negotiation.offer_due(start + Duration::from_secs(4)), None);
        assert_eq!(
            negotiation.offer_due(start + ANSWER),
            Some(Wanted::Restart),
            "a path is still to be found"
        );
    }

    /// A peer that knows short reports, or does not, and asks for so much sound in a packet, and takes no more than so much.
    fn peer(short_reports: bool, packet_time: Option<u64>, max_packet_time: Option<u64>) -> Media {
        Media {
            opus: 96,
            red: None,
            telephone_event_48k: None,
            telephone_event_8k: None,
            direction: Direction::SendRecv,
            packet_time: packet_time.map(Duration::from_millis),
            max_packet_time: max_packet_time.map(Duration::from_millis),
            in_band_fec: true,
            dtx: false,
            max_average_bitrate: None,
            audio_level_id: None,
            transport_sequence_id: None,
            reduced_size_rtcp: true,
            short_reports,
        }
    }

    #[test]
    fn a_peer_of_another_kind_gets_packets_as_it_asks_for_and_nothing_that_it_cannot_use() {
        let agreed = |media: &Media, follows_ptime| {
            let mut send = SendConfig::default();
            agree(&mut send, media, follows_ptime);
            (send.packet_time, send.deep_redundancy)
        };
        for (asked, most, sent) in [
            (None, None, PacketTime::Ms20),
            (Some(10), None, PacketTime::Ms10),
            (Some(3), None, PacketTime::Ms10),
            (Some(30), None, PacketTime::Ms20),
            (Some(60), None, PacketTime::Ms60),
            (Some(60), Some(40), PacketTime::Ms40),
            (None, Some(10), PacketTime::Ms10),
        ] {
            let media = peer(false, asked, most);
            assert_eq!(agreed(&media, true), (sent, false), "{asked:?} {most:?}");
            assert_eq!(agreed(&media, false), (PacketTime::Ms10, false), "chosen by the application");
        }
        for asked in [None, Some(20)] {
            assert_eq!(agreed(&peer(true, asked, None), true), (PacketTime::Ms10, true), "another Offhook");
        }
    }

    #[test]
    fn packets_are_as_long_as_both_allow() {
        let ms = Duration::from_millis;
        assert_eq!(at_most(PacketTime::Ms20, ms(120)), PacketTime::Ms20);
        assert_eq!(at_most(PacketTime::Ms60, ms(50)), PacketTime::Ms40);
        assert_eq!(at_most(PacketTime::Ms10, ms(3)), PacketTime::Ms2_5);
        assert_eq!(at_most(PacketTime::Ms2_5, ms(120)), PacketTime::Ms2_5);
    }
}
