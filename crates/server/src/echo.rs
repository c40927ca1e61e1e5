//! The echo user: a device in this process that answers anyone and plays their voice back, so that one person can try a call.
//!
//! To the hub of an application it is a device like any other, with an outbox instead of a socket. Every call has sockets
//! and a task of its own.

mod device;
mod media;

use std::net::IpAddr;
use std::sync::Arc;

use offhook_echo::{Certificate, CertificateError, EchoConfig};
use offhook_signaling::{ApplicationKey, UserId};
use tokio::sync::{Semaphore, mpsc};

use crate::config::{EchoUser, ServerConfig};
use crate::hub::Command;
use crate::server::StopSign;

/// What the echo users of all applications share.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    user: UserId,
    listen: IpAddr,
    calls: EchoConfig,
    /// One permit per call.
    places: Arc<Semaphore>,
}

impl Echo {
    /// `None` where the configuration has no echo user.
    pub(crate) fn new(config: &ServerConfig) -> Result<Option<Self>, CertificateError> {
        let Some(EchoUser { user, delay, calls, longest_call, public_addresses }) = config.echo.clone()
        else {
            return Ok(None);
        };
        let certificate = Arc::new(Certificate::generate()?);
        Ok(Some(Self {
            user,
            listen: config.listen.ip(),
            calls: EchoConfig { certificate, delay, longest: longest_call, public_addresses },
            places: Arc::new(Semaphore::new(calls)),
        }))
    }

    /// Attaches the echo user of an application to its hub.
    pub(crate) fn attach(&self, application: ApplicationKey, hub: mpsc::Sender<Command>, stop: StopSign) {
        tokio::spawn(device::run(self.clone(), application, hub, stop));
    }

    /// The addresses of a call: where the server listens, and where that is this machine or all of it, every address of the machine.
    fn addresses(&self) -> Vec<IpAddr> {
        if !self.listen.is_unspecified() && !self.listen.is_loopback() {
            return vec![self.listen];
        }
        let interfaces = webrtc_util::ifaces::ifaces().unwrap_or_default();
        let mut addresses = vec![];
        if self.listen.is_loopback() {
            addresses.push(self.listen);
        }
        for ip in interfaces.into_iter().filter_map(|interface| interface.addr).map(|address| address.ip()) {
            // A link-local address is useless without the name of the interface, which a candidate does not carry.
            let link_local = match ip {
                IpAddr::V4(ip) => ip.is_link_local(),
                IpAddr::V6(ip) => ip.is_unicast_link_local(),
            };
            if !ip.is_unspecified() && !ip.is_multicast() && !link_local && !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
        addresses
    }
}
