//! One registered user of `call` and `answer`.

use std::io::Read as _;
use std::sync::Arc;

use offhook_client::{
    Client, ClientError, ClientErrorCode, ClientEvent, ClientEvents, ClientRegistration, ErrorDomain,
    FileStore, StartError, WireError,
};
use offhook_media::{AudioElement, Device, Engine};

use crate::args::{IdentityArguments, TalkArguments};
use crate::failure::{Exit, Failure};
use crate::{media_options, sound, token};

/// Lifetime of tokens that are made here.
const TOKEN_SECONDS: u64 = 600;
/// Longest token that is read from standard input.
const MOST_TOKEN_BYTES: u64 = 64 * 1024;

/// A client that is registered, and the speaker.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) events: ClientEvents,
    pub(crate) speaker: AudioElement,
    tokens: Tokens,
}

impl Session {
    /// Opens the speaker, connects and registers. The microphone stays closed until there is a call.
    pub(crate) async fn start(talk: &TalkArguments) -> Result<Self, Failure> {
        let TalkArguments { identity, sound, .. } = talk;
        let tokens = Tokens::of(identity)?;
        let engine = Engine::builder()
            .latency(media_options::latency(&talk.media))
            .build()
            .map_err(|error| Failure::new(Exit::Sound, error.to_string()))?;
        let client = client(talk, engine.clone())?;
        let speaker = open_speaker(engine, sound::speaker(sound)?).await?;
        let events = client.start().await.map_err(|error| not_started(&error))?;
        let mut session = Self { client, events, speaker, tokens };
        session.until_started(&identity.server).await?;
        Ok(session)
    }

    async fn until_started(&mut self, server: &str) -> Result<(), Failure> {
        while let Some(event) = self.events.next().await {
            match event {
                ClientEvent::CredentialsRequired(registration) => self.bring_token(&registration)?,
                ClientEvent::Started => return Ok(()),
                ClientEvent::Failed(error) if error.is_fatal => return Err(refused(&error, server)),
                _ => {}
            }
        }
        Err(Failure::new(Exit::Unreachable, "the client stopped before it was registered"))
    }

    /// Says good-bye and closes the sound devices, so that a recording is whole.
    pub(crate) async fn end(self) {
        self.client.terminate().await;
        let engine = self.client.engine();
        drop((self.client, self.speaker));
        if let Some(engine) = engine {
            // What does not close in its bounded time ends with the process.
            let _ = tokio::task::spawn_blocking(move || engine.close()).await;
        }
    }

    /// Answers the client's wish for a token.
    pub(crate) fn bring_token(&mut self, registration: &ClientRegistration) -> Result<(), Failure> {
        match self.tokens.next(registration.user_id()) {
            Ok(token) => {
                // Whether the server takes it comes as an event.
                drop(registration.register(token));
                Ok(())
            }
            Err(failure) => {
                registration.register_failed();
                Err(failure)
            }
        }
    }
}

fn client(talk: &TalkArguments, engine: Engine) -> Result<Client, Failure> {
    let TalkArguments { identity, sound, media, path, record, .. } = talk;
    let microphone = sound::microphone(sound)?;
    let processing = sound::processing(sound, &microphone);
    let mut builder = Client::builder()
        .application_key(&identity.application_key)
        .user_id(&identity.user)
        .environment_host(&identity.server)
        .engine(engine)
        .microphone(microphone)
        .relay_only(path.relay_only);
    for server in &path.ice_server {
        builder = builder.ice_server(server.clone());
    }
    if let Some(path) = &identity.credentials {
        builder = builder.credential_store(Arc::new(FileStore::new(path)));
    }
    if let Some(processing) = processing {
        builder = builder.audio_processing(processing);
    }
    media_options::apply(builder, media, record).build().map_err(|error| Failure::usage(error.to_string()))
}

async fn open_speaker(engine: Engine, device: Device) -> Result<AudioElement, Failure> {
    let opened = tokio::task::spawn_blocking(move || engine.open_element(device)).await;
    let opened = opened.map_err(|_| Failure::new(Exit::Sound, "the speaker does not open"))?;
    opened.map_err(|error| sound::not_opened("speaker", &error))
}

fn not_started(error: &StartError) -> Failure {
    match error {
        StartError::Credentials(error) => Failure::usage(format!("--credentials: {error}"))
            .advice("choose another file, or remove it and give a token"),
        other => Failure::failed(other.to_string()),
    }
}

/// Why the client could not register, or stopped.
pub(crate) fn refused(error: &ClientError, server: &str) -> Failure {
    match (error.code, error.domain, error.refusal) {
        (ClientErrorCode::AuthenticationFailed, _, Some(refusal)) => {
            Failure::new(Exit::Refused, error.message.clone()).advice(advice(refusal))
        }
        (ClientErrorCode::AuthenticationFailed, ..) => Failure::new(Exit::Refused, error.message.clone())
            .advice("end the other process, or give each its own --credentials file"),
        (_, ErrorDomain::Network, _) => {
            Failure::new(Exit::Unreachable, format!("{server}: {}", error.message))
                .advice("start one with `offhook serve`, or name another with --server")
        }
        _ => Failure::failed(format!("{server}: {}", error.message)),
    }
}

