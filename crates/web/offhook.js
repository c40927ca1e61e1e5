/**
 * Offhook for browsers: voice and video calls with the names of the published Sinch JavaScript API.
 *
 * `signaling.js` decides what is said to the server; here are `Media`, the peer connection of one call, and the API. Everything of the
 * browser is reached through the `env` given to `createSinch`, so that the whole runs under node as well.
 */

import { Machine, SUBPROTOCOL, MOST, CAUSES, CallState, CallEndCause, ErrorType, ErrorCode, SinchError, ArgumentError, InvalidOperationError, headerBytes, isId, isObject, text, uuid, wrongState } from './signaling.js';

const VERSION = '0.1.0';
/** @enum {string} Who called. */
const CallDirection = Object.freeze({ Inbound: 'Inbound', Outbound: 'Outbound' });

// ---------------------------------------------------------------- media

/** The peer connection of one call, as perfect negotiation has it: the callee gives way. */
class Media {
  muted = false;
  paused = false;
  held = false;
  history = [];
  warnings = new Set();

  constructor(client, call) {
    this.client = client;
    this.env = client._env;
    this.call = call;
    this.incoming = new this.env.MediaStream();
    this.outgoing = new this.env.MediaStream();
    this.queued = [];
    this.timers = new Map();
    this.work = Promise.resolve();
  }
  after(name, ms, todo) {
    this.env.clearTimeout(this.timers.get(name));
    this.timers.set(name, ms === undefined ? undefined : this.env.setTimeout(todo, ms));
  }
  /** Opens microphone and camera: only when the local person calls or accepts. */
  async open(video) {
    const stream = await this.client._capture({ audio: true, video });
    if (this.over) return void stream.getTracks().forEach((track) => track.stop());
    stream.getTracks().forEach((track) => this.outgoing.addTrack(track));
    this.apply();
  }
  /** Each call has servers of its own, where the server names some. */
  configuration() {
    const own = this.call._record?.iceServers ?? [];
    const iceServers = (own.length ? own : this.client._machine.iceServers).map((server) => ({ ...server }));
    return { iceServers, iceTransportPolicy: this.client._relayOnly ? 'relay' : 'all', bundlePolicy: 'max-bundle' };
  }
  /** The server named its servers, or none: an outgoing call looks for its own addresses from here on. */
  gather() {
    const { offered } = this;
    if (!this.pc || this.over) return;
    this.pc.setConfiguration(this.configuration());
    this.offered = undefined;
    if (offered) this.then(() => this.pc.setLocalDescription(offered));
  }
  connect() {
    const pc = (this.pc = new this.env.RTCPeerConnection(this.configuration()));
    pc.onicecandidate = ({ candidate }) => {
      const end = !candidate?.candidate;
      const { sdpMid: mid, usernameFragment: ufrag } = candidate ?? {};
      this.send({ candidate: end ? '' : candidate.candidate, mid: mid ?? '0', ufrag: ufrag ?? '', end });
    };
    pc.ontrack = ({ track }) => {
      this.incoming.addTrack(track);
      this.call._tell('onRemoteTrack', track);
    };
    pc.onconnectionstatechange = () => this.watch(pc.connectionState);
    return pc;
  }
  send(candidate) {
    const { id } = this.call;
    if (!id) return void this.queued.push(candidate);
    // A call that is over needs no candidates.
    if (!this.call._record.isOver) this.client._act((machine) => machine.localCandidate(id, candidate));
  }
  addTracks() {
    for (const track of this.outgoing.getTracks()) this.pc.addTrack(track, this.outgoing);
  }
  async offer() {
    const pc = this.connect();
    this.addTracks();
    this.offered = await pc.createOffer();
    return this.offered.sdp;
  }
  async answer(sdp) {
    const pc = this.connect();
    await pc.setRemoteDescription({ type: 'offer', sdp });
    this.addTracks();
    await pc.setLocalDescription(await pc.createAnswer());
    this.flush();
    return pc.localDescription.sdp;
  }
  /** Remote news one after the other, in their order. */
  then(todo) {
    this.work = this.work.then(() => this.over || todo()).catch((error) => this.env.console?.debug('offhook:', error));
  }
  answered(sdp) {
    if (this.offered) this.gather();
    this.then(async () => {
      try {
        await this.pc.setRemoteDescription({ type: 'answer', sdp });
      } catch {
        this.fail('failure');
      }
      this.flush();
    });
  }
  candidate(candidate) {
    this.then(async () => {
      if (!this.pc?.remoteDescription) return void (this.early ??= []).push(candidate);
      const { mid, ufrag, end } = candidate;
      const line = end ? '' : candidate.candidate;
      await this.pc.addIceCandidate({ candidate: line, sdpMid: mid || '0', usernameFragment: ufrag || undefined });
    });
  }
  flush() {
    for (const candidate of this.early?.splice(0) ?? []) this.candidate(candidate);
  }
  update({ kind, sdp }) {
    this.then(async () => {
      const { pc } = this;
      if (kind === 'answer') {
        if (pc.signalingState !== 'have-local-offer') return;
        await pc.setRemoteDescription({ type: 'answer', sdp });
        this.after('repeat');
        this.flush();
      } else if (sdp === this.taken?.offer) {
        // Sent again, because our answer did not come through.
        this.sendUpdate('answer', this.taken.sdp);
      } else if (pc.signalingState === 'stable' || !this.call._record.outgoing) {
        if (pc.signalingState !== 'stable') this.wanted ??= 'direction';
        await pc.setRemoteDescription({ type: 'offer', sdp });
        await pc.setLocalDescription(await pc.createAnswer());
        this.taken = { offer: sdp, sdp: pc.localDescription.sdp };
        this.sendUpdate('answer', this.taken.sdp);
        this.flush();
      }
      if (this.wanted) this.negotiate(this.wanted);
    });
  }
  sendUpdate(kind, sdp) {
    if (this.call._record.isAnswered) this.client._act((machine) => machine.update(this.call.id, { kind, sdp }));
  }
  /** Offers again: to look for new paths, or because the direction changed. */
  negotiate(why) {
    this.then(async () => {
      const { pc } = this;
      if (this.wanted !== 'restart') this.wanted = why;
      if (!pc || this.offered || pc.signalingState !== 'stable') return;
      const iceRestart = this.wanted === 'restart';
      this.wanted = undefined;
      await pc.setLocalDescription(await pc.createOffer({ iceRestart }));
      const { sdp } = pc.localDescription;
      const again = (wait) => {
        this.sendUpdate('offer', sdp);
        this.after('repeat', wait, () => again(Math.min(wait * 2, 80000)));
      };
      again(5000);
    });
  }
  watch(state) {
    const { _record: record } = this.call;
    if (state === 'connected') {
      for (const timer of ['media', 'lost', 'search']) this.after(timer);
      this.client._act((machine, now) => machine.mediaConnected(now, record.id));
      if (!this.timers.get('stats')) this.measure();
    } else if ((state === 'disconnected' || state === 'failed') && record.mediaConnected) {
      if (!this.timers.get('lost')) this.after('lost', 15000, () => this.fail('inactive'));
      const search = () => {
        this.client._act((machine) => record.isOver || machine.renewIceServers(record.id));
        this.negotiate('restart');
        this.after('search', 3000, search);
      };
      if (!this.timers.get('search')) this.after('search', record.outgoing ? 0 : 1000, search);
    } else if (state === 'failed') this.fail('failure');
  }
  fail(cause) {
    this.client._act((machine, now) => machine.mediaFailed(now, this.call.id, cause));
  }
  apply() {
    for (const track of this.outgoing.getTracks()) {
      track.enabled = !this.held && !(track.kind === 'audio' ? this.muted : this.paused);
    }
  }
  hold(held) {
    if (this.held === held) return;
    this.held = held;
    this.apply();
    for (const transceiver of this.pc?.getTransceivers() ?? []) {
      if (held) transceiver._before = transceiver.direction;
      transceiver.direction = held ? 'inactive' : (transceiver._before ?? 'sendrecv');
    }
    this.negotiate('direction');
  }
  async replace(kind, constraints) {
    const sender = this.pc?.getSenders().find(({ track }) => track?.kind === kind);
    if (!sender || this.over) return;
    const [track] = (await this.client._capture({ [kind]: constraints })).getTracks();
    const { track: old } = sender;
    await sender.replaceTrack(track);
    this.outgoing.removeTrack(old);
    this.outgoing.addTrack(track);
    old.stop();
    if (this.over) track.stop();
    this.apply();
  }
  sender(kind) {
    return this.pc?.getSenders().find((sender) => sender.track?.kind === kind);
  }
  async measure() {
    this.after('stats', 1000, () => this.measure());
    const report = await this.pc.getStats().catch(() => undefined);
    if (this.over || !report) return;
    const sample = summary(report, this.last);
    this.last = sample;
    const { warnings, history } = this;
    history.push(sample);
    if (history.length > 20) history.shift();
    if (this.call.state !== CallState.Established) return;
    const connected = ['connected', 'completed'].includes(this.pc.iceConnectionState);
    for (const [name, isBad] of Object.entries(WARNINGS)) {
      const bad = isBad(history, connected, this);
      if (bad === warnings.has(name)) continue;
      if (bad) warnings.add(name);
      else warnings.delete(name);
      this.call._tell('onCallQualityWarningEvent', { name, type: bad ? 'Trigger' : 'Recover', mediaStreamType: 'Audio' });
    }
  }
  close() {
    this.over = true;
    for (const timer of this.timers.keys()) this.after(timer);
    for (const track of this.outgoing.getTracks()) track.stop();
    this.pc?.close();
  }
}

