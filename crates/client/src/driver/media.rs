//! The media driver of one call: sockets, timers and packet rings around the transport session. It never touches an audio sample.

mod cadence;
mod feedback;
mod negotiate;
mod recover;
mod relay;
mod upkeep;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_media::{EngineClock, Events, MediaStream, OutgoingRtp, PacketPort, StreamConfig, StreamEvent};
use offhook_media_core::quality::QualityMonitor;
use offhook_media_core::recording::{Moment, MomentKind};
use offhook_media_core::recv::IncomingPacket;
use offhook_signaling::call::{CallEndCause, CallState};
use offhook_signaling::message::Candidate;
use offhook_transport::{AudioLevel, Carrier, Event, Output, RtpToSend, Session, Transmit};
use tokio::sync::mpsc::{self, error::TrySendError};

use self::cadence::Cadence;
use self::feedback::network_report_of;
use self::negotiate::Negotiation;
use self::recover::{Recovery, Sign};
use self::relay::Gathering;
use self::upkeep::Upkeep;
use super::prepare::Network;
use super::{Command, MediaNews, PreparedMedia, ToMedia};
use crate::alarm::Alarm;
use crate::call::CallCore;
use crate::event::CallEvent;
use crate::shared::Shared;
use crate::snapshot::Meter;
use crate::stats::{CallStats, DriverStats};
use crate::turn_stream::TurnStreams;
use crate::udp::{PacketPath, Sockets};

/// News that wait for the signaling driver; candidates beyond are not told.
const MOST_NEWS: usize = 256;

pub(super) struct MediaDriver {
    core: Arc<CallCore>,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    news: VecDeque<MediaNews>,
    inbox: mpsc::Receiver<ToMedia>,
    session: Session,
    /// When the session wants to be called again.
    session_due: Instant,
    alarm: Alarm,
    sockets: Sockets,
    turn_streams: TurnStreams,
    gathering: Gathering,
    path: Option<Box<dyn PacketPath>>,
    port: PacketPort,
    cadence: Cadence,
    stream: Arc<MediaStream>,
    stream_events: Events<StreamEvent>,
    clock: EngineClock,
    /// What this side wants; an agreement is made of it.
    wanted: StreamConfig,
    config: StreamConfig,
    negotiation: Negotiation,
    recovery: Recovery,
    upkeep: Upkeep,
    monitor: QualityMonitor,
    meter: Meter,
    stats: DriverStats,
    over: bool,
}

impl MediaDriver {
    pub(super) fn spawn(
        core: Arc<CallCore>,
        inbox: mpsc::Receiver<ToMedia>,
        media: PreparedMedia,
        shared: &Arc<Shared>,
        commands: mpsc::Sender<Command>,
    ) {
        let Some(engine) = shared.sound.engine() else { return };
        let now = Instant::now();
        let PreparedMedia { network, servers, stream, port, config, offer } = media;
        let Network { runtime, alarm, session, sockets, turn_streams } = network;
        let driver = Self {
            clock: engine.clock(),
            path: shared.settings.path.as_ref().map(|make| make()),
            shared: Arc::clone(shared),
            commands,
            news: VecDeque::new(),
            inbox,
            session,
            session_due: now,
            alarm,
            sockets,
            turn_streams,
            gathering: Gathering::new(servers, core.direction),
            port,
            cadence: Cadence::new(engine.clock(), engine.period()),
            stream_events: stream.events(),
            stream,
            wanted: config,
            config,
            negotiation: Negotiation::new(core.direction, offer),
            recovery: Recovery::new(now),
            upkeep: Upkeep::new(now),
            monitor: QualityMonitor::default(),
            meter: Meter::default(),
            stats: DriverStats::default(),
            over: false,
            core,
        };
        runtime.spawn(driver.run());
    }

    async fn run(mut self) {
        loop {
            let mut wake = self.turn(Instant::now());
            let mut now = Instant::now();
            // What is due by now needs no timer to say so.
            if wake <= now && !self.over {
                wake = self.turn(now);
                now = Instant::now();
            }
            if self.over {
                break;
            }
            self.alarm.set(now, wake);
            let Self { inbox, sockets, turn_streams: streams, alarm, .. } = &mut self;
            tokio::select! {
                message = inbox.recv() => self.handle_message(message.unwrap_or(ToMedia::End)),
                () = poll_fn(|cx| sockets.poll_readable(cx)) => self.receive(),
                () = poll_fn(|cx| streams.poll(cx)) => self.take_stream_news(),
                () = poll_fn(|cx| alarm.poll(cx)) => {}
            }
        }
        self.finish(Instant::now());
    }

