//! `offhook app` changes what a server serves, also while it runs.

use serde_json::Value;

use crate::support::{Finished, Running, offhook, run};

fn app(folder: &tempfile::TempDir, arguments: &[&str]) -> Finished {
    let data = folder.path().to_str().unwrap();
    run(&[&["app"], arguments, &["--data", data, "--json"]].concat())
}

/// `offhook answer` of a user registers or is refused with status 4.
fn is_let_in(url: &str, application: &Value, secret: &str) -> bool {
    let user = ["--user", "alice", "--server", url, "--microphone", "null", "--speaker", "null"];
    let key = application["key"].as_str().unwrap();
    let account = ["--application-key", key, "--application-secret", secret, "--duration", "1"];
    let ended = run(&[&["call", "echo"], &user[..], &account].concat());
    match ended.code() {
        4 => false,
        _ if ended.stderr.contains("talking") => true,
        _ => panic!("{ended:?}"),
    }
}

fn serve(folder: &tempfile::TempDir) -> (Running, String, Value) {
    let data = folder.path().to_str().unwrap();
    let mut server = Running::start(&["serve", "--listen", "127.0.0.1:0", "--json", "--data", data]);
    let announced: Value = serde_json::from_str(&server.next_line()).unwrap();
    let url = announced["url"].as_str().unwrap().to_owned();
    (server, url, announced)
}

#[test]
fn a_created_application_is_listed_without_its_secret_and_served_in_the_place_of_a_development_one() {
    let folder = tempfile::tempdir().unwrap();
    drop(serve(&folder));
    let made = app(&folder, &["create", "--name", "shop"]).json();
    let secret = made["secret"].as_str().unwrap();
    let listed = app(&folder, &["list"]);
    assert!(!listed.stdout.contains(secret));
    let listed = listed.json();
    let mut names: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["", "shop"]);
    let (_server, url, announced) = serve(&folder);
    assert_eq!(announced["applications"], serde_json::json!([{ "key": made["key"] }]));
    assert!(is_let_in(&url, &made, secret));
}

#[test]
fn a_rotated_secret_works_at_once_and_the_one_before_for_the_stated_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = app(&folder, &["create"]).json();
    let (_server, url, _) = serve(&folder);
    let key = first["key"].as_str().unwrap();
    let second = app(&folder, &["rotate", key, "--accept-old", "1h"]).json();
    let secret = |application: &Value| application["secret"].as_str().unwrap().to_owned();
    until(|| is_let_in(&url, &first, &secret(&second)));
    assert!(is_let_in(&url, &first, &secret(&first)));
    let third = app(&folder, &["rotate", key, "--accept-old", "0s"]).json();
    until(|| !is_let_in(&url, &first, &secret(&second)));
    assert!(is_let_in(&url, &first, &secret(&third)));
}

#[test]
fn a_blocked_application_is_let_in_no_more_until_it_is_unblocked() {
    let folder = tempfile::tempdir().unwrap();
    let made = app(&folder, &["create"]).json();
    let (key, secret) = (made["key"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let (_server, url, _) = serve(&folder);
    assert!(is_let_in(&url, &made, secret));
    assert!(app(&folder, &["block", key]).json()["blocked"].is_u64());
    until(|| !is_let_in(&url, &made, secret));
    assert!(app(&folder, &["unblock", key]).json()["blocked"].is_null());
    until(|| is_let_in(&url, &made, secret));
}

#[test]
fn secrets_are_not_in_the_file_and_need_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let made = app(&folder, &["create"]).json();
    let secret = made["secret"].as_str().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    std::fs::rename(folder.path().join("offhook.key"), folder.path().join("away")).unwrap();
    let refused = app(&folder, &["list"]);
    assert!(refused.code() == 1 && refused.stderr.contains("offhook.key"), "{}", refused.stderr);
    let data = folder.path().to_str().unwrap();
    let with_key = |key: &str| {
        let output =
            offhook(&["app", "list", "--data", data]).env("OFFHOOK_STORE_KEY", key).output().unwrap();
        output.status.code().unwrap()
    };
    assert_eq!(with_key(std::fs::read_to_string(folder.path().join("away")).unwrap().trim()), 0);
    assert_eq!(with_key("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), 1, "another key");
    assert_eq!(with_key("short"), 2);
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = app(&folder, &["list"]);
    assert!(none.code() == 2 && none.stderr.contains("no store"), "{}", none.stderr);
    app(&folder, &["create"]);
    let unknown = app(&folder, &["block", "a32e5a8d-f7d8-411c-9645-9038e8dd051d"]);
    assert!(unknown.code() == 2 && unknown.stderr.contains("a32e5a8d"), "{}", unknown.stderr);
}

#[test]
fn callbacks_are_set_changed_shown_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://example.org/offhook";
    let made = app(&folder, &["create", "--callback-url", url]).json();
    assert_eq!((&made["callbacks"]["url"], &made["callbacks"]["timeout_ms"]), (&url.into(), &5000.into()));
    let key = made["key"].as_str().unwrap();
    let set = ["set", key, "--name", "shop", "--callback-timeout", "0.5", "--callback-failure", "hangup"];
    let set = app(&folder, &set).json();
    assert_eq!((&set["name"], &set["callbacks"]["url"]), (&"shop".into(), &url.into()));
    assert_eq!(
        (&set["callbacks"]["timeout_ms"], &set["callbacks"]["on_failure"]),
        (&500.into(), &"hangup".into())
    );
    assert_eq!(app(&folder, &["list"]).json()[0]["callbacks"], set["callbacks"]);
    let wrong = app(&folder, &["set", key, "--callback-url", "example.org"]);
    assert!(wrong.code() == 2 && wrong.stderr.contains("http"), "{}", wrong.stderr);
    assert!(app(&folder, &["set", key, "--no-callbacks"]).json()["callbacks"].is_null());
    let missing = app(&folder, &["set", key, "--callback-timeout", "1"]);
    assert!(missing.code() == 2 && missing.stderr.contains("--callback-url"), "{}", missing.stderr);
}

/// A running server looks every second.
fn until(holds: impl Fn() -> bool) {
    let noticed = (0..60).any(|_| {
        let held = holds();
        if !held {
            std::thread::sleep(std::time::Duration::from_millis(250));
        }
        held
    });
    assert!(noticed, "the server did not notice");
}

#[test]
fn a_second_server_on_the_folder_says_why_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let made = app(&folder, &["create"]).json();
    let (first, url, _) = serve(&folder);
    let data = folder.path().to_str().unwrap();
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
    assert_eq!((second.code(), second.stdout.as_str()), (1, ""), "{second:?}");
    assert!(second.stderr.contains(data) && second.stderr.contains("--data"), "{}", second.stderr);
    assert!(is_let_in(&url, &made, made["secret"].as_str().unwrap()), "the first goes on");
    assert_eq!(app(&folder, &["list"]).json()[0]["key"], made["key"]);
    // Killed, it leaves nothing behind that keeps the next one out.
    first.signal("-KILL");
    let (_next, url, _) = serve(&folder);
    assert!(is_let_in(&url, &made, made["secret"].as_str().unwrap()));
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_not_called_empty() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside = file.path().join("data");
    let refused = run(&["app", "list", "--data", inside.to_str().unwrap()]);
    assert_eq!(refused.code(), 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot open the store at"), "{}", refused.stderr);
    assert!(refused.stderr.contains("permissions"), "{}", refused.stderr);
}