/** One second of a call out of getStats: milliseconds, percent, levels of 0 to 1; what was not measured is undefined. */
function summary(report, last) {
  const sample = { at: Date.now() };
  const ms = (seconds) => (seconds === undefined ? undefined : seconds * 1000);
  for (const stat of report.values()) {
    const isAudio = stat.kind === 'audio';
    if (stat.type === 'remote-inbound-rtp' && isAudio) sample.rtt = ms(stat.roundTripTime);
    else if (stat.type === 'media-source' && isAudio) sample.outboundLevel = stat.audioLevel;
    else if (stat.type === 'candidate-pair' && stat.nominated) sample.pathRtt = ms(stat.currentRoundTripTime);
    else if (stat.type === 'inbound-rtp' && isAudio) {
      const { packetsReceived: received, packetsLost: lost } = stat;
      Object.assign(sample, { received, lost, bytes: stat.bytesReceived, jitter: ms(stat.jitter), inboundLevel: stat.audioLevel });
      const due = received + lost - (last?.received + last?.lost);
      if (due > 0) sample.loss = Math.max(0, ((lost - last.lost) * 100) / due);
      if (sample.bytes >= last?.bytes) sample.kbps = ((sample.bytes - last.bytes) * 8) / (sample.at - last.at);
    }
  }
  return sample;
}

