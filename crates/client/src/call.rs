//! One call, as an application holds it.

mod core;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use offhook_media::{MediaStream, StreamSource};
use offhook_signaling::call::{CallDetails, CallState};
use offhook_signaling::message::Headers;
use offhook_signaling::verification::{AuthenticationString, Verification};
use tokio::sync::oneshot;

pub(crate) use self::core::{CallCore, Ending};
use crate::driver::{Command, ToMedia};
use crate::error::{AnswerError, DtmfError, HoldError, RefuseError, SaveRecordingError, answer_error};
use crate::event::{CallDirection, CallEvent, CallEvents};
use crate::listener::{CallListener, tell_call_listener};
use crate::microphone::Lease;
use crate::queue::EventStream;
use crate::recording;
use crate::snapshot::CallMeasure;
use crate::stats::{CallReport, CallStats};

/// What a call measures of itself, from when it was asked for.
pub type CallMeasures = EventStream<CallMeasure>;

/// One call. Cheap to clone, every clone is the same call. Dropping it does not end the call: [`hang_up`](Self::hang_up) does, and the end
/// of the client.
#[derive(Clone)]
pub struct Call {
    core: Arc<CallCore>,
    stream: Arc<MediaStream>,
}

impl Call {
    pub(crate) fn new(core: Arc<CallCore>, stream: Arc<MediaStream>) -> Self {
        Self { core, stream }
    }

    pub(crate) fn core(&self) -> &Arc<CallCore> {
        &self.core
    }

    /// The call's id, the same on both sides.
    #[must_use]
    pub fn id(&self) -> &str {
        self.core.id.as_str()
    }

    /// Who called.
    #[must_use]
    pub fn direction(&self) -> CallDirection {
        self.core.direction
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> CallState {
        self.core.state()
    }

    /// Times, end cause and error so far.
    #[must_use]
    pub fn details(&self) -> CallDetails {
        self.core.details()
    }

    /// Whether the two people can know that nobody sits between them, not even the server: decided once the call is answered.
    #[must_use]
    pub fn verification(&self) -> Verification {
        self.core.verification()
    }

    /// Eight digits to be compared by voice (a short authentication string, as ZRTP has it: RFC 6189 section 7): when both sides have the
    /// same, nobody sits between them. `None` unless the [verification](Self::verification) is ready;
    /// [`CallEvent::Verification`] says when it is.
    #[must_use]
    pub fn authentication_string(&self) -> Option<AuthenticationString> {
        match self.verification() {
            Verification::Ready(string) => Some(string),
            Verification::Pending | Verification::Unavailable | Verification::Failed(_) => None,
        }
    }

    /// The caller's headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.core.headers
    }

    /// The other person.
    #[must_use]
    pub fn remote_user_id(&self) -> &str {
        self.core.remote.as_str()
    }

    /// What the other person calls themselves, on the callee's side; their user id where they say nothing. Nobody vouches for the name: it
    /// is for showing beside the id, not in its place.
    #[must_use]
    pub fn remote_user_display_name(&self) -> &str {
        self.core.display_name.as_deref().unwrap_or_else(|| self.remote_user_id())
    }

    /// The other person's sound, to be bound to an [`AudioElement`](offhook_media::AudioElement). There from the beginning, silent until
    /// the call is established.
    #[must_use]
    pub fn incoming_stream(&self) -> StreamSource {
        self.stream.incoming()
    }

    /// Accepts an incoming call: opens the microphone and sends the answer. Sound flows from
    /// [`Established`](CallEvent::Established) on. Given up before the answer was sent, it leaves the call ringing and the microphone
    /// closed; afterwards the call is answered all the same.
    ///
    /// # Errors
    /// [`AnswerError`]; after [`AnswerError::Microphone`] the call rings on.
    pub async fn answer(&self) -> Result<(), AnswerError> {
        let mut answering = Answering::begin(self)?;
        let shared = self.core.shared().ok_or(AnswerError::Ended)?;
        let run = shared.run().ok_or(AnswerError::Ended)?;
        let lease = shared.sound.open(shared.settings.timeouts.device).await?;
        self.speak_with(lease);
        let (reply, answer) = oneshot::channel();
        self.core.to_media(ToMedia::Answer { reply });
        let answer = answer.await.map_err(|_| AnswerError::Ended)?;
        let sdp = match answer {
            Ok(sdp) => sdp,
            Err(why) => {
                self.hang_up();
                return Err(AnswerError::Description(why));
            }
        };
        let (reply, answered) = oneshot::channel();
        let command = Command::Answer { call: self.core.id.clone(), sdp, reply };
        run.commands.send(command).await.map_err(|_| AnswerError::Ended)?;
        answering.sent = true;
        let answered = answered.await.map_err(|_| AnswerError::Ended)?;
        let answered = answered.map_err(|error| answer_error(&error));
        if matches!(answered, Err(AnswerError::Description(_))) {
            self.hang_up();
        }
        answered
    }

    /// Ends the call, in any state: cancels it, denies it or hangs up. The end comes as [`CallEvent::Ended`].
    pub fn hang_up(&self) {
        self.core.end(Ending::HangUp);
    }

    /// [`hang_up`](Self::hang_up) in its published spelling.
    pub fn hangup(&self) {
        self.hang_up();
    }

