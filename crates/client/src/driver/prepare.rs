//! Everything of a call that can be made before anybody rings: stream, sockets, session. Nothing of it is sent.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use offhook_media::{LatencyMode, MediaStream, OpenStreamError, PacketPort, StreamConfig};
use offhook_media_core::codec::Profile;
use offhook_media_core::units::{BitsPerSecond, PacketTime};
use offhook_transport::{
    Certificate, CertificateError, OpusParams, Role, Session, SessionConfig, SessionError,
};
use thiserror::Error;
use tokio::runtime::Handle;

use super::IceServers;
use super::runtime::media_runtime;
use crate::alarm::Alarm;
use crate::builder::Settings;
use crate::shared::Shared;
use crate::turn_stream::TurnStreams;
use crate::udp::Sockets;

/// Short frames without the speech layer need more for the same sound.
const LOW_DELAY_BITRATE: BitsPerSecond = BitsPerSecond(64_000);
/// Who asks for the least delay gives up more sound for it: milliseconds that one percent of concealed sound is worth, a quarter of a conversation's.
const LOW_DELAY_LOSS_PRICE: f32 = 12.0;
/// Complexities of a client that spends little.
const LIGHT_ENCODER: u8 = 1;
const LIGHT_DECODER: u8 = 0;

/// Why a call could not be prepared.
#[derive(Debug, Error)]
pub(crate) enum PrepareError {
    #[error("the sound engine is not running")]
    NoEngine,
    #[error("the stream: {0}")]
    Stream(#[from] OpenStreamError),
    #[error("the session: {0}")]
    Session(#[from] SessionError),
    #[error("the certificate: {0}")]
    Certificate(#[from] CertificateError),
    #[error("the threads of the network: {0}")]
    Runtime(#[from] std::io::Error),
    #[error("no network address of this machine can be used")]
    NoAddress,
}

/// A call's stream, sockets and session.
#[derive(Debug)]
pub(crate) struct PreparedMedia {
    pub(crate) network: Network,
    pub(crate) servers: IceServers,
    pub(crate) stream: Arc<MediaStream>,
    pub(crate) port: PacketPort,
    pub(crate) config: StreamConfig,
    /// The offer, on the caller's side.
    pub(crate) offer: Option<String>,
}

/// What a call has of the network, and where it runs.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) runtime: Handle,
    pub(crate) alarm: Alarm,
    pub(crate) session: Session,
    pub(crate) sockets: Sockets,
    pub(crate) turn_streams: TurnStreams,
}

/// Makes stream, sockets and session, and the caller's offer.
pub(crate) async fn prepare(
    shared: &Arc<Shared>,
    role: Role,
    servers: IceServers,
) -> Result<PreparedMedia, PrepareError> {
    let config = stream_config(&shared.settings);
    let engine = shared.sound.engine().ok_or(PrepareError::NoEngine)?;
    // Codec state takes milliseconds to make.
    let opening = tokio::task::spawn_blocking(move || engine.open_stream(&config));
    let mut network = open_network(shared, role, &servers)?;
    let offer = (role == Role::Offerer).then(|| network.session.create_offer()).transpose()?;
    let stream = opening.await.map_err(|_| PrepareError::NoEngine)??;
    stream.set_sending(false);
    let port = stream.take_packet_port().ok_or(PrepareError::NoEngine)?;
    Ok(PreparedMedia { network, servers, stream: Arc::new(stream), port, config, offer })
}

fn stream_config(settings: &Settings) -> StreamConfig {
    let mut config = StreamConfig::default();
    config.send.packet_time = settings.packet_time;
    config.send.redundancy = settings.redundancy;
    let mut random = [0; 4];
    // RFC 3550, section 5.1: random. Without randomness no session is made either.
    if getrandom::fill(&mut random).is_ok() {
        config.send.initial_timestamp = u32::from_be_bytes(random);
    }
    if settings.latency == LatencyMode::Low {
        config.send.encoder.profile = Profile::LowDelay;
        config.send.encoder.bitrate = LOW_DELAY_BITRATE;
        config.receive.price_per_percent = LOW_DELAY_LOSS_PRICE;
    }
    if settings.light {
        config.send.encoder.complexity = LIGHT_ENCODER;
        config.receive.decoder.complexity = LIGHT_DECODER;
    }
    if let Some(bitrate) = settings.bitrate {
        config.send.encoder.bitrate = bitrate;
    }
    config
}

fn open_network(shared: &Shared, role: Role, servers: &IceServers) -> Result<Network, PrepareError> {
    // The sockets belong to the media driver's runtime.
    let runtime = media_runtime()?;
    let inside = runtime.enter();
    let alarm = Alarm::new()?;
    let now = Instant::now();
    let mut session = Session::new(session_config(&shared.settings, role)?, now)?;
    let mut sockets = Sockets::default();
    for ip in shared.settings.addresses.addresses() {
        // An address that cannot be used (just gone, not yet ready) is one candidate less.
        if let Ok(local) = sockets.bind(ip)
            && session.add_local_candidate(now, local).is_err()
        {
            sockets.remove(local);
        }
    }
    if sockets.addresses().next().is_none() {
        return Err(PrepareError::NoAddress);
    }
    let mut streams = TurnStreams::new(Arc::clone(&shared.settings.dialer));
    servers.connections().for_each(|target| streams.open(target));
    for server in &servers.stun {
        session.add_stun_server(now, *server);
    }
    for target in &servers.turn {
        session.add_turn_server(now, target.server.clone());
    }
    drop(inside);
    Ok(Network { runtime, alarm, session, sockets, turn_streams: streams })
}

fn session_config(settings: &Settings, role: Role) -> Result<SessionConfig, CertificateError> {
    let mut config = SessionConfig::new(certificate()?, role);
    config.dtls = settings.dtls;
    config.opus = OpusParams {
        packet_time: match settings.packet_time {
            // An Offhook at the other end sends as it was told to, whatever is asked. Others make packets of 10 ms two at a time.
            _ if settings.follows_ptime => OpusParams::default().packet_time,
            // RFC 7587, section 6.1: "ptime" is at least 3.
            PacketTime::Ms2_5 => Duration::from_millis(3),
            other => other.duration(),
        },
        ..OpusParams::default()
    };
    if settings.plain_rtp {
        config.red_payload_type = None;
        config.short_reports = false;
    }
    config.relay_only = settings.relay_only;
    config.connect_timeout = settings.timeouts.media;
    config.consent_timeout = settings.timeouts.consent.min(Duration::from_secs(30));
    Ok(config)
}

/// The certificate of this process, made once: it takes milliseconds that no call should wait for.
pub(super) fn certificate() -> Result<Arc<Certificate>, CertificateError> {
    static CERTIFICATE: OnceLock<Arc<Certificate>> = OnceLock::new();
    if let Some(made) = CERTIFICATE.get() {
        return Ok(Arc::clone(made));
    }
    let made = Arc::new(Certificate::generate()?);
    Ok(Arc::clone(CERTIFICATE.get_or_init(|| made)))
}
