//! What the handles of a call, its media driver and the signaling driver share.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use offhook_media_core::recording::FlightRecorder;
use offhook_signaling::call::{CallDetails, CallState};
use offhook_signaling::client::ClientCall;
use offhook_signaling::message::{CallReport as MeasuredCall, Headers};
use offhook_signaling::verification::Verification;
use offhook_signaling::{CallId, UserId};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::driver::ToMedia;
use crate::error::AnswerError;
use crate::event::{CallDirection, CallEvent, CallEvents};
use crate::microphone::Lease;
use crate::queue::{EventHub, EventStream};
use crate::report::for_server;
use crate::shared::{Shared, Signal};
use crate::snapshot::CallMeasure;
use crate::stats::{CallReport, CallStats, DriverStats};

/// Messages that wait for a call's media driver; one that leaves that many waiting is dead.
const MOST_TO_MEDIA: usize = 256;

/// How this side wishes to end a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Busy,
    HangUp,
}

/// The wish to end a call. Busy may come too late, when the call is answered already; hanging up never does, so that it counts.
#[derive(Debug, Default)]
struct Wish(AtomicU8);

impl Wish {
    fn add(&self, ending: Ending) {
        let wish = match ending {
            Ending::Busy => 1,
            Ending::HangUp => 2,
        };
        self.0.fetch_max(wish, Ordering::AcqRel);
    }

    fn get(&self) -> Option<Ending> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Ending::Busy),
            _ => Some(Ending::HangUp),
        }
    }
}

#[derive(Debug)]
pub(crate) struct CallCore {
    pub(crate) id: CallId,
    pub(crate) direction: CallDirection,
    pub(crate) remote: UserId,
    pub(crate) display_name: Option<String>,
    pub(crate) headers: Headers,
    shared: Weak<Shared>,
    signal: Arc<Signal>,
    /// Where the client runs: listeners are told there, whoever adds them.
    runtime: Handle,
    view: Mutex<View>,
    events: EventHub<CallEvent>,
    primary: EventStream<CallEvent>,
    measures: EventHub<CallMeasure>,
    recorder: Option<Mutex<FlightRecorder>>,
    to_media: mpsc::Sender<ToMedia>,
    ending: Wish,
    held: AtomicBool,
    answering: AtomicBool,
    microphone: Mutex<Option<Arc<Lease>>>,
    stats: Mutex<Stats>,
    media_over: watch::Sender<bool>,
}

#[derive(Debug)]
struct View {
    state: CallState,
    details: CallDetails,
    verification: Verification,
}

impl View {
    fn of(call: &ClientCall) -> Self {
        Self { state: call.state(), details: call.details().clone(), verification: call.verification() }
    }
}

#[derive(Debug, Default)]
struct Stats {
    driver: DriverStats,
    at_end: Option<CallStats>,
}

impl CallCore {
    /// A call as the client machine has it, and the receiver for its media driver. Within the client's runtime.
    pub(crate) fn new(
        id: CallId,
        call: &ClientCall,
        shared: &Arc<Shared>,
        signal: Arc<Signal>,
    ) -> (Arc<Self>, mpsc::Receiver<ToMedia>) {
        let (to_media, from_core) = mpsc::channel(MOST_TO_MEDIA);
        let events = EventHub::remembering();
        let core = Self {
            id,
            direction: if call.is_outgoing() { CallDirection::Outbound } else { CallDirection::Inbound },
            remote: call.remote().clone(),
            display_name: call.display_name().map(str::to_owned),
            headers: call.headers().clone(),
            shared: Arc::downgrade(shared),
            signal,
            runtime: Handle::current(),
            view: Mutex::new(View::of(call)),
            primary: events.subscribe(),
            events,
            measures: EventHub::new(),
            recorder: shared.settings.flight_recording.recorder().map(Mutex::new),
            to_media,
            ending: Wish::default(),
            held: AtomicBool::new(false),
            answering: AtomicBool::new(false),
            microphone: Mutex::new(None),
            stats: Mutex::new(Stats::default()),
            media_over: watch::Sender::new(false),
        };
        (Arc::new(core), from_core)
    }

    pub(crate) fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.upgrade()
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn state(&self) -> CallState {
        lock(&self.view).state
    }

    pub(crate) fn details(&self) -> CallDetails {
        lock(&self.view).details.clone()
    }

    pub(crate) fn verification(&self) -> Verification {
        lock(&self.view).verification
    }

    /// Takes over what the machine knows now.
    pub(crate) fn refresh(&self, call: &ClientCall) {
        *lock(&self.view) = View::of(call);
    }

    pub(crate) fn emit(&self, event: &CallEvent) {
        self.events.send(event);
    }

