/**
 * Offhook for browsers: voice and video calls with the names of the published Sinch JavaScript API (offhook.d.ts).
 *
 * `signaling.js` decides what is said to the server, `media.js` holds the peer connection of one call. Everything of the browser is
 * reached through the `env` given to `createSinch`, so that the whole runs under node as well.
 */

import { CallDetails, checkHeaders } from './call.js';
import {
  ArgumentError, CallDirection, CallEndCause, CallState, ErrorCode, ErrorType, Established, Init, InvalidOperationError, SinchError,
  notPossible, notStarted, refuse, wrong, wrongState,
} from './errors.js';
import { areHeaders, isAbsent, isId, isObject, text } from './frames.js';
import { Listeners, hide, reported } from './listeners.js';
import { Media } from './media.js';
import { Push } from './push.js';
import { Machine, SUBPROTOCOL, uuid } from './signaling.js';

export { ArgumentError, CallDirection, CallEndCause, CallState, ErrorCode, ErrorType, InvalidOperationError, SinchError };

const VERSION = '0.1.0';
/** A browser takes a longer time for none. */
const LONGEST = 2 ** 31 - 1;
/** The server that this script is from. */
const HOME = new URL(import.meta.url).origin.replace('null', '');
const ID_RULE = '1 to 255 characters of A-Z a-z 0-9 - _ =';

function required(name, value, isRight, rule) {
  if (isAbsent(value) || value === '') throw wrong(`${name} is missing`);
  if (!isRight(value)) throw wrong(`${name} must be ${rule}`);
}

class Call extends Listeners {
  constructor(client, record, video) {
    super();
    // What the machine's clock shows at the beginning of 1970.
    hide(this, { _client: client, _record: record, _video: video, _epoch: Date.now() - client._now() });
    hide(this, { _media: new Media(client, this), _details: new CallDetails(this) });
  }
  get id() { return this._record?.id; }
  get callId() { return this.id; }
  get direction() { return this._record.outgoing ? CallDirection.Outbound : CallDirection.Inbound; }
  get state() { return this._record.state; }
  get details() { return this._details; }
  get headers() { return { ...this._record.headers }; }
  get remoteUserId() { return this._record.remote; }
  get remoteUserDisplayName() { return this._record.displayName || this._record.remote; }
  get incomingStream() { return this._media.incoming; }
  get outgoingStream() { return this._media.outgoing; }
  get isMuted() { return this._media.muted; }
  get isOnHold() { return this._media.held; }
  /** Whether the two people can know that nobody sits between them, not even the server; see the declaration. */
  get verification() { return this._record?.proof.view ?? { state: 'pending' }; }
  get authenticationString() { return this.verification.string; }
  /** The last second, see the declaration of `CallQuality`. */
  get quality() { return this._media.last; }

