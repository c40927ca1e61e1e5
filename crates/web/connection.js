/**
 * The connection to the server and what it takes to have one: a token, a credential, a session, timers. Without I/O and without a clock, as
 * `signaling.js`, whose machine this is the lower half of.
 */

import { notStarted, refuse } from './errors.js';
import { parse } from './frames.js';
import { Link } from './link.js';
import { stoppedByServer, turnedAway, unreachable, withoutToken } from './refusals.js';

/** How far the connection is. From CONNECTING on there is one to close, from GREETING on it may say something. */
const WITHOUT_TOKEN = 1, WAITING = 2, CONNECTING = 3, GREETING = 4;
export const STOPPED = 0, SYNCING = 5, ONLINE = 6;
/** What a timer calls, in the order in which they fire when they are due together; those of calls come after them. */
export const TIMERS = {
  reconnect: 'connect', greeting: 'dropConnection', start: 'giveUpStart', heartbeat: 'ping', silence: 'dropConnection',
  acknowledge: 'acknowledge', renewal: 'askForToken',
};
const TIMER_NAMES = Object.keys(TIMERS);

/** Its heir has the calls: `live()`, `end()`, `awaitReveal()`, and a method for each message about one. */
export class Connection {
  phase = STOPPED;
  wasStarted = false;
  iceServers = [];
  heartbeatEvery = 10000;
  tries = 0;
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
      throw this.phase === STOPPED ? notStarted() : refuse('no credentials are required now');
    }
  }
  registerFailed(now, why) {
    if (this.phase === WITHOUT_TOKEN) {
      this.fail(now, withoutToken(why));
    } else if (this.renewing) {
      this.renewing = false;
      this.postponeRenewal(now);
    }
  }

  // What the connection does.

  handleConnected(now) {
    if (this.phase !== CONNECTING) return;
    if (!this.token && !this.credential) return this.requireToken();
    const { application, user, device } = this.config;
    const calls = this.live().filter((call) => call.isAnswered);
    this.phase = GREETING;
    this.arm('greeting', now + 10000);
    this.passing('hello', {
      application_key: application, user, device_id: device, resume: this.link.resumption(),
      credential: this.token ? { token: this.token } : { device: this.credential.secret },
      calls: calls.length ? calls.map(({ id, outgoing, remote, nonce }) => ({ call_id: id, outgoing, remote, nonce })) : undefined,
    });
  }
  handleDisconnected(now) {
    if (this.phase < CONNECTING) return;
    this.turnedAway = undefined;
    this.loseConnection(now);
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

  get isStarted() {
    return this.wasStarted && this.phase !== STOPPED;
  }
  get isOnline() {
    return this.phase === ONLINE;
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
  fail(now, failed) {
    for (const call of this.live()) this.end(now, call.id, 'failure');
    this.stop();
    this.emit({ failed });
  }
  disconnect() {
    if (this.phase >= CONNECTING) this.outputs.push('disconnect');
  }
  stop() {
    this.disconnect();
    this.phase = STOPPED;
    this.token = this.turnedAway = undefined;
    this.renewing = false;
    this.timers.clear();
    this.link = new Link();
  }

  // Frames out. A member that is undefined is not sent.

  send(frame) {
    // Half a character, as a text has that was cut in the middle of one, is no text to a server.
    this.outputs.push({ send: JSON.stringify(frame, (_, value) => value?.toWellFormed?.() ?? value) });
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
    this.disconnect();
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
  dropConnection(now, wait) {
    this.disconnect();
    this.loseConnection(now, wait);
  }
  loseConnection(now, atLeast = 0) {
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
    const [then, wall] = this.wall;
    return Math.max(0, (this.credential?.expires ?? 0) - wall - Math.floor((now - then) / 1000));
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
      this.outputs.push('forget');
      this.requireToken();
    } else if (action === 'stop') {
      this.fail(now, stoppedByServer(error));
    } else {
      this.turnedAway = error && { error, until: now + wait };
      // Nothing can come of a start that would end before the server wants to hear of it again.
      if (error && now + wait >= this.timers.get('start')) return this.giveUpStart(now);
      this.dropConnection(now, wait);
    }
  }
  giveUpStart(now) {
    const away = this.turnedAway;
    this.turnedAway = undefined;
    this.fail(now, away ? turnedAway(away.error, away.until - now) : unreachable());
  }
}