    /// Does everything that is due; returns when the next thing is.
    fn turn(&mut self, now: Instant) -> Instant {
        if now >= self.session_due {
            self.session.handle_timeout(now);
        }
        self.look_at_ring(now);
        self.take_stream_events();
        self.hold(now, self.core.held());
        self.end_gathering(now);
        self.recover(now);
        self.keep_up(now);
        self.flush(now);
        self.tell();
        let shortest = self.shortest_packet();
        let looks = self.session.is_connected().then(|| self.cadence.next_look(now, shortest));
        let held = self.path.as_ref().and_then(|path| path.next_due());
        let times = [looks, held, self.recovery.due(), Some(self.upkeep.due())];
        times.into_iter().flatten().fold(self.session_due, Instant::min)
    }

    fn receive(&mut self) {
        let Self { sockets, session, .. } = self;
        sockets.receive(|arrival, local, remote, datagram| {
            session.handle_datagram(arrival, local, remote, datagram);
        });
        self.hear();
    }

    /// The ladder makes packets longer than configured, never shorter.
    const fn shortest_packet(&self) -> Duration {
        self.config.send.packet_time.duration()
    }

    /// What the media thread has for the network.
    fn look_at_ring(&mut self, now: Instant) {
        let shortest = self.shortest_packet();
        let Self { port, cadence, session, .. } = self;
        while let Some(packet) = port.outgoing.pop() {
            cadence.found(now, packet.made, shortest);
            // Refused when there is no path or on hold: sound that is not sent now is never sent.
            let _ = session.send_rtp(now, &rtp_of(&packet));
        }
        self.send_reports(now);
    }

    /// Everything out of the session: datagrams, events, packets for the media thread.
    fn flush(&mut self, now: Instant) {
        loop {
            match self.session.poll_output(now) {
                Output::Transmit(transmit) => self.transmit(now, transmit),
                Output::Event(event) => self.handle_event(now, event),
                Output::Timeout(at) => {
                    self.session_due = at;
                    break;
                }
            }
        }
        if let Some(path) = &mut self.path {
            while let Some(transmit) = path.poll(now) {
                self.stats.datagrams_not_sent += u64::from(!self.sockets.send(&transmit));
            }
        }
        self.turn_streams.flush();
        while let Some(rtp) = self.session.poll_rtp() {
            let packet = IncomingPacket {
                arrival: self.clock.media_time(rtp.arrival),
                payload_type: rtp.payload_type,
                marker: rtp.marker,
                ssrc: rtp.ssrc,
                sequence: rtp.sequence,
                timestamp: rtp.timestamp,
                payload: rtp.payload,
            };
            self.core.record(|recorder| recorder.packet(&packet));
            self.stats.packets_not_taken += u64::from(self.port.incoming.push(&packet).is_err());
        }
    }

    fn transmit(&mut self, now: Instant, transmit: Transmit) {
        let sent = match (&mut self.path, transmit.carrier) {
            (_, Carrier::Tcp) => self.turn_streams.send(&transmit),
            (Some(path), Carrier::Udp) => {
                path.submit(now, transmit);
                true
            }
            (None, Carrier::Udp) => self.sockets.send(&transmit),
        };
        if !sent {
            self.stats.datagrams_not_sent += 1;
            self.upkeep.doubt_addresses();
        }
    }

