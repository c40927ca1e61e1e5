//! The Offhook signaling server: one binary, no external service.