const often = (history, isBad) => history.slice(-4).filter(isBad).length >= 3;
const silent = (history, side) => history.length >= 5 && history.slice(-5).every((sample) => sample[side] === 0);
function constant(history, side) {
  const levels = history.map((sample) => sample[side]).filter((level) => level !== undefined);
  const mean = levels.reduce((sum, level) => sum + level, 0) / levels.length;
  return levels.length === 20 && mean > 0 && Math.sqrt(levels.reduce((sum, level) => sum + (level - mean) ** 2, 0) / 20) < 0.005;
}
const mine = (judge) => (history, _, media) => !media.muted && !media.held && judge(history, 'outboundLevel');
const theirs = (judge) => (history, _, media) => !media.held && judge(history, 'inboundLevel');
const WARNINGS = {
  HighRemoteInboundRtt: (history) => history.at(-1).rtt > 300,
  HighInboundJitter: (history) => often(history, ({ jitter }) => jitter > 30),
  HighInboundPacketLoss: (history) => often(history, ({ loss }) => loss > 1),
  MissingMediaStream: (_, connected) => !connected,
  ConstantOutboundAudioLevel: mine(constant),
  ConstantInboundAudioLevel: theirs(constant),
  ZeroOutboundAudioLevel: mine(silent),
  ZeroInboundAudioLevel: theirs(silent),
};

// ---------------------------------------------------------------- the API

