// The API of offhook.js under node: everything of the browser is injected.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CallDirection, CallEndCause, CallState, createSinch, endpoint } from '../../crates/web/offhook.js';

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
  const mediaDevices = {
    async getUserMedia(constraints) {
      captured.push(constraints);
      const stream = new MediaStream();
      stream.addTrack({ kind: 'audio', enabled: true, stop() { this.stopped = true; } });
      return stream;
    },
  };
  const env = {
    WebSocket, RTCPeerConnection, MediaStream, navigator: { mediaDevices }, crypto: globalThis.crypto, performance: globalThis.performance,
    setTimeout: (...args) => { const timer = setTimeout(...args); timer.unref?.(); return timer; }, clearTimeout,
    localStorage: { getItem: (key) => store.get(key) ?? null, setItem: (key, value) => store.set(key, value) },
  };
  return { env, sockets, captured, store };
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

test('a client registers with a detached register, keeps its credential, and starts without a token next time', async () => {
  const told = [];
  const { client, store, env, sockets } = await started(told);
  assert.deepEqual(told, ['started']);
  assert.ok(client.isStarted);
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
  const call = await client.getCallClient().callUser('bob', { subject: 'lunch' });
  const id = call.callId;
  const told = [];
  call.addEventListener({
    onCallProgressing: () => told.push(call.state), onCallRinging: () => told.push(call.state),
    onCallAnswered: () => told.push(call.state), onCallEnded: () => told.push(call.state),
  });
  assert.deepEqual([call.direction, call.state, call.remoteUserId], [CallDirection.Outbound, CallState.Init, 'bob']);
  assert.equal(call.outgoingStream.getTracks().length, 1);
  assert.deepEqual(socket.last('call.start').body, { to: 'bob', headers: { subject: 'lunch' }, sdp: 'v=0 offer' });
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
  socket.say('call.incoming', { from: 'bob', sdp: 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n' }, { seq: 1, call_id: 'in' });
  assert.equal(captured.length, 0);
  assert.equal(client.callClient.getCall('in'), call);
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
  await assert.rejects(client.setSupportManagedPush(), { name: 'SinchError', code: 4000 });
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
