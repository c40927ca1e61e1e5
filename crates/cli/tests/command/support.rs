//! The command as a child process, with a bound on every wait.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for one line or for the end; far more than is needed even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(50);

pub(crate) const KEY: &str = "a32e5a8d-f7d8-411c-9645-9038e8dd051d";
pub(crate) const SECRET: &str = "ax8hTTQJF0OPXL32r1LHMA==";
/// For calls in which nothing is to be heard.
pub(crate) const SILENT: [&str; 4] = ["--microphone", "null", "--speaker", "null"];

/// `offhook` with these arguments and nothing inherited from the environment that would change it.
pub(crate) fn offhook(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook"));
    command.args(arguments).stdin(Stdio::null());
    for name in [
        "OFFHOOK_LOG",
        "OFFHOOK_LOG_FORMAT",
        "OFFHOOK_SERVER",
        "OFFHOOK_ADMIN",
        "OFFHOOK_APPLICATION",
        "OFFHOOK_DATA",
        "OFFHOOK_STORE_KEY",
        "OFFHOOK_STORE_KEY_FILE",
        "OFFHOOK_TOKEN",
        "OFFHOOK_APPLICATION_KEY",
        "OFFHOOK_APPLICATION_SECRET",
    ] {
        command.env_remove(name);
    }
    command
}

/// What a finished command said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Finished {
    Running::start(arguments).finish()
}

/// A child that is killed when the test is done with it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    said: String,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(&mut offhook(arguments))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        Self { child, stdout: lines(stdout), stderr: lines(stderr), said: String::new() }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line on stdout.
    pub(crate) fn next_line(&mut self) -> String {
        let line = self
            .stdout
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("{error}; said: {}", self.rest_of_stderr()));
        self.said += &line;
        self.said.push('\n');
        line
    }

    /// Reads stderr up to a line that contains `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        loop {
            let line =
                self.stderr.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{error} before {text:?}"));
            if line.contains(text) {
                return;
            }
        }
    }

    /// Sends SIGTERM (or another signal of `kill`) to this child and no other process.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Finished {
        let mut stdout = std::mem::take(&mut self.said);
        stdout += &collect(&self.stdout);
        let stderr = collect(&self.stderr);
        Finished { status: self.child.wait().expect("it was started"), stdout, stderr }
    }

    fn rest_of_stderr(&self) -> String {
        self.stderr.try_iter().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// All lines until the pipe closes.
fn collect(lines: &Receiver<String>) -> String {
    let mut text = String::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => text = text + &line + "\n",
            Err(RecvTimeoutError::Disconnected) => return text,
            Err(RecvTimeoutError::Timeout) => panic!("it does not end; said: {text}"),
        }
    }
}

/// A server of its own on a free port.
#[derive(Debug)]
pub(crate) struct TestServer {
    pub(crate) process: Running,
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        let mut process = Running::start(&["serve", "--listen", "127.0.0.1:0", "--json", "--log", "warn"]);
        let announced: Value = serde_json::from_str(&process.next_line()).expect("one line of JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let application = &announced["applications"][0];
        Self {
            url: text(&announced["url"]),
            key: text(&application["key"]),
            secret: text(&application["secret"]),
            process,
        }
    }

    /// The options of one of its users, without what proves them.
    pub(crate) fn user<'a>(&'a self, user: &'a str) -> [&'a str; 6] {
        ["--server", &self.url, "--user", user, "--application-key", &self.key]
    }

    /// What `offhook token` prints for a user.
    pub(crate) fn token(&self, user: &str) -> String {
        let made = run(&[
            "token",
            "--application-key",
            &self.key,
            "--application-secret",
            &self.secret,
            "--user",
            user,
        ]);
        made.stdout.trim().to_owned()
    }
}