    pub(crate) fn events(&self) -> CallEvents {
        self.events.subscribe()
    }

    pub(crate) async fn next_event(&self) -> Option<CallEvent> {
        self.primary.next_shared().await
    }

    pub(crate) fn measures(&self) -> EventStream<CallMeasure> {
        self.measures.subscribe()
    }

    pub(crate) fn tell_measure(&self, measure: &CallMeasure) {
        self.measures.send(measure);
    }

    /// Notes something in the flight recorder, where there is one.
    pub(crate) fn record(&self, note: impl FnOnce(&mut FlightRecorder)) {
        if let Some(recorder) = &self.recorder {
            note(&mut lock(recorder));
        }
    }

    /// The flight recording so far.
    pub(crate) fn recording(&self) -> Option<Vec<u8>> {
        self.recorder.as_ref().map(|recorder| lock(recorder).to_bytes())
    }

    /// Everything about the call, with these measures.
    pub(crate) fn report(&self, stats: CallStats) -> CallReport {
        let details = self.details();
        CallReport {
            call_id: self.id.clone(),
            direction: self.direction,
            remote_user_id: self.remote.clone(),
            duration: details.duration(std::time::Instant::now()),
            details,
            verification: self.verification(),
            stats,
        }
    }

    /// Hands a message to the media driver; `false` when it is dead or has ended.
    pub(crate) fn to_media(&self, message: ToMedia) -> bool {
        self.to_media.try_send(message).is_ok()
    }

    /// Wishes to end the call; the signaling driver sees it however much it has to do.
    pub(crate) fn end(&self, ending: Ending) {
        self.ending.add(ending);
        self.signal.wake();
    }

    /// The wish to end, while the call is not over.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.get()
    }

    /// Wishes to hold or to resume; the media driver sees it when it next looks, however many messages wait for it.
    pub(crate) fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// Whether this side wishes to hold.
    pub(crate) fn held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// One answer at a time, and only of a ringing incoming call.
    pub(crate) fn begin_answer(&self) -> Result<(), AnswerError> {
        match self.state() {
            CallState::Ended => return Err(AnswerError::Ended),
            CallState::Init if self.direction == CallDirection::Inbound => {}
            _ => return Err(AnswerError::WrongState),
        }
        if self.answering.swap(true, Ordering::AcqRel) {
            return Err(AnswerError::WrongState);
        }
        Ok(())
    }

    /// The answer that was begun is not given: another can be, and the microphone is let go.
    pub(crate) fn give_up_answer(&self) {
        *lock(&self.microphone) = None;
        self.answering.store(false, Ordering::Release);
    }

    pub(crate) fn hold_microphone(&self, lease: Arc<Lease>) {
        // A call that ended meanwhile must not keep it open.
        let mut held = lock(&self.microphone);
        *held = (!*self.media_over.borrow()).then_some(lease);
    }

    /// The newest measures of the media driver.
    pub(crate) fn set_driver_stats(&self, stats: DriverStats) {
        lock(&self.stats).driver = stats;
    }

    pub(crate) fn driver_stats(&self) -> DriverStats {
        lock(&self.stats).driver.clone()
    }

    pub(crate) fn final_stats(&self) -> Option<CallStats> {
        lock(&self.stats).at_end.clone()
    }

    /// The media driver has ended: the last measures, and the microphone is let go.
    pub(crate) fn media_ended(&self, stats: CallStats) {
        lock(&self.stats).at_end = Some(stats);
        let mut held = lock(&self.microphone);
        self.media_over.send_replace(true);
        *held = None;
    }

    /// Waits until the media driver has ended, for a bounded time, and tells the end to the application. Gives what the server is told of the
    /// call.
    pub(crate) async fn tell_end(self: Arc<Self>, patience: Duration) -> Option<(CallId, MeasuredCall)> {
        let mut over = self.media_over.subscribe();
        let _ = timeout(patience, over.wait_for(|over| *over)).await;
        *lock(&self.microphone) = None;
        let stats = self.final_stats();
        let told = stats.as_ref().and_then(for_server).map(|told| (self.id.clone(), told));
        if let Some(stats) = stats {
            self.measures.send(&CallMeasure::Report(Box::new(self.report(stats))));
        }
        self.measures.close();
        self.emit(&CallEvent::Ended(self.details()));
        self.events.close();
        told
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hanging_up_counts_even_after_a_refusal_that_came_too_late() {
        let wish = Wish::default();
        assert_eq!(wish.get(), None);
        wish.add(Ending::Busy);
        assert_eq!(wish.get(), Some(Ending::Busy));
        wish.add(Ending::HangUp);
        wish.add(Ending::Busy);
        assert_eq!(wish.get(), Some(Ending::HangUp));
    }
}
