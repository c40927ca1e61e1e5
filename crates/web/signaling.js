/**
 * The client side of docs/SIGNALING.md without I/O and without a clock: a twin of `ClientMachine` in `crates/signaling`. Both run the
 * golden traces of `crates/signaling/tests/golden/client.json`.
 */

import { CallRecord, checkDescription, checkHeaders } from './call.js';
import { Answered, Ended, Established, Progressing, Ringing, refuse, wrongState } from './errors.js';
import { MOST, parse } from './frames.js';
import { Link } from './link.js';
import { stoppedByServer, turnedAway, unauthorized, unreachable } from './refusals.js';
import { hex } from './verification.js';

export const SUBPROTOCOL = 'offhook.v1.json';
/** How far the connection is. From CONNECTING on there is one to close, from GREETING on it may say something. */
const [STOPPED, WITHOUT_TOKEN, WAITING, CONNECTING, GREETING, SYNCING, ONLINE] = [0, 1, 2, 3, 4, 5, 6];
/** What a timer calls, in the order in which they fire when they are due together; those of calls come after them. */
const TIMERS = {
  reconnect: 'connect', greeting: 'dropConnection', start: 'giveUpStart', heartbeat: 'ping', silence: 'dropConnection',
  acknowledge: 'acknowledge', renewal: 'askForToken',
};
const TIMER_NAMES = Object.keys(TIMERS);
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
export class Machine {
  phase = STOPPED;
  wasStarted = false;
  iceServers = [];
  heartbeatEvery = 10000;
  tries = 0;
  /** @type {Map<string, CallRecord>} */
  calls = new Map();
  timers = new Map();
  outputs = [];
  link = new Link();

  /** @param {{application: string, user: string, device: string}} config @param {(bytes: Uint8Array) => Uint8Array} entropy */
  constructor(config, entropy) {
    this.config = config;
    this.entropy = entropy;
  }

  // Commands: they throw when refused, and nothing changed then.