  /** Accepts: opens the microphone, and the camera when video is offered. */
  async answer() {
    const { _record: record, _media: media, _client: client } = this;
    if (record.outgoing || record.state !== Init || media.answering) throw wrongState();
    media.answering = true;
    try {
      await media.open(this.details.isVideoOffered);
      client._act('answer', record.id, await media.answer(record.offer));
      media.expect();
    } catch (error) {
      // The person may try again; until then nothing is open.
      media.release();
      throw record.isOver ? wrongState() : error;
    } finally {
      media.answering = false;
    }
  }
  /** Hangs up, cancels or denies. */
  hangup() {
    if (!this._record.isOver) this._client._act('hangUp', this.id);
  }
  mute() { this._media.set({ muted: true }); }
  unmute() { this._media.set({ muted: false }); }
  pauseVideo() { this._media.set({ paused: true }); }
  resumeVideo() { this._media.set({ paused: false }); }
  hold() { this._hold(true); }
  unhold() { this._hold(false); }
  sendDtmf(keys) {
    if (!/^[0-9#*A-Da-d]+$/.test(keys)) throw wrong('keys are 0-9, #, * and A-D');
    const dtmf = this._media.sender('audio')?.dtmf;
    if (this.state !== Established || !dtmf?.canInsertDTMF) throw wrongState();
    dtmf.insertDTMF(dtmf.toneBuffer + keys, 100, 70);
  }
  _hold(held) {
    if (!this._record.isAnswered) throw wrongState();
    this._media.hold(held);
  }
  _handle(is) {
    const { _media: media } = this;
    const { remote_description: answer, remote_candidate: candidate, remote_update: update } = is;
    if (answer !== undefined) media.answered(answer);
    else if (candidate) media.candidate(candidate);
    else if (update) media.update(update);
    else if (is.ice_servers) media.gather();
    else if (is.verification) this._tell('onCallVerification', this.verification);
    else if (is.ended) {
      media.close();
      if (this._record.mediaConnected && this._client.isStarted()) this._client._act('report', this.id, media.report);
      this._client._calls.delete(this.id);
      this._say('onCallEnded');
    } else {
      if (is === 'progressing') media.gather();
      if (is === 'answered' && this._record.outgoing) media.expect();
      this._say(`onCall${is[0].toUpperCase()}${is.slice(1)}`);
    }
  }
}

class CallClient extends Listeners {
  constructor(client) {
    super();
    hide(this, { _client: client });
  }
  callUser(userId, headers) { return this._call(userId, headers, false); }
  callUserVideo(userId, headers) { return this._call(userId, headers, true); }
  async callPhoneNumber(number) {
    elsewhere('telephone numbers', /^\+\d{3,15}$/.test(number), 'a phone number is + and digits (E.164)');
  }
  async callSip(address) {
    elsewhere('SIP', /^[^@\s]+@[^@\s]+$/.test(address), 'a SIP address is user@server');
  }
  async callConference(conferenceId) {
    elsewhere('conferences', typeof conferenceId === 'string' && /^.{1,64}$/s.test(conferenceId), 'a conference id has 1 to 64 characters');
  }
  getCall(callId) { return this._client._calls.get(callId); }
  setAudioTrackConstraints(constraints) { return this._constrain('audio', constraints); }
  setVideoTrackConstraints(constraints) { return this._constrain('video', constraints); }
  async _constrain(kind, wanted) {
    const constraints = (this._client._constraints[kind] = wanted ?? true);
    await Promise.all([...this._client._calls.values()].map((call) => call._media.replace(kind, constraints)));
  }
  async _call(userId, given, video) {
    const client = this._client;
    required('userId', userId, isId, ID_RULE);
    // The application may write the next call's into its object while the microphone opens. A member that is undefined is none.
    const headers = JSON.parse(JSON.stringify(given ?? {}) ?? 0);
    // A map, and what is like one, keeps its texts elsewhere.
    if (given?.[Symbol.iterator] || !areHeaders(headers)) throw wrong('headers are an object of texts');
    checkHeaders(headers);
    const { _machine: machine } = client;
    if (!client.isStarted()) throw notStarted();
    const call = new Call(client, undefined, video);
    const media = call._media;
    try {
      await media.open(video);
      const offer = await media.offer();
      // It was terminated meanwhile, and may have been started again.
      if (client._machine !== machine) throw notStarted();
      const id = client._act('callUser', userId, headers, offer, client._displayName);
      call._record = client._machine.calls.get(id);
      client._calls.set(id, call);
    } catch (error) {
      media.close();
      throw error;
    }
    media.queued.splice(0).forEach((candidate) => media.send(candidate));
    return call;
  }
}
/** Whom a server of ours does not connect. */
function elsewhere(what, isRight, rule) {
  throw isRight ? notPossible(`this server does not connect ${what}`) : wrong(rule);
}

/**
 * The URL of the WebSocket of a server given as host, host:port or URL. Without a scheme, loopback is spoken to without TLS. The servers of the
 * published service do not know what is spoken here: an application that still names one means the server that gave it this script.
 */
export function endpoint(host) {
  const [, scheme, rest] = /^(?:(wss?|https?):\/\/)?([^/\s@?#]+)\/?$/.exec(/\.sinch\.com\W*$/.test(host) ? HOME : host.trim()) ?? [];
  const bare = rest?.split(':').length > 2 && !rest.startsWith('[') ? `[${rest}]` : rest;
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/i.test(bare);
  const secure = scheme ? /s$/.test(scheme) && scheme !== 'ws' : !loopback;
  try {
    const url = new URL(`${secure ? 'wss' : 'ws'}://${bare}/v1/signal`);
    if (!scheme && loopback && !/:\d+$/.test(bare)) url.port = 7070;
    if (rest) return url.href;
  } catch {
    // Said below.
  }
  throw wrong(`environmentHost must be host, host:port or a URL without a path, not ${JSON.stringify(host)}`);
}

/** The places that clients of this page take, one after the other: what one gives back is free for the next. */
let claims = Promise.resolve();

class SinchClient extends Listeners {
  constructor(env, { applicationKey, userId, environmentHost, mediaStreamFactory, videoConfiguration = true, fetchApi }) {
    super();
    required('applicationKey', applicationKey, (key) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(key), 'a lower-case UUID');
    required('userId', userId, isId, ID_RULE);
    required('environmentHost', environmentHost, text(), 'a text');
    hide(this, {
      _env: env, _url: endpoint(environmentHost), _key: applicationKey, _calls: new Map(), _now: () => Math.floor(env.performance.now()),
      _constraints: { audio: true, video: videoConfiguration }, _factory: mediaStreamFactory, _fetch: fetchApi ?? ((url) => env.fetch(url)),
      _push: new Push(this), _displayName: '',
      _pageEvents: {
        // Who closes the page hangs up.
        pagehide: ({ persisted }) => persisted || this.terminate(),
        online: () => {
          this._act('networkChanged');
          this._calls.forEach((call) => call._media.pc && call._media.negotiate('restart'));
        },
      },
    });
    for (const name of ['_machine', '_socket', '_timer', '_starting', '_asked', '_release', '_busy', '_lost', '_relayOnly', '_save']) hide(this, { [name]: undefined });
    this.userId = userId;
    this.callClient = new CallClient(this);
  }
  getCallClient() { return this.callClient; }
  isStarted() { return this._machine?.isStarted ?? false; }
  get pushNotificationDisplayName() { return this._displayName; }
  set pushNotificationDisplayName(given) {
    const name = given ?? '';
    if (!text(255)(name)) throw wrong('a display name has at most 255 bytes');
    this._displayName = name;
  }
  setPushNotificationDisplayName(name) { this.pushNotificationDisplayName = name; }
  setUseRelayIceCandidatesOnly(only) { this._relayOnly = Boolean(only); }
  setSupportManagedPush(serviceWorkerPath = 'sw.js', options) { return this._push.support(serviceWorkerPath, options); }
  async disableManagedPushSupport() { await (await this._push.unregister())?.unregister(); }
  /** As it is spelled where it was published. */
  disableMangedPushSupport() { return this.disableManagedPushSupport(); }
  async unregisterPushToken() { await this._push.unregister(); }
  relayRemotePushNotification(payload) { return this._push.relay(payload); }

  /** Resolves when the client is registered; rejects when it cannot be. */
  start() {
    if (this._starting) return Promise.reject(refuse('the client is already started'));
    const started = new Promise((resolve, reject) => (this._starting = { resolve, reject }));
    // Whoever only listens for onClientFailed need not look at it.
    started.catch(() => {});
    this._begin(this._starting);
    return started;
  }
  async _begin(starting) {
    const { _env: env } = this;
    const slot = await (claims = claims.then(() => this._claim(starting)));
    if (this._starting !== starting) return;
    const stored = this._load(slot);
    const fill = (bytes) => env.crypto.getRandomValues(bytes);
    const device = stored.device ?? uuid(fill);
    this._machine = new Machine({ application: this._key, user: this.userId, device }, fill);
    this._save = (credential) => {
      try {
        env.localStorage.setItem(slot, JSON.stringify({ device, ...credential }));
      } catch {
        // Private windows keep nothing: a token is asked for next time.
      }
    };
    this._hear('addEventListener');
    this._act('start', Math.floor(Date.now() / 1000), stored);
  }
  /** Each page of one browser is a device of its own: the first place that no other page holds. */
  async _claim(starting) {
    const { locks } = this._env.navigator ?? {};
    const name = (place) => `offhook ${this._url} ${this._key} ${this.userId} ${place}`;
    for (let place = 0; locks && place < 10; place += 1) {
      let over;
      const release = await new Promise((resolve) => {
        over = locks.request(name(place), { ifAvailable: true }, (lock) => lock && new Promise((done) => resolve(done))).catch(() => {});
        over.then(resolve);
      });
      if (!release) continue;
      this._release = () => {
        release();
        claims = claims.then(() => over);
      };
      if (this._starting === starting) return name(place);
      release();
      return over;
    }
    return name(0);
  }
  _load(slot) {
    try {
      const stored = JSON.parse(this._env.localStorage.getItem(slot));
      if (isId(stored.device)) return stored;
    } catch {
      // There is none.
    }
    return {};
  }
  terminate() {
    // Each call is over before the client is: how it was can still be told.
    this._calls.forEach((call) => call.hangup());
    this._push.hear('removeEventListener');
    if (this._machine) this._act('terminate');
    this._stopped();
  }
  async terminateGracefully() { this.terminate(); }
  _stopped(error) {
    const starting = this._starting;
    this._starting = this._asked = this._lost = undefined;
    this._hear('removeEventListener');
    this._release?.();
    starting?.reject(error ?? refuse('the client was terminated'));
  }

  /** What happens to the page concerns a client that is started. */
  _hear(how) {
    for (const [event, todo] of Object.entries(this._pageEvents)) this._env[how]?.(event, todo);
  }

  /** @param {MediaStreamConstraints} wanted */
  async _capture(wanted) {
    const { _factory: factory } = this;
    if (factory) return factory.getMediaStream?.(wanted) ?? factory(wanted);
    const { mediaDevices } = this._env.navigator ?? {};
    if (!mediaDevices) throw refuse('a browser opens microphones only for https pages and localhost');
    const { audio, video } = wanted;
    try {
      return await mediaDevices.getUserMedia(wanted);
    } catch (cause) {
      // Somebody without a camera can still talk.
      if (video && audio) return this._capture({ audio });
      const error = refuse(`the ${audio ? 'microphone' : 'camera'} cannot be used: ${cause.message || cause.name}`);
      throw Object.assign(error, { cause });
    }
  }

  /** Gives the machine one input and does everything that comes of it. */
  _act(input, ...more) {
    const now = this._now();
    this._machine.handleTimeout(now);
    try {
      return this._machine[input](now, ...more);
    } finally {
      this._drain();
    }
  }
  _drain() {
    // A listener that acts is served by the loop that called it.
    if (this._busy) return;
    this._busy = true;
    let next;
    while ((next = this._machine.poll()) && !next.for) {
      try {
        this._perform(next);
      } catch (error) {
        reported(error);
      }
    }
    this._busy = false;
    if (this._lost && this._machine.isOnline) {
      this._lost = false;
      this._push.tell();
      this._tell('onClientReconnected');
    }
    this._env.clearTimeout(this._timer);
    if (next) this._timer = this._env.setTimeout(() => this._act('handleTimeout'), Math.min(Math.ceil(next.wake - this._now()), LONGEST));
  }
  _perform(output) {
    if (output === 'connect') this._connect();
    else if (output === 'disconnect') this._close();
    else if (output === 'forget') this._save({});
    else if (output.store) this._save(output.store);
    else if (output.send) this._socket?.send(output.send);
    else this._handle(output.event);
  }
  _connect() {
    let socket;
    const isCurrent = () => this._socket === socket;
    const lost = () => {
      if (!isCurrent()) return;
      this._socket = undefined;
      this._act('handleDisconnected');
    };
    try {
      socket = this._socket = new this._env.WebSocket(this._url, SUBPROTOCOL);
    } catch {
      this._socket = undefined;
      this._env.setTimeout(lost, 0);
      return;
    }
    socket.onopen = () => isCurrent() && this._act('handleConnected');
    socket.onmessage = ({ data }) => isCurrent() && typeof data === 'string' && this._act('handleFrame', data);
    socket.onclose = lost;
  }
  _close() {
    const socket = this._socket;
    this._socket = undefined;
    socket?.close();
  }
  _handle(event) {
    if (event === 'credentials_required') {
      const asked = (this._asked = new ClientRegistration(this));
      this._await('onCredentialsRequired', asked, () => this._asked === asked);
    } else if (event === 'started') {
      this._starting?.resolve();
      this._push.subscribe();
      this._tell('onClientStarted');
    } else if (event === 'reconnecting') {
      this._lost = true;
      this._tell('onClientReconnecting');
    } else if (event.failed) {
      const { message, code, domain, fatal } = event.failed;
      const error = new SinchError(message, code, domain, fatal);
      this._stopped(error);
      this._tell('onClientFailed', error);
    } else if (event.incoming) {
      const call = new Call(this, this._machine.calls.get(event.incoming.call), false);
      this._calls.set(call.id, call);
      this.callClient._await('onIncomingCall', call, () => call.state === Init);
    } else this._calls.get(event.call)?._handle(event.is);
  }
}
/** The application's answer to onCredentialsRequired; its methods may be passed on by themselves. */
class ClientRegistration {
  constructor(client) {
    this.register = async (jwt) => {
      try {
        required('jwt', jwt, text(4096), 'a text of at most 4096 bytes');
      } catch (error) {
        this.registerFailed(error);
        throw error;
      }
      if (client._asked !== this) throw refuse('no credentials are required now');
      client._act('register', jwt);
      client._asked = undefined;
    };
    this.registerFailed = (why) => {
      if (client._asked !== this) return;
      client._asked = undefined;
      client._act('registerFailed', why);
    };
  }
}

/** What a builder takes; it cannot do without the first three. */
const SETTINGS = ['applicationKey', 'userId', 'environmentHost', 'callerIdentifier', 'fetchApi', 'mediaStreamFactory', 'videoConfiguration'];

/** The API on a given environment: what `globalThis` is in a browser. */
export function createSinch(env) {
  class SinchClientBuilder {
    constructor() {
      hide(this, { _made: { environmentHost: HOME } });
    }
    silentMediaStream() {
      let context;
      return this.mediaStreamFactory(async () => (context ??= new env.AudioContext()).createMediaStreamDestination().stream);
    }
    build() { return new SinchClient(env, this._made); }
  }
  for (const name of SETTINGS) {
    SinchClientBuilder.prototype[name] = function (value) {
      if (SETTINGS.indexOf(name) < 3) required(name, value, () => true);
      this._made[name] = value;
      return this;
    };
  }
  return {
    version: VERSION, getSinchClientBuilder: () => new SinchClientBuilder(), CallState, CallEndCause, CallDirection, ErrorType, ErrorCode, SinchError, ArgumentError,
    InvalidOperationError,
    getSinchClient: (applicationKey, userId, apiUrl) => new SinchClient(env, { applicationKey, userId, environmentHost: apiUrl }),
  };
}

export const Sinch = createSinch(globalThis);
export default Sinch;
