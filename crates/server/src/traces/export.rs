//! OTLP over HTTP, in protobuf.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::header;
use bytes::Bytes;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{TracesError, trace_id};
use crate::endpoint::Endpoint;
use crate::fetch::Fetcher;
use crate::server::StopSign;
use crate::store::{CallDetailRecord, UnixMillis};

/// Where collectors take traces (OTLP specification, OTLP/HTTP request).
const PATH: &str = "/v1/traces";
/// Calls whose traces wait.
const MOST_QUEUED: usize = 2048;
/// Calls of one request.
const MOST_AT_ONCE: usize = 128;
/// Calls that end soon after one go with it.
const GATHERING: Duration = Duration::from_secs(1);
/// A collector that does not answer for so long gets the next ones.
const PATIENCE: Duration = Duration::from_secs(10);
/// When the server stops.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// More than any answer of a collector says.
const MOST_ANSWER: usize = 64 * 1024;

/// Starts to send.
pub(super) fn start(
    endpoint: &str,
    stop: StopSign,
    alive: mpsc::Sender<Infallible>,
) -> Result<mpsc::Sender<Box<CallDetailRecord>>, TracesError> {
    let url = match endpoint.trim_end_matches('/') {
        whole if whole.ends_with(PATH) => whole.to_owned(),
        base => format!("{base}{PATH}"),
    };
    // The operator names it: it may be anywhere.
    let endpoint = Endpoint::parse(&url, true).map_err(|_| TracesError::Url(endpoint.to_owned()))?;
    let fetcher = Fetcher::system().map_err(|error| TracesError::Exporter(error.to_string()))?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client { endpoint: Arc::new(endpoint), fetcher })
        .with_endpoint(url)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| TracesError::Exporter(error.to_string()))?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come first.
    let mut resource = Resource::builder().with_attribute(version);
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("offhook");
    }
    exporter.set_resource(&resource.build());
    let (queue, records) = mpsc::channel(MOST_QUEUED);
    tokio::spawn(run(exporter, records, stop, alive));
    Ok(queue)
}

async fn run(
    exporter: SpanExporter,
    mut records: mpsc::Receiver<Box<CallDetailRecord>>,
    mut stop: StopSign,
    _alive: mpsc::Sender<Infallible>,
) {
    let mut is_failing = false;
    loop {
        let mut batch = Vec::new();
        let is_last = tokio::select! {
            count = records.recv_many(&mut batch, MOST_AT_ONCE) => count == 0,
            () = stop.now() => true,
        };
        if !is_last && batch.len() < MOST_AT_ONCE {
            tokio::select! {
                () = sleep(GATHERING) => {}
                () = stop.now() => {}
            }
        }
        while batch.len() < MOST_AT_ONCE
            && let Ok(record) = records.try_recv()
        {
            batch.push(record);
        }
        let patience = if is_last { LAST_PATIENCE } else { PATIENCE };
        let spans: Vec<SpanData> = batch.iter().flat_map(|record| spans(record)).collect();
        if !spans.is_empty() {
            let error = match timeout(patience, exporter.export(spans)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            // Once is enough to know that a collector is away.
            if let Some(error) = error.as_ref().filter(|_| !is_failing) {
                tracing::warn!(error, calls = batch.len(), "the collector does not take traces");
            }
            is_failing = error.is_some();
        }
        if is_last {
            return;
        }
    }
}

/// A call in spans: the whole of it, and its stages as far as it came.
pub(super) fn spans(record: &CallDetailRecord) -> Vec<SpanData> {
    let trace = trace_id(&record.application, &record.call_id);
    let stages = [
        // From the caller's wish to the first device that rings.
        ("call.route", Some(record.started), record.rang.or(record.answered)),
        ("call.ring", record.rang, record.answered),
        // From the answer to media.
        ("call.answer", record.answered, record.established),
        ("call.talk", record.established, None),
    ];
    let mut spans = vec![span(record, trace, "call", record.started, record.ended)];
    for (name, begun, done) in stages {
        if let Some(begun) = begun {
            spans.push(span(record, trace, name, begun, done.unwrap_or(record.ended)));
        }
    }
    spans
}

fn span(
    record: &CallDetailRecord,
    trace: [u8; 16],
    name: &'static str,
    begun: UnixMillis,
    ended: UnixMillis,
) -> SpanData {
    let root = span_id(trace, "call");
    let is_root = name == "call";
    let context = |id| {
        let trace = TraceId::from_bytes(trace);
        SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default())
    };
    let mut attributes = vec![KeyValue::new("offhook.call.id", record.call_id.to_string())];
    let mut status = Status::Unset;
    if is_root {
        attributes.push(KeyValue::new("offhook.application", record.application.to_string()));
        attributes.push(KeyValue::new("offhook.call.end_cause", word(&record.cause)));
        attributes.push(KeyValue::new("offhook.call.ended_by", word(&record.ended_by)));
        attributes.push(KeyValue::new("offhook.call.result", record.result()));
        attributes.push(KeyValue::new("offhook.call.taken_over", record.taken_over));
        if let Some(error) = &record.error {
            let error = word(error);
            attributes.push(KeyValue::new("error.type", error.clone()));
            status = Status::error(error);
        }
    }
    SpanData {
        span_context: context(span_id(trace, name)),
        parent_span_id: if is_root { SpanId::INVALID } else { root },
        parent_span_is_remote: false,
        span_kind: if is_root { SpanKind::Server } else { SpanKind::Internal },
        name: name.into(),
        start_time: time(begun),
        end_time: time(ended.max(begun)),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: InstrumentationScope::builder("offhook").build(),
    }
}

