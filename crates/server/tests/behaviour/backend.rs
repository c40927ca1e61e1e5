//! A back end that is told of calls: takes requests on loopback, checks their signature, and answers as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{KEY, SECRET};

/// What the back end does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Answers with this status and body.
    Say(u16, String),
    /// Takes it and says nothing.
    Silence,
}

impl Answer {
    pub(crate) fn svaml(text: &str) -> Self {
        Self::Say(200, text.to_owned())
    }
}

/// What it was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) event: Value,
}

/// The back end.
pub(crate) struct Backend {
    pub(crate) url: String,
    asked: mpsc::UnboundedReceiver<Asked>,
}

type Decide = Arc<Mutex<dyn FnMut(&Value) -> Answer + Send>>;

impl Backend {
    /// Answers every request as `decide` says.
    pub(crate) async fn start(decide: impl FnMut(&Value) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/offhook?app=1", listener.local_addr().unwrap());
        let (told, asked) = mpsc::unbounded_channel();
        let decide: Decide = Arc::new(Mutex::new(decide));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, decide.clone(), told.clone()));
            }
        });
        Self { url, asked }
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Asked {
        timeout(Duration::from_secs(20), self.asked.recv()).await.expect("a callback in time").unwrap()
    }

    /// The kind of the next event.
    pub(crate) async fn event(&mut self) -> String {
        self.next().await.event["event"].as_str().unwrap().to_owned()
    }

    /// Whether nothing was asked that nobody looked at.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

async fn take(mut stream: TcpStream, decide: Decide, told: mpsc::UnboundedSender<Asked>) {
    let mut text = String::new();
    let (head, body) = loop {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.unwrap();
        text += std::str::from_utf8(&bytes[..read]).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() == header(head, "content-length").parse::<usize>().unwrap()
        {
            break (head.to_owned(), body.to_owned());
        }
        assert_ne!(read, 0, "the request ends early: {text}");
    };
    check_signature(&head, &body);
    let event: Value = serde_json::from_str(&body).unwrap();
    let answer = decide.lock().unwrap()(&event);
    let path = head.split(' ').nth(1).unwrap().to_owned();
    told.send(Asked { path, head, event }).unwrap();
    match answer {
        Answer::Say(status, body) => {
            let answer = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nlocation: http://127.0.0.1:1/\r\n\r\n{body}",
                body.len()
            );
            // A server that does not wait any more is what some tests are about.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        Answer::Silence => tokio::time::sleep(Duration::from_secs(60)).await,
    }
}

pub(crate) fn header(head: &str, name: &str) -> String {
    let found = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let found = found.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_owned()).next().unwrap_or_default()
}

/// The published scheme, written down once more: what a back end does that trusts nobody.
fn check_signature(head: &str, body: &str) {
    let authorization = header(head, "authorization");
    let (key, signature) = authorization.strip_prefix("Application ").unwrap().split_once(':').unwrap();
    assert_eq!(key, KEY);
    let digest = match header(head, "content-md5") {
        md5 if md5.is_empty() => {
            let digest = STANDARD.encode(Sha256::digest(body));
            assert_eq!(header(head, "x-content-sha256"), digest);
            digest
        }
        md5 => md5,
    };
    let path = head.split(' ').nth(1).unwrap();
    let (kind, time) = (header(head, "content-type"), header(head, "x-timestamp"));
    let text = format!("POST\n{digest}\n{kind}\nx-timestamp:{time}\n{path}");
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(SECRET).unwrap()).unwrap();
    mac.update(text.as_bytes());
    mac.verify_slice(&STANDARD.decode(signature).unwrap()).unwrap();
}
