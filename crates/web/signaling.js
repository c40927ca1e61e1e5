/**
 * The client side of docs/SIGNALING.md without I/O and without a clock: a twin of `ClientMachine` in `crates/signaling`. Both run the
 * golden traces of `crates/signaling/tests/golden/client.json`.
 */

import { CallRecord, checkDescription, checkHeaders } from './call.js';
import { Connection, ONLINE, STOPPED, SYNCING, TIMERS } from './connection.js';
import { Answered, Ended, Established, Progressing, Ringing, notStarted, refuse, wrongState } from './errors.js';
import { MOST } from './frames.js';
import { hex } from './verification.js';

export const SUBPROTOCOL = 'offhook.v1.json';
/** What the timers of calls begin with. */
const SETUP = 'call set-up ';
const REVEAL = 'call reveal ';

export function uuid(fill) {
  const b = fill(new Uint8Array(16));
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  return hex(b).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/**
 * The client machine. The shell calls a method, then drains `poll()` until it gives `{wake, for}` or undefined, doing what it says.
 * Times are milliseconds of one steady clock. A message of the server is handled by the method of its name.
 */
export class Machine extends Connection {
  /** @type {Map<string, CallRecord>} */
  calls = new Map();

  // Commands: they throw when refused, and nothing changed then.

  terminate(now) {
    if (this.phase === STOPPED) return;
    for (const call of this.live()) this.hangUp(now, call.id);
    this.stop();
  }
  callUser(now, to, headers, offer, displayName) {
    if (!this.isStarted) throw notStarted();
    checkHeaders(headers);
    checkDescription(offer);
    const id = uuid(this.entropy);
    const commitment = this.add(now, id, true, to, headers).proof.offer(offer);
    this.command(id, 'call.start', { to, headers, sdp: offer, commitment, display_name: displayName || undefined });
    return id;
  }
  answer(now, id, sdp) {
    checkDescription(sdp);
    const call = this.known(id);
    if (call.outgoing || !call.enter(now, Answered)) throw wrongState();
    const nonce = (call.nonce = call.proof.answer(sdp));
    this.disarm(SETUP + id);
    this.awaitReveal(now, call);
    this.command(id, 'call.answer', { sdp, nonce });
    for (const candidate of call.held.splice(0)) this.command(id, 'call.candidate', candidate);
    this.tell(id, 'answered');
    this.establishIfReady(now, call);
  }
  hangUp(now, id) {
    const call = this.known(id, true);
    this.endHere(now, id, call.isAnswered ? 'hung_up' : call.outgoing ? 'canceled' : 'denied');
  }
  refuseBusy(now, id) {
    const call = this.known(id, true);
    if (call.outgoing || call.isAnswered) throw wrongState();
    this.endHere(now, id, 'denied', 'busy');
  }
  localCandidate(_, id, candidate) {
    const call = this.known(id, true);
    if (call.outgoing || call.isAnswered) this.command(id, 'call.candidate', candidate);
    else if (call.held.length < MOST.held) call.held.push(candidate);
  }
  update(_, id, update) {
    checkDescription(update.sdp);
    if (!this.known(id).isAnswered) throw wrongState();
    this.command(id, 'call.update', update);
  }
  /** Asks for STUN and TURN servers with credentials that have not ended. */
  renewIceServers(_, id) {
    this.known(id, true);
    this.command(id, 'call.ice_servers');
  }
  /** Tells how a call was at this end, once it is over. */
  report(_, id, report) {
    if (!this.isStarted) throw notStarted();
    if (!this.known(id).isOver) throw wrongState();
    this.command(id, 'call.report', report);
  }
  mediaConnected(now, id) {
    const call = this.calls.get(id);
    if (!call) return;
    call.mediaConnected = true;
    this.establishIfReady(now, call);
  }
  mediaFailed(now, id, cause) {
    if (this.calls.get(id)?.isOver === false) this.endHere(now, id, cause, cause === 'failure' ? 'media_failed' : undefined);
  }

  /** Where this device is woken, or that it no longer is. */
  subscribe(_, subscription) {
    this.command(undefined, subscription ? 'push.subscribe' : 'push.unsubscribe', subscription);
  }

  // Time.

  handleTimeout(now) {
    for (const name of this.timerNames().filter((name) => this.timers.get(name) <= now)) {
      // One that fired before may have ended this one.
      if (!this.timers.delete(name)) continue;
      if (TIMERS[name]) this[TIMERS[name]](now);
      else if (name.startsWith(REVEAL)) this.expireReveal(now, this.calls.get(name.slice(REVEAL.length)));
      else this.endHere(now, name.slice(SETUP.length), 'timeout');
    }
  }
  /** What to do next. */
  poll() {
    if (this.outputs.length) return this.outputs.shift();
    const at = (name) => this.timers.get(name);
    const [first] = this.timerNames().sort((a, b) => at(a) - at(b));
    return first && { wake: at(first), for: [SETUP, REVEAL].find((call) => first.startsWith(call))?.trim() ?? first };
  }

  live() {
    return [...this.calls.values()].filter((call) => !call.isOver).sort((a, b) => (a.id < b.id ? -1 : 1));
  }
  known(id, live = false) {
    const call = this.calls.get(id);
    if (!call || (live && call.isOver)) throw refuse('there is no such call');
    return call;
  }
  tell(call, is) {
    this.emit({ call, is });
  }
  // Calls.

  snapshot(now, { calls }, _, ack) {
    if (this.phase !== SYNCING) return;
    const { link } = this;
    link.needsSnapshot = false;
    for (const { id } of this.live()) {
      if (!calls.some((call) => call.call_id === id) && !link.isStarting(id, ack)) this.end(now, id, 'failure');
    }
    this.goOnline(now);
    for (const call of calls) this.adopt(now, call);
    // It may be another server, or have lost what it was to pass on.
    for (const call of this.live()) this.reveal(call);
  }
  adopt(now, { call_id: id, outgoing, remote, state, headers, sdp, commitment, nonce, display_name }) {
    const has = typeof sdp === 'string';
    if (this.calls.has(id)) {
      if (outgoing && state === 'ringing') this['call.ringing'](now, {}, id);
      else if (outgoing && state === 'answered' && has) this['call.answered'](now, { sdp, by: remote, nonce }, id);
    } else if (!outgoing && state === 'init') {
      // Without a description its event follows: it did not fit into the snapshot.
      if (has) this['call.incoming'](now, { from: remote, headers, sdp, commitment, display_name }, id);
    } else {
      // A call of this device's past life: nobody here can talk in it any more.
      this.command(id, 'call.hangup', { cause: 'inactive' });
    }
  }
  add(now, id, ...rest) {
    const call = new CallRecord(now, this.entropy, id, ...rest);
    this.calls.set(id, call);
    this.arm(SETUP + id, now + 65000);
    return call;
  }
  'call.incoming'(now, { from, headers, sdp, ice_servers: servers, commitment, display_name: displayName }, id) {
    if (this.calls.has(id)) return this.takeIceServers(id, servers);
    headers ??= {};
    const call = Object.assign(this.add(now, id, false, from, headers), { offer: sdp, iceServers: servers ?? [], displayName });
    call.proof.ring(commitment, sdp);
    this.command(id, 'call.ringing');
    this.emit({ incoming: { call: id, from, headers } });
    this.tellVerification(call);
  }
  takeIceServers(id, servers) {
    const call = this.calls.get(id);
    if (!call || call.isOver || !servers?.length) return;
    call.iceServers = servers;
    this.tell(id, { ice_servers: servers });
  }
  'call.ice_servers'(_, { ice_servers: servers }, id) {
    this.takeIceServers(id, servers);
  }
  'call.progressing'(now, { ice_servers: servers }, id) {
    this.takeIceServers(id, servers);
    if (this.calls.get(id)?.enter(now, Progressing)) this.tell(id, 'progressing');
  }
  'call.ringing'(now, _, id) {
    if (this.calls.get(id)?.enter(now, Ringing)) this.tell(id, 'ringing');
  }
  'call.answered'(now, { sdp, by, nonce }, id) {
    const call = this.calls.get(id);
    // To the callee this only says that its answer was the first.
    if (!call?.outgoing || !call.enter(now, Answered)) return;
    if (by) call.remote = by;
    call.nonce = nonce;
    this.disarm(SETUP + id);
    this.tell(id, 'answered');
    call.proof.answered(nonce, sdp ?? '');
    this.tell(id, { remote_description: sdp ?? '' });
    this.reveal(call);
    this.tellVerification(call);
    this.establishIfReady(now, call);
  }
  'call.candidate'(now, body, id) {
    const { candidate, mid, ufrag, end } = body;
    const remote = { candidate: candidate ?? '', mid: mid ?? '', ufrag: ufrag ?? '', end: end ?? false };
    const call = this.calls.get(id);
    const known = (other) => Object.keys(remote).every((key) => other[key] === remote[key]);
    // After a snapshot the server says all of them again.
    if (!call || call.remoteCandidates.length >= MOST.remote || call.remoteCandidates.some(known)) return;
    call.remoteCandidates.push(remote);
    if (!call.isOver) this.tell(id, { remote_candidate: remote });
  }
  'call.update'(now, { kind, sdp }, id) {
    const call = this.calls.get(id);
    if (!call?.isAnswered) return;
    if (!call.proof.allows(sdp)) return this.tellVerification(call);
    call.remoteCandidates = [];
    this.tell(id, { remote_update: { kind, sdp } });
  }
  /** The caller shows its nonce, unless it still waits to be said. */
  reveal({ id, proof: { revealing: nonce } }) {
    if (nonce && !this.link.isPending('call.reveal', id)) this.command(id, 'call.reveal', { nonce });
  }
  'call.reveal'(_, { nonce }, id) {
    const call = this.calls.get(id);
    if (!call || call.isOver) return;
    call.proof.revealed(nonce);
    this.disarm(REVEAL + id);
    this.tellVerification(call);
  }
  /** Within this it comes, or one of the two has been away long enough to lose the call. */
  awaitReveal(now, { id, proof }) {
    if (proof.step === 'answered') this.arm(REVEAL + id, now + 240000);
  }
  expireReveal(now, call) {
    if (this.phase !== ONLINE) return this.awaitReveal(now, call);
    call.proof.expire();
    this.tellVerification(call);
  }
  tellVerification({ id, proof, isOver }) {
    const verified = proof.news();
    if (verified && !isOver) this.tell(id, { verification: verified });
  }
  'call.ended'(now, { cause, error }, id) {
    this.end(now, id, cause, error);
  }
  establishIfReady(now, call) {
    if (!call.mediaConnected || !call.enter(now, Established)) return;
    this.command(call.id, 'call.established');
    this.tell(call.id, 'established');
  }
  endHere(now, id, cause, error) {
    this.command(id, 'call.hangup', { cause, error });
    this.end(now, id, cause, error);
  }
  end(now, id, cause, error) {
    const call = this.calls.get(id);
    if (!call?.enter(now, Ended)) return;
    Object.assign(call, { cause, error: error ?? undefined });
    this.link.forget(id);
    this.disarm(SETUP + id, REVEAL + id);
    this.emit({ call: id, is: { ended: cause, error: error ?? null } });
    const over = [...this.calls.values()].filter((c) => c.isOver).sort((a, b) => a.times.ended - b.times.ended);
    if (over.length > MOST.over) this.calls.delete(over[0].id);
  }
}
