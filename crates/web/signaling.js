/**
 * The client side of docs/SIGNALING.md without I/O and without a clock: a twin of `ClientMachine` in `crates/signaling`. Both run the
 * golden traces of `crates/signaling/tests/golden/client.json`.
 */

const SUBPROTOCOL = 'offhook.v1.json';
const MOST = { frame: 65536, sdp: 32768, headers: 1024, candidate: 1024, pending: 512, held: 64, remote: 128, over: 64 };

/** @enum {number} How far a call is. */
const CallState = Object.freeze({ Init: 0, Progressing: 1, Established: 2, Ended: 3, Answered: 4, Ringing: 5 });
/** @enum {number} Why a call ended. */
const CallEndCause = Object.freeze({
  None: 0, Timeout: 1, Denied: 2, NoAnswer: 3, Failure: 4, HungUp: 5, Canceled: 6, OtherDeviceAnswered: 7, Inactive: 8,
});
/** @enum {number} Which part failed. */
const ErrorType = Object.freeze({ Generic: 0, Network: 1, Session: 2, Api: 3, Persistence: 4, Sip: 5, Http: 6 });
/** @enum {number} What failed. */
const ErrorCode = Object.freeze({
  Generic: 1, NetworkConnectionRefused: 1000, NetworkTimedOut: 1001, NetworkServerError: 1002, AuthenticationFailed: 2002,
  CallFailedToConnectIce: 3002, WebRtcAudioRecordInitFailed: 3500, WebRtcAudioRecordStartFailed: 3501,
  WebRtcAudioTrackInitFailed: 3502, WebRtcAudioTrackStartFailed: 3503, ApiCallFailed: 4000,
});

/** An error with the published numbers. */
class SinchError extends Error {
  /** @param {string} message @param {number} code @param {number} domain @param {boolean} isFatal */
  constructor(message, code = ErrorCode.Generic, domain = ErrorType.Generic, isFatal = false) {
    super(message);
    this.name = 'SinchError';
    this.code = code;
    this.domain = domain;
    this.isFatal = isFatal;
  }
}
/** An argument is missing or wrong. */
class ArgumentError extends Error {
  name = 'ArgumentError';
}
/** The state does not allow this now. */
class InvalidOperationError extends Error {
  name = 'InvalidOperationError';
}

// ---------------------------------------------------------------- the machine

const STATES = { init: 0, progressing: 1, established: 2, ended: 3, answered: 4, ringing: 5 };
const CAUSES = {
  none: 0, timeout: 1, denied: 2, no_answer: 3, failure: 4, hung_up: 5, canceled: 6, other_device_answered: 7, inactive: 8,
};
const REACHED = ['started', 'progressed', 'established', 'ended', 'answered', 'rung'];
const TIMERS = ['reconnect', 'greeting', 'start', 'heartbeat', 'silence', 'acknowledge', 'renewal'];
const SETUP = 'call set-up ';
/** Asks for a snapshot: no session counts so far. */
const NOTHING_HANDLED = Number.MAX_SAFE_INTEGER;

const utf8 = new TextEncoder();
const bytes = (value) => utf8.encode(value).length;
const headerBytes = (headers) => Object.entries(headers).reduce((sum, [key, value]) => sum + bytes(key) + bytes(value), 0);
const isId = (value) => typeof value === 'string' && /^[\w=-]{1,255}$/.test(value);

// The form of what a server says. A name that ends in "?" may be absent.
const text = (most) => (value) => typeof value === 'string' && (!most || bytes(value) <= most);
const number = (value) => Number.isSafeInteger(value) && value >= 0;
const flag = (value) => typeof value === 'boolean';
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const among = (table) => (value) => typeof value === 'string' && Object.hasOwn(table, value);
const list = (of) => (value) => Array.isArray(value) && value.every(of);
const form = (members) => (value) =>
  isObject(value) &&
  Object.entries(members).every(([name, check]) => {
    const member = value[name.replace('?', '')];
    return name.endsWith('?') && (member === undefined || member === null) ? true : check(member);
  });
