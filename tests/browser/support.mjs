// What the browser tests share: the server, browsers with a microphone of their own, people on their pages, what was heard.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('../../', import.meta.url).pathname;
/** What the tests need of npm is found from here. */
export const modules = join(root, '.tools/browser/package.json');
const require = createRequire(modules);
export const { chromium } = require('playwright-core');
export const chromiumPath = process.env.OFFHOOK_CHROMIUM ?? '/usr/bin/chromium';
export const firefoxPath = process.env.OFFHOOK_FIREFOX ?? '/usr/bin/firefox-esr';
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const offhook = process.env.OFFHOOK_PROGRAM ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'debug/offhook');
export const scratch = mkdtempSync(join(tmpdir(), 'offhook-browser-'));
const RATE = 48000;
const SECONDS = 12;
const closers = [];

export async function cleanUp() {
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(scratch, { recursive: true, force: true });
}

// ---- sounds: noise whose loudness is a pattern of its own, so that one is not taken for another

function random(seed) {
  let state = seed * 2654435761 + 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 24;
  };
}

/** Syllables of tones: loudness and pitch change every 120 ms, as the seed says. */
export function speechLike(seed) {
  const next = random(seed);
  const samples = new Float32Array(RATE * SECONDS);
  const length = RATE * 0.12;
  let phase = 0;
  for (let start = 0; start < samples.length; start += length) {
    const loud = next() < 0.35 ? 0 : 0.15 + 0.35 * next();
    const pitch = 220 + 600 * next();
    for (let i = 0; i < length; i += 1) {
      phase += (2 * Math.PI * pitch) / RATE;
      const edge = Math.min(1, i / 240, (length - i) / 240);
      samples[start + i] = loud * edge * (0.7 * Math.sin(phase) + 0.3 * Math.sin(3 * phase));
    }
  }
  return samples;
}

/** The same four times: a program may begin to play it long before it is in a call. */
export function long(samples) {
  const all = new Float32Array(samples.length * 4);
  for (let i = 0; i < 4; i += 1) all.set(samples, i * samples.length);
  return all;
}

export function writeWav(path, samples) {
  const data = Buffer.alloc(44 + samples.length * 2);
  data.write('RIFF', 0);
  data.writeUInt32LE(36 + samples.length * 2, 4);
  data.write('WAVEfmt ', 8);
  data.writeUInt32LE(16, 16);
  data.writeUInt16LE(1, 20);
  data.writeUInt16LE(1, 22);
  data.writeUInt32LE(RATE, 24);
  data.writeUInt32LE(RATE * 2, 28);
  data.writeUInt16LE(2, 32);
  data.writeUInt16LE(16, 34);
  data.write('data', 36);
  data.writeUInt32LE(samples.length * 2, 40);
  samples.forEach((x, i) => data.writeInt16LE(Math.round(x * 32767), 44 + i * 2));
  writeFileSync(path, data);
  return path;
}

export function readWav(path) {
  const data = readFileSync(path);
  const at = data.indexOf('fmt ');
  const [channels, rate, bits] = [data.readUInt16LE(at + 10), data.readUInt32LE(at + 12), data.readUInt16LE(at + 22)];
  const begin = data.indexOf('data') + 8;
  const width = bits / 8;
  const count = Math.floor((data.length - begin) / width / channels);
  const samples = new Float32Array(count);
  for (let i = 0; i < count; i += 1) {
    const place = begin + i * width * channels;
    samples[i] = bits === 32 ? data.readFloatLE(place) : data.readInt16LE(place) / 32768;
  }
  return { samples, rate };
}

/** Loudness every 10 ms. */
function envelope(samples, rate) {
  const step = Math.round(rate / 100);
  return Float64Array.from({ length: Math.floor(samples.length / step) }, (_, i) => {
    let sum = 0;
    for (let j = i * step; j < (i + 1) * step; j += 1) sum += samples[j] ** 2;
    return Math.sqrt(sum / step);
  });
}

