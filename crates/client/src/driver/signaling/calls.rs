//! The calls of the signaling driver: made, rung, routed, ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_signaling::call::CallEndCause;
use offhook_signaling::message::IceServer;
use offhook_signaling::{CallEvent as MachineEvent, CallId, ClientError};
use offhook_transport::Role;
use tokio::sync::mpsc;

use super::SignalingDriver;
use crate::call::{Call, CallCore, Ending};
use crate::driver::media::MediaDriver;
use crate::driver::{Command, MediaNews, NewCall, ToMedia, ice_servers, prepare};
use crate::event::{CallEvent, ClientEvent};
use crate::shared::Shared;

/// How long the end of a call waits for its last measures.
const LAST_MEASURES: Duration = Duration::from_millis(300);

impl SignalingDriver {
    pub(super) fn call_user(&mut self, now: Instant, new: NewCall) {
        let NewCall { to, headers, offer, media, reply } = new;
        let id = match self.machine.call_user(now, to, headers, offer) {
            Ok(id) => id,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let Some((core, inbox)) = self.new_core(&id) else { return };
        let call = Call::new(Arc::clone(&core), Arc::clone(&media.stream));
        MediaDriver::spawn(core, inbox, media, &self.shared, self.run.commands.clone());
        self.shared.add_call(call.clone());
        if let Err(Ok(unwanted)) = reply.send(Ok(call)) {
            // Whoever called has given up waiting: nobody would ever hang up.
            unwanted.hang_up();
        }
    }

    /// Somebody calls: everything is made ready, then the application is told.
    pub(super) fn ring(&mut self, id: CallId) {
        let Some(offer) = self.machine.call(&id).and_then(|call| call.offer()).map(str::to_owned) else {
            return;
        };
        let servers = self.machine.call(&id).map(|call| call.ice_servers().to_vec()).unwrap_or_default();
        let Some((core, inbox)) = self.new_core(&id) else { return };
        core.to_media(ToMedia::RemoteOffer(offer));
        tokio::spawn(make_ready(Arc::clone(&self.shared), core, inbox, self.run.commands.clone(), servers));
    }

    fn new_core(&mut self, id: &CallId) -> Option<(Arc<CallCore>, mpsc::Receiver<ToMedia>)> {
        let call = self.machine.call(id)?;
        let (core, inbox) = CallCore::new(id.clone(), call, &self.shared, Arc::clone(&self.run.signal));
        self.calls.insert(id.clone(), Arc::clone(&core));
        Some((core, inbox))
    }

    pub(super) fn tell_call(&mut self, id: &CallId, event: MachineEvent) {
        let Some(core) = self.calls.get(id).map(Arc::clone) else { return };
        if let Some(call) = self.machine.call(id) {
            core.refresh(call);
        }
        let message = match event {
            MachineEvent::Progressing => return core.emit(&CallEvent::Progressing),
            MachineEvent::Ringing => return core.emit(&CallEvent::Ringing),
            MachineEvent::Answered => return core.emit(&CallEvent::Answered),
            MachineEvent::Established => return core.emit(&CallEvent::Established),
            MachineEvent::Verification(news) => return core.emit(&CallEvent::Verification(news)),
            MachineEvent::IceServers(servers) => {
                // An answer may come while they are looked up.
                core.to_media(ToMedia::ExpectIceServers);
                drop(tokio::spawn(tell_ice_servers(Arc::clone(&self.shared), core, servers)));
                return;
            }
            MachineEvent::Ended { .. } => return self.end(id, core),
            MachineEvent::RemoteDescription(sdp) => ToMedia::RemoteAnswer(sdp),
            MachineEvent::RemoteCandidate(candidate) => ToMedia::RemoteCandidate(candidate),
            MachineEvent::RemoteUpdate(update) => ToMedia::RemoteUpdate(update),
        };
        if !core.to_media(message) {
            tracing::warn!(call = %id, "the call's media driver takes no messages: the call is given up");
            self.machine.media_failed(Instant::now(), id, CallEndCause::Failure);
        }
    }

    fn end(&mut self, id: &CallId, core: Arc<CallCore>) {
        self.calls.remove(id);
        // A driver whose queue is full sees the end by itself.
        core.to_media(ToMedia::End);
        self.endings.spawn(core.tell_end(LAST_MEASURES));
    }

    pub(super) fn handle_media(&mut self, now: Instant, id: &CallId, news: MediaNews) {
        match news {
            MediaNews::Connected => self.machine.media_connected(now, id),
            MediaNews::Failed(cause) => self.machine.media_failed(now, id, cause),
            // Refused when the call has ended meanwhile: then nobody needs it.
            MediaNews::Candidate(candidate) => drop(self.machine.local_candidate(id, candidate)),
            MediaNews::Update(update) => drop(self.machine.update(id, update)),
            MediaNews::AddressesChanged => self.look_at_addresses(now),
            MediaNews::RenewIceServers => drop(self.machine.renew_ice_servers(id)),
        }
    }

    /// Ends the calls whose handles wished it.
    pub(super) fn heed_endings(&mut self, now: Instant) {
        for (id, core) in &self.calls {
            let refused = match core.ending() {
                Some(Ending::HangUp) => self.machine.hang_up(now, id),
                // Answered meanwhile: who wants it no more is done with it all the same.
                Some(Ending::Busy) => {
                    self.machine.refuse_busy(now, id).or_else(|_| self.machine.hang_up(now, id))
                }
                None => Ok(()),
            };
            if let Err(error) = refused {
                tracing::debug!(call = %id, %error, "not ended");
            }
        }
    }

    /// The machine has stopped: its calls have nobody to end them.
    pub(super) fn end_all_calls(&mut self, now: Instant) {
        for id in self.calls.keys() {
            self.machine.media_failed(now, id, CallEndCause::Inactive);
        }
    }
}

/// Looks up the servers a call was told, and tells its media driver.
async fn tell_ice_servers(shared: Arc<Shared>, core: Arc<CallCore>, servers: Vec<IceServer>) {
    let servers = ice_servers::of_call(&shared, servers).await;
    if !core.to_media(ToMedia::IceServers(Box::new(servers))) {
        tracing::debug!(call = %core.id, "the servers for candidates come too late");
    }
}

/// Makes stream, sockets and session of an incoming call, then tells the application.
async fn make_ready(
    shared: Arc<Shared>,
    core: Arc<CallCore>,
    inbox: mpsc::Receiver<ToMedia>,
    commands: mpsc::Sender<Command>,
    servers: Vec<IceServer>,
) {
    let servers = if servers.is_empty() {
        shared.ice_servers().await
    } else {
        ice_servers::of_call(&shared, servers).await
    };
    match prepare(&shared, Role::Answerer, servers).await {
        Ok(media) => {
            let call = Call::new(Arc::clone(&core), Arc::clone(&media.stream));
            MediaDriver::spawn(core, inbox, media, &shared, commands);
            if !call.is_over() {
                shared.add_call(call.clone());
                shared.events.send(&ClientEvent::IncomingCall(call));
            }
        }
        Err(error) => {
            let message = format!("an incoming call could not be prepared: {error}");
            shared.events.send(&ClientEvent::Failed(ClientError::refused(message)));
            let news = MediaNews::Failed(CallEndCause::Failure);
            // A driver that is gone has ended the call.
            let _ = commands.send(Command::Media { call: core.id.clone(), news }).await;
        }
    }
}