const headersForm = (value) => isObject(value) && Object.values(value).every(text()) && headerBytes(value) <= MOST.headers;
const issued = form({ secret: text(), expires: number });
const outcomeForm = form({ 'of?': text(), 'error?': text(), 'message?': text() });
const serversForm = list(form({ urls: list(text()), 'username?': text(), 'credential?': text() }));
const FORMS = {
  welcome: form({
    session: isId, resume_token: text(), epoch: text(), resumed: flag, heartbeat_ms: number, server_time: number, limits: isObject,
    'credential?': issued, 'ice_servers?': serversForm,
  }),
  snapshot: form({
    calls: list(form({
      call_id: isId, outgoing: flag, remote: isId, state: among(STATES), 'headers?': headersForm, 'sdp?': text(MOST.sdp),
    })),
  }),
  registered: form({ credential: issued }),
  outcome: outcomeForm,
  error: outcomeForm,
  bye: form({ action: among({ resume: 1, reconnect: 1, stop: 1 }), 'error?': text(), 'retry_after_ms?': number }),
  ack: isObject,
  pong: isObject,
  'call.incoming': form({ from: isId, sdp: text(MOST.sdp), 'headers?': headersForm, 'ice_servers?': serversForm }),
  'call.progressing': form({ 'ice_servers?': serversForm }),
  'call.ice_servers': form({ 'ice_servers?': serversForm }),
  'call.ringing': isObject,
  'call.established': isObject,
  'call.answered': form({ 'sdp?': text(MOST.sdp) }),
  'call.candidate': form({
    'candidate?': text(MOST.candidate), 'mid?': text(MOST.candidate), 'ufrag?': text(MOST.candidate), 'end?': flag,
  }),
  'call.update': form({ kind: among({ offer: 1, answer: 1 }), sdp: text(MOST.sdp) }),
  'call.ended': form({ cause: among(CAUSES), 'error?': text() }),
};

/** Reads a server's frame; undefined when it is not one this version understands. */
function parse(frame) {
  if (bytes(frame) > MOST.frame) return undefined;
  let value;
  try {
    value = JSON.parse(frame);
  } catch {
    return undefined;
  }
  if (!isObject(value) || value.v !== 1 || !isId(value.id) || !Object.hasOwn(FORMS, value.type)) return undefined;
  const { type, seq = 0, ack = 0, call_id: call } = value;
  const body = value.body ?? {};
  if (!number(seq) || !number(ack) || !(call === undefined || isId(call))) return undefined;
  if ((type.startsWith('call.') && !call) || !FORMS[type](body)) return undefined;
  return { type, seq, ack, call, body };
}

const REFUSALS = {
  token_signature: "the token's signature is wrong: check the application secret it is signed with",
  token_expired: 'the token has expired: get a new token',
  token_replayed: 'another device has used this token: get a new token for this one',
  token_not_yet_valid: 'the token is issued in the future: compare the clocks',
  token_subject: 'the token is for another user or application: get one for this user and application key',
  token_algorithm: 'the token is not signed with HS256: sign it so',
  token_lifetime: 'the token lives longer than the server allows: sign a shorter one',
  token_malformed: 'the token has the wrong form: pass it on whole, as it was signed',
  credential_refused: 'the device credential is unknown, ended or revoked: register with a new token',
};
const failure = (message, code, domain, refusal) => ({ message, code, domain, fatal: true, ...(refusal && { refusal }) });
const unauthorized = (message, refusal) => failure(message, ErrorCode.AuthenticationFailed, ErrorType.Session, refusal);
function stoppedByServer(error) {
  if (!error) return unauthorized('another connection of this device took over: give each installation a device id of its own');
  const message = REFUSALS[error] ?? 'the server refused the connection';
  return error === 'rate_limited' || error === 'internal'
    ? failure(message, ErrorCode.ApiCallFailed, ErrorType.Api, error)
    : unauthorized(message, error);
}
function turnedAway(error, wait) {
  const limited = error === 'rate_limited';
  const why = limited
    ? 'the server refuses this client for now: too many registrations, or devices of this user'
    : 'the server cannot register anybody now';
  const code = limited ? ErrorCode.ApiCallFailed : ErrorCode.NetworkServerError;
  return failure(`${why}; try again in ${Math.max(1, Math.ceil(wait / 1000))} s`, code, ErrorType.Api, error);
}