  start(now, wall, stored) {
    if (this.phase !== STOPPED) throw refuse('the client is already started');
    this.wall = [now, wall];
    this.wasStarted = false;
    this.link = new Link();
    this.credential = stored?.expires > wall ? stored : undefined;
    if (this.credential) this.beginConnecting(now);
    else this.requireToken();
  }
  register(now, token) {
    if (this.phase === WITHOUT_TOKEN) {
      this.token = token;
      this.beginConnecting(now);
    } else if (this.renewing) {
      this.renewing = false;
      this.command(undefined, 'register', { token });
    } else {
      throw refuse(this.phase === STOPPED ? 'the client is not started' : 'no credentials are required now');
    }
  }
  registerFailed(now) {
    if (this.phase === WITHOUT_TOKEN) {
      this.fail(now, unauthorized('the application could not get a registration token'));
    } else if (this.renewing) {
      this.renewing = false;
      this.postponeRenewal(now);
    }
  }
  terminate(now) {
    if (this.phase === STOPPED) return;
    for (const call of this.live()) this.hangUp(now, call.id);
    this.stop();
  }
  callUser(now, to, headers, offer, displayName) {
    if (!this.isStarted) throw refuse('the client is not started');
    checkHeaders(headers);
    checkDescription(offer);
    const id = uuid(this.entropy);
    const commitment = this.add(now, id, true, to, { ...headers }).verification.offer(offer);
    const name = displayName ? { display_name: displayName } : {};
    this.command(id, 'call.start', { to, headers, sdp: offer, ...(commitment && { commitment }), ...name });
    return id;
  }
  answer(now, id, sdp) {
    checkDescription(sdp);
    const call = this.known(id);
    if (call.outgoing || !call.enter(now, Answered)) throw wrongState();
    const nonce = call.verification.answer(sdp);
    this.disarm(SETUP + id);
    this.awaitReveal(now, call);
    this.command(id, 'call.answer', { sdp, ...(nonce && { nonce }) });
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
    if (!this.isStarted) throw refuse('the client is not started');
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

  // What the connection does.

  handleConnected(now) {
    if (this.phase !== CONNECTING) return;
    if (!this.token && !this.credential) {
      this.outputs.push('disconnect');
      this.requireToken();
      return;
    }
    const { application, user, device } = this.config;
    const resume = this.link.resumption();
    const hello = {
      application_key: application, user, device_id: device,
      credential: this.token ? { token: this.token } : { device: this.credential.secret },
    };
    if (resume) hello.resume = resume;
    const calls = this.live().filter((call) => call.isAnswered);
    if (calls.length) hello.calls = calls.map(({ id, outgoing, remote }) => ({ call_id: id, outgoing, remote }));
    this.phase = GREETING;
    this.arm('greeting', now + 10000);
    this.passing('hello', hello);
  }
  handleDisconnected(now) {
    if (this.phase < CONNECTING) return;
    this.turnedAway = undefined;
    this.loseConnection(now, 0);
  }
  /** The network is another: the next connection is made at once, and one that is open has to show soon that it lives. */
  networkChanged(now) {
    if (this.phase === ONLINE) {
      this.ping(now);
      this.arm('silence', Math.min(this.timers.get('silence'), now + 2000));
      return;
    }
    if (this.phase >= CONNECTING) this.dropConnection(now);
    // Whom the server turned away for a while stays away.
    if (this.phase !== WAITING || now < this.turnedAway?.until) return;
    this.tries = 0;
    this.disarm('reconnect');
    this.connect();
  }
  handleFrame(now, data) {
    if (this.phase < GREETING) return;
    const frame = parse(data);
    if (!frame) return;
    const { seq, type, body, call, ack } = frame;
    this.disarm('silence');
    const { link } = this;
    if (!link.receive(seq)) return;
    if (link.owesAck) this.armOnce('acknowledge', now + 1000);
    this[type]?.(now, body, call, ack);
  }
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

  get isStarted() {
    return this.wasStarted && this.phase !== STOPPED;
  }
  get isOnline() {
    return this.phase === ONLINE;
  }
  live() {
    return [...this.calls.values()].filter((call) => !call.isOver).sort((a, b) => (a.id < b.id ? -1 : 1));
  }
  known(id, live = false) {
    const call = this.calls.get(id);
    if (!call || (live && call.isOver)) throw refuse('there is no such call');
    return call;
  }
  timerNames() {
    const place = (name) => TIMER_NAMES.indexOf(name) >>> 0;
    return [...this.timers.keys()].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
  }
  arm(timer, at) {
    this.timers.set(timer, at);
  }
  armOnce(timer, at) {
    if (!this.timers.has(timer)) this.arm(timer, at);
  }
  disarm(...timers) {
    for (const timer of timers) this.timers.delete(timer);
  }
  emit(event) {
    this.outputs.push({ event });
  }
  tell(call, is) {
    this.emit({ call, is });
  }
  fail(now, failed) {
    for (const call of this.live()) this.end(now, call.id, 'failure');
    this.stop();
    this.emit({ failed });
  }
  stop() {
    if (this.phase >= CONNECTING) this.outputs.push('disconnect');
    this.phase = STOPPED;
    this.token = this.turnedAway = undefined;
    this.renewing = false;
    this.timers.clear();
    this.link = new Link();
  }

  // Frames out.

  send(frame) {
    this.outputs.push({ send: JSON.stringify(frame) });
  }
  passing(type, body = {}) {
    this.send(this.link.frame(undefined, type, body));
  }
  /** A command is repeated after a reconnect until its outcome came. */
  command(call, type, body = {}) {
    const frame = this.link.command(call, type, body);
    if (this.phase !== ONLINE) return;
    this.disarm('acknowledge');
    this.send(frame);
  }

  // Registration and connection.

  requireToken() {
    this.phase = WITHOUT_TOKEN;
    this.renewing = false;
    this.disarm(...TIMER_NAMES);
    this.emit('credentials_required');
  }
  beginConnecting(now) {
    this.tries = 0;
    if (!this.wasStarted) this.arm('start', now + 10000);
    this.connect();
  }
  connect() {
    this.phase = CONNECTING;
    this.outputs.push('connect');
  }
  dropConnection(now) {
    this.outputs.push('disconnect');
    this.loseConnection(now, 0);
  }
  loseConnection(now, atLeast) {
    if (this.phase >= SYNCING) this.emit('reconnecting');
    this.phase = WAITING;
    this.disarm('greeting', 'heartbeat', 'silence', 'acknowledge');
    // Between half and all of 100 ms, 200 ms, ... 15 s: many clients of one server do not come back at once.
    // All clients of a server that dies are told in the same moment.
    const full = Math.min(1000 * 2 ** Math.min(Math.max(this.tries - 1, 0), 16), 15000);
    const least = this.tries === 0 ? 50 : full / 2;
    this.tries += 1;
    const delay = least + ((full - least) * this.entropy(new Uint8Array(1))[0]) / 256;
    this.arm('reconnect', now + Math.max(delay, atLeast));
  }
  ping(now) {
    if (this.phase !== ONLINE) return;
    this.passing('ping');
    this.disarm('acknowledge');
    this.arm('heartbeat', now + this.heartbeatEvery);
    this.armOnce('silence', now + this.heartbeatEvery * 2);
  }
  acknowledge() {
    if (this.phase === ONLINE && this.link.owesAck) this.passing('ack');
  }
  askForToken(now) {
    // Should the application never answer, it is asked again.
    this.postponeRenewal(now);
    this.renewing = true;
    this.emit('credentials_required');
  }
  secondsLeft(now) {
    const wall = this.wall ? this.wall[1] + Math.floor((now - this.wall[0]) / 1000) : 0;
    return Math.max(0, (this.credential?.expires ?? 0) - wall);
  }
  postponeRenewal(now) {
    this.arm('renewal', now + Math.max(this.secondsLeft(now) * 500, 30000));
  }
  scheduleRenewal(now) {
    const left = this.secondsLeft(now);
    this.arm('renewal', now + Math.max(left - 3600, left / 2) * 1000);
  }
  registered(now, { credential: { secret, expires } }) {
    this.credential = { secret, expires };
    this.outputs.push({ store: { secret, expires } });
    this.scheduleRenewal(now);
  }
  welcome(now, welcome) {
    if (this.phase !== GREETING) return;
    const { resumed } = welcome;
    this.token = undefined;
    this.wall = [now, welcome.server_time];
    this.iceServers = welcome.ice_servers ?? [];
    this.heartbeatEvery = Math.min(Math.max(welcome.heartbeat_ms, 1000), 60000);
    this.link.enter(welcome);
    if (welcome.credential) this.registered(now, welcome);
    else this.scheduleRenewal(now);
    if (resumed) this.goOnline(now);
    else this.phase = SYNCING;
  }
  goOnline(now) {
    this.phase = ONLINE;
    this.disarm('greeting', 'start');
    this.tries = 0;
    this.arm('heartbeat', now + this.heartbeatEvery);
    for (const call of this.live()) this.awaitReveal(now, call);
    for (const frame of this.link.repeats()) this.send(frame);
    if (!this.wasStarted) this.emit('started');
    this.wasStarted = true;
  }
  outcome(now, { of, error }) {
    const settled = this.link.settle(of);
    if (!settled || !error) return;
    const { type, call_id: call } = settled;
    // The application's token was not good; asking at once would be answered with the same one.
    if (type === 'register') this.postponeRenewal(now);
    else if (type === 'call.start' ? error !== 'duplicate_call' : call && error === 'unknown_call') this.end(now, call, 'failure', error);
  }
  error(now, body) {
    this.outcome(now, body);
  }
  bye(now, { action, error, retry_after_ms: wait = 0 }) {
    if (error === 'credential_refused' && !this.token) {
      this.credential = undefined;
      this.outputs.push('forget', 'disconnect');
      this.requireToken();
    } else if (action === 'stop') {
      this.fail(now, stoppedByServer(error));
    } else {
      this.turnedAway = error && { error, until: now + wait };
      // Nothing can come of a start that would end before the server wants to hear of it again.
      if (error && now + wait >= this.timers.get('start')) return this.giveUpStart(now);
      this.outputs.push('disconnect');
      this.loseConnection(now, wait);
    }
  }
  giveUpStart(now) {
    const away = this.turnedAway;
    this.turnedAway = undefined;
    this.fail(now, away ? turnedAway(away.error, away.until - now) : unreachable());
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
    call.verification.ring(commitment, sdp);
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
    this.disarm(SETUP + id);
    this.tell(id, 'answered');
    call.verification.answered(nonce, sdp ?? '');
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
    if (!call.verification.allows(sdp)) return this.tellVerification(call);
    call.remoteCandidates = [];
    this.tell(id, { remote_update: { kind, sdp } });
  }
  /** The caller shows its nonce, unless it still waits to be said. */
  reveal({ id, verification: { revealing: nonce } }) {
    if (nonce && !this.link.isPending('call.reveal', id)) this.command(id, 'call.reveal', { nonce });
  }
  'call.reveal'(_, { nonce }, id) {
    const call = this.calls.get(id);
    if (!call || call.isOver) return;
    call.verification.revealed(nonce);
    this.disarm(REVEAL + id);
    this.tellVerification(call);
  }
  /** Within this it comes, or one of the two has been away long enough to lose the call. */
  awaitReveal(now, { id, verification }) {
    if (verification.step === 'answered') this.arm(REVEAL + id, now + 240000);
  }
  expireReveal(now, call) {
    if (this.phase !== ONLINE) return this.awaitReveal(now, call);
    call.verification.expire();
    this.tellVerification(call);
  }
  tellVerification({ id, verification, isOver }) {
    const verified = verification.news();
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
    this.command(id, 'call.hangup', { cause, ...(error && { error }) });
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
