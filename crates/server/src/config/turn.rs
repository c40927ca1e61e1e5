//! What a relay is told.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::ConfigError;
use crate::turn::{AddressRange, TurnSecret};

/// RFC 8656 section 18.6: the port of TURN over UDP and TCP.
pub(crate) const TURN_PORT: u16 = 3478;
/// The same for TLS.
pub(crate) const TURNS_PORT: u16 = 5349;
/// Credentials never live longer.
const LONGEST_CREDENTIAL: Duration = Duration::from_secs(3600);
/// Shorter secrets are guessed from one credential.
const SHORTEST_SECRET: usize = 16;

/// The TURN relay inside the server (RFC 8656). Start from [`TurnConfig::new`] and set what differs.
#[derive(Debug, Clone)]
pub struct TurnConfig {
    /// Address and port for UDP and TCP. Relay sockets are opened on the same address. `[::]` counts as `0.0.0.0`.
    pub listen: SocketAddr,
    /// Address and port for TLS. Without it, port 5349 of the same address when the server has a certificate.
    pub tls_listen: Option<SocketAddr>,
    /// The address under which clients and peers reach this machine, where that is another one (a cloud's one-to-one NAT).
    pub external_ip: Option<IpAddr>,
    /// The name clients are told instead of an address: the one the certificate is for.
    pub host: Option<String>,
    /// What credentials are made with. Without it, a random one that ends with the process.
    pub secret: Option<TurnSecret>,
    /// Still taken while the secret is replaced.
    pub previous_secret: Option<TurnSecret>,
    /// How long new allocations can be made with one credential; at most an hour.
    pub credential_lifetime: Duration,
    /// Peers that are served although their addresses are private, loopback or this machine's own.
    pub allow_peers: Vec<AddressRange>,
    /// How much the relay bears.
    pub limits: TurnLimits,
}

/// How much a relay bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnLimits {
    /// Allocations in all; each has a port of its own.
    pub allocations: usize,
    /// Allocations of one user at once, over all calls and devices.
    pub allocations_per_user: usize,
    /// Bytes a second that one allocation may send, and as many that it may receive.
    pub bytes_per_second: u64,
    /// TCP and TLS connections in all.
    pub connections: usize,
    /// TCP and TLS connections from one address (one /64 for IPv6).
    pub connections_per_address: usize,
}

impl Default for TurnLimits {
    /// A voice call takes 12,000 bytes a second or fewer, 64,000 with high-quality stereo and redundancy.
    fn default() -> Self {
        Self {
            allocations: 4096,
            allocations_per_user: 20,
            bytes_per_second: 64_000,
            connections: 4096,
            connections_per_address: 256,
        }
    }
}

impl TurnConfig {
    /// A relay on this address with everything else at its default. Port 0 takes a free one.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            tls_listen: None,
            external_ip: None,
            host: None,
            secret: None,
            previous_secret: None,
            credential_lifetime: LONGEST_CREDENTIAL,
            allow_peers: Vec::new(),
            limits: TurnLimits::default(),
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let range = |name, rule| Err(ConfigError::Range { name, rule });
        let lifetime = self.credential_lifetime;
        if lifetime < Duration::from_secs(60) || lifetime > LONGEST_CREDENTIAL {
            return range("turn.credential_lifetime", "60 to 3600 seconds");
        }
        let mut secrets = self.secret.iter().chain(&self.previous_secret);
        if secrets.any(|secret| secret.len() < SHORTEST_SECRET) {
            return range("turn.secret", "at least 16 characters");
        }
        if self.external_ip.is_some_and(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return range("turn.external_ip", "an address that clients can reach");
        }
        let limits = &self.limits;
        for (name, value) in [
            ("turn.allocations", limits.allocations),
            ("turn.allocations_per_user", limits.allocations_per_user),
            ("turn.connections", limits.connections),
            ("turn.connections_per_address", limits.connections_per_address),
        ] {
            if value == 0 {
                return range(name, "at least 1");
            }
        }
        if limits.bytes_per_second < 8000 {
            return range("turn.bytes_per_second", "at least 8000, or no call fits");
        }
        let plain = |host: &String| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        if !self.host.as_ref().is_none_or(plain) {
            return range("turn.host", "a host name without port");
        }
        Ok(())
    }
}

/// Whether there is a relay.
#[derive(Debug, Clone, Default)]
pub(crate) enum TurnChoice {
    /// On the usual port when the server listens beyond loopback; it starts without one where that port cannot be had.
    #[default]
    Usual,
    Off,
    On(Box<TurnConfig>),
}

/// A relay elsewhere that shares a secret with this server (coturn's `use-auth-secret`).
#[derive(Debug, Clone)]
pub(crate) struct SharedRelay {
    pub(crate) urls: Vec<String>,
    pub(crate) secret: TurnSecret,
}
