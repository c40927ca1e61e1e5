//! What the command prints: results on stdout, everything else on stderr.

use std::io::Write as _;

/// Prints a line for the person at the terminal. What cannot be printed (a closed pipe) is not worth failing for.
pub(crate) fn say(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(format!("{line}\n").as_bytes());
}

/// Prints a result.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(format!("{text}\n").as_bytes());
    let _ = stdout.flush();
}

/// Prints a result as one line of JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) {
    let text = serde_json::to_string(value).expect("structs of strings and numbers serialise");
    print(&text);
}
