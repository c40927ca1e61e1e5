//! Makes the two scripts that browsers load out of the modules in `crates/web`: one module and one classic script, each without comments,
//! white space and long local names. The modules themselves are served too, below `/source/`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_minifier::{
    CompressOptions, CompressOptionsKeepNames, MangleOptions, MangleOptionsKeepNames, Minifier,
    MinifierOptions,
};
use oxc_parser::Parser;
use oxc_span::SourceType;

/// Members that nobody outside of the modules sees, by which no browser and no server knows anything: they get short names. So do those that
/// begin with `_`, but for the one that tests look at.
const INNER: [&str; 103] = [
    "CallRecord",
    "Connection",
    "Listeners",
    "Verification",
    "accept",
    "acknowledge",
    "acknowledged",
    "addTracks",
    "answering",
    "apply",
    "armOnce",
    "askForToken",
    "awaitReveal",
    "beginConnecting",
    "command",
    "committed",
    "config",
    "configuration",
    "credentials_required",
    "current",
    "disarm",
    "disconnect",
    "dropConnection",
    "emit",
    "endHere",
    "enrolled",
    "entropy",
    "establishIfReady",
    "expect",
    "expireReveal",
    "flush",
    "forget",
    "gather",
    "giveUpStart",
    "goOnline",
    "greeting",
    "handleConnected",
    "handleDisconnected",
    "handleFrame",
    "handleTimeout",
    "heartbeat",
    "heartbeatEvery",
    "history",
    "isAnswered",
    "isOnline",
    "isOver",
    "isPending",
    "isStarting",
    "lastSeq",
    "link",
    "localCandidate",
    "loseConnection",
    "measure",
    "mediaConnected",
    "mediaFailed",
    "muted",
    "needsSnapshot",
    "negotiate",
    "networkChanged",
    "offered",
    "outputs",
    "owesAck",
    "owner",
    "passing",
    "paused",
    "phase",
    "postponeRenewal",
    "proof",
    "queued",
    "receive",
    "reconnecting",
    "refuseBusy",
    "release",
    "remoteCandidates",
    "remote_candidate",
    "remote_description",
    "remote_update",
    "renewIceServers",
    "renewal",
    "renewing",
    "repeats",
    "replaced",
    "requireToken",
    "resumption",
    "revealed",
    "revealing",
    "scheduleRenewal",
    "secondsLeft",
    "sendUpdate",
    "sender",
    "settle",
    "silence",
    "support",
    "takeIceServers",
    "tellVerification",
    "timerNames",
    "timers",
    "turnedAway",
    "unsettled",
    "wanted",
    "warnings",
    "wasStarted",
    "workers",
];
const LOOKED_AT: &str = "_media";

/// In the order in which they need each other.
const MODULES: [&str; 13] = [
    "errors",
    "frames",
    "refusals",
    "verification",
    "call",
    "link",
    "connection",
    "signaling",
    "quality",
    "media",
    "push",
    "listeners",
    "offhook",
];
const EXPORTS: &str = "export { Sinch as default, Sinch, createSinch, endpoint, ArgumentError, CallDirection, CallEndCause, CallState, \
    ErrorCode, ErrorType, InvalidOperationError, SinchError };";

fn main() -> Result<(), Box<dyn Error>> {
    let web = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../web");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut all = String::new();
    for module in MODULES {
        let path = web.join(module).with_extension("js");
        println!("cargo::rerun-if-changed={}", path.display());
        unbind(&fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?, &mut all);
    }
    let all = rename(&all, &fs::read_to_string(web.join("offhook.d.ts"))?)?;
    fs::write(out.join("offhook.js"), shorten(&format!("{all}{EXPORTS}"), SourceType::mjs())?)?;
    // Only a module knows by that name where it is from.
    let own = "(globalThis.document?.currentScript?.src || location.href)";
    let all = all.replace("import.meta.url", own);
    let classic = format!("(() => {{ 'use strict'; {all} globalThis.Sinch = Sinch; }})();");
    fs::write(out.join("sinch-rtc.js"), shorten(&classic, SourceType::cjs())?)?;
    Ok(())
}

/// Appends a module without the lines that bind it to others: `import` statements may have several.
fn unbind(module: &str, all: &mut String) {
    let mut is_import = false;
    for line in module.lines() {
        is_import |= line.starts_with("import ");
        if is_import {
            is_import = !line.ends_with(';');
        } else if !line.starts_with("export {") && !line.starts_with("export default ") {
            all.push_str(line.strip_prefix("export ").unwrap_or(line));
            all.push('\n');
        }
    }
}

/// Gives inner members short names, wherever they stand: as members, and in texts by which they are called.
fn rename(all: &str, published: &str) -> Result<String, Box<dyn Error>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii() || !is_word(c as u8)).map(str::to_owned).collect()
    };
    if let Some(name) = words(published).iter().find(|name| INNER.contains(&name.as_str())) {
        return Err(format!("{name} is a published name: it cannot be shortened").into());
    }
    let is_inner = |word: &str| {
        let is_private = word.len() > 2 && word.starts_with('_') && word.as_bytes()[1].is_ascii_lowercase();
        (is_private && word != LOOKED_AT) || INNER.contains(&word)
    };
    let mut names: Vec<String> = words(all).into_iter().filter(|word| is_inner(word)).collect();
    names.sort();
    names.dedup();
    let short = |name: &str| {
        let place = names.binary_search_by(|known| known.as_str().cmp(name)).unwrap_or_default();
        let letter =
            |place: usize| char::from(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[place % 52]);
        match place / 52 {
            0 => format!("_{}", letter(place)),
            more => format!("_{}{}", letter(more - 1), letter(place)),
        }
    };
    let mut renamed = String::with_capacity(all.len());
    let mut word = String::new();
    for c in all.chars().chain(['\n']) {
        if c.is_ascii() && is_word(c as u8) {
            word.push(c);
            continue;
        }
        if is_inner(&word) {
            renamed.push_str(&short(&word))
        } else {
            renamed.push_str(&word)
        }
        word.clear();
        renamed.push(c);
    }
    Ok(renamed)
}

fn shorten(script: &str, kind: SourceType) -> Result<String, Box<dyn Error>> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, script, kind).parse();
    if let Some(error) = parsed.errors.first() {
        return Err(format!("the script for browsers cannot be read: {error}").into());
    }
    let mut program = parsed.program;
    // Whoever debugs an application sees the published names of the classes.
    let options = MinifierOptions {
        mangle: Some(MangleOptions {
            keep_names: MangleOptionsKeepNames { class: true, function: false },
            ..MangleOptions::default()
        }),
        compress: Some(CompressOptions {
            keep_names: CompressOptionsKeepNames { class: true, function: false },
            ..CompressOptions::default()
        }),
    };
    let scoping = Minifier::new(options).minify(&allocator, &mut program).scoping;
    let code =
        Codegen::new().with_options(CodegenOptions::minify()).with_scoping(scoping).build(&program).code;
    let version = env::var("CARGO_PKG_VERSION")?;
    Ok(format!("/* Offhook {version}, MIT OR Apache-2.0; as it is written: /source/offhook.js */\n{code}\n"))
}
