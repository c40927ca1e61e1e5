//! What happened to a call on one side, with the time it was told.

use std::time::Instant;

use offhook_client::{Call, CallDetails, CallEvent, WarningEvent};
use tokio::sync::watch;
use tokio::time::timeout;

use super::person::STEP;

/// One event.
#[derive(Debug, Clone)]
pub(super) struct Stamped {
    pub(super) at: Instant,
    pub(super) name: String,
    /// A few words more; may be empty.
    pub(super) detail: String,
    /// Of the last event.
    pub(super) ended: Option<CallDetails>,
}

/// The events of one side's call so far. A task writes them down as they come, so that no time is that of somebody busy elsewhere.
#[derive(Debug, Clone)]
pub(super) struct EventLog {
    seen: watch::Receiver<Vec<Stamped>>,
}

impl EventLog {
    pub(super) fn of(call: &Call) -> Self {
        let mut events = call.events();
        let (log, seen) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                // Nobody is there to compare it.
                if matches!(event, CallEvent::Verification(_)) {
                    continue;
                }
                let stamped = stamp(event);
                log.send_modify(|log| log.push(stamped));
            }
        });
        Self { seen }
    }

    /// Waits for an event, at most [`STEP`]; `None` when it does not come, or the call ends first.
    pub(super) async fn reached(&mut self, name: &str) -> Option<Instant> {
        let over = |log: &Vec<Stamped>| log.iter().any(|event| event.name == name || event.ended.is_some());
        // A reader whose writer is gone has seen everything.
        let _ = timeout(STEP, self.seen.wait_for(over)).await;
        self.time_of(name)
    }

    /// Waits for the end, without a bound.
    pub(super) async fn ended(&mut self) {
        let _ = self.seen.wait_for(|log| log.iter().any(|event| event.ended.is_some())).await;
    }

    pub(super) fn time_of(&self, name: &str) -> Option<Instant> {
        self.seen.borrow().iter().find(|event| event.name == name).map(|event| event.at)
    }

    pub(super) fn details(&self) -> Option<CallDetails> {
        self.seen.borrow().last().and_then(|event| event.ended.clone())
    }

    pub(super) fn all(&self) -> Vec<Stamped> {
        self.seen.borrow().clone()
    }
}

fn stamp(event: CallEvent) -> Stamped {
    let at = Instant::now();
    let plain = |name: &str| Stamped { at, name: name.to_owned(), detail: String::new(), ended: None };
    match event {
        CallEvent::Progressing => plain("Progressing"),
        CallEvent::Ringing => plain("Ringing"),
        CallEvent::Answered => plain("Answered"),
        CallEvent::Established => plain("Established"),
        CallEvent::QualityWarning(warning) => {
            let ends = if warning.event == WarningEvent::Recover { ", recovered" } else { "" };
            Stamped { detail: format!("{:?}{ends}", warning.kind), ..plain("QualityWarning") }
        }
        CallEvent::DtmfReceived(key) => Stamped { detail: key.to_string(), ..plain("DtmfReceived") },
        CallEvent::Ended(details) => {
            Stamped { detail: format!("{:?}", details.end_cause), ended: Some(details), ..plain("Ended") }
        }
        other => plain(&format!("{other:?}")),
    }
}