fn span_id(trace: [u8; 16], name: &str) -> SpanId {
    let digest = Sha256::new().chain_update(trace).chain_update(name).finalize();
    let mut id = [0; 8];
    id.copy_from_slice(&digest[..8]);
    SpanId::from_bytes(id)
}

fn time(at: UnixMillis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)
}

/// As it is on the wire.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

/// The server's own HTTP client.
#[derive(Debug)]
struct Client {
    endpoint: Arc<Endpoint>,
    fetcher: Fetcher,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut own = Request::post(self.endpoint.path()).header(header::HOST, self.endpoint.authority());
        if let Some(headers) = own.headers_mut() {
            headers.extend(head.headers);
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        let own = own.body(Body::from(body))?;
        let answer = timeout(PATIENCE, self.fetcher.send(&self.endpoint, true, own, MOST_ANSWER)).await??;
        Ok(Response::builder().status(answer.status).body(answer.body.into())?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;
    use crate::store::UnixMillis;

    fn record() -> CallDetailRecord {
        let text = r#"{"call_id":"c","application":"a32e5a8d-f7d8-411c-9645-9038e8dd051d","caller":"alice","callee":"bob",
            "caller_device":"a1","callee_device":"b1","started":1000,"rang":1100,"answered":3000,"established":3200,"ended":9000,
            "talked_ms":6000,"cause":"hung_up","error":null,"ended_by":"callee","taken_over":false,"headers":{"secret":"of mine"}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_call_is_a_span_with_its_stages_and_names_nobody() {
        let spans = spans(&record());
        let at = |ms| time(UnixMillis(ms));
        let told: Vec<_> = spans.iter().map(|span| (&*span.name, span.start_time, span.end_time)).collect();
        let wanted = [
            ("call", at(1000), at(9000)),
            ("call.route", at(1000), at(1100)),
            ("call.ring", at(1100), at(3000)),
            ("call.answer", at(3000), at(3200)),
            ("call.talk", at(3200), at(9000)),
        ];
        assert_eq!(told, wanted);
        for span in &spans[1..] {
            assert_eq!(span.parent_span_id, spans[0].span_context.span_id());
            assert_eq!(span.span_context.trace_id(), spans[0].span_context.trace_id());
        }
        let text = format!("{spans:?}");
        assert!(!["alice", "bob", "a1", "of mine"].iter().any(|private| text.contains(private)), "{text}");
        let unanswered = CallDetailRecord { rang: None, answered: None, established: None, ..record() };
        let spans = super::spans(&unanswered);
        assert_eq!(spans.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["call", "call.route"]);
        assert_eq!(spans[1].end_time, at(9000));
    }

    #[tokio::test]
    async fn a_collector_that_never_answers_holds_nobody_up_and_costs_no_more_than_a_full_queue() {
        let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", collector.local_addr().unwrap());
        let (_stop, sign) = watch::channel(crate::server::Stop::Running);
        let (alive, _all_gone) = mpsc::channel(1);
        let queue = start(&endpoint, StopSign::new(sign), alive).unwrap();
        let traces = super::super::Traces { queue: Some(queue.clone()) };
        let begun = Instant::now();
        for _ in 0..MOST_QUEUED * 10 {
            traces.note(&record());
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!((queue.max_capacity(), queue.capacity()), (MOST_QUEUED, 0));
    }
}
