// A browser as far as offhook.js looks, for tests under node: everything is injected, and the socket's other end is the test.
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';

// OFFHOOK_SDK is the script as a server gives it; without it this is about the source.
export const { CallDirection, CallEndCause, CallState, createSinch, endpoint } = await import(process.env.OFFHOOK_SDK ?? '../../crates/web/offhook.js');

export const KEY = 'a32e5a8d-f7d8-411c-9645-9038e8dd051d';
export const turn = () => new Promise((resolve) => setTimeout(resolve, 5));

/** The browser, and what was opened in it. */
export function world() {
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
  const connections = [];
  class RTCPeerConnection {
    signalingState = 'stable';
    iceConnectionState = 'new';
    senders = [];
    constructor(config) {
      this.config = config;
      connections.push(this);
    }
    addTrack(track) {
      this.senders.push({ track, async replaceTrack(other) { this.track = other; } });
    }
    setConfiguration() {}
    async createOffer() { return { type: 'offer', sdp: 'v=0 offer' }; }
    async createAnswer() { return { type: 'answer', sdp: 'v=0 answer' }; }
    async setLocalDescription(description) { this.localDescription = description; }
    async setRemoteDescription(description) { this.remoteDescription = description; }
    async addIceCandidate() {}
    getSenders() { return this.senders; }
    getTransceivers() { return this.senders; }
    async getStats() { return new Map(); }
    close() { this.closed = true; }
  }
  const store = new Map();
  const listeners = {};
  /** Every track that was given out. */
  const tracks = [];
  const mediaDevices = {
    async getUserMedia(constraints) {
      captured.push(constraints);
      await mediaDevices.wait?.(constraints);
      const stream = new MediaStream();
      tracks.push({ kind: 'audio', enabled: true, constraints, stop() { this.stopped = true; } });
      stream.addTrack(tracks.at(-1));
      return stream;
    },
  };
  const env = {
    WebSocket, RTCPeerConnection, MediaStream, navigator: { mediaDevices }, crypto: webcrypto, performance: globalThis.performance,
    setTimeout: (...args) => { const timer = setTimeout(...args); timer.unref?.(); return timer; }, clearTimeout,
    addEventListener: (type, listener) => { listeners[type] = listener; },
    removeEventListener: (type) => { delete listeners[type]; },
    localStorage: { getItem: (key) => store.get(key) ?? null, setItem: (key, value) => store.set(key, value) },
  };
  const isOpen = () => [...tracks.filter((track) => !track.stopped), ...connections.filter((pc) => !pc.closed)];
  return { env, sockets, captured, store, listeners, mediaDevices, tracks, isOpen };
}

/** As far as a server goes until a client is started. */
export async function welcome(socket, { expires = 4e9 } = {}) {
  socket.onopen();
  socket.say('welcome', {
    session: 's1', resume_token: 't1', epoch: 'e1', resumed: false, heartbeat_ms: 15000, server_time: 1e9, limits: {},
    credential: { secret: 'kept', expires },
  });
  socket.say('snapshot', { calls: [] });
  await turn();
}

/** A client of alice that is started. */
export async function started(told = []) {
  const all = world();
  const sinch = createSinch(all.env);
  const client = sinch.getSinchClient(KEY, 'alice', '127.0.0.1:7070');
  client.setEventListener({ onCredentialsRequired: (_, { register }) => Promise.resolve('TOKEN').then(register) });
  client.addListener({ onClientStarted: () => told.push('started') });
  const start = client.start();
  await turn();
  const [socket] = all.sockets;
  assert.deepEqual([socket.url, socket.protocol], ['ws://127.0.0.1:7070/v1/signal', 'offhook.v1.json']);
  await welcome(socket);
  assert.deepEqual(socket.last('hello').body.credential, { token: 'TOKEN' });
  await start;
  return { ...all, sinch, client, socket };
}