/// What to do about a refused token or credential.
const fn advice(refusal: WireError) -> &'static str {
    match refusal {
        WireError::TokenSignature => {
            "compare --application-key and --application-secret, or the secret --token was signed with, with what the server knows"
        }
        WireError::TokenExpired => {
            "get a new token, e.g. from `offhook token`; if it is new, compare the clocks of this machine and the server"
        }
        WireError::TokenReplayed => "get a new token, e.g. from `offhook token`: each device needs its own",
        WireError::TokenNotYetValid => {
            "compare the clocks of the machine that signed the token and of the server"
        }
        WireError::TokenSubject => "give a token that was made for --user and --application-key",
        WireError::TokenLifetime => {
            "get a new token with a shorter life, e.g. from `offhook token --ttl 600`"
        }
        WireError::TokenAlgorithm | WireError::TokenMalformed => {
            "give the token whole and unchanged, e.g. as `offhook token` prints it"
        }
        WireError::CredentialRefused => {
            "register again: give --token TOKEN, or for development --application-secret SECRET"
        }
        WireError::UserBlocked => "ask who runs the application: the user is blocked there",
        WireError::UserReserved => "give another --user; calls to the reserved one work",
        _ => "this client and the server may be of different releases: compare `offhook --version`",
    }
}

/// Where tokens come from.
#[derive(Debug)]
enum Tokens {
    /// Made here, as often as needed.
    Made { key: String, secret: String },
    /// Given once; a second one would be the same.
    Given(Option<String>),
    /// Neither: only a kept credential helps.
    None,
}

impl Tokens {
    fn of(identity: &IdentityArguments) -> Result<Self, Failure> {
        Ok(match (&identity.token, &identity.application_secret) {
            (Some(token), _) if token == "-" => Self::Given(Some(read_token()?)),
            (Some(token), _) => Self::Given(Some(token.clone())),
            (None, Some(secret)) => {
                // A wrong secret or key is told now and not when the server asks.
                token::make(&identity.application_key, secret, &identity.user, TOKEN_SECONDS)?;
                Self::Made { key: identity.application_key.clone(), secret: secret.clone() }
            }
            (None, None) => Self::None,
        })
    }

    fn next(&mut self, user: &str) -> Result<String, Failure> {
        let missing = |what: &str| {
            Failure::new(Exit::Refused, what).advice(
                "give --token TOKEN (e.g. of `offhook token`), or for development --application-secret SECRET",
            )
        };
        match self {
            Self::Made { key, secret } => token::make(key, secret, user, TOKEN_SECONDS),
            Self::Given(token) => token.take().ok_or_else(|| missing("the server wants another token")),
            Self::None => Err(missing("the server wants a token, and there is none")),
        }
    }
}

fn read_token() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MOST_TOKEN_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("--token -: standard input cannot be read: {error}")))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::usage("--token -: standard input is empty")
            .advice("pipe a token in, e.g. from `offhook token`"));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_token_serves_once() {
        let mut tokens = Tokens::Given(Some("t".to_owned()));
        assert_eq!(tokens.next("alice"), Ok("t".to_owned()));
        assert!(tokens.next("alice").is_err());
    }

    #[test]
    fn the_cause_decides_the_exit_status() {
        let wrong = refused(&ClientError::stopped_by_server(Some(WireError::TokenExpired)), "host");
        assert_eq!(wrong.exit(), Exit::Refused);
        let gone = refused(&ClientError::unreachable(), "host:1");
        assert_eq!(gone.exit(), Exit::Unreachable);
        assert!(gone.to_string().contains("host:1") && gone.to_string().contains("offhook serve"));
    }

    #[test]
    fn the_cause_decides_the_advice() {
        for (refusal, advice) in [
            (WireError::TokenSignature, "--application-secret"),
            (WireError::TokenExpired, "get a new token"),
            (WireError::TokenReplayed, "get a new token"),
            (WireError::TokenSubject, "--user"),
            (WireError::TokenNotYetValid, "clocks"),
        ] {
            let failure = refused(&ClientError::stopped_by_server(Some(refusal)), "host").to_string();
            let told = failure.split_once('\n').expect("advice is a line of its own").1;
            assert!(told.contains(advice), "{refusal:?}: {told}");
        }
        let busy = ClientError::turned_away(WireError::RateLimited, std::time::Duration::from_secs(10));
        assert!(refused(&busy, "host").to_string().contains("try again in 10 s"));
    }
}