/** What is alike, and what is something else. */
export const [LIKE, UNLIKE] = [0.8, 0.6];
/** How alike what was heard is to a piece of what was said (a loop), at the best place: 1 is the same. */
export function likeness(said, heard, rate = RATE) {
  const a = envelope(said, RATE);
  const b = envelope(heard, rate);
  const mean = (x) => x.reduce((sum, v) => sum + v, 0) / x.length;
  const mb = mean(b);
  const norm = (x, m) => Math.sqrt(x.reduce((sum, v) => sum + (v - m) ** 2, 0));
  const nb = norm(b, mb);
  if (nb < 1e-6) return 0;
  let best = 0;
  for (let shift = 0; shift < a.length; shift += 1) {
    const piece = b.map((_, i) => a[(shift + i) % a.length]);
    const ma = mean(piece);
    const dot = b.reduce((sum, v, i) => sum + (v - mb) * (piece[i] - ma), 0);
    best = Math.max(best, dot / (nb * norm(piece, ma) || 1));
  }
  return best;
}

/** The same for a recording that is silent for a part of its time: its best four seconds. */
export function bestLikeness(said, heard, rate) {
  const length = rate * 4;
  let best = 0;
  for (let start = 0; start + length <= heard.length; start += rate) {
    best = Math.max(best, likeness(said, heard.subarray(start, start + length), rate));
  }
  return best;
}

// ---- programs

export function run(args) {
  const child = spawn(offhook, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (err += text));
  const ended = new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
  closers.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { child, ended, output: () => out + err, stdout: () => out };
}

export async function until(what, test, patience = 20000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await test();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A server with a development application. */
export async function serve(address = '127.0.0.1:0', ...args) {
  const server = run(['serve', '--json', '--listen', address, ...args]);
  const line = await until('the server', () => server.stdout().endsWith('\n') && server.stdout());
  const { listen, applications } = JSON.parse(line);
  return { ...server, host: listen, origin: `http://${listen}`, key: applications[0].key, secret: applications[0].secret };
}

/** The test's own pages on another origin than the server's: as an application has them. */
export async function site() {
  const http = createServer((request, response) => {
    const path = join(root, 'tests/browser/pages', new URL(request.url, 'http://x').pathname);
    if (path.endsWith('favicon.ico')) return response.writeHead(204).end();
    if (!existsSync(path)) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': path.endsWith('.html') ? 'text/html; charset=utf-8' : 'text/javascript; charset=utf-8' });
    response.end(readFileSync(path));
  });
  await new Promise((resolve) => http.listen(0, 'localhost', resolve));
  // A browser that a failed test left open keeps connections on which it may never ask for anything.
  closers.push(() => new Promise((resolve) => http.close(resolve).closeAllConnections()));
  return `http://localhost:${http.address().port}`;
}

// ---- a network that loses packets

const bound = (socket) => new Promise((resolve) => socket.bind(0, '127.0.0.1', () => resolve(socket.address().port)));

/**
 * Before a page that is not in a call yet: its addresses are told as ports of ours, and it is told none, so all of its calls pass here. Loses
 * media, or with `all` any datagram.
 */
export async function lossyNetwork({ all = false } = {}) {
  let share = 0;
  let count = 0;
  const sockets = [];
  const loss = random(42);
  /** A port of ours behind which `address`:`port` is. */
  const door = async (address, port) => {
    const [outside, inside] = [createSocket('udp4'), createSocket('udp4')];
    sockets.push(outside, inside);
    let peer;
    const pass = (packet, send) => {
      // RTP and RTCP (RFC 7983): ICE and DTLS have other ways to notice a bad network.
      const isMedia = packet[0] >= 128 && packet[0] < 192;
      count += isMedia;
      if (!(isMedia || all) || loss() >= share) send();
    };
    outside.on('message', (packet, from) => {
      peer = from;
      pass(packet, () => inside.send(packet, port, address));
    });
    inside.on('message', (packet) => peer && pass(packet, () => outside.send(packet, peer.port, peer.address)));
    await bound(inside);
    return bound(outside);
  };
  const close = () => sockets.splice(0).forEach((socket) => socket.close());
  closers.push(close);
  const hide = () => {
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = async function (text) {
      const frame = JSON.parse(text);
      const { candidate } = frame.body;
      if (frame.type === 'call.candidate' && candidate) frame.body.candidate = await window.behindDoor(candidate);
      if (frame.type === 'call.candidate' && candidate && !frame.body.candidate) frame.body.end = true;
      send.call(this, JSON.stringify(frame));
    };
    const { addIceCandidate, setRemoteDescription } = RTCPeerConnection.prototype;
    RTCPeerConnection.prototype.addIceCandidate = async function (told) {
      if (!told?.candidate) await addIceCandidate.call(this, told);
    };
    RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
      return setRemoteDescription.call(this, { type, sdp: sdp.replace(/^a=candidate:.*\r\n/gm, '') });
    };
  };
  const behind = async (page) => {
    await page.exposeFunction('behindDoor', async (candidate) => {
      const words = candidate.split(' ');
      if (words[2].toLowerCase() !== 'udp' || !/^[\d.]+$/.test(words[4])) return '';
      [words[4], words[5]] = ['127.0.0.1', await door(words[4], Number(words[5]))];
      return words.join(' ');
    });
    await page.evaluate(hide);
  };
  return { behind, lose: (part) => (share = part), carried: () => count, close };
}

