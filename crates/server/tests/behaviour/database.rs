//! A PostgreSQL server of a test's own, in a temporary folder, spoken to through a Unix socket.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use offhook_server::PostgresUrl;
use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

pub(crate) const PASSWORD: &str = "correct horse";
const USER: &str = "offhook";
/// PostgreSQL does not run as root: `nobody` of every Linux.
const NOBODY: u32 = 65_534;
/// A server that takes this long to start, or to stop, has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that ends with this value.
#[derive(Debug)]
pub(crate) struct Database {
    programs: PathBuf,
    folder: TempDir,
    options: Vec<String>,
    running: Option<Child>,
}

impl Database {
    /// A fresh server with these settings, without TCP unless they say so; `None`, said on stderr, where PostgreSQL is not installed.
    pub(crate) async fn start(options: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var_os("OFFHOOK_REQUIRE_POSTGRES").is_none_or(|value| value == "0"),
                "PostgreSQL is not installed (scripts/setup.sh test installs it)"
            );
            say("NOT RUN: PostgreSQL is not installed (scripts/setup.sh test installs it)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        give_away(folder.path(), &[&password]);
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut database = Self { programs, folder, options, running: None };
        let made = database
            .program("initdb")
            .args([
                "--username",
                USER,
                "--auth",
                "scram-sha-256",
                "--no-sync",
                "--encoding",
                "UTF8",
                "--no-locale",
            ])
            .arg("--pwfile")
            .arg(&password)
            .arg("--pgdata")
            .arg(database.data())
            .output()
            .await
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        database.start_again().await;
        let client = database.client("postgres").await.unwrap();
        client.batch_execute("CREATE DATABASE offhook").await.unwrap();
        Some(database)
    }

    /// Starts it where it was stopped.
    pub(crate) async fn start_again(&mut self) {
        let mut program = self.program("postgres");
        program.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        for setting in ["fsync=off", "listen_addresses=", "max_connections=40", "shared_buffers=16MB"] {
            program.args(["-c", setting]);
        }
        for setting in &self.options {
            program.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        self.running = Some(program.stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn().unwrap());
        let answers = async {
            while self.client("postgres").await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(PATIENCE, answers).await.is_err() {
            panic!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
        }
    }

    /// Stops it at once, as a crash would: connections break off, nothing is finished.
    pub(crate) async fn crash(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let pid = running.id().and_then(|pid| Pid::from_raw(pid.try_into().unwrap())).unwrap();
        kill_process(pid, Signal::QUIT).unwrap();
        timeout(PATIENCE, running.wait()).await.unwrap().unwrap();
    }

    /// One of its databases, with the right password.
    pub(crate) fn url(&self, database: &str) -> PostgresUrl {
        self.address(database).parse().unwrap()
    }

    /// The same, as a process is told it.
    pub(crate) fn address(&self, database: &str) -> String {
        self.url_of(USER, PASSWORD, database)
    }

    pub(crate) fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        // The name of the socket has the port in it.
        let port = self.options.iter().find_map(|option| option.strip_prefix("port=")).unwrap_or("5432");
        format!("postgres://{user}:{}@{socket}:{port}/{database}", password.replace(' ', "%20"))
    }

    /// A connection of the test's own.
    pub(crate) async fn client(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let config: tokio_postgres::Config = self.address(database).parse().unwrap();
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path());
        if getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

#[expect(clippy::print_stderr, reason = "who runs the tests has to see what was left out")]
fn say(what: &str) {
    eprintln!("{what}");
}

/// Lets the server read a folder and its files, and nobody else.
pub(crate) fn give_away(folder: &Path, files: &[&Path]) {
    use std::os::unix::fs::PermissionsExt as _;
    for path in files {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    if getuid().is_root() {
        for path in files.iter().chain([&folder]) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

/// The folder with the programs: Debian does not put them on the path.
fn programs() -> Option<PathBuf> {
    let has_programs = |folder: &Path| folder.join("initdb").exists() && folder.join("postgres").exists();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = debian.map(|version| version.path().join("bin")).collect();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|folder| has_programs(folder))
}
