//! Bodies of the fuzz targets: bytes in, invariants asserted. Not part of the public interface.

mod descriptions;
mod input;
mod link;
mod packets;
mod protection;
mod relay;
mod session;

pub use descriptions::{ice_candidate, sdp};
pub use packets::{agrees_with_library, demux, rtcp, rtp_header};
pub use protection::srtp_unprotect;
pub use relay::{ice_url, turn_server};
pub use session::session_datagrams;

pub(crate) use link::start;

use bytes::Bytes;

use crate::session::Session;

/// RTP or RTCP of a connected session's own stream with any content, as a hostile peer would send it: authentic, but not to be
/// trusted. `None` for what cannot be protected at all.
#[must_use]
pub fn authentic(session: &mut Session, plain: &[u8]) -> Option<Bytes> {
    session.protect_anything(plain)
}
