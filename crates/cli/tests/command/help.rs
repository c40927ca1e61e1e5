//! Every command explains itself, and a wrong command line says what is wrong.

use crate::support::run;

/// Words that the help of each command must have.
const WORDS: [(&str, &str); 11] = [
    ("demo", "--duration --out --input-a --input-b --loss --jitter --seed --record --record-sound --json"),
    ("serve", "--listen --data --application --config --tls-cert --tls-key --admin --metrics-listen --json"),
    ("token", "--application-key --application-secret --user --ttl"),
    (
        "call",
        "--server --user --input --output --microphone --speaker --duration --record --record-sound --json Exit",
    ),
    ("answer", "--server --user --input --output --auto --duration --record --record-sound --json Exit"),
    ("devices", "--json"),
    ("top", "--server --admin --ca --interval --json"),
    (
        "load",
        "--server --application --clients --calls-per-second --seconds --registrations-per-second --idle --talk --source --ca --server-pid --beside-bare --json Exit",
    ),
    (
        "simulate",
        "--trace --input --output --bitrate --ptime --redundancy --rtt --bottleneck --queue --seed --report --timeline --json Exit",
    ),
    ("replay", "<RECORDING> --output --report --timeline --json Exit"),
    ("loopback", "--microphone --speaker --chirps --json"),
];

#[test]
fn every_command_has_help_that_names_its_options() {
    for (command, words) in WORDS {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code(), 0);
        for option in words.split(' ') {
            assert!(help.stdout.contains(option), "{command}: {option} is not in\n{}", help.stdout);
        }
        assert_eq!(help.stderr, "");
    }
    let overview = run(&["--help"]);
    assert!(overview.stdout.starts_with("Voice calling"), "{}", overview.stdout);
    for command in [
        "demo", "serve", "load", "top", "token", "call", "answer", "devices", "loopback", "simulate",
        "replay",
    ] {
        assert!(overview.stdout.contains(command));
    }
    assert!(run(&["--version"]).stdout.starts_with("offhook "));
}

#[test]
fn a_wrong_command_line_ends_with_status_2_and_a_reason() {
    for (arguments, reason) in [
        (&["demo", "--loss", "101"][..], "must be from 0 to 90"),
        (&["demo", "--duration", "0"], "2..=3600"),
        (&["serve", "--listen", "localhost"], "--listen"),
        (&["serve", "--application", "nothing"], "KEY:SECRET"),
        (&["serve", "--config", "no-such-file.toml"], "no-such-file.toml"),
        (&["serve", "--tls-cert", "cert.pem"], "--tls-key"),
        (&["serve", "--admin", "ada:short"], "12 to 256"),
        (&["load", "--server", "ws://127.0.0.1:9", "--application", "x"], "KEY:SECRET"),
        (&["serve", "--tls-cert", "no.pem", "--tls-key", "no.key"], "no.pem"),
        (&["token", "--user", "alice"], "--application-key"),
        (&["--log", "loud=loud", "devices"], "log filter"),
        (&["call"], "<CALLEE>"),
    ] {
        let wrong = run(arguments);
        assert_eq!(wrong.code(), 2, "{arguments:?}: {wrong:?}");
        assert!(wrong.stderr.contains(reason), "{arguments:?}: {}", wrong.stderr);
        assert_eq!(wrong.stdout, "", "{arguments:?}");
    }
}
