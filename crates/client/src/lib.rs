//! The Offhook client: rings, answers, talks, over tokio.
//!
//! A [`Client`] is one user on this device. It registers with a server, makes and takes [`Call`]s, and drives for each the transport session
//! and the sound stream. Sound itself is the engine's: bind [`Call::incoming_stream`] to an [`AudioElement`].
//!
//! A call's way through the files: `call_client` makes it or `driver/signaling` rings, `driver/prepare` makes sockets, session and stream,
//! `driver/media` moves packets between them, `call` is what the application holds.
//!
//! Every queue is bounded and every wait has an end. What happens when a queue is full:
//!
//! | queue | full means |
//! |---|---|
//! | events for the application | the oldest give way, the newest are never lost |
//! | commands for the signaling driver | the caller waits; hanging up and terminating need no room |
//! | messages for a call's media driver | it is dead: the call ends `Failure` |
//! | frames for the server | the connection is dead: a new one is made, and what matters is repeated |
//! | datagrams, packets | dropped and counted: late sound is worse than lost sound |

mod address;
mod alarm;
mod builder;
mod call;
mod call_client;
mod client;
mod credential;
mod driver;
mod endpoint;
mod error;
mod event;
mod listener;
mod microphone;
mod queue;
#[cfg(unix)]
mod readable;
mod recording;
mod registration;
mod report;
mod shared;
mod snapshot;
mod stats;
mod turn_stream;
mod udp;
mod websocket;

pub use address::{AddressSource, MachineAddresses};
pub use builder::{ClientBuilder, PacketPathFactory, Timeouts};
pub use call::{Call, CallMeasures};
pub use call_client::CallClient;
pub use client::Client;
pub use credential::{Account, CredentialStore, FileStore, MemoryStore, Registration};
pub use error::{
    AnswerError, BuildError, CallError, CredentialError, DtmfError, EndpointError, HoldError, IdError,
    MicrophoneError, RefuseError, RegisterError, SaveRecordingError, StartError,
};
pub use event::{CallDirection, CallEvent, CallEvents, ClientEvent, ClientEvents};
pub use listener::{CallListener, ClientListener};
pub use queue::EventStream;
pub use recording::FlightRecording;
pub use registration::{ClientRegistration, Registering};
pub use snapshot::{CallMeasure, CallSnapshot, SentRates, TimeByKind};
pub use stats::{CallReport, CallStats, Codec};
pub use udp::PacketPath;

pub use offhook_media::{
    AudioElement, AudioProcessing, Device, DeviceEvent, DeviceId, DeviceInfo, DeviceStats,
    Direction as DeviceDirection, Engine, EngineBuilder, EngineClock, EngineStats, Events, LatencyMode,
    LossCause, MOST_VOLUME, Microphone, OpenDeviceError, Opening, PcmDevice, PcmFeeder, PcmTap, Priority,
    Reply, StartEngineError, StreamSource, StreamStats, TickTime, devices, pcm_sink, pcm_source,
};
pub use offhook_media_core::quality::{DelayPercentiles, QualityWarning, Score, WarningEvent, WarningKind};
pub use offhook_media_core::send::{Redundancy, Rung};
pub use offhook_media_core::units::{BitsPerSecond, PacketTime};
pub use offhook_signaling::call::{CallDetails, CallEndCause, CallState, CallTimers};
pub use offhook_signaling::client::StoredCredential;
pub use offhook_signaling::error::{ClientErrorCode, ErrorDomain};
pub use offhook_signaling::message::{Headers, IceServer, WireError};
pub use offhook_signaling::verification::{AuthenticationString, Verification, VerificationError};
pub use offhook_signaling::{
    ApplicationKey, ClientError, DeviceCredential, DeviceId as InstallationId, UnixSeconds, UserId,
};
pub use offhook_transport::{
    CandidateKind, Carrier, DtlsVersion, DtlsVersions, IceUrlError, PathEnd, RelayProtocol, SrtpProfile,
    Transmit, TransportStats,
};
