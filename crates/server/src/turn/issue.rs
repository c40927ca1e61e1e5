//! The STUN and TURN servers that a device is told for one call.

use std::sync::Arc;
use std::time::Duration;

use offhook_signaling::call::DeviceAddress;
use offhook_signaling::message::{IceServer, ServerMessage};
use offhook_signaling::{ApplicationKey, CallId, UnixSeconds};

use super::credential::{self, CallMark, TurnSecret};
use super::ledger::Ledger;

/// From the end of a call to that of its allocations: good-byes still pass, and most clients give theirs back by themselves.
const FAREWELL: Duration = Duration::from_secs(5);

/// Says which servers there are and makes credentials for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct IceIssuer {
    /// The same for everybody.
    fixed: Vec<IceServer>,
    minting: Vec<(Vec<String>, TurnSecret, Duration)>,
    /// The relay inside this server: another one is not told when a call ends.
    own: Option<Arc<Ledger>>,
}

impl IceIssuer {
    pub(crate) const fn new(fixed: Vec<IceServer>) -> Self {
        Self { fixed, minting: Vec::new(), own: None }
    }

    /// One more server for everybody.
    pub(crate) fn add_fixed(&mut self, server: IceServer) {
        self.fixed.push(server);
    }

    /// One more relay, with which `secret` is shared.
    pub(crate) fn add_relay(&mut self, urls: Vec<String>, secret: TurnSecret, lifetime: Duration) {
        self.minting.push((urls, secret, lifetime));
    }

    /// The relay inside this server.
    pub(super) fn set_own(&mut self, ledger: Arc<Ledger>) {
        self.own = Some(ledger);
    }

    /// A call is over: soon its allocations are, and it gets no more.
    pub(crate) fn call_over(&self, application: &ApplicationKey, call: &CallId) {
        let Some(ledger) = self.own.clone() else { return };
        let call = CallMark::of(application, call);
        ledger.refuse_call(call);
        if ledger.has_call(call) {
            tokio::spawn(async move {
                tokio::time::sleep(FAREWELL).await;
                ledger.end_call(call);
            });
        }
    }

    /// The servers for everybody, in a call or not.
    pub(crate) fn fixed(&self) -> &[IceServer] {
        &self.fixed
    }

    /// All servers for one device in one call, with credentials of its own.
    fn for_call(&self, now: UnixSeconds, device: &DeviceAddress, call: &CallId) -> Vec<IceServer> {
        let mint = |(urls, secret, lifetime): &(Vec<String>, TurnSecret, Duration)| {
            let minted = credential::mint(secret, now.plus(lifetime.as_secs()), device, call);
            IceServer {
                urls: urls.clone(),
                username: Some(minted.username),
                credential: Some(minted.password),
            }
        };
        self.fixed.iter().cloned().chain(self.minting.iter().map(mint)).collect()
    }

    /// Puts them into those messages that bring them. Where nothing is minted, what the welcome said is enough.
    pub(crate) fn fill_in(
        &self,
        now: UnixSeconds,
        device: &DeviceAddress,
        call: &CallId,
        message: &mut ServerMessage,
    ) {
        let place = match message {
            ServerMessage::CallIncoming(incoming) => &mut incoming.ice_servers,
            ServerMessage::CallProgressing(progressing) => &mut progressing.ice_servers,
            ServerMessage::CallIceServers(servers) => &mut servers.ice_servers,
            _ => return,
        };
        if !self.minting.is_empty() {
            *place = self.for_call(now, device, call);
        }
    }
}
