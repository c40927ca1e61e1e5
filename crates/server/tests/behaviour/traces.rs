//! Traces of calls, as a collector gets them.

use std::time::Duration;

use offhook_server::{Server, StartError, TracesError, trace_id};
use offhook_signaling::call::CallEndCause;
use offhook_signaling::{ApplicationKey, CallId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::support::{KEY, config, serve, talking};

/// A collector that takes one request: its head and its body.
async fn request(listener: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    loop {
        let mut part = vec![0; 4096];
        let count = stream.read(&mut part).await.unwrap();
        assert!(count > 0, "the request was cut off");
        read.extend_from_slice(&part[..count]);
        let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(read[..end].to_vec()).unwrap().to_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if read.len() >= end + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            return (head, read.split_off(end + 4));
        }
    }
}

#[tokio::test]
async fn a_collector_gets_the_stages_of_a_call_and_nobody_s_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = serve(config().otlp_endpoint(Some(url))).await;
    let (mut alice, mut bob) = talking(&server, "traced").await;
    alice.hang_up("traced", CallEndCause::HungUp, None).await;
    bob.expect("ended HungUp").await;

    let (head, body) = timeout(Duration::from_secs(20), request(&listener)).await.unwrap();
    assert!(head.starts_with("post /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(!text.contains("alice") && !text.contains("bob"), "{text}");
    let sent = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    let spans: Vec<&Span> = sent
        .resource_spans
        .iter()
        .flat_map(|of_resource| &of_resource.scope_spans)
        .flat_map(|of_scope| &of_scope.spans)
        .collect();
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["call", "call.route", "call.ring", "call.answer"], "media did not flow");
    let wanted = trace_id(&ApplicationKey::new(KEY).unwrap(), &CallId::new("traced").unwrap());
    let ends = spans[0].end_time_unix_nano;
    for span in &spans {
        assert_eq!(span.trace_id, wanted);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.end_time_unix_nano <= ends);
        assert!(span.attributes.iter().any(|attribute| attribute.key == "offhook.call.id"));
    }
}

#[tokio::test]
async fn a_collector_that_is_away_is_not_felt_and_a_wrong_url_is_named() {
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = serve(config().otlp_endpoint(Some(format!("http://{away}")))).await;
    let (mut alice, mut bob) = talking(&server, "c").await;
    alice.hang_up("c", CallEndCause::HungUp, None).await;
    bob.expect("ended HungUp").await;
    timeout(Duration::from_secs(15), server.shutdown()).await.expect("it does not wait for the collector");
    let wrong = Server::bind(config().otlp_endpoint(Some("collector:4318".to_owned()))).await;
    let Err(error) = wrong else { panic!("that is no URL") };
    assert!(
        matches!(&error, StartError::Traces(TracesError::Url(url)) if url == "collector:4318"),
        "{error}"
    );
}
