//! What a client is told before it starts.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_media::{AudioProcessing, Device, Engine, LatencyMode};
use offhook_media_core::send::Redundancy;
use offhook_media_core::units::{BitsPerSecond, PacketTime};
use offhook_signaling::call::CallTimers;
use offhook_signaling::message::IceServer;
use offhook_signaling::wire::MOST_DISPLAY_NAME;
use offhook_signaling::{ApplicationKey, DeviceId, UserId};
use offhook_transport::{DtlsVersions, IceService, IceUrl};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use crate::address::{AddressSource, MachineAddresses};
use crate::client::Client;
use crate::credential::{Account, CredentialStore, MemoryStore};
use crate::endpoint::Endpoint;
use crate::error::BuildError;
use crate::recording::FlightRecording;
use crate::udp::PacketPath;
use crate::websocket::Dialer;

/// STUN servers one call asks.
const MOST_STUN_SERVERS: usize = 4;

/// Makes what outgoing datagrams of one call pass; see [`ClientBuilder::packet_path`].
pub type PacketPathFactory = Arc<dyn Fn() -> Box<dyn PacketPath> + Send + Sync>;

/// How patient a client is. Start from the default and change what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the token to `Started`; then the start fails.
    pub start: Duration,
    /// One try to reach the server, TLS and WebSocket included.
    pub connect: Duration,
    /// From the answer to connected media; then the call fails.
    pub media: Duration,
    /// When nothing at all came from the peer for this long, new paths to it are looked for.
    pub silence: Duration,
    /// Without the peer's consent for this long nothing more is sent to it (RFC 7675), and new paths are looked for. At most 30 s.
    pub consent: Duration,
    /// How long new paths are looked for; then the call ends `Inactive`. Never later than 30 s after the last sign of consent.
    pub recovery: Duration,
    /// Opening a sound device.
    pub device: Duration,
    /// How long before its end a registration is renewed.
    pub renewal: Duration,
    /// Limits of calls; the server has its own and is usually the first.
    pub call: CallTimers,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            media: Duration::from_secs(20),
            silence: Duration::from_secs(6),
            consent: Duration::from_secs(25),
            recovery: Duration::from_secs(15),
            device: Duration::from_secs(5),
            renewal: Duration::from_secs(3600),
            call: CallTimers::default(),
        }
    }
}

/// Builds a [`Client`]. Application key, user id and environment host are required.
#[derive(Default)]
pub struct ClientBuilder {
    application_key: Option<String>,
    user_id: Option<String>,
    environment_host: Option<String>,
    device_id: Option<String>,
    display_name: Option<String>,
    store: Option<Arc<dyn CredentialStore>>,
    engine: Option<Engine>,
    microphone: Option<Device>,
    processing: Option<AudioProcessing>,
    packet_time: Option<PacketTime>,
    bitrate: Option<BitsPerSecond>,
    redundancy: Redundancy,
    plain_rtp: bool,
    flight_recording: FlightRecording,
    latency: LatencyMode,
    light: bool,
    addresses: Option<Arc<dyn AddressSource>>,
    stun: Vec<SocketAddr>,
    ice_servers: Vec<IceServer>,
    relay_only: bool,
    path: Option<PacketPathFactory>,
    roots: Vec<Vec<u8>>,
    dtls: DtlsVersions,
    timeouts: Timeouts,
}

impl ClientBuilder {
    /// The application: a lower-case UUID. Required.
    #[must_use]
    pub fn application_key(mut self, key: impl Into<String>) -> Self {
        self.application_key = Some(key.into());
        self
    }

    /// The local user: 1 to 255 bytes of `A-Za-z0-9-_=`. Required.
    #[must_use]
    pub fn user_id(mut self, user: impl Into<String>) -> Self {
        self.user_id = Some(user.into());
        self
    }

    /// What the local person is called, at most 255 bytes of UTF-8: callees are told, also by a push. Nothing by default.
    #[must_use]
    pub fn push_notification_display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// The server: `host`, `host:port` or a `ws`, `wss`, `http` or `https` URL. Required. Without a scheme, loopback is spoken to without
    /// TLS (port 7070) and everything else with it (port 443).
    #[must_use]
    pub fn environment_host(mut self, host: impl Into<String>) -> Self {
        self.environment_host = Some(host.into());
        self
    }

