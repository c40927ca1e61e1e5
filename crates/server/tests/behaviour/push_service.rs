//! A push service of the test's own, and a device that reads what it is sent: RFC 8291 and RFC 8292 written again on another crypto library.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use offhook_signaling::message::PushSubscription;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// What came in one request.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// Answers requests with the given statuses in turn, the last one for ever.
pub(crate) struct PushService {
    pub(crate) origin: String,
    requests: mpsc::UnboundedReceiver<Request>,
}

impl PushService {
    pub(crate) async fn start(statuses: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for count in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let mut stream = BufReader::new(stream);
                let request = read(&mut stream).await;
                let status = statuses[count.min(statuses.len() - 1)];
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { origin, requests }
    }

    pub(crate) async fn next(&mut self) -> Request {
        timeout(PATIENCE, self.requests.recv()).await.expect("a push in time").unwrap()
    }

    pub(crate) fn has_more(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }
}

async fn read(stream: &mut BufReader<tokio::net::TcpStream>) -> Request {
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let path = line.strip_prefix("POST ").unwrap().split(' ').next().unwrap().to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    Request { path, headers, body }
}

/// The receiving half of a subscription.
pub(crate) struct Receiver {
    key: PrivateKey,
    auth: Vec<u8>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self { key: PrivateKey::generate(&ECDH_P256).unwrap(), auth: b"sixteen bytes of".to_vec() }
    }

    pub(crate) fn of(private: &str, auth: &str) -> Self {
        Self { key: PrivateKey::from_private_key(&ECDH_P256, &decode(private)).unwrap(), auth: decode(auth) }
    }

    pub(crate) fn subscription(&self, endpoint: String) -> PushSubscription {
        let key = self.key.compute_public_key().unwrap();
        PushSubscription {
            endpoint,
            p256dh: URL_SAFE_NO_PAD.encode(key.as_ref()),
            auth: URL_SAFE_NO_PAD.encode(&self.auth),
        }
    }

    /// RFC 8291, section 3.4, and RFC 8188, section 2.
    pub(crate) fn decrypt(&self, body: &[u8]) -> Vec<u8> {
        let (salt, rest) = body.split_at(16);
        let (record_size, rest) = rest.split_at(4);
        let (sender, sealed) = rest[1..].split_at(usize::from(rest[0]));
        assert!(u32::from_be_bytes(record_size.try_into().unwrap()) as usize >= sealed.len(), "one record");
        let ours = self.key.compute_public_key().unwrap();
        let shared = agree(&self.key, UnparsedPublicKey::new(&ECDH_P256, sender), "no agreement", |secret| {
            Ok(secret.to_vec())
        });
        let info = [b"WebPush: info\0", ours.as_ref(), sender].concat();
        let secret = hkdf(&self.auth, &shared.unwrap(), &info);
        let key = hkdf(salt, &secret, b"Content-Encoding: aes128gcm\0");
        let nonce = hkdf(salt, &secret, b"Content-Encoding: nonce\0");
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).unwrap();
        let mut sealed = sealed.to_vec();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut sealed).unwrap();
        let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(plain[end], 2, "the delimiter of the last record");
        plain[..end].to_vec()
    }

    pub(crate) fn read(&self, request: &Request) -> Value {
        assert_eq!(request.headers["content-encoding"], "aes128gcm");
        serde_json::from_slice(&self.decrypt(&request.body)).unwrap()
    }
}

/// HKDF-SHA-256 (RFC 5869) for up to 32 bytes.
fn hkdf(salt: &[u8], input: &[u8], info: &[u8]) -> Vec<u8> {
    let mac = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let extracted = mac(salt, input);
    mac(extracted.as_ref(), &[info, &[1]].concat()).as_ref().to_vec()
}

/// The claims of a VAPID `Authorization`, whose signature is that of `public_key` (RFC 8292).
pub(crate) fn claims(authorization: &str, public_key: &str) -> Value {
    let (token, key) = authorization.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(key, public_key);
    let (signed, sign) = token.rsplit_once('.').unwrap();
    let verifier = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, decode(key));
    verifier.verify(signed.as_bytes(), &decode(sign)).expect("signed by the server's key");
    let (header, claims) = signed.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("ES256"), Some("JWT")));
    serde_json::from_slice(&decode(claims)).unwrap()
}
