//! `offhook serve` says what to do next, serves, and stops when told.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{KEY, Running, SECRET, TestServer, offhook, run};

fn health(url: &str) -> String {
    let address = url.strip_prefix("ws://").expect("no TLS");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_announces_itself_serves_and_ends_on_sigterm() {
    let server = TestServer::start();
    assert!(health(&server.url).starts_with("HTTP/1.1 200"), "{}", health(&server.url));
    server.process.signal("-TERM");
    let ended = server.process.finish();
    assert_eq!(ended.code(), 0);
    assert_eq!(ended.stdout.lines().count(), 1, "nothing but the announcement: {}", ended.stdout);
}

#[test]
fn it_prints_commands_for_two_users_ready_to_paste() {
    let server = Running::start(&["serve", "--listen", "127.0.0.1:0"]);
    server.wait_for("listening");
    server.signal("-INT");
    let ended = server.finish();
    assert_eq!(ended.code(), 0);
    let commands: Vec<&str> = ended.stdout.lines().filter(|line| line.contains(" --user ")).collect();
    let [alone, answering, calling] = commands[..] else { panic!("{}", ended.stdout) };
    assert!(
        alone.contains(" call echo ") && answering.contains(" answer ") && calling.contains(" call bob ")
    );
    // Pasted as they are, with a folder of no use in the place of the sound, they are understood.
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).chain(["--help"]).collect();
        assert_eq!(run(&words).code(), 0, "{command}");
    }
}

#[test]
fn the_development_application_is_kept_with_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let announced = || {
        let mut server = Running::start(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--json",
            "--data",
            folder.path().to_str().unwrap(),
        ]);
        let line = server.next_line();
        server.signal("-TERM");
        assert_eq!(server.finish().code(), 0);
        serde_json::from_str::<serde_json::Value>(&line).unwrap()["applications"].clone()
    };
    let (first, second) = (announced(), announced());
    assert!(first[0]["secret"].is_string());
    assert_eq!(first, second);
}

#[test]
fn the_secret_of_a_configured_application_is_not_printed() {
    let application = format!("{KEY}:{SECRET}");
    let server = Running::start(&["serve", "--listen", "127.0.0.1:0", "--application", &application]);
    server.wait_for("listening");
    server.signal("-TERM");
    let ended = server.finish();
    assert!(ended.stdout.contains(KEY) && !ended.stdout.contains(SECRET), "{}", ended.stdout);
}

#[test]
fn applications_of_a_configuration_file_are_announced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("offhook.toml");
    let text = format!("listen = \"127.0.0.1:0\"\n[[application]]\nkey = \"{KEY}\"\nsecret = \"{SECRET}\"\n");
    std::fs::write(&file, text).unwrap();
    let mut server = Running::start(&["serve", "--config", file.to_str().unwrap(), "--json"]);
    let announced: serde_json::Value = serde_json::from_str(&server.next_line()).unwrap();
    assert_eq!(announced["applications"], serde_json::json!([{ "key": KEY }]));
    assert_eq!(announced["development"], false);
}

#[test]
fn a_data_folder_of_the_configuration_is_where_the_development_application_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("offhook.toml"), folder.path().join("data"));
    std::fs::write(&file, format!("listen = \"127.0.0.1:0\"\ndata = \"{}\"\n", data.display())).unwrap();
    let server = Running::start(&["serve", "--config", file.to_str().unwrap()]);
    server.wait_for("listening");
    server.signal("-TERM");
    let ended = server.finish();
    assert!(ended.stdout.contains(&format!("(kept in {})", data.display())), "{}", ended.stdout);
}

#[test]
fn top_prints_one_snapshot_of_a_server() {
    let server = TestServer::start();
    let seen = run(&["top", "--server", &server.url, "--json"]);
    assert_eq!(seen.code(), 0, "{seen:?}");
    let snapshot = seen.json();
    assert_eq!(snapshot["sessions"]["connected"], 0, "{snapshot}");
    assert_eq!(
        (&snapshot["calls_started"], &snapshot["ringing_seconds"]["p50"]),
        (&0.into(), &serde_json::Value::Null)
    );
    let silent = run(&["top", "--server", "http://127.0.0.1:9", "--json"]);
    assert_eq!((silent.code(), silent.stdout.as_str()), (3, ""), "{silent:?}");
}

