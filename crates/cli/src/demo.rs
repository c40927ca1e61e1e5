//! `offhook demo`: a whole call on this machine.

mod contract;
mod conversation;
mod events;
mod measure;
mod network;
mod page;
mod person;
mod progress;
mod summary;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use offhook_server::{Server, ServerConfig};
use offhook_sim::SAMPLE_RATE;
use offhook_sim::sound::{Voice, load_wav, save_wav, speech_for_demo};

use self::contract::DemoOutcome;
use self::conversation::Conversation;
use self::measure::Sound;
use self::person::{Person, Role};
use self::progress::Progress;
use crate::args::DemoArguments;
use crate::failure::{Exit, Failure};
use crate::{media_options, terminal};

/// Silence before the recorded speech, so that no word is cut by the call's set-up.
const BREATH: Duration = Duration::from_millis(500);

/// The files of one run.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn prepare(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::usage(format!("cannot make the folder {}: {error}", folder.display()))
                .advice("choose another with --out")
        })?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn spoken(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-spoken.wav"))
    }

    fn heard(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-heard.wav"))
    }

    fn report(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("report.{extension}"))
    }

    fn all(&self) -> [PathBuf; 6] {
        [
            self.heard("alice"),
            self.heard("bob"),
            self.spoken("alice"),
            self.spoken("bob"),
            self.report("html"),
            self.report("json"),
        ]
    }
}

/// Runs the call, measures it, writes the report.
pub(crate) async fn run(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    let files = Files::prepare(&arguments.out)?;
    let length = Duration::from_secs(arguments.duration);
    write_speech(&files.spoken("alice"), arguments.input_a.as_deref(), Voice::Alice, length)?;
    write_speech(&files.spoken("bob"), arguments.input_b.as_deref(), Voice::Bob, length)?;
    let progress = Progress::begin();
    let conversation = call(arguments, &files, length, progress).await?;
    progress.say("measuring what was heard");
    let (files, outcome) = tokio::task::block_in_place(|| report(arguments, files, &conversation))?;
    if arguments.json {
        terminal::print_json(&outcome);
    } else {
        terminal::print(&summary::text(&outcome, &files.folder));
    }
    Ok(if outcome.failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes what one person says, as the microphone plays it: mono, 48 kHz.
fn write_speech(path: &Path, input: Option<&Path>, voice: Voice, length: Duration) -> Result<(), Failure> {
    let speech = match input {
        Some(input) => load_wav(input).map_err(|error| {
            Failure::new(Exit::Sound, format!("{}: {error}", input.display()))
                .advice("--input-a and --input-b take WAV files")
        })?,
        None => {
            let spoken = speech_for_demo(voice, length).map_err(|error| {
                Failure::new(Exit::Sound, error.to_string())
                    .advice("or give WAV files of your own with --input-a and --input-b")
            })?;
            let breath = vec![0.0; (BREATH.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize];
            [breath, spoken].concat()
        }
    };
    save_wav(path, &speech).map_err(|error| cannot_write(path, &error.to_string()))
}

/// Server, two people, one call; everything is closed again afterwards.
async fn call(
    arguments: &DemoArguments,
    files: &Files,
    length: Duration,
    progress: Progress,
) -> Result<Conversation, Failure> {
    let listen = ([127, 0, 0, 1], 0).into();
    let server = Server::bind(ServerConfig::default().listen(listen))
        .await
        .map_err(|error| Failure::failed(format!("the server does not start: {error}")))?;
    progress.say(&format!("server up at {}", server.url()));
    let application = server
        .development_application()
        .cloned()
        .ok_or_else(|| Failure::failed("the server made no application"))?;
    let jitter = Duration::from_millis(arguments.jitter);
    let role = |name: &'static str, seed: u64| -> Result<Role, Failure> {
        let path = network::path(arguments.loss, jitter, seed)?;
        Ok(Role { name, spoken: files.spoken(name), heard: files.heard(name), path })
    };
    let seed = arguments.seed.wrapping_mul(2);
    let (alice, bob) = tokio::try_join!(
        Person::register(role("alice", seed)?, &server, &application, arguments),
        Person::register(role("bob", seed.wrapping_add(1))?, &server, &application, arguments),
    )?;
    let mut bob = bob;
    progress.say("alice and bob are registered, each by a signed token");
    if arguments.loss > 0.0 || arguments.jitter > 0 {
        progress.say(&format!(
            "between them: {} % loss, up to {} ms jitter, both ways",
            arguments.loss, arguments.jitter
        ));
    }
    let mut conversation = conversation::hold(&alice, &mut bob, length, progress).await;
    let saved =
        conversation.answered.take().map(|call| media_options::save_recording(&call, &arguments.record));
    tokio::join!(alice.leave(), bob.leave());
    server.shutdown().await;
    saved.unwrap_or(Ok(()))?;
    Ok(conversation)
}

/// Measures, and writes the report in both forms.
fn report(
    arguments: &DemoArguments,
    files: Files,
    conversation: &Conversation,
) -> Result<(Files, DemoOutcome), Failure> {
    let direction = |speaker: &str,
                     listener: &str,
                     from: Option<&conversation::Side>,
                     to: Option<&conversation::Side>| {
        let spoken_from = from.and_then(|side| side.microphone_started);
        let heard_from = to.and_then(|side| side.speaker_started);
        Sound::of(
            conversation.talk,
            (&files.spoken(speaker), spoken_from),
            (&files.heard(listener), heard_from),
        )
    };
    let (caller, callee) = (conversation.caller.as_ref(), conversation.callee.as_ref());
    let (a_to_b, b_to_a) =
        (direction("alice", "bob", caller, callee), direction("bob", "alice", callee, caller));
    let mut outcome = measure::outcome(conversation, a_to_b.as_ref(), b_to_a.as_ref());
    let sounds = (a_to_b.as_ref(), b_to_a.as_ref());
    let page = page::call_report(&outcome, conversation, sounds, settings(arguments));
    let html = files.report("html");
    std::fs::write(&html, page.to_html()).map_err(|error| cannot_write(&html, &error.to_string()))?;
    // The object names its own file: it must be there when the files are listed.
    let json = files.report("json");
    std::fs::write(&json, "").map_err(|error| cannot_write(&json, &error.to_string()))?;
    outcome.files = measure::existing(&files.all());
    let text = serde_json::to_string_pretty(&outcome).expect("structs of strings and numbers serialise");
    std::fs::write(&json, text).map_err(|error| cannot_write(&json, &error.to_string()))?;
    Ok((files, outcome))
}

fn settings(arguments: &DemoArguments) -> String {
    let mut text = format!("{} s on this machine, over loopback sockets", arguments.duration);
    if arguments.loss > 0.0 || arguments.jitter > 0 {
        text += &format!(
            ", with {} % random loss and up to {} ms jitter (seed {})",
            arguments.loss, arguments.jitter, arguments.seed
        );
    }
    text
}

fn cannot_write(path: &Path, why: &str) -> Failure {
    Failure::failed(format!("cannot write {}: {why}", path.display()))
        .advice("choose another folder with --out")
}
