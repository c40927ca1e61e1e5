//! Whole calls over real loopback sockets: server, clients, sound. One file per behaviour, one binary, because linking takes longer than
//! the calls.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authentication_string;
mod bad_network;
mod callee_never_answers;
mod credential_kept;
mod dtmf_and_mute;
mod echo_user;
mod examples;
mod glare;
mod hang_up_deny_cancel_busy;
mod killed_callee;
mod killed_server;
mod many_devices;
mod moved_network;
mod network;
mod nothing_is_left;
mod quality;
mod redundancy;
mod relayed;
mod seed_listener;
mod several_calls;
#[cfg(unix)]
mod slow_microphone;
mod support;
mod tls;
mod unplugged_speaker;
mod whole_call;
mod wrong_credentials;