    /// Refuses an incoming call because this device is busy; other devices of the same user ring on.
    ///
    /// # Errors
    /// [`RefuseError`] unless it is incoming and rings.
    pub fn refuse_busy(&self) -> Result<(), RefuseError> {
        if self.core.direction == CallDirection::Outbound || self.state() != CallState::Init {
            return Err(RefuseError::WrongState);
        }
        self.core.end(Ending::Busy);
        Ok(())
    }

    /// Sends silence instead of the microphone, in any state.
    pub fn mute(&self) {
        self.stream.set_muted(true);
    }

    /// Sends the microphone again.
    pub fn unmute(&self) {
        self.stream.set_muted(false);
    }

    /// Whether the near end is muted.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.stream.muted()
    }

    /// How loud the other person is, beside the volume of the element: a factor of 0 (silent) to [`MOST_VOLUME`](offhook_media::MOST_VOLUME)
    /// (12 dB louder); 1 is as it came. Led there without a click. What is outside is brought inside.
    pub fn set_volume(&self, volume: f32) {
        self.stream.set_volume(volume);
    }

    /// How loud the other person is.
    #[must_use]
    pub fn volume(&self) -> f32 {
        self.stream.volume()
    }

    /// Presses keys: `0` to `9`, `*`, `#`, `A` to `D`.
    ///
    /// # Errors
    /// [`DtmfError`]
    pub fn send_dtmf(&self, keys: &str) -> Result<(), DtmfError> {
        if self.state() != CallState::Established {
            return Err(DtmfError::WrongState);
        }
        self.stream.send_dtmf(keys).map_err(|error| DtmfError::NotSent(error.to_string()))
    }

    /// Puts the call on hold: nothing is sent and nothing is received until [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`HoldError`] unless it is established.
    pub fn hold(&self) -> Result<(), HoldError> {
        self.set_hold(true)
    }

    /// Ends the hold of this side.
    ///
    /// # Errors
    /// [`HoldError`] unless it is established.
    pub fn resume(&self) -> Result<(), HoldError> {
        self.set_hold(false)
    }

    fn set_hold(&self, hold: bool) -> Result<(), HoldError> {
        if self.state() != CallState::Established {
            return Err(HoldError::WrongState);
        }
        self.core.set_held(hold);
        Ok(())
    }

    /// Waits for the call's next event; `None` after [`CallEvent::Ended`]. Clones of the call share this reader: each event goes to one of
    /// those who wait. [`events`](Self::events) gives a reader of its own.
    pub async fn next_event(&self) -> Option<CallEvent> {
        self.core.next_event().await
    }

    /// A reader of its own, which begins with what happened so far.
    #[must_use]
    pub fn events(&self) -> CallEvents {
        self.core.events()
    }

    /// Adds a listener, which is told from the call's beginning on, on a task of the client's.
    pub fn add_listener(&self, listener: Arc<dyn CallListener>) {
        self.core.runtime().spawn(tell_call_listener(self.clone(), self.events(), self.measures(), listener));
    }

    /// [`add_listener`](Self::add_listener) in its older spelling.
    pub fn add_event_listener(&self, listener: Arc<dyn CallListener>) {
        self.add_listener(listener);
    }

    /// Measures now; the last ones when the call is over.
    #[must_use]
    pub fn stats(&self) -> CallStats {
        self.core.final_stats().unwrap_or_else(|| self.measure())
    }

    /// Everything about the call in one piece; complete once it has ended.
    #[must_use]
    pub fn report(&self) -> CallReport {
        self.core.report(self.stats())
    }

    /// What is measured from now on: a [snapshot](CallMeasure::Second) a second while the call is established, then the
    /// [report](CallMeasure::Report), then the end.
    #[must_use]
    pub fn measures(&self) -> CallMeasures {
        self.core.measures()
    }

    /// The flight recording so far, in the format of docs/FLIGHT_RECORDING.md; `None` where recording is
    /// [off](crate::FlightRecording::Off). It is there until the last handle of the call is gone.
    #[must_use]
    pub fn recording(&self) -> Option<Vec<u8>> {
        self.core.recording()
    }

    /// Writes the [flight recording](Self::recording) so far to a file that only this user can read; `offhook replay` plays it again. One
    /// that is there already is replaced. It blocks while it writes: at most two mebibytes.
    ///
    /// # Errors
    /// [`SaveRecordingError`].
    pub fn save_recording(&self, path: impl AsRef<Path>) -> Result<(), SaveRecordingError> {
        let recording = self.recording().ok_or(SaveRecordingError::Off)?;
        recording::save(path.as_ref(), &recording).map_err(SaveRecordingError::File)
    }

    fn measure(&self) -> CallStats {
        CallStats::new(self.core.driver_stats(), self.stream.stats())
    }

    /// Sends what this microphone hears, and holds it open while the call lasts.
    pub(crate) fn speak_with(&self, microphone: Arc<Lease>) {
        self.stream.attach_microphone(microphone.microphone());
        self.core.hold_microphone(microphone);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state() == CallState::Ended
    }
}

/// An answer on its way, one at a time. Unless it is sent, the microphone that was opened for it is closed again.
struct Answering<'a> {
    call: &'a Call,
    sent: bool,
}

impl<'a> Answering<'a> {
    fn begin(call: &'a Call) -> Result<Self, AnswerError> {
        call.core.begin_answer()?;
        Ok(Self { call, sent: false })
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if !self.sent {
            self.call.stream.detach_microphone();
            self.call.core.give_up_answer();
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("id", &self.core.id)
            .field("direction", &self.core.direction)
            .field("remote", &self.core.remote)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
