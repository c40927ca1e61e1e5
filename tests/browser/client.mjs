// The API of offhook.js under node: everything of the browser is injected.
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { test } from 'node:test';

// OFFHOOK_SDK is the script as a server gives it; without it this is about the source.
const { CallDirection, CallEndCause, CallState, createSinch, endpoint } = await import(process.env.OFFHOOK_SDK ?? '../../crates/web/offhook.js');

const KEY = 'a32e5a8d-f7d8-411c-9645-9038e8dd051d';
const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

/** A browser as far as offhook.js looks: the socket's other end is the test. */
function world() {
  const sockets = [];
  const captured = [];
  class WebSocket {
    sent = [];
    constructor(url, protocol) {
      Object.assign(this, { url, protocol });
      sockets.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {
      this.closed = true;
    }
    say(type, body, more = {}) {
      this.onmessage({ data: JSON.stringify({ v: 1, id: 's', seq: 0, ack: 0, type, body, ...more }) });
    }
    last(type) {
      return this.sent.findLast((frame) => frame.type === type);
    }
  }
  class MediaStream {
    tracks = new Set();
    addTrack(track) { this.tracks.add(track); }
    removeTrack(track) { this.tracks.delete(track); }
    getTracks() { return [...this.tracks]; }
  }
  class RTCPeerConnection {
    signalingState = 'stable';
    iceConnectionState = 'new';
    constructor(config) { this.config = config; }
    addTrack() {}
    setConfiguration() {}
    async createOffer() { return { type: 'offer', sdp: 'v=0 offer' }; }
    async createAnswer() { return { type: 'answer', sdp: 'v=0 answer' }; }
    async setLocalDescription(description) { this.localDescription = description; }
    async setRemoteDescription(description) { this.remoteDescription = description; }
    async addIceCandidate() {}
    getSenders() { return []; }
    async getStats() { return new Map(); }
    close() { this.closed = true; }
  }
  const store = new Map();
  const listeners = {};
  const mediaDevices = {
    async getUserMedia(constraints) {
      captured.push(constraints);
      const stream = new MediaStream();
      stream.addTrack({ kind: 'audio', enabled: true, stop() { this.stopped = true; } });
      return stream;
    },
  };
  const env = {
    WebSocket, RTCPeerConnection, MediaStream, navigator: { mediaDevices }, crypto: webcrypto, performance: globalThis.performance,
    setTimeout: (...args) => { const timer = setTimeout(...args); timer.unref?.(); return timer; }, clearTimeout,
    addEventListener: (type, listener) => { listeners[type] = listener; },
    localStorage: { getItem: (key) => store.get(key) ?? null, setItem: (key, value) => store.set(key, value) },
  };
  return { env, sockets, captured, store, listeners };
}

async function started(told = []) {
  const all = world();
  const sinch = createSinch(all.env);
  const client = sinch.getSinchClient(KEY, 'alice', '127.0.0.1:7070');
  client.setEventListener({ onCredentialsRequired: (_, { register }) => Promise.resolve('TOKEN').then(register) });
  client.addListener({ onClientStarted: () => told.push('started') });
  const start = client.start();
  await turn();
  const [socket] = all.sockets;
  assert.deepEqual([socket.url, socket.protocol], ['ws://127.0.0.1:7070/v1/signal', 'offhook.v1.json']);
  socket.onopen();
  assert.deepEqual(socket.last('hello').body.credential, { token: 'TOKEN' });
  socket.say('welcome', {
    session: 's1', resume_token: 't1', epoch: 'e1', resumed: false, heartbeat_ms: 15000, server_time: 1e9, limits: {},
    credential: { secret: 'kept', expires: 4e9 },
  });
  socket.say('snapshot', { calls: [] });
  await start;
  return { ...all, sinch, client, socket };
}

test('another network: an open connection has to answer soon, a lost one is made anew at once', async () => {
  const { client, socket, sockets, listeners } = await started();
  listeners.online();
  assert.ok(socket.last('ping'));
  socket.say('pong', {});
  socket.onclose();
  assert.equal(sockets.length, 1, 'it waits');
  listeners.online();
  assert.equal(sockets.length, 2);
  client.terminate();
  listeners.online();
  assert.equal(sockets.length, 2, 'who has stopped stays away');
});

test('a client registers with a detached register, keeps its credential, and starts without a token next time', async () => {
  const told = [];
  const { client, store, env, sockets } = await started(told);
  assert.deepEqual(told, ['started']);
  assert.ok(client.isStarted());
  await assert.rejects(client.start(), { name: 'InvalidOperationError' });
  assert.match([...store.values()][0], /"secret":"kept"/);
  client.terminate();
  const again = createSinch(env).getSinchClientBuilder().applicationKey(KEY).userId('alice').environmentHost('127.0.0.1:7070').build();
  again.start();
  await turn();
  sockets[1].onopen();
  const hellos = sockets.map((socket) => socket.last('hello').body);
  assert.deepEqual(hellos[1].credential, { device: 'kept' });
  assert.equal(hellos[1].device_id, hellos[0].device_id);
  again.terminate();
});

test('an outgoing call goes through its states and ends with the published numbers', async () => {
  const { client, socket } = await started();
  client.setPushNotificationDisplayName('Alice A.');
  const call = await client.getCallClient().callUser('bob', { subject: 'lunch' });
  const id = call.callId;
  const told = [];
  call.addEventListener({
    onCallProgressing: () => told.push(call.state), onCallRinging: () => told.push(call.state),
    onCallAnswered: () => told.push(call.state), onCallEnded: () => told.push(call.state),
  });
  assert.deepEqual([call.direction, call.state, call.remoteUserId], [CallDirection.Outbound, CallState.Init, 'bob']);
  assert.equal(call.outgoingStream.getTracks().length, 1);
  assert.deepEqual(socket.last('call.start').body, { to: 'bob', headers: { subject: 'lunch' }, sdp: 'v=0 offer', display_name: 'Alice A.' });
  socket.say('call.progressing', {}, { seq: 1, call_id: id });
  socket.say('call.ringing', {}, { seq: 2, call_id: id });
  socket.say('call.answered', { sdp: 'v=0 answer' }, { seq: 3, call_id: id });
  socket.say('call.ended', { cause: 'hung_up' }, { seq: 4, call_id: id });
  assert.deepEqual(told, [CallState.Progressing, CallState.Ringing, CallState.Answered, CallState.Ended]);
  assert.equal(call.details.endCause, CallEndCause.HungUp);
  assert.ok(call.outgoingStream.getTracks().every((track) => track.stopped), 'the microphone is given back');
  client.terminate();
});

test('an incoming call opens no microphone before the person accepts', async () => {
  const { client, socket, captured } = await started();
  let call;
  client.callClient.addListener({ onIncomingCall: (_, incoming) => (call = incoming) });
  socket.say('call.incoming', { from: 'bob', display_name: 'Bob B.', sdp: 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n' }, { seq: 1, call_id: 'in' });
  assert.equal(captured.length, 0);
  assert.equal(client.callClient.getCall('in'), call);
  assert.deepEqual([call.remoteUserId, call.remoteUserDisplayName], ['bob', 'Bob B.']);
  await call.answer();
  assert.equal(captured.length, 1);
  assert.equal(socket.last('call.answer').body.sdp, 'v=0 answer');
  await assert.rejects(call.answer(), { name: 'InvalidOperationError' });
  call.hangup();
  assert.equal(socket.last('call.hangup').body.cause, 'hung_up');
  client.terminate();
});

test('arguments are checked', async () => {
  const { sinch, client } = await started();
  const wrong = { name: 'ArgumentError' };
  assert.throws(() => sinch.getSinchClientBuilder().userId('alice').environmentHost('x').build(), wrong);
  assert.throws(() => sinch.getSinchClient('no uuid', 'alice', 'x'), wrong);
  assert.throws(() => sinch.getSinchClient(KEY, 'a b', 'x'), wrong);
  await assert.rejects(client.callClient.callUser(''), wrong);
  await assert.rejects(client.callClient.callUser('bob', { k: 'x'.repeat(1025) }), wrong);
  await assert.rejects(client.callClient.callConference('x'.repeat(65)), wrong);
  await assert.rejects(client.callClient.callPhoneNumber('+46000000000'), { name: 'SinchError', code: 4000 });
  client.terminate();
  await assert.rejects(client.callClient.callUser('bob'), { name: 'InvalidOperationError' });
});

test('a server is named by host, host:port or URL', () => {
  for (const [text, url] of [
    ['ocra.example.com', 'wss://ocra.example.com/v1/signal'], ['example.com:8443', 'wss://example.com:8443/v1/signal'],
    ['127.0.0.1:7171', 'ws://127.0.0.1:7171/v1/signal'], ['localhost', 'ws://localhost:7070/v1/signal'],
    ['::1', 'ws://[::1]:7070/v1/signal'], ['http://10.0.0.1/', 'ws://10.0.0.1/v1/signal'], ['https://example.com', 'wss://example.com/v1/signal'],
  ]) assert.equal(endpoint(text), url);
  for (const text of ['', 'ftp://x', 'a b', 'host:port', 'host:70000', 'http://x/path', 'user@host', '[::1', 'a:b:c']) {
    assert.throws(() => endpoint(text), { name: 'ArgumentError' }, text);
  }
});

/** The world with a service worker and a push service. */
function pushable() {
  const all = world();
  const subscribed = [];
  const listeners = [];
  let subscription = null;
  const pushManager = {
    async subscribe(options) {
      if (all.unreachable) throw new DOMException('push service error', 'AbortError');
      if (subscription && subscription.key !== options.applicationServerKey) throw new DOMException('another key', 'InvalidStateError');
      subscribed.push(options);
      const endpoint = `https://push.example/${subscribed.length}`;
      subscription ??= {
        key: options.applicationServerKey, toJSON: () => ({ endpoint, keys: { p256dh: 'P', auth: 'A' } }), async unsubscribe() { subscription = null; },
      };
      return subscription;
    },
    async getSubscription() { return subscription; },
  };
  const registration = { active: {}, pushManager, async unregister() { all.unregistered = true; } };
  all.env.navigator.serviceWorker = {
    async register(path, options) {
      if (path === 'missing.js') throw new TypeError('404');
      all.registered = [path, options];
      return registration;
    },
    async getRegistration() { return registration; },
    addEventListener: (type, listener) => listeners.push(listener),
  };
  Object.assign(all.env, {
    PushManager: class {},
    Notification: { requestPermission: async () => all.permission ?? 'granted' },
    fetch: async (url) => ({ ok: (all.asked = url) && all.key !== null, json: async () => ({ public_key: all.key ?? 'KEY' }) }),
  });
  return { ...all, all, subscribed, tell: (data) => listeners.forEach((listener) => listener({ data })), subscription: () => subscription };
}

/** As far as a server goes until a client is started. */
async function welcome(socket) {
  socket.onopen();
  socket.say('welcome', {
    session: 's1', resume_token: 't1', epoch: 'e1', resumed: false, heartbeat_ms: 15000, server_time: 1e9, limits: {},
    credential: { secret: 'kept', expires: 4e9 },
  });
  socket.say('snapshot', { calls: [] });
  await turn();
}
const register = { onCredentialsRequired: (_, registration) => registration.register('TOKEN') };

test('the published order, setSupportManagedPush().then(start), subscribes and starts', async () => {
  const { env, all, sockets, subscribed } = pushable();
  const client = createSinch(env).getSinchClientBuilder().applicationKey(KEY).userId('alice').environmentHost('127.0.0.1:7070').build();
  client.addListener(register);
  await client.setSupportManagedPush().then(() => void client.start());
  assert.deepEqual([all.asked, all.registered], ['http://127.0.0.1:7070/v1/push', ['sw.js', undefined]]);
  assert.deepEqual(subscribed, [{ userVisibleOnly: true, applicationServerKey: 'KEY' }]);
  await turn();
  await welcome(sockets[0]);
  assert.deepEqual(sockets[0].last('push.subscribe').body, { endpoint: 'https://push.example/1', p256dh: 'P', auth: 'A' });
  client.terminate();
});

test('a subscription made with the key of another server is replaced, and is said to the server after each start', async () => {
  const { env, all, sockets, subscribed, subscription } = pushable();
  const client = createSinch(env).getSinchClient(KEY, 'alice', 'http://127.0.0.1:7070');
  client.addListener(register);
  client.start();
  await turn();
  await welcome(sockets[0]);
  assert.equal(await client.setSupportManagedPush('worker.js', { scope: '/phone/' }), true);
  assert.equal(sockets[0].last('push.subscribe').body.endpoint, 'https://push.example/1');
  all.key = 'OTHER';
  await client.setSupportManagedPush('worker.js');
  assert.equal(subscription().key, 'OTHER');
  assert.equal(sockets[0].last('push.subscribe').body.endpoint, 'https://push.example/2');
  client.terminate();
  client.start();
  await turn();
  await welcome(sockets[1]);
  assert.equal(sockets[1].last('push.subscribe').body.endpoint, 'https://push.example/2');
  await client.unregisterPushToken();
  assert.deepEqual(sockets[1].last('push.unsubscribe').body, {});
  assert.equal(subscription(), null);
  await client.disableManagedPushSupport();
  assert.ok(all.unregistered && subscribed.length === 3);
  client.terminate();
});

test('without permission, worker, Web Push or a server that sends it, setSupportManagedPush rejects, and calls go on', async () => {
  const wrong = { name: 'SinchError', code: 4000, domain: 3, message: /calls come in while the page is open/ };
  for (const [lack, path] of [
    [(all) => (all.permission = 'denied')], [(all) => (all.key = null)], [() => {}, 'missing.js'],
    [(all) => delete all.env.PushManager], [(all) => delete all.env.navigator.serviceWorker],
    [(all) => (all.env.fetch = async () => { throw new TypeError('offline'); })],
  ]) {
    const { env, all, sockets } = pushable();
    lack(all);
    const client = createSinch(env).getSinchClient(KEY, 'alice', '127.0.0.1:7070');
    client.addListener(register);
    await assert.rejects(client.setSupportManagedPush(path), wrong);
    client.start();
    await turn();
    await welcome(sockets[0]);
    assert.ok(client.isStarted() && !sockets[0].last('push.subscribe'));
    client.terminate();
  }
});

test('where the push service cannot be reached the client starts, and the next start subscribes', async () => {
  const { env, all, sockets } = pushable();
  all.unreachable = true;
  env.console = { warn: (...said) => (all.warned = said.join(' ')), debug() {} };
  const client = createSinch(env).getSinchClient(KEY, 'alice', '127.0.0.1:7070');
  client.addListener(register);
  assert.equal(await client.setSupportManagedPush(), false);
  assert.match(all.warned, /no Web Push.*push service error/);
  all.unreachable = false;
  client.start();
  await turn();
  await welcome(sockets[0]);
  assert.ok(sockets[0].last('push.subscribe'));
  client.terminate();
});

test('a relayed push tells what it says, and starts a client that is called', async () => {
  const { env, sockets, tell } = pushable();
  const client = createSinch(env).getSinchClient(KEY, 'alice', '127.0.0.1:7070');
  client.addListener(register);
  await client.setSupportManagedPush();
  const called = { v: 1, type: 'incoming_call', application_key: KEY, user_id: 'alice', call_id: 'c-1', from: 'bob', created: Math.floor(Date.now() / 1000) };
  for (const payload of [undefined, null, 'text', {}, { ...called, v: 2 }, { ...called, call_id: 7 }]) {
    const result = client.relayRemotePushNotification(payload);
    assert.deepEqual([result.isValid(), result.isCall(), result.callNotificationResult], [false, false, undefined]);
  }
  assert.equal(client.relayRemotePushNotification({ ...called, created: 5 }).callNotificationResult.hasTimedOut(), true);
  const ended = client.relayRemotePushNotification({ v: 1, type: 'call_ended', call_id: 'c-1', end_cause: 'canceled' });
  assert.deepEqual([ended.isValid(), ended.isCall(), ended.callNotificationResult.isCallCanceled()], [true, false, true]);
  client.relayRemotePushNotification({ ...called, user_id: 'carol' });
  await turn();
  assert.equal(sockets.length, 0, 'nobody called alice so far');
  tell({ visible: true, data: called });
  const result = client.relayRemotePushNotification(called);
  const { callId, remoteUserId, isVideoOffered, hasTimedOut } = result.callNotificationResult;
  assert.deepEqual([result.isValid(), result.displayName], [true, 'bob']);
  assert.equal(client.relayRemotePushNotification({ ...called, display_name: 'Bob B.' }).displayName, 'Bob B.');
  assert.deepEqual([callId, remoteUserId, isVideoOffered(), hasTimedOut()], ['c-1', 'bob', false, false]);
  await turn();
  await welcome(sockets[0]);
  assert.ok(client.isStarted());
  assert.equal(sockets.length, 1);
  client.terminate();
});

test('every published name is there, and the published numbers', async () => {
  const { sinch, client } = await started();
  const builder = ['applicationKey', 'userId', 'environmentHost', 'callerIdentifier', 'fetchApi', 'mediaStreamFactory', 'videoConfiguration', 'silentMediaStream'];
  for (const name of builder) {
    const made = sinch.getSinchClientBuilder();
    assert.equal(made[name]('x'), made, name);
  }
  const has = (object, names) => names.forEach((name) => assert.equal(typeof object[name], 'function', name));
  has(sinch.getSinchClientBuilder(), ['build']);
  has(client, [
    'start', 'isStarted', 'terminate', 'addListener', 'removeListener', 'setSupportManagedPush', 'relayRemotePushNotification', 'unregisterPushToken',
    'setUseRelayIceCandidatesOnly', 'getCallClient', 'setEventListener', 'addEventListener', 'terminateGracefully', 'setPushNotificationDisplayName',
  ]);
  has(client.callClient, [
    'callUser', 'callUserVideo', 'callPhoneNumber', 'callSip', 'callConference', 'getCall', 'addListener', 'removeListener', 'setAudioTrackConstraints',
    'setVideoTrackConstraints',
  ]);
  const call = await client.callClient.callUser('bob');
  has(call, ['addListener', 'removeListener', 'answer', 'hangup', 'mute', 'unmute', 'pauseVideo', 'resumeVideo', 'sendDtmf']);
  for (const name of ['id', 'callId', 'direction', 'state', 'details', 'headers', 'remoteUserId', 'remoteUserDisplayName', 'incomingStream', 'outgoingStream']) {
    assert.notEqual(call[name], undefined, name);
  }
  assert.deepEqual({ ...CallState }, { Init: 0, Progressing: 1, Established: 2, Ended: 3, Answered: 4, Ringing: 5 });
  assert.deepEqual(Object.values(CallEndCause), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(Object.values(sinch.ErrorType), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual([sinch.ErrorCode.CallFailedToConnectIce, sinch.ErrorCode.AuthenticationFailed, sinch.ErrorCode.WebRtcAudioTrackStartFailed], [3002, 2002, 3503]);
  assert.match(sinch.version, /^\d+\.\d+\.\d+$/);
  client.terminate();
  assert.equal(call.details.endCause, CallEndCause.Canceled);
});

test('more arguments are checked, and what is refused changes nothing', async () => {
  const { sinch, client, socket } = await started();
  const wrong = { name: 'ArgumentError' };
  for (const bad of [undefined, null, '', 'ä', 'a b', 'x'.repeat(256), 7, {}]) {
    await assert.rejects(client.callClient.callUser(bad), wrong, String(bad));
    assert.throws(() => sinch.getSinchClient(KEY, bad, 'localhost'), wrong, String(bad));
  }
  for (const bad of [KEY.toUpperCase(), `${KEY} `, '', null]) assert.throws(() => sinch.getSinchClient(bad, 'alice', 'localhost'), wrong);
  for (const bad of [null, '', undefined]) assert.throws(() => sinch.getSinchClient(KEY, 'alice', bad), wrong);
  for (const bad of [{ k: 7 }, 'text', [], { k: 'ä'.repeat(512) }]) await assert.rejects(client.callClient.callUser('bob', bad), wrong);
  for (const bad of ['x'.repeat(65), '', undefined]) await assert.rejects(client.callClient.callConference(bad), wrong);
  for (const bad of ['0461', '+', '+46 70', undefined]) await assert.rejects(client.callClient.callPhoneNumber(bad), wrong);
  for (const bad of ['nobody', '@x', 'a@b@c', '']) await assert.rejects(client.callClient.callSip(bad), wrong);
  for (const bad of ['x'.repeat(256), 'ä'.repeat(128), 7]) assert.throws(() => (client.pushNotificationDisplayName = bad), wrong);
  client.pushNotificationDisplayName = 'ä'.repeat(127);
  assert.equal(client.pushNotificationDisplayName.length, 127);
  for (const bad of [undefined, null, 'text']) assert.throws(() => client.addListener(bad), wrong);
  assert.equal(socket.last('call.start'), undefined);
  const call = await client.callClient.callUser('bob', { k: 'ä'.repeat(511) });
  for (const bad of ['', 'x', '1 2', undefined]) assert.throws(() => call.sendDtmf(bad), wrong);
  assert.throws(() => call.sendDtmf('1'), { name: 'InvalidOperationError' });
  await assert.rejects(call.answer(), { name: 'InvalidOperationError' });
  call.hangup();
  call.hangup();
  assert.equal(socket.sent.filter(({ type }) => type === 'call.hangup').length, 1);
  client.terminate();
});

test('listeners: each is told, removed ones are not, one that throws stops no other, members may be absent', async () => {
  const { client, socket } = await started();
  const call = await client.callClient.callUser('bob');
  const said = [];
  const removed = { onCallRinging: () => said.push('removed') };
  const errors = [];
  globalThis.reportError = ({ message }) => errors.push(message);
  call.addListener({ onCallRinging: () => { throw new Error('of the application'); } });
  call.addListener({});
  call.addListener(removed);
  call.removeListener(removed);
  call.addListener({ onCallRinging: (...args) => said.push(args[0] === call && args.length) });
  socket.say('call.ringing', {}, { seq: 1, call_id: call.id });
  delete globalThis.reportError;
  assert.deepEqual([said, errors], [[1], ['of the application']]);
  client.terminate();
});

test('who denies, and who fails to get a token, is told so once, with the published numbers', async () => {
  const { client, socket } = await started();
  let call;
  const told = [];
  client.callClient.addListener({ onIncomingCall: (callClient, incoming) => (call = incoming) && told.push(callClient === client.callClient) });
  const event = ['call.incoming', { from: 'bob', sdp: 'v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n', headers: { a: 'b' } }, { seq: 1, call_id: 'in' }];
  socket.say(...event);
  socket.say(...event);
  assert.deepEqual(told, [true]);
  assert.deepEqual([call.headers, call.details.isVideoOffered, call.direction, call.details.setupDuration], [{ a: 'b' }, true, 'Inbound', 0]);
  call.hangup();
  assert.equal(socket.last('call.hangup').body.cause, 'denied');
  assert.deepEqual([call.state, call.details.endCause, call.details.duration], [CallState.Ended, CallEndCause.Denied, 0]);
  client.terminate();
  const { env } = world();
  const other = createSinch(env).getSinchClient(KEY, 'alice', 'localhost');
  const failed = [];
  other.addListener({ onCredentialsRequired: (_, { registerFailed }) => registerFailed(), onClientFailed: (_, error) => failed.push([error.code, error.domain, error.isFatal]) });
  await assert.rejects(other.start(), { name: 'SinchError', code: 2002 });
  assert.deepEqual(failed, [[2002, 2, true]]);
});
