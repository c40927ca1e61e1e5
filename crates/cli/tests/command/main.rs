//! The `offhook` command as its users meet it: processes, what they print and how they end.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

mod app;
mod call;
mod demo;
mod devices;
mod help;
mod memory;
mod serve;
mod simulate;
mod support;
mod token;
