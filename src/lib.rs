#![doc = include_str!("../README.md")]

pub use offhook_client::{
    Account, AddressSource, AnswerError, ApplicationKey, AudioElement, AudioProcessing, AuthenticationString,
    BitsPerSecond, BuildError, Call, CallClient, CallDetails, CallDirection, CallEndCause, CallError,
    CallEvent, CallEvents, CallListener, CallMeasure, CallMeasures, CallReport, CallSnapshot, CallState,
    CallStats, CallTimers, Client, ClientBuilder, ClientError, ClientErrorCode, ClientEvent, ClientEvents,
    ClientListener, ClientRegistration, Codec, CredentialError, CredentialStore, DelayPercentiles, Device,
    DeviceCredential, DeviceDirection, DeviceEvent, DeviceId, DeviceInfo, DeviceStats, DtlsVersion,
    DtlsVersions, DtmfError, EndpointError, Engine, EngineBuilder, EngineClock, EngineStats, ErrorDomain,
    EventStream, Events, FileStore, FlightRecording, Headers, HoldError, IdError, InstallationId,
    LatencyMode, LossCause, MOST_VOLUME, MachineAddresses, MemoryStore, Microphone, MicrophoneError,
    OpenDeviceError, Opening, PacketPath, PacketPathFactory, PacketTime, PcmDevice, PcmFeeder, PcmTap,
    Priority, QualityWarning, Redundancy, RefuseError, RegisterError, Registering, Registration, Reply, Rung,
    SaveRecordingError, Score, SentRates, SrtpProfile, StartEngineError, StartError, StoredCredential,
    StreamSource, StreamStats, TickTime, TimeByKind, Timeouts, Transmit, TransportStats, UnixSeconds, UserId,
    Verification, VerificationError, WarningEvent, WarningKind, WireError, devices, pcm_sink, pcm_source,
};