    fn handle_message(&mut self, message: ToMedia) {
        let now = Instant::now();
        match message {
            ToMedia::RemoteOffer(sdp) => self.negotiation.remote_offer = Some(sdp),
            ToMedia::Answer { reply } => {
                // Whoever gave up waiting for the answer will not send it.
                let _ = reply.send(self.make_answer(now));
            }
            ToMedia::RemoteAnswer(sdp) => self.take_first_answer(now, &sdp),
            ToMedia::ExpectIceServers => self.gathering.expect_servers(),
            ToMedia::IceServers(servers) => self.take_ice_servers(now, *servers),
            ToMedia::RemoteCandidate(candidate) => self.take_candidate(now, &candidate),
            ToMedia::RemoteUpdate(update) => self.take_update(now, &update),
            ToMedia::End => self.over = true,
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::LocalCandidate(line) => self.tell_candidate(&line),
            Event::GatheringDone => {
                let end = Candidate { mid: "0".to_owned(), end: true, ..Candidate::default() };
                self.push_news(MediaNews::Candidate(end));
            }
            Event::Connected(connected) => {
                tracing::debug!(call = %self.core.id, ?connected, "media connected");
                self.stats.connected.get_or_insert(now);
                self.record(now, MomentKind::Connected);
                self.apply_direction();
                // Whoever learns that the call is established may look at once.
                self.publish();
                self.push_news(MediaNews::Connected);
            }
            Event::PathChanged { local, remote } => {
                tracing::debug!(call = %self.core.id, %local, %remote, "path changed");
                self.record(now, MomentKind::PathChanged);
                self.publish();
            }
            Event::PeerLost => {
                self.record(now, MomentKind::PeerLost);
                self.begin_recovery(now, Sign::Consent);
            }
            Event::PeerBack => {
                self.record(now, MomentKind::PeerBack);
                self.recovery.end();
            }
            Event::ShortReport(report) => self.take_short_report(report.as_bytes()),
            Event::PathReport(path) => self.take_network_report(network_report_of(&path)),
            Event::RelayFailed { local, server, protocol, relayed, error } => {
                tracing::info!(call = %self.core.id, %server, %protocol, %error, "no relayed address");
                self.relay_failed(now, local, protocol, relayed);
            }
            Event::RemoteBye => self.recovery.expect_end(now),
            Event::Failed(error) => {
                tracing::info!(call = %self.core.id, %error, "media failed");
                self.push_news(MediaNews::Failed(CallEndCause::Failure));
            }
            _ => {}
        }
    }

    fn take_stream_events(&mut self) {
        while let Some(event) = self.stream_events.try_next() {
            match event {
                StreamEvent::DigitReceived(digit) => self.core.emit(&CallEvent::DtmfReceived(digit)),
                StreamEvent::FirstSound { at } => {
                    self.stats.first_sound.get_or_insert_with(|| self.clock.instant(at));
                }
                _ => {}
            }
        }
    }

    fn push_news(&mut self, news: MediaNews) {
        if self.news.len() < MOST_NEWS || !matches!(news, MediaNews::Candidate(_)) {
            self.news.push_back(news);
        }
    }

    /// Hands news to the signaling driver, as many as it takes now.
    fn tell(&mut self) {
        while let Some(news) = self.news.pop_front() {
            let command = Command::Media { call: self.core.id.clone(), news };
            match self.commands.try_send(command) {
                Ok(()) => {}
                Err(TrySendError::Full(Command::Media { news, .. })) => {
                    self.news.push_front(news);
                    return;
                }
                // The client has ended, and the call with it.
                Err(_) => {
                    self.over = true;
                    return;
                }
            }
        }
    }

    fn is_established(&self) -> bool {
        self.core.state() == CallState::Established
    }

    fn record(&self, now: Instant, kind: MomentKind) {
        let at = self.clock.media_time(now);
        self.core.record(|recorder| recorder.moment(&Moment { at, kind }));
    }

    fn finish(mut self, now: Instant) {
        self.session.close(now);
        self.flush(now);
        self.record(now, MomentKind::Ended);
        self.publish();
        self.stats.latency_percentiles = self.meter.latency_percentiles();
        let stats = CallStats::new(self.stats, self.stream.stats());
        self.stream.detach_microphone();
        self.stream.close();
        self.core.media_ended(stats);
    }
}

fn rtp_of<'a>(packet: &OutgoingRtp<'a>) -> RtpToSend<'a> {
    let level = AudioLevel { below_full_scale: packet.level.level.get(), voice: packet.level.voice };
    RtpToSend {
        payload_type: packet.payload_type,
        marker: packet.marker,
        timestamp: packet.timestamp,
        audio_level: Some(level),
        payload: packet.payload,
    }
}
