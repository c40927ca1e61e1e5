//! The echo call: answers an offer and sends every packet of the caller back to the caller after a constant delay, so that one
//! person can try a call. No I/O, no clock, no codec: the Opus payloads go back as they came.
//!
//! An [`EchoCall`] is one call. Its owner feeds it datagrams, candidates, offers and time, and drains
//! [`EchoCall::poll_output`] until [`EchoOutput::Timeout`].

mod call;
mod delay_line;

pub use call::{EchoCall, EchoConfig, EchoEnd, EchoOutput};
pub use offhook_transport::{Certificate, CertificateError, LocalCandidateError, SessionError, Transmit};
