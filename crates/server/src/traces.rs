//! Traces of calls for OpenTelemetry: a call is one trace, made from its record once it is over. Users are not named in it.
//!
//! The trace's id follows from application and call id ([`trace_id`]), so that what other parts of a system know about a call can join it,
//! and so that nodes that took a call over from each other speak of the same.

#[cfg(feature = "otlp")]
mod export;

use offhook_signaling::{ApplicationKey, CallId};
use sha2::{Digest as _, Sha256};

use crate::store::CallDetailRecord;

/// Where traces go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traces {
    #[cfg(feature = "otlp")]
    queue: Option<tokio::sync::mpsc::Sender<Box<CallDetailRecord>>>,
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The endpoint is no http or https URL: correct it.
    #[error("{0:?} is no http or https URL of an OpenTelemetry collector")]
    Url(String),
    /// The exporter cannot be made.
    #[error("traces: {0}")]
    Exporter(String),
    /// This program was built without the feature `otlp`: use one that has it.
    #[error("this program was built without OpenTelemetry (feature otlp)")]
    NotBuilt,
}

impl Traces {
    /// Sends what [`Self::note`] is given to a collector, in the background, until the server stops.
    #[cfg(feature = "otlp")]
    pub(crate) fn start(
        endpoint: Option<&str>,
        stop: crate::server::StopSign,
        alive: tokio::sync::mpsc::Sender<std::convert::Infallible>,
    ) -> Result<Self, TracesError> {
        let queue = endpoint.map(|endpoint| export::start(endpoint, stop, alive)).transpose()?;
        Ok(Self { queue })
    }

    /// Nothing can be sent.
    #[cfg(not(feature = "otlp"))]
    pub(crate) fn start(
        endpoint: Option<&str>,
        _stop: crate::server::StopSign,
        _alive: tokio::sync::mpsc::Sender<std::convert::Infallible>,
    ) -> Result<Self, TracesError> {
        if endpoint.is_some() { Err(TracesError::NotBuilt) } else { Ok(Self::default()) }
    }

    /// A call is over. Never waits: what a collector that is away or slow has no place for is dropped.
    pub(crate) fn note(&self, record: &CallDetailRecord) {
        #[cfg(feature = "otlp")]
        if let Some(queue) = &self.queue
            && queue.try_send(Box::new(record.clone())).is_err()
        {
            tracing::debug!(call_id = %record.call_id, "no trace: the collector does not keep up");
        }
        #[cfg(not(feature = "otlp"))]
        let _ = record;
    }
}

/// The id of a call's trace (W3C Trace Context): the first half of SHA-256 over application key, a zero byte and call id.
#[must_use]
pub fn trace_id(application: &ApplicationKey, call_id: &CallId) -> [u8; 16] {
    let digest =
        Sha256::new().chain_update(application.as_str()).chain_update([0]).chain_update(call_id.as_str());
    let mut id = [0; 16];
    id.copy_from_slice(&digest.finalize()[..16]);
    id
}