/** Who listens; any member of a listener may be absent. */
class Listeners {
  #all = new Set();
  addListener(listener) {
    if (!isObject(listener) && typeof listener !== 'function') throw new ArgumentError('a listener is an object with methods');
    this.#all.add(listener);
  }
  addEventListener(listener) {
    this.addListener(listener);
  }
  setEventListener(listener) {
    this.addListener(listener);
  }
  removeListener(listener) {
    this.#all.delete(listener);
  }
  removeEventListener(listener) {
    this.removeListener(listener);
  }
  /** Each is told, whatever another does. */
  _tell(event, ...more) {
    for (const listener of [...this.#all]) {
      const report = (error) => setTimeout(() => { throw error; });
      try {
        listener[event]?.(this, ...more)?.catch?.(report);
      } catch (error) {
        report(error);
      }
    }
  }
}

/** Times and end of a call. A time that has not come is undefined; durations are milliseconds. */
class CallDetails {
  constructor(call) {
    const { times, cause, error, offer, mediaConnected } = call._record;
    const { _now: now, _media: media } = call;
    const date = (at) => (at === undefined ? undefined : new Date(Date.now() - (now() - at)));
    const between = (from, to) => (from === undefined || to === undefined ? undefined : to - from);
    for (const name of ['started', 'progressed', 'rung', 'answered', 'established', 'ended']) this[`${name}Time`] = date(times[name]);
    this.duration = between(times.established, times.ended ?? now()) ?? 0;
    this.setupDuration = between(times.started, times.progressed) ?? 0;
    this.notifyingDuration = between(times.progressed, times.rung);
    this.ringingDuration = between(times.rung, times.answered);
    this.connectionDuration = between(times.answered, times.established);
    const has = (kind) => mediaConnected && media.incoming.getTracks().some((track) => track.kind === kind);
    this.hadAudioStream = has('audio');
    this.hadVideoStream = has('video');
    this.isVideoOffered = call._video || /^m=video [1-9]/m.test(offer ?? '');
    this.requestedAudio = true;
    this.requestedVideo = this.isVideoOffered;
    this.endCause = CAUSES[cause];
    const ice = error === 'media_failed';
    const code = ice ? ErrorCode.CallFailedToConnectIce : ErrorCode.ApiCallFailed;
    this.error = error && new SinchError(`the call failed: ${error}`, code, ice ? ErrorType.Session : ErrorType.Api);
  }
}

class Call extends Listeners {
  constructor(client, record, video) {
    super();
    Object.defineProperties(this, {
      _client: { value: client }, _record: { value: record, writable: true }, _now: { value: client._now },
      _video: { value: video }, _media: { value: new Media(client, this) }, _answering: { writable: true },
    });
  }
  get id() { return this._record?.id; }
  get callId() { return this.id; }
  get direction() { return this._record.outgoing ? CallDirection.Outbound : CallDirection.Inbound; }
  get state() { return this._record.state; }
  get details() { return new CallDetails(this); }
  get headers() { return { ...this._record.headers }; }
  get remoteUserId() { return this._record.remote; }
  get remoteUserDisplayName() { return this._record.remote; }
  get incomingStream() { return this._media.incoming; }
  get outgoingStream() { return this._media.outgoing; }
  get isMuted() { return this._media.muted; }
  get isOnHold() { return this._media.held; }
  /** The last second, see the declaration of `CallQuality`. */
  get quality() { return this._media.last; }