function uuid(fill) {
  const b = fill(new Uint8Array(16));
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** One call, as the machine knows it. */
class CallRecord {
  state = CallState.Init;
  /** @type {Record<string, number>} milliseconds of the machine's clock */
  times = {};
  cause = 'none';
  error = undefined;
  offer = undefined;
  /** The servers for this call alone. */
  iceServers = [];
  mediaConnected = false;
  held = [];
  remoteCandidates = [];
  constructor(now, id, outgoing, remote, headers) {
    Object.assign(this, { id, outgoing, remote, headers });
    this.times.started = now;
  }
  get isAnswered() {
    return this.state === CallState.Answered || this.state === CallState.Established;
  }
  get isOver() {
    return this.state === CallState.Ended;
  }
  enter(now, next) {
    const { Init, Progressing, Established, Ended, Answered, Ringing } = CallState;
    const early = [Init, Progressing, Ringing].includes(this.state);
    const allowed =
      this.state !== Ended &&
      (next === Ended ||
        (next === Established && this.state === Answered) ||
        (next === Answered && early) ||
        (next === Progressing && this.outgoing && this.state === Init) ||
        (next === Ringing && this.outgoing && early && this.state !== Ringing));
    if (allowed) {
      this.state = next;
      this.times[REACHED[next]] ??= now;
    }
    return allowed;
  }
}

/**
 * The client machine. The shell calls a method, then drains `poll()` until it gives `{wake, for}` or undefined, doing what it says.
 * Times are milliseconds of one steady clock.
 */
class Machine {
  phase = 'stopped';
  wasStarted = false;
  latest = undefined;
  wall = undefined;
  token = undefined;
  credential = undefined;
  renewing = false;
  turnedAway = undefined;
  iceServers = [];
  heartbeat = 10000;
  tries = 0;
  /** @type {Map<string, CallRecord>} */
  calls = new Map();
  timers = new Map();
  outputs = [];

  /** @param {{application: string, user: string, device: string}} config @param {(bytes: Uint8Array) => Uint8Array} entropy */
  constructor(config, entropy) {
    this.config = config;
    this.entropy = entropy;
    this.resetLink();
  }
  resetLink() {
    this.link = { session: undefined, needsSnapshot: false, lastSeq: 0, acknowledged: 0, next: 0, pending: [] };
  }

  // Commands: they throw when refused, and nothing changed then.

  start(now, wall, stored) {
    if (this.phase !== 'stopped') throw new InvalidOperationError('the client is already started');
    this.latest = now;
    this.wall = [now, wall];
    this.wasStarted = false;
    this.resetLink();
    this.credential = stored && stored.expires > wall ? stored : undefined;
    if (this.credential) this.beginConnecting(now);
    else this.requireToken();
  }
  register(now, token) {
    this.latest = now;
    if (this.phase === 'waiting for token') {
      this.token = token;
      this.beginConnecting(now);
    } else if (this.phase === 'stopped') {
      throw new InvalidOperationError('the client is not started');
    } else if (this.renewing) {
      this.renewing = false;
      this.command(undefined, 'register', { token });
    } else {
      throw new InvalidOperationError('no credentials are required now');
    }
  }
  registerFailed() {
    if (this.phase === 'waiting for token') {
      this.fail(this.latest, unauthorized('the application could not get a registration token'));
    } else if (this.renewing) {
      this.renewing = false;
      this.postponeRenewal(this.latest);
    }
  }
  terminate(now) {
    if (this.phase === 'stopped') return;
    for (const call of this.live()) this.hangUp(now, call.id);
    this.stop();
  }
  callUser(now, to, headers, offer) {
    this.checkStarted();
    if (headerBytes(headers) > MOST.headers) throw new ArgumentError("the call's headers are larger than 1024 bytes");
    checkDescription(offer);
    const id = uuid(this.entropy);
    this.calls.set(id, new CallRecord(now, id, true, to, { ...headers }));
    this.timers.set(SETUP + id, now + 65000);
    this.command(id, 'call.start', { to, headers, sdp: offer });
    return id;
  }
  answer(now, id, sdp) {
    checkDescription(sdp);
    const call = this.known(id);
    if (call.outgoing || !call.enter(now, CallState.Answered)) throw wrongState();
    this.timers.delete(SETUP + id);
    this.command(id, 'call.answer', { sdp });
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
  localCandidate(id, candidate) {
    const call = this.known(id, true);
    if (call.outgoing || call.isAnswered) this.command(id, 'call.candidate', candidate);
    else if (call.held.length < MOST.held) call.held.push(candidate);
  }
  update(id, update) {
    checkDescription(update.sdp);
    if (!this.known(id).isAnswered) throw wrongState();
    this.command(id, 'call.update', update);
  }
  /** Asks for STUN and TURN servers with credentials that have not ended. */
  renewIceServers(id) {
    this.known(id, true);
    this.command(id, 'call.ice_servers', {});
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

  // What the connection does.

  handleConnected(now) {
    if (this.phase !== 'connecting') return;
    if (!this.token && !this.credential) {
      this.outputs.push('disconnect');
      this.requireToken();
      return;
    }
    const { application, user, device } = this.config;
    const { session, needsSnapshot, lastSeq } = this.link;
    const hello = {
      application_key: application, user, device_id: device,
      credential: this.token ? { token: this.token } : { device: this.credential.secret },
    };
    if (session) hello.resume = { ...session, last_seq: needsSnapshot ? NOTHING_HANDLED : lastSeq };
    const calls = this.live().filter((call) => call.isAnswered);
    if (calls.length) hello.calls = calls.map(({ id, outgoing, remote }) => ({ call_id: id, outgoing, remote }));
    this.phase = 'greeting';
    this.timers.set('greeting', now + 10000);
    this.passing('hello', hello);
  }
  handleDisconnected(now) {
    if (!['connecting', 'greeting', 'online', 'awaiting snapshot'].includes(this.phase)) return;
    this.turnedAway = undefined;
    this.loseConnection(now, 0);
  }
  handleFrame(now, data) {
    if (!['greeting', 'online', 'awaiting snapshot'].includes(this.phase)) return;
    const frame = parse(data);
    if (!frame) return;
    this.latest = now;
    this.timers.delete('silence');
    const { link } = this;
    if (frame.seq > 0) {
      if (frame.seq <= link.lastSeq) return;
      link.lastSeq = frame.seq;
    }
    if (link.lastSeq > link.acknowledged) this.arm('acknowledge', now + 1000);
    const { type, body, call } = frame;
    if (type === 'welcome') this.handleWelcome(now, body);
    else if (type === 'snapshot') this.handleSnapshot(now, body, frame.ack);
    else if (type === 'registered') this.keep(now, body.credential);
    else if (type === 'outcome' || type === 'error') this.handleOutcome(now, body);
    else if (type === 'bye') this.handleBye(now, body);
    else if (type === 'call.incoming') this.handleIncoming(now, call, body.from, body.headers ?? {}, body.sdp, body.ice_servers);
    else if (type === 'call.progressing') {
      this.takeIceServers(call, body.ice_servers);
      this.advance(now, call, CallState.Progressing, 'progressing');
    } else if (type === 'call.ice_servers') this.takeIceServers(call, body.ice_servers);
    else if (type === 'call.ringing') this.advance(now, call, CallState.Ringing, 'ringing');
    else if (type === 'call.answered') this.handleAnswered(now, call, body.sdp ?? '');
    else if (type === 'call.candidate') this.handleCandidate(call, body);
    else if (type === 'call.update') this.handleUpdate(call, body);
    else if (type === 'call.ended') this.end(now, call, body.cause, body.error);
  }
  handleTimeout(now) {
    this.latest = now;
    for (const name of this.timerNames().filter((name) => this.timers.get(name) <= now)) {
      if (this.timers.delete(name)) this.fire(now, name);
    }
  }
  /** What to do next. */
  poll() {
    if (this.outputs.length) return this.outputs.shift();
    let first;
    for (const name of this.timerNames()) if (first === undefined || this.timers.get(name) < this.timers.get(first)) first = name;
    return first && { wake: this.timers.get(first), for: first.startsWith(SETUP) ? SETUP.trim() : first };
  }

  get isStarted() {
    return this.wasStarted && this.phase !== 'stopped';
  }
  live() {
    return [...this.calls.values()].filter((call) => !call.isOver).sort((a, b) => (a.id < b.id ? -1 : 1));
  }
  checkStarted() {
    if (!this.isStarted) throw new InvalidOperationError('the client is not started');
  }
  known(id, live = false) {
    const call = this.calls.get(id);
    if (!call || (live && call.isOver)) throw new InvalidOperationError('there is no such call');
    return call;
  }
  timerNames() {
    const place = (name) => TIMERS.indexOf(name) >>> 0;
    return [...this.timers.keys()].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
  }
  arm(timer, at) {
    if (!this.timers.has(timer)) this.timers.set(timer, at);
  }
  fire(now, name) {
    if (name === 'reconnect') this.connect();
    else if (name === 'greeting' || name === 'silence') this.dropConnection(now);
    else if (name === 'start') this.giveUpStart(now);
    else if (name === 'heartbeat') this.ping(now);
    else if (name === 'acknowledge') {
      if (this.phase === 'online' && this.link.lastSeq > this.link.acknowledged) this.passing('ack', {});
    } else if (name === 'renewal') {
      // Should the application never answer, it is asked again.
      this.postponeRenewal(now);
      this.renewing = true;
      this.emit('credentials_required');
    } else {
      const call = this.calls.get(name.slice(SETUP.length));
      if (call && !call.isAnswered && !call.isOver) this.endHere(now, call.id, 'timeout');
    }
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
    if (!['stopped', 'waiting for token', 'waiting'].includes(this.phase)) this.outputs.push('disconnect');
    this.phase = 'stopped';
    this.token = undefined;
    this.renewing = false;
    this.turnedAway = undefined;
    this.timers.clear();
    this.resetLink();
  }

  // Frames out.

  frame(call, type, body) {
    const { link } = this;
    link.acknowledged = link.lastSeq;
    link.next += 1;
    return { v: 1, id: `c${link.next}`, seq: link.next, ack: link.lastSeq, type, ...(call && { call_id: call }), body };
  }
  send(frame) {
    this.outputs.push({ send: JSON.stringify(frame) });
  }
  passing(type, body) {
    this.send(this.frame(undefined, type, body));
  }
  /** A command is repeated after a reconnect until its outcome came. */
  command(call, type, body) {
    const frame = this.frame(call, type, body);
    const { pending } = this.link;
    if (pending.length === MOST.pending) pending.shift();
    pending.push(frame);
    if (this.phase !== 'online') return;
    this.timers.delete('acknowledge');
    this.send(frame);
  }

  // Registration and connection.

  requireToken() {
    this.phase = 'waiting for token';
    this.renewing = false;
    for (const name of this.timers.keys()) if (!name.startsWith(SETUP)) this.timers.delete(name);
    this.emit('credentials_required');
  }
  beginConnecting(now) {
    this.tries = 0;
    if (!this.wasStarted) this.timers.set('start', now + 10000);
    this.connect();
  }
  connect() {
    this.phase = 'connecting';
    this.outputs.push('connect');
  }
  dropConnection(now) {
    this.outputs.push('disconnect');
    this.loseConnection(now, 0);
  }
  loseConnection(now, atLeast) {
    if (this.phase === 'online' || this.phase === 'awaiting snapshot') this.emit('reconnecting');
    this.phase = 'waiting';
    for (const timer of ['greeting', 'heartbeat', 'silence', 'acknowledge']) this.timers.delete(timer);
    // Between half and all of 100 ms, 200 ms, ... 15 s: many clients of one server do not come back at once.
    const full = Math.min(100 * 2 ** Math.min(this.tries, 16), 15000);
    this.tries += 1;
    const delay = full / 2 + (full * this.entropy(new Uint8Array(1))[0]) / 512;
    this.timers.set('reconnect', now + Math.max(delay, atLeast));
  }
  ping(now) {
    if (this.phase !== 'online') return;
    this.passing('ping', {});
    this.timers.delete('acknowledge');
    this.timers.set('heartbeat', now + this.heartbeat);
    this.arm('silence', now + this.heartbeat * 2);
  }
  secondsLeft(now) {
    const wall = this.wall ? this.wall[1] + Math.floor((now - this.wall[0]) / 1000) : 0;
    return Math.max(0, (this.credential?.expires ?? 0) - wall);
  }
  postponeRenewal(now) {
    this.timers.set('renewal', now + Math.max(this.secondsLeft(now) * 500, 30000));
  }
  scheduleRenewal(now) {
    const left = this.secondsLeft(now);
    this.timers.set('renewal', now + Math.max(left - 3600, left / 2) * 1000);
  }
  keep(now, { secret, expires }) {
    this.credential = { secret, expires };
    this.outputs.push({ store: { secret, expires } });
    this.scheduleRenewal(now);
  }
  handleWelcome(now, welcome) {
    if (this.phase !== 'greeting') return;
    const { link } = this;
    const { session, resume_token: token, epoch, resumed } = welcome;
    this.token = undefined;
    this.wall = [now, welcome.server_time];
    this.iceServers = welcome.ice_servers ?? [];
    this.heartbeat = Math.min(Math.max(welcome.heartbeat_ms, 1000), 60000);
    // In a new session starts are not repeated: the old one may have carried them out.
    if (link.session?.session !== session) link.pending = link.pending.filter((frame) => frame.type !== 'call.start');
    link.session = { session, token, epoch };
    link.needsSnapshot = !resumed;
    if (!resumed) link.lastSeq = link.acknowledged = 0;
    if (welcome.credential) this.keep(now, welcome.credential);
    else this.scheduleRenewal(now);
    if (resumed) this.goOnline(now);
    else this.phase = 'awaiting snapshot';
  }
  goOnline(now) {
    this.phase = 'online';
    this.timers.delete('greeting');
    this.timers.delete('start');
    this.tries = 0;
    this.timers.set('heartbeat', now + this.heartbeat);
    this.link.acknowledged = this.link.lastSeq;
    for (const frame of this.link.pending) {
      frame.ack = this.link.lastSeq;
      this.send(frame);
    }
    if (!this.wasStarted) this.emit('started');
    this.wasStarted = true;
  }
  handleOutcome(now, { of, error }) {
    const { pending } = this.link;
    const index = pending.findIndex((frame) => frame.id === of);
    if (index < 0) return;
    const [frame] = pending.splice(index, 1);
    if (!error) return;
    const call = frame.call_id;
    // The application's token was not good; asking at once would be answered with the same one.
    if (frame.type === 'register') this.postponeRenewal(now);
    else if (frame.type === 'call.start' && error === 'duplicate_call') return;
    else if (call && (frame.type === 'call.start' || error === 'unknown_call')) this.end(now, call, 'failure', error);
  }
  handleBye(now, { action, error, retry_after_ms: wait = 0 }) {
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
    const unreachable = 'the server could not be reached: check its address and that it runs';
    this.fail(now, away
      ? turnedAway(away.error, away.until - now)
      : failure(unreachable, ErrorCode.NetworkTimedOut, ErrorType.Network));
  }

  // Calls.

  handleSnapshot(now, { calls }, ack) {
    if (this.phase !== 'awaiting snapshot') return;
    const { link } = this;
    link.needsSnapshot = false;
    const starting = (id) => link.pending.some((f) => f.type === 'call.start' && f.seq > ack && f.call_id === id);
    for (const { id } of this.live()) {
      if (!calls.some((call) => call.call_id === id) && !starting(id)) this.end(now, id, 'failure');
    }
    this.goOnline(now);
    for (const call of calls) this.adopt(now, call);
  }
  adopt(now, { call_id: id, outgoing, remote, state, headers, sdp }) {
    if (this.calls.has(id)) {
      if (outgoing && state === 'ringing') this.advance(now, id, CallState.Ringing, 'ringing');
      else if (outgoing && state === 'answered' && typeof sdp === 'string') this.handleAnswered(now, id, sdp);
    } else if (!outgoing && state === 'init') {
      // Without a description its event follows: it did not fit into the snapshot.
      if (typeof sdp === 'string') this.handleIncoming(now, id, remote, headers ?? {}, sdp);
    } else {
      // A call of this device's past life: nobody here can talk in it any more.
      this.command(id, 'call.hangup', { cause: 'inactive' });
    }
  }
  handleIncoming(now, id, from, headers, sdp, servers = []) {
    if (this.calls.has(id)) return void this.takeIceServers(id, servers);
    const call = new CallRecord(now, id, false, from, headers);
    call.offer = sdp;
    call.iceServers = servers;
    this.calls.set(id, call);
    this.timers.set(SETUP + id, now + 65000);
    this.command(id, 'call.ringing', {});
    this.emit({ incoming: { call: id, from, headers } });
  }
  takeIceServers(id, servers) {
    const call = this.calls.get(id);
    if (!call || call.isOver || !servers?.length) return;
    call.iceServers = servers;
    this.tell(id, { ice_servers: servers });
  }
  handleAnswered(now, id, sdp) {
    const call = this.calls.get(id);
    // To the callee this only says that its answer was the first.
    if (!call?.outgoing || !call.enter(now, CallState.Answered)) return;
    this.timers.delete(SETUP + id);
    this.tell(id, 'answered');
    this.tell(id, { remote_description: sdp });
    this.establishIfReady(now, call);
  }
  handleCandidate(id, { candidate = '', mid = '', ufrag = '', end = false }) {
    const call = this.calls.get(id);
    const known = (c) => c.candidate === candidate && c.mid === mid && c.ufrag === ufrag && c.end === end;
    // After a snapshot the server says all of them again.
    if (!call || call.remoteCandidates.length >= MOST.remote || call.remoteCandidates.some(known)) return;
    const remote = { candidate, mid, ufrag, end };
    call.remoteCandidates.push(remote);
    if (!call.isOver) this.tell(id, { remote_candidate: remote });
  }
  handleUpdate(id, { kind, sdp }) {
    const call = this.calls.get(id);
    if (!call?.isAnswered) return;
    call.remoteCandidates = [];
    this.tell(id, { remote_update: { kind, sdp } });
  }
  establishIfReady(now, call) {
    if (!call.mediaConnected || !call.enter(now, CallState.Established)) return;
    this.command(call.id, 'call.established', {});
    this.tell(call.id, 'established');
  }
  advance(now, id, state, event) {
    if (this.calls.get(id)?.enter(now, state)) this.tell(id, event);
  }
  endHere(now, id, cause, error) {
    this.command(id, 'call.hangup', { cause, ...(error && { error }) });
    this.end(now, id, cause, error);
  }
  end(now, id, cause, error) {
    const call = this.calls.get(id);
    if (!call?.enter(now, CallState.Ended)) return;
    Object.assign(call, { cause, error: error ?? undefined });
    const { link } = this;
    // A start that was never received would otherwise ring after a reconnect.
    link.pending = link.pending.filter((frame) => frame.call_id !== id || frame.type === 'call.hangup');
    this.timers.delete(SETUP + id);
    this.emit({ call: id, is: { ended: cause, error: error ?? null } });
    const over = [...this.calls.values()].filter((c) => c.isOver).sort((a, b) => a.times.ended - b.times.ended);
    if (over.length > MOST.over) this.calls.delete(over[0].id);
  }
}

const wrongState = () => new InvalidOperationError("the call's state does not allow this");
function checkDescription(sdp) {
  if (bytes(sdp) > MOST.sdp) throw new ArgumentError('the session description is larger than 32 KiB');
}

export { Machine, SUBPROTOCOL, MOST, CAUSES, CallState, CallEndCause, ErrorType, ErrorCode, SinchError, ArgumentError, InvalidOperationError, headerBytes, isId, isObject, text, uuid, wrongState };