    /// The name of this installation, 1 to 64 bytes of `A-Za-z0-9-_=`. By default the one the credential store kept, else a random one.
    #[must_use]
    pub fn device_id(mut self, device: impl Into<String>) -> Self {
        self.device_id = Some(device.into());
        self
    }

    /// Where device name and credential are kept between starts. By default in memory.
    #[must_use]
    pub fn credential_store(mut self, store: Arc<dyn CredentialStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// The sound engine. By default [`Engine::shared`].
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// The microphone of calls, opened when a call is made or answered, not before. By default the system's.
    #[must_use]
    pub fn microphone(mut self, device: Device) -> Self {
        self.microphone = Some(device);
        self
    }

    /// What is done to the microphone's sound, whatever its device. By default everything for a device of the system, nothing for any other.
    #[must_use]
    pub fn audio_processing(mut self, processing: AudioProcessing) -> Self {
        self.processing = Some(processing);
        self
    }

    /// What delay a call is tuned for. [`LatencyMode::Low`] sends 5 ms packets of Opus in its restricted low-delay form (2.5 ms
    /// of look-ahead instead of 6.5 ms) at 64 kb/s, unless [`packet_time`](Self::packet_time) or [`bitrate`](Self::bitrate) say otherwise; that
    /// form has no copies of lost speech of its own. What is heard waits a quarter as long for late packets. The engine has a setting of the same name, which belongs to it: see [`LatencyMode`].
    #[must_use]
    pub fn latency(mut self, latency: LatencyMode) -> Self {
        self.latency = latency;
        self
    }

    /// Spends little processor time, as small machines and bots with many calls need it: the encoder works at complexity 1 instead of 6, lost
    /// sound is made up without a neural network, and packets last 20 ms unless [`packet_time`](Self::packet_time) or
    /// [`LatencyMode::Low`] say otherwise. Sound is a little coarser and 10 ms later.
    #[must_use]
    pub fn light(mut self, light: bool) -> Self {
        self.light = light;
        self
    }

    /// Sound per packet: less is less latency and more packets. By default 10 ms where the far end is Offhook too; any other gets as much as it
    /// asks for (`ptime`), 10 to 60 ms, 20 ms where it asks for nothing (RFC 7587, section 4.2), and is asked for 20 ms. With a length set here,
    /// all get that, and are asked for it.
    #[must_use]
    pub fn packet_time(mut self, packet_time: PacketTime) -> Self {
        self.packet_time = Some(packet_time);
        self
    }

    /// Opus bit rate. 32 kb/s by default.
    #[must_use]
    pub fn bitrate(mut self, bitrate: BitsPerSecond) -> Self {
        self.bitrate = Some(bitrate);
        self
    }

    /// What may protect the sound this side sends against loss. By default whatever serves best.
    #[must_use]
    pub fn redundancy(mut self, redundancy: Redundancy) -> Self {
        self.redundancy = redundancy;
        self
    }

    /// Offers and takes only what every peer knows: no copies of earlier packets (RFC 2198), no short reports. For comparisons.
    #[must_use]
    pub fn plain_rtp(mut self, plain: bool) -> Self {
        self.plain_rtp = plain;
        self
    }

    /// What each call keeps of what arrives in it, so that a bad one can be understood. By default when packets came, and nothing of what
    /// was said.
    #[must_use]
    pub fn flight_recording(mut self, recording: FlightRecording) -> Self {
        self.flight_recording = recording;
        self
    }

    /// Where the addresses of this machine are learned. By default from its network interfaces; loopback only when there is no other, or
    /// the server is on loopback.
    #[must_use]
    pub fn addresses(mut self, addresses: Arc<dyn AddressSource>) -> Self {
        self.addresses = Some(addresses);
        self
    }

    /// Asks this STUN server for outside addresses, besides those that the signaling server names. At most 4 are asked.
    #[must_use]
    pub fn stun_server(mut self, server: SocketAddr) -> Self {
        if self.stun.len() < MOST_STUN_SERVERS {
            self.stun.push(server);
        }
        self
    }

    /// Asks these STUN and TURN servers for addresses of calls, before those that the signaling server names. Host names are looked up at
    /// each start.
    #[must_use]
    pub fn ice_server(mut self, server: IceServer) -> Self {
        self.ice_servers.push(server);
        self
    }

    /// Calls use addresses on TURN servers and no others, and the far end learns none of this machine's (published as
    /// `setUseRelayIceCandidatesOnly`). Without a TURN server no call connects then. By default whatever path works best.
    #[must_use]
    pub fn relay_only(mut self, relay_only: bool) -> Self {
        self.relay_only = relay_only;
        self
    }

    /// [`relay_only`](Self::relay_only) in its published spelling.
    #[must_use]
    pub fn set_use_relay_ice_candidates_only(self, relay_only: bool) -> Self {
        self.relay_only(relay_only)
    }

    /// What outgoing datagrams of each call pass before the socket: an emulated network, for tests and measurements.
    #[must_use]
    pub fn packet_path(mut self, factory: PacketPathFactory) -> Self {
        self.path = Some(factory);
        self
    }

    /// Trusts these certificates (DER) and no others, for a server with a certificate of one's own authority. By default the system's.
    #[must_use]
    pub fn root_certificates(mut self, der: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.roots.extend(der);
        self
    }

    /// DTLS versions to speak.
    #[must_use]
    pub fn dtls(mut self, versions: DtlsVersions) -> Self {
        self.dtls = versions;
        self
    }

    /// How patient the client is.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Checks everything and makes the client. Nothing is opened or contacted before [`Client::start`].
    ///
    /// # Errors
    /// [`BuildError`] names the value to correct.
    pub fn build(self) -> Result<Client, BuildError> {
        let required = |value: Option<String>, name| {
            value.filter(|value| !value.is_empty()).ok_or(BuildError::Missing(name))
        };
        let key = required(self.application_key, "application_key")?;
        let user = required(self.user_id, "user_id")?;
        let endpoint = Endpoint::parse(&required(self.environment_host, "environment_host")?)?;
        let account = Account {
            application_key: ApplicationKey::new(key).map_err(BuildError::ApplicationKey)?,
            user_id: UserId::new(user).map_err(BuildError::UserId)?,
        };
        let display_name = self.display_name;
        if display_name.as_ref().is_some_and(|name| name.len() > MOST_DISPLAY_NAME as usize) {
            return Err(BuildError::DisplayName);
        }
        let device_id = self.device_id.map(DeviceId::new).transpose().map_err(BuildError::DeviceId)?;
        let roots: Vec<_> = self.roots.into_iter().map(CertificateDer::from).collect();
        check_roots(&roots)?;
        self.ice_servers.iter().try_for_each(check_ice_server)?;
        let addresses = self.addresses.unwrap_or_else(|| {
            let local = endpoint.is_loopback();
            Arc::new(if local { MachineAddresses::with_loopback() } else { MachineAddresses::new() })
        });
        Ok(Client::new_stopped(Settings {
            account,
            device_id,
            display_name,
            dialer: Arc::new(Dialer::new(endpoint, roots, self.timeouts.connect)),
            store: self.store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            engine: self.engine,
            microphone: self.microphone.unwrap_or(Device::Default),
            processing: self.processing,
            flight_recording: self.flight_recording,
            follows_ptime: self.packet_time.is_none() && self.latency == LatencyMode::Normal,
            packet_time: self.packet_time.unwrap_or(match self.latency {
                LatencyMode::Low => PacketTime::Ms5,
                LatencyMode::Normal if self.light => PacketTime::Ms20,
                LatencyMode::Normal => PacketTime::Ms10,
            }),
            bitrate: self.bitrate,
            redundancy: self.redundancy,
            plain_rtp: self.plain_rtp,
            latency: self.latency,
            light: self.light,
            addresses,
            stun: self.stun,
            ice_servers: self.ice_servers,
            relay_only: self.relay_only,
            path: self.path,
            dtls: self.dtls,
            timeouts: self.timeouts,
        }))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientBuilder")
            .field("application_key", &self.application_key)
            .field("user_id", &self.user_id)
            .field("environment_host", &self.environment_host)
            .finish_non_exhaustive()
    }
}

fn check_roots(roots: &[CertificateDer<'static>]) -> Result<(), BuildError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|error| BuildError::RootCertificate(error.to_string()))?;
    }
    Ok(())
}

fn check_ice_server(server: &IceServer) -> Result<(), BuildError> {
    for url in &server.urls {
        let parsed = IceUrl::parse(url).map_err(|error| BuildError::IceServer { url: url.clone(), error })?;
        let is_named = [&server.username, &server.credential]
            .into_iter()
            .all(|value| value.as_ref().is_some_and(|value| !value.is_empty()));
        if matches!(parsed.service, IceService::Turn(_)) && !is_named {
            return Err(BuildError::IceServerCredentials(url.clone()));
        }
    }
    Ok(())
}

/// A checked configuration.
pub(crate) struct Settings {
    pub(crate) account: Account,
    pub(crate) device_id: Option<DeviceId>,
    pub(crate) display_name: Option<String>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) store: Arc<dyn CredentialStore>,
    pub(crate) engine: Option<Engine>,
    pub(crate) microphone: Device,
    pub(crate) processing: Option<AudioProcessing>,
    pub(crate) packet_time: PacketTime,
    /// Whether a far end that is not Offhook chooses how long packets are, and is asked for the usual length.
    pub(crate) follows_ptime: bool,
    pub(crate) bitrate: Option<BitsPerSecond>,
    pub(crate) redundancy: Redundancy,
    pub(crate) plain_rtp: bool,
    pub(crate) flight_recording: FlightRecording,
    pub(crate) latency: LatencyMode,
    pub(crate) light: bool,
    pub(crate) addresses: Arc<dyn AddressSource>,
    pub(crate) stun: Vec<SocketAddr>,
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) relay_only: bool,
    pub(crate) path: Option<PacketPathFactory>,
    pub(crate) dtls: DtlsVersions,
    pub(crate) timeouts: Timeouts,
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("account", &self.account)
            .field("endpoint", &self.dialer.endpoint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";

    fn builder() -> ClientBuilder {
        ClientBuilder::default().application_key(KEY).user_id("alice").environment_host("127.0.0.1:7070")
    }

    #[test]
    fn each_required_value_is_asked_for_by_name() {
        assert!(builder().build().is_ok());
        let missing = |builder: ClientBuilder| builder.build().unwrap_err();
        assert_eq!(missing(builder().application_key("")), BuildError::Missing("application_key"));
        assert_eq!(missing(ClientBuilder::default().application_key(KEY)), BuildError::Missing("user_id"));
        assert_eq!(missing(builder().environment_host("")), BuildError::Missing("environment_host"));
    }

    #[test]
    fn servers_for_candidates_are_checked() {
        let build = |url: &str, username: Option<&str>| {
            let server = IceServer {
                urls: vec![url.to_owned()],
                username: username.map(str::to_owned),
                credential: username.map(str::to_owned),
            };
            builder().ice_server(server).build()
        };
        assert!(build("stun:192.0.2.1", None).is_ok());
        assert!(build("turns:turn.example.com", Some("u")).is_ok());
        assert!(matches!(build("turn:192.0.2.1", None), Err(BuildError::IceServerCredentials(_))));
        assert!(matches!(build("http://x", None), Err(BuildError::IceServer { .. })));
    }

    #[test]
    fn malformed_values_are_named() {
        assert!(matches!(builder().application_key("x").build(), Err(BuildError::ApplicationKey(_))));
        assert!(matches!(builder().user_id("a b").build(), Err(BuildError::UserId(_))));
        assert!(matches!(builder().device_id("").build(), Err(BuildError::DeviceId(_))));
        let named = |name: String| builder().push_notification_display_name(name).build();
        assert!(named("é".repeat(127)).is_ok());
        assert!(matches!(named("é".repeat(128)), Err(BuildError::DisplayName)));
        assert!(matches!(builder().environment_host("ftp://x").build(), Err(BuildError::EnvironmentHost(_))));
        assert!(matches!(
            builder().root_certificates([vec![1, 2, 3]]).build(),
            Err(BuildError::RootCertificate(_))
        ));
    }
}