#[test]
fn load_sets_up_calls_on_a_server_and_says_so_in_json() {
    let server = TestServer::start();
    let application = format!("{}:{}", server.key, server.secret);
    let done = run(&[
        "load",
        "--server",
        &server.url,
        "--application",
        &application,
        "--clients",
        "20",
        "--calls-per-second",
        "5",
        "--seconds",
        "2",
        "--talk",
        "100ms",
        "--beside-bare",
        "--json",
    ]);
    assert_eq!(done.code(), 0, "{done:?}");
    let report = done.json();
    assert_eq!((&report["calls"]["ended"], &report["lost_events"]), (&10.into(), &0.into()), "{report}");
    assert!(report["bare"]["echo_cpu_us"].as_f64().is_some_and(|us| us > 0.0), "{report}");
}

#[test]
fn a_port_in_use_is_an_error_that_says_so() {
    let server = TestServer::start();
    let address = server.url.strip_prefix("ws://").unwrap();
    let refused = run(&["serve", "--listen", address]);
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains(address) && refused.stderr.contains("--listen"), "{}", refused.stderr);
}

#[test]
fn what_keeps_it_from_listening_is_told_apart() {
    // Of a network for documents: nobody has it.
    let elsewhere = run(&["serve", "--listen", "192.0.2.1:7070"]);
    assert!(elsewhere.stderr.contains("192.0.2.1 is no address of this machine"), "{}", elsewhere.stderr);
    assert!(!elsewhere.stderr.contains("another program"), "{}", elsewhere.stderr);
}

#[test]
fn a_server_that_is_alone_has_no_node_name() {
    let alone = run(&["serve", "--listen", "127.0.0.1:0", "--node-name", "a"]);
    assert_eq!(alone.code(), 2, "{}", alone.stderr);
    assert!(alone.stderr.contains("--cluster"), "{}", alone.stderr);
}

#[test]
fn secrets_are_not_repeated_to_who_mistyped_something_about_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("offhook.toml");
    let path = path.to_str().unwrap();
    for (text, place, says) in [
        ("[admin]\nname = 'op'\npasword = 'hunter2hunter2'", "line 3, column 1", "unknown field `pasword`"),
        ("[admin]\npassword = \"hunter2hunter2", "line 2, column", "invalid basic string"),
        ("admin = 'op:hunter2hunter2'", "line 1, column 9", "invalid type: string"),
        ("\nstore = ['postgres://u:hunter2hunter2@h/d']", "line 2, column 9", "invalid type"),
    ] {
        std::fs::write(path, text).unwrap();
        let refused = run(&["serve", "--config", path]);
        assert_eq!(refused.code(), 2, "{}", refused.stderr);
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
        assert!(refused.stderr.contains(place) && refused.stderr.contains(says), "{}", refused.stderr);
    }
    let refused = offhook(&["serve"]).env("OFFHOOK_ADMIN", "op:hunter2").output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && !said.contains("hunter2"), "{said}");
    assert!(said.contains("OFFHOOK_ADMIN") && said.contains("12 to 256 bytes"), "{said}");
    let data = folder.path().to_str().unwrap();
    let refused = run(&["store", "copy", "--from", data, "--to", "mysql://u:hunter2@h/d"]);
    assert!(refused.code() == 2 && !refused.stderr.contains("hunter2"), "{}", refused.stderr);
    assert!(refused.stderr.contains("postgres://USER"), "{}", refused.stderr);
}

#[test]
fn an_address_for_metrics_that_is_in_use_is_told_by_its_option() {
    let server = TestServer::start();
    let address = server.url.strip_prefix("ws://").unwrap();
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", address]);
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("--metrics-listen 127.0.0.1:0"), "{}", refused.stderr);
}