// ---- browsers

/** A browser whose microphone plays `said`. */
export async function browser(name, said) {
  const wav = writeWav(join(scratch, `${name}.wav`), said);
  const launched = await chromium.launch({
    executablePath: chromiumPath,
    args: [
      '--no-sandbox', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${wav}`,
      '--autoplay-policy=no-user-gesture-required', '--allow-loopback-in-peer-connection', '--disable-gpu',
    ],
  });
  closers.push(() => launched.close());
  return launched;
}

/** A tab of its own profile, with what it complained about. */
export async function tab(launched, options = {}) {
  const context = await launched.newContext({ permissions: ['microphone', 'camera'], ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.said = [];
  page.on('console', (message) => page.said.push(message.text()));
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && page.complaints.push(message.text()));
  return page;
}

/** Waits until an application's page shows this text in its status, `times` times. */
export const says = (page, text, times = 1) =>
  page.waitForFunction(([text, times]) => document.getElementById('status').textContent.split(text).length > times, [text, times], { timeout: 20000 }).catch(async (error) => {
    throw new Error(`waited in vain for ${text}: ${await page.textContent('#status')} ${page.complaints}`, { cause: error });
  });

/** What an application's page does by this name. */
export const act = (page, name, ...args) => page.evaluate(([name, args]) => window.actions[name](...args), [name, args]);

/** A page of `origin` (see `site`) on which the application named `app` is ready, with what more its address says. */
export async function applicationPage(launched, origin, server, app, more = {}) {
  const page = await tab(launched);
  await page.goto(`${origin}/application.html?${new URLSearchParams({ host: server.host, key: server.key, secret: server.secret, app, ...more })}`);
  await says(page, 'ready');
  return page;
}

/** Closes pages that had nothing to complain about. */
export async function close(...pages) {
  for (const page of pages) {
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  }
}

/** Of accessibility: axe-core is put in by the debugger, past the policy of the page. */
export async function audit(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), []);
}

/** In a page, before anything else: sound as the microphone has it, so that it can be compared. */
export function leaveSoundAsItIs() {
  const { mediaDevices } = navigator;
  // A page that is no secure one, as a tab is before its first page, has none.
  if (!mediaDevices) return;
  const open = mediaDevices.getUserMedia.bind(mediaDevices);
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  mediaDevices.getUserMedia = (wanted) =>
    open({ ...wanted, audio: wanted.audio && { ...(wanted.audio === true ? {} : wanted.audio), ...plain } });
}
export const plainSound = (page) => page.addInitScript(leaveSoundAsItIs);

/** In a page of the server: the API and nothing else: `client`, `call`, and what was told in `told`. Who is rung answers. */
export async function beApplication(user) {
  document.body.replaceChildren(Object.assign(document.createElement('audio'), { autoplay: true }));
  const { Sinch } = await import('/offhook.js');
  const { application_key: key } = await (await fetch('/v1/development')).json();
  const told = (window.told = []);
  window.take = (call) => {
    window.call = call;
    document.querySelector('audio').srcObject = call.incomingStream;
    call.addListener({
      onCallEstablished: () => told.push('established'), onCallEnded: () => told.push('ended'),
      onCallQualityWarningEvent: (_, { name, type }) => told.push(`${type} ${name}`),
    });
  };
  window.client = Sinch.getSinchClient(key, user, location.host);
  window.client.addListener({
    onCredentialsRequired: async (_, registration) => {
      const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ user }) };
      registration.register((await (await fetch('/v1/development', request)).json()).token);
    },
  });
  window.client.callClient.addListener({
    onIncomingCall: (_, call) => {
      window.take(call);
      call.answer();
    },
  });
  await window.client.start();
}
export async function application(launched, server, user) {
  const page = await tab(launched);
  await plainSound(page);
  await page.goto(server.origin);
  await page.evaluate(beApplication, user);
  return page;
}
export const told = (page, text, timeout = 40000) => page.waitForFunction((text) => window.told.includes(text), text, { timeout });

/** A person on the softphone page. */
export async function signIn(page, server, user) {
  await page.goto(`${server.origin}/`);
  await page.fill('#user', user);
  await page.click('#sign-in button[type=submit]');
  await page.waitForSelector('#phone:not([hidden])', { timeout: 20000 });
  return page;
}

/** Records the sound of the call's audio element for some seconds, as mono samples at 48 kHz. */
export async function hear(page, seconds, selector = 'audio') {
  const text = await page.evaluate(async ({ seconds, selector }) => {
    const stream = document.querySelector(selector).srcObject;
    const context = new AudioContext({ sampleRate: 48000 });
    await context.resume();
    const source = context.createMediaStreamSource(new MediaStream(stream.getAudioTracks()));
    // The longest there is: a page that is kept from running for less than it loses nothing.
    const length = 16384;
    const tap = context.createScriptProcessor(length, 1, 1);
    const blocks = [];
    tap.onaudioprocess = ({ inputBuffer }) => blocks.push(inputBuffer.getChannelData(0).slice());
    source.connect(tap).connect(context.destination);
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    await context.close();
    const pcm = new Int16Array(blocks.length * length);
    blocks.forEach((block, i) => block.forEach((x, j) => (pcm[i * length + j] = Math.max(-1, Math.min(1, x)) * 32767)));
    let binary = '';
    for (const byte of new Uint8Array(pcm.buffer)) binary += String.fromCharCode(byte);
    return btoa(binary);
  }, { seconds, selector });
  const data = Buffer.from(text, 'base64');
  return Float32Array.from({ length: data.length / 2 }, (_, i) => data.readInt16LE(i * 2) / 32768);
}

/**
 * That a page plays what was `said`, and never what somebody else said. Listens up to three times within the call: on a busy machine the first
 * seconds of a call are stretched and have holes.
 */
export const hears = (page, said, options) => hearsBy(() => hear(page, 5), said, options);
/** The same of what `listen` hears. */
export async function hearsBy(listen, said, { not: other, what = 'what was said' } = {}) {
  const found = [];
  while (found.length < 3 && !(found.at(-1) > LIKE)) {
    const heard = await listen();
    found.push(likeness(said, heard));
    if (other) assert.ok(likeness(other, heard) < UNLIKE, 'somebody else is heard');
  }
  assert.ok(found.at(-1) > LIKE, `${what} is not heard: ${found}`);
}

export const state = (page) => page.textContent('.call .state').catch(() => '');
export const waitState = (page, text, timeout = 20000) =>
  page.waitForFunction((text) => document.querySelector('.call .state')?.textContent === text, text, { timeout });
export async function ring(page, callee) {
  await page.fill('#callee', callee);
  await page.click('#dial button[type=submit]');
}
/** One rings the other, by their name, and they talk. */
export async function talk(caller, callee, name) {
  await ring(caller, name);
  await callee.waitForSelector('.answer:not([hidden])');
  await callee.click('.answer');
  for (const page of [caller, callee]) await waitState(page, 'On the line');
}
