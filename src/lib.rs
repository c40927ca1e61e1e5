//! Voice calling for Rust applications, self-hosted.
pub use offhook_client::*;
