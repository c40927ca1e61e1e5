//! News for the application.

use offhook_media::DeviceEvent;
use offhook_media_core::quality::QualityWarning;
use offhook_signaling::ClientError;
use offhook_signaling::call::CallDetails;
use offhook_signaling::verification::Verification;

use crate::call::Call;
use crate::queue::EventStream;
use crate::registration::ClientRegistration;

/// The events of a client, from its start to its end; then `None`.
pub type ClientEvents = EventStream<ClientEvent>;
/// The events of a call, from its beginning to [`CallEvent::Ended`]; then `None`.
pub type CallEvents = EventStream<CallEvent>;

/// News of a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A token of the application's back end is needed: at the first start, and before a registration ends. Calls go on meanwhile.
    CredentialsRequired(ClientRegistration),
    /// The client is registered: it can call and be called.
    Started,
    /// Something failed. When [`is_fatal`](ClientError::is_fatal) is set the client has stopped: correct the cause and start it again.
    Failed(ClientError),
    /// Somebody calls; once per call. [`answer`](Call::answer) or [`hang_up`](Call::hang_up).
    IncomingCall(Call),
    /// The connection to the server is lost and is being made again. Calls go on.
    Reconnecting,
    /// The connection to the server is back; nothing was missed.
    Reconnected,
    /// A sound device was lost, came back or became the default.
    Device(DeviceEvent),
}

/// News of a call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallEvent {
    /// The callee is being reached (outgoing calls only). A progress tone may start.
    Progressing,
    /// A device of the callee rings (outgoing calls only).
    Ringing,
    /// The callee accepted; sound may not flow yet.
    Answered,
    /// Answered, and media is connected at this end: sound flows.
    Established,
    /// The quality fell below a published limit, or recovered. Only after [`Established`](Self::Established).
    QualityWarning(QualityWarning),
    /// The other side pressed a key: `0` to `9`, `*`, `#`, `A` to `D`.
    DtmfReceived(char),
    /// There is an [authentication string](crate::Call::authentication_string) ([`Ready`](Verification::Ready)), or the verification
    /// [failed](Verification::Failed): somebody changed what the two sides exchanged.
    Verification(Verification),
    /// The call is over; always the last event.
    Ended(CallDetails),
}

/// Who called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallDirection {
    /// The other side called.
    Inbound,
    /// This side called.
    Outbound,
}
