//! Bodies of the fuzz targets: bytes in, invariants asserted. Not part of the public interface.

pub use crate::cluster::message::fuzz as cluster_message;
pub use crate::push::fuzzing::push_subscription;
pub use crate::store::store_url_fuzz as store_url;
pub use crate::svaml::fuzz as svaml;
pub use crate::time::fuzz as timestamp;
pub use crate::tls::ticket_fuzz as tls_ticket;
pub use crate::turn::fuzzing::{turn_datagram, turn_stream};