  /** Accepts: opens the microphone, and the camera when video is offered. */
  async answer() {
    const { _record: record, _media: media, _client: client } = this;
    if (record.outgoing || record.state !== CallState.Init || this._answering) throw wrongState();
    this._answering = true;
    try {
      await media.open(this.details.isVideoOffered);
      const sdp = await media.answer(record.offer);
      client._act((machine, now) => machine.answer(now, record.id, sdp));
      media.after('media', 20000, () => media.fail('failure'));
    } finally {
      this._answering = false;
    }
  }
  /** Hangs up, cancels or denies. */
  hangup() {
    if (!this._record.isOver) this._client._act((machine, now) => machine.hangUp(now, this.id));
  }
  mute() { this._set({ muted: true }); }
  unmute() { this._set({ muted: false }); }
  pauseVideo() { this._set({ paused: true }); }
  resumeVideo() { this._set({ paused: false }); }
  hold() { this._hold(true); }
  unhold() { this._hold(false); }
  sendDtmf(keys) {
    if (!/^[0-9#*A-Da-d]+$/.test(keys)) throw new ArgumentError('keys are 0-9, #, * and A-D');
    const dtmf = this._media.sender('audio')?.dtmf;
    if (this.state !== CallState.Established || !dtmf?.canInsertDTMF) throw wrongState();
    dtmf.insertDTMF(dtmf.toneBuffer + keys, 100, 70);
  }
  _set(change) {
    Object.assign(this._media, change);
    this._media.apply();
  }
  _hold(held) {
    if (!this._record.isAnswered) throw wrongState();
    this._media.hold(held);
  }
  _handle(is) {
    const { _media: media } = this;
    if (is.remote_description !== undefined) media.answered(is.remote_description);
    else if (is.remote_candidate) media.candidate(is.remote_candidate);
    else if (is.remote_update) media.update(is.remote_update);
    else if (is.ice_servers) media.gather();
    else if (is.ended) {
      media.close();
      this._client._calls.delete(this.id);
      this._tell('onCallEnded');
    } else {
      if (is === 'progressing') media.gather();
      if (is === 'answered' && this._record.outgoing) media.after('media', 20000, () => media.fail('failure'));
      this._tell(`onCall${is[0].toUpperCase()}${is.slice(1)}`);
    }
  }
}

class CallClient extends Listeners {
  constructor(client) {
    super();
    Object.defineProperty(this, '_client', { value: client });
  }
  callUser(userId, headers) { return this._call(userId, headers, false); }
  callUserVideo(userId, headers) { return this._call(userId, headers, true); }
  async callPhoneNumber(number) {
    if (!/^\+\d{3,15}$/.test(number)) throw new ArgumentError('a phone number is + and digits (E.164)');
    throw unsupported('telephone numbers');
  }
  async callSip(address) {
    if (!/^[^@\s]+@[^@\s]+$/.test(address)) throw new ArgumentError('a SIP address is user@server');
    throw unsupported('SIP');
  }
  async callConference(conferenceId) {
    if (typeof conferenceId !== 'string' || !conferenceId || conferenceId.length > 64) {
      throw new ArgumentError('a conference id has 1 to 64 characters');
    }
    throw unsupported('conferences');
  }
  getCall(callId) { return this._client._calls.get(callId); }
  async setAudioTrackConstraints(constraints) { await this._constrain('audio', constraints); }
  async setVideoTrackConstraints(constraints) { await this._constrain('video', constraints); }
  async _constrain(kind, constraints) {
    this._client._constraints[kind] = constraints;
    await Promise.all([...this._client._calls.values()].map((call) => call._media.replace(kind, constraints)));
  }
  async _call(userId, headers = {}, video) {
    const client = this._client;
    required('userId', userId, isId, '1 to 255 characters of A-Z a-z 0-9 - _ =');
    if (!isObject(headers) || !Object.values(headers).every(text())) throw new ArgumentError('headers are an object of texts');
    if (headerBytes(headers) > MOST.headers) throw new ArgumentError("the call's headers are larger than 1024 bytes");
    if (!client.isStarted) throw new InvalidOperationError('the client is not started');
    const call = new Call(client, undefined, video);
    const media = call._media;
    try {
      await media.open(video);
      const offer = await media.offer();
      client._act((machine, now) => {
        const id = machine.callUser(now, userId, headers, offer);
        call._record = machine.calls.get(id);
        client._calls.set(id, call);
      });
    } catch (error) {
      media.close();
      throw error;
    }
    media.queued.splice(0).forEach((candidate) => media.send(candidate));
    return call;
  }
}
const unsupported = (what) => new SinchError(`this server does not connect ${what}`, ErrorCode.ApiCallFailed, ErrorType.Api);
function required(name, value, isRight, rule) {
  if (value === undefined || value === null || value === '') throw new ArgumentError(`${name} is missing`);
  if (!isRight(value)) throw new ArgumentError(`${name} must be ${rule}`);
}

/** The URL of the WebSocket of a server given as host, host:port or URL. Without a scheme, loopback is spoken to without TLS. */
function endpoint(host) {
  const [, scheme, rest] = /^(?:(wss?|https?):\/\/)?([^/\s@?#]+)\/?$/.exec(host.trim()) ?? [];
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
  throw new ArgumentError(`environmentHost must be host, host:port or a URL without a path, not ${JSON.stringify(host)}`);
}

class SinchClient extends Listeners {
  constructor(env, { applicationKey, userId, environmentHost, mediaStreamFactory, video }) {
    super();
    required('applicationKey', applicationKey, (key) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(key), 'a lower-case UUID');
    required('userId', userId, isId, '1 to 255 characters of A-Z a-z 0-9 - _ =');
    required('environmentHost', environmentHost, text(), 'a text');
    const hidden = {
      _env: env, _url: endpoint(environmentHost), _key: applicationKey, _calls: new Map(), _now: () => env.performance.now(),
      _constraints: { audio: true, video: video ?? true }, _factory: mediaStreamFactory,
    };
    for (const [name, value] of Object.entries(hidden)) Object.defineProperty(this, name, { value, writable: true });
    this.userId = userId;
    this.callClient = new CallClient(this);
    for (const name of ['_machine', '_socket', '_timer', '_starting', '_asked', '_release', '_busy', '_lost', '_relayOnly', '_save']) {
      Object.defineProperty(this, name, { writable: true });
    }
  }
  getCallClient() { return this.callClient; }
  get isStarted() { return this._machine?.isStarted ?? false; }
  get pushNotificationDisplayName() { return this._displayName ?? ''; }
  set pushNotificationDisplayName(name) { this.setPushNotificationDisplayName(name); }
  setPushNotificationDisplayName(name) {
    if (!text(255)(name)) throw new ArgumentError('a display name has at most 255 bytes');
    Object.defineProperty(this, '_displayName', { value: name, writable: true });
  }
  setUseRelayIceCandidatesOnly(only) { this._relayOnly = Boolean(only); }
  async setSupportManagedPush() { throw noPush(); }
  async unregisterPushToken() { throw noPush(); }
  async relayRemotePushNotification() { throw noPush(); }

  /** Resolves when the client is registered; rejects when it cannot be. */
  start() {
    if (this._starting) return Promise.reject(new InvalidOperationError('the client is already started'));
    const started = new Promise((resolve, reject) => (this._starting = { resolve, reject }));
    // Whoever only listens for onClientFailed need not look at it.
    started.catch(() => {});
    this._begin(this._starting);
    return started;
  }
  async _begin(starting) {
    const { _env: env } = this;
    const slot = await this._claim();
    if (this._starting !== starting) return;
    const stored = this._load(slot) ?? {};
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
    this._act((machine, now) => machine.start(now, Math.floor(Date.now() / 1000), stored));
  }
  /** Each page of one browser is a device of its own: the first place that no other page holds. */
  async _claim() {
    const { locks } = this._env.navigator ?? {};
    const name = (place) => `offhook ${this._url} ${this._key} ${this.userId} ${place}`;
    for (let place = 0; locks && place < 10; place += 1) {
      const free = await new Promise((resolve) => {
        const held = (lock) => {
          resolve(Boolean(lock));
          return lock && new Promise((release) => (this._release = release));
        };
        locks.request(name(place), { ifAvailable: true }, held).catch(() => resolve(false));
      });
      if (free) return name(place);
    }
    return name(0);
  }
  _load(slot) {
    try {
      const { device, secret, expires } = JSON.parse(this._env.localStorage.getItem(slot)) ?? {};
      return isId(device) ? { device, secret, expires: secret ? expires : 0 } : undefined;
    } catch {
      return undefined;
    }
  }
  terminate() {
    if (this._machine) this._act((machine, now) => machine.terminate(now));
    this._stopped();
  }
  async terminateGracefully() { this.terminate(); }
  _stopped(error) {
    const starting = this._starting;
    this._starting = this._asked = this._lost = undefined;
    this._release?.();
    starting?.reject(error ?? new InvalidOperationError('the client was terminated'));
  }

  async _capture(wanted) {
    const { mediaDevices } = this._env.navigator ?? {};
    const constraints = {};
    for (const kind of ['audio', 'video']) if (wanted[kind]) constraints[kind] = wanted[kind] === true ? this._constraints[kind] : wanted[kind];
    if (this._factory) return this._factory(constraints);
    if (!mediaDevices) throw new InvalidOperationError('a browser opens microphones only for https pages and localhost');
    try {
      return await mediaDevices.getUserMedia(constraints);
    } catch (cause) {
      // Somebody without a camera can still talk.
      if (constraints.video && constraints.audio) return this._capture({ audio: constraints.audio });
      const error = new InvalidOperationError(`the ${constraints.audio ? 'microphone' : 'camera'} cannot be used: ${cause.message}`);
      throw Object.assign(error, { cause });
    }
  }

  /** Gives the machine one input and does everything that comes of it. */
  _act(input) {
    const now = this._now();
    this._machine.handleTimeout(now);
    try {
      return input(this._machine, now);
    } finally {
      this._drain();
    }
  }
  _drain() {
    // A listener that acts is served by the loop that called it.
    if (this._busy) return;
    this._busy = true;
    let next;
    while ((next = this._machine.poll()) && !next.for) this._perform(next);
    this._busy = false;
    if (this._lost && this._machine.phase === 'online') {
      this._lost = false;
      this._tell('onClientReconnected');
    }
    this._env.clearTimeout(this._timer);
    if (next) this._timer = this._env.setTimeout(() => this._act(() => {}), Math.max(0, Math.ceil(next.wake - this._now())));
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
      this._act((machine, now) => machine.handleDisconnected(now));
    };
    try {
      socket = this._socket = new this._env.WebSocket(this._url, SUBPROTOCOL);
    } catch {
      this._socket = undefined;
      this._env.setTimeout(lost, 0);
      return;
    }
    socket.onopen = () => isCurrent() && this._act((machine, now) => machine.handleConnected(now));
    socket.onmessage = ({ data }) => isCurrent() && typeof data === 'string' && this._act((m, now) => m.handleFrame(now, data));
    socket.onclose = lost;
  }
  _close() {
    const socket = this._socket;
    this._socket = undefined;
    socket?.close();
  }
  _handle(event) {
    if (event === 'credentials_required') {
      this._asked = new ClientRegistration(this);
      this._tell('onCredentialsRequired', this._asked);
    } else if (event === 'started') {
      this._starting?.resolve();
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
      this.callClient._tell('onIncomingCall', call);
    } else this._calls.get(event.call)?._handle(event.is);
  }
}
const noPush = () =>
  new SinchError('this server sends no Web Push: calls come in while the page is open', ErrorCode.ApiCallFailed, ErrorType.Api);

/** The application's answer to onCredentialsRequired; its methods may be passed on by themselves. */
class ClientRegistration {
  constructor(client) {
    this.register = async (jwt) => {
      required('jwt', jwt, text(4096), 'a text of at most 4096 bytes');
      if (client._asked !== this) throw new InvalidOperationError('no credentials are required now');
      client._act((machine, now) => machine.register(now, jwt));
      client._asked = undefined;
    };
    this.registerFailed = () => {
      if (client._asked !== this) return;
      client._asked = undefined;
      client._act((machine) => machine.registerFailed());
    };
  }
}

/** The API on a given environment: what `globalThis` is in a browser. */
function createSinch(env) {
  class SinchClientBuilder {
    #made = {};
    #set(name, value) {
      this.#made[name] = value;
      return this;
    }
    applicationKey(key) { return this.#set('applicationKey', key); }
    userId(id) { return this.#set('userId', id); }
    environmentHost(host) { return this.#set('environmentHost', host); }
    callerIdentifier(id) { return this.#set('callerIdentifier', id); }
    fetchApi(fetch) { return this.#set('fetchApi', fetch); }
    mediaStreamFactory(factory) { return this.#set('mediaStreamFactory', factory); }
    videoConfiguration(constraints) { return this.#set('video', constraints); }
    silentMediaStream() {
      return this.mediaStreamFactory(async () => new env.AudioContext().createMediaStreamDestination().stream);
    }
    build() {
      const client = new SinchClient(env, this.#made);
      // Who closes the page hangs up.
      env.addEventListener?.('pagehide', ({ persisted }) => persisted || client.terminate());
      env.addEventListener?.('online', () => client._calls.forEach((call) => call._media.pc && call._media.negotiate('restart')));
      return client;
    }
  }
  const getSinchClientBuilder = () => new SinchClientBuilder();
  return {
    version: VERSION, getSinchClientBuilder, CallState, CallEndCause, CallDirection, ErrorType, ErrorCode, SinchError, ArgumentError,
    InvalidOperationError,
    getSinchClient: (applicationKey, userId, apiUrl) =>
      getSinchClientBuilder().applicationKey(applicationKey).userId(userId).environmentHost(apiUrl).build(),
  };
}

const Sinch = createSinch(globalThis);

export { Sinch as default, Sinch, createSinch, endpoint, CallState, CallEndCause, CallDirection, ErrorType, ErrorCode, SinchError, ArgumentError, InvalidOperationError };
