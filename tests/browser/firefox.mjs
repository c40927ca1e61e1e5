// Firefox as the distribution has it, driven by WebDriver BiDi, with a microphone and a speaker of a sound server of the test's own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { Bench, channels } from './sound_server.mjs';
import * as s from './support.mjs';

const puppeteer = createRequire(s.modules)('puppeteer-core');
const SAID = { firefox: s.speechLike(1), chromium: s.speechLike(2), rust: s.speechLike(3) };
const { LIKE } = s;
let server;
let bench;
let firefox;

before(async () => {
  const folder = join(s.scratch, 'sound');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  bench = await Bench.start(folder);
  execFileSync('pactl', ['set-default-source', 'mic_a']);
  execFileSync('pactl', ['set-default-sink', 'ear_a']);
  const voice = join(s.scratch, 'firefox.raw');
  writeFileSync(voice, Buffer.from(Int16Array.from(s.long(SAID.firefox), (x) => x * 32767).buffer));
  speak(voice);
  // On one machine all addresses are of the kind that a relay refuses unless it is told otherwise.
  server = await s.serve('127.0.0.1:0', '--turn', '127.0.0.1:0', '--turn-allow-peers', '0.0.0.0/0');
  firefox = await launch();
});
after(async () => {
  await firefox?.close();
  await bench?.stop();
  await s.cleanUp();
});

/** Says it again and again, for as long as there is a sound server. */
async function speak(path) {
  while (bench.server.exitCode === null && bench.server.signalCode === null) await bench.say('a', path);
}

function launch(settings = {}) {
  // No question to the person; their own machine's addresses as they are; sound without a click; only loopback in between.
  const usual = {
    'media.navigator.permission.disabled': true, 'media.peerconnection.ice.obfuscate_host_addresses': false, 'media.autoplay.default': 0,
    'media.autoplay.blocking_policy': 0, 'media.peerconnection.ice.loopback': true,
  };
  const extraPrefsFirefox = { ...usual, ...settings };
  return puppeteer.launch({ browser: 'firefox', executablePath: s.firefoxPath, headless: true, extraPrefsFirefox });
}

/** A tab, with what it complained about. */
async function tab(launched = firefox) {
  const page = await launched.newPage();
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && page.complaints.push(message.text()));
  await page.evaluateOnNewDocument(s.leaveSoundAsItIs);
  return page;
}

async function close(page) {
  assert.deepEqual(page.complaints, []);
  await page.close();
}

async function application(user, launched) {
  const page = await tab(launched);
  await page.goto(server.origin);
  await page.evaluate(s.beApplication, user);
  return page;
}

/** What Firefox plays, behind its playout. */
async function listen() {
  const path = join(s.scratch, 'heard.raw');
  const stop = bench.record(path);
  await new Promise((resolve) => setTimeout(resolve, 5500));
  await stop();
  return Float32Array.from(channels(path).ear_a, (x) => x / 32768);
}
const hears = (said, what) => s.hearsBy(listen, said, { not: said === SAID.firefox ? undefined : SAID.firefox, what });

const told = (page, text) => s.until(`${text} told`, () => page.evaluate((text) => window.told.includes(text), text), 40000);
const ring = (page, callee) => page.evaluate(async (callee) => window.take(await window.client.callClient.callUser(callee)), callee);
const account = (user) => ['--server', server.host, '--application-key', server.key, '--application-secret', server.secret, '--user', user];

test('Firefox calls the Rust client: both hear each other, and keys arrive', async () => {
  const wav = s.writeWav(join(s.scratch, 'rust.wav'), s.long(SAID.rust));
  const heard = join(s.scratch, 'rust-heard.wav');
  const rust = s.run(['answer', ...account('rusty'), '--auto', '--input', wav, '--output', heard, '--json']);
  await s.until('the Rust client', () => rust.output().includes('waits for a call'));
  const caller = await application('fiona');
  await ring(caller, 'rusty');
  await told(caller, 'established');
  await hears(SAID.rust, 'the Rust client');
  await caller.evaluate(() => window.call.sendDtmf('42'));
  await s.until('the keys', () => /pressed 4[\s\S]*pressed 2/.test(rust.output()));
  await caller.evaluate(() => window.call.hangup());
  const { out } = await rust.ended;
  const { samples, rate } = s.readWav(heard);
  assert.ok(s.bestLikeness(SAID.firefox, samples, rate) > LIKE, 'Firefox is heard');
  const { end_cause: cause, verification } = JSON.parse(out);
  assert.deepEqual({ cause, verification }, { cause: 'HungUp', verification: 'Ready' });
  await close(caller);
});

test('the Rust client calls Firefox', async () => {
  const wav = s.writeWav(join(s.scratch, 'rust.wav'), s.long(SAID.rust));
  const callee = await application('frank');
  const rust = s.run(['call', 'frank', ...account('rusty'), '--input', wav, '--output', join(s.scratch, 'x.wav'), '--duration', '60', '--json']);
  await told(callee, 'established');
  await hears(SAID.rust, 'the Rust client');
  rust.child.kill('SIGINT');
  assert.equal((await rust.ended).code, 0, rust.output());
  await told(callee, 'ended');
  await close(callee);
});

test('Firefox and Chromium call each other', async () => {
  const launched = await s.browser('chromium', SAID.chromium);
  const other = await s.application(launched, server, 'carla');
  const own = await application('fred');
  await ring(own, 'carla');
  await Promise.all([told(own, 'established'), s.told(other, 'established')]);
  const codes = await Promise.all([own, other].map((page) => page.evaluate(() => window.call.authenticationString)));
  assert.equal(codes[0], codes[1]);
  await hears(SAID.chromium, 'Chromium');
  await s.hears(other, SAID.firefox, { what: 'Firefox' });
  await own.evaluate(() => window.call.hangup());
  await s.told(other, 'ended');
  await other.evaluate(() => (window.told.length = 0));
  await own.evaluate(() => (window.told.length = 0));
  await ring(other, 'fred');
  await Promise.all([told(own, 'established'), s.told(other, 'established')]);
  await hears(SAID.chromium, 'Chromium, who called');
  await other.evaluate(() => window.call.hangup());
  await told(own, 'ended');
  await s.close(other);
  await close(own);
});

test('the softphone page in Firefox: signs in, rings the echo, holds, hangs up', async () => {
  const page = await tab();
  await page.goto(server.origin);
  await page.type('#user', 'fay');
  await page.click('#sign-in button[type=submit]');
  await page.waitForSelector('#phone:not([hidden])');
  await page.type('#callee', 'echo');
  await page.click('#dial button[type=submit]');
  const state = (text) => s.until(text, () => page.$eval('.call .state', (line) => line.textContent).then((now) => now === text, () => false));
  await state('On the line');
  await hears(SAID.firefox, 'the echo');
  await page.click('.hold');
  await state('On hold');
  await page.click('.hold');
  await state('On the line');
  await page.click('.hangup');
  await s.until('the end', () => page.$eval('#notice', (line) => line.textContent.includes('call over')));
  await close(page);
});

test('Firefox calls the Rust client through nothing but the relay', async () => {
  const wav = s.writeWav(join(s.scratch, 'rust.wav'), s.long(SAID.rust));
  const heard = join(s.scratch, 'rust-heard-relayed.wav');
  const rust = s.run(['answer', ...account('rory'), '--auto', '--relay-only', '--input', wav, '--output', heard, '--json']);
  await s.until('the Rust client', () => rust.output().includes('waits for a call'));
  const caller = await application('fern');
  await caller.evaluate(() => window.client.setUseRelayIceCandidatesOnly(true));
  await ring(caller, 'rory');
  await told(caller, 'established');
  await hears(SAID.rust, 'the Rust client');
  await caller.evaluate(() => window.call.hangup());
  const { out } = await rust.ended;
  const { samples, rate } = s.readWav(heard);
  assert.ok(s.bestLikeness(SAID.firefox, samples, rate) > LIKE, 'Firefox is heard');
  const { local_kind: own, remote_kind: other } = JSON.parse(out).ice;
  assert.deepEqual([own, other], ['relay', 'relay']);
  await close(caller);
});

test('the server is killed and comes back during a call of Firefox: the sound goes on, and hanging up is heard', async () => {
  const data = join(s.scratch, 'data');
  const before = await s.serve('127.0.0.1:0', '--data', data);
  const launched = await s.browser('stays', SAID.chromium);
  const other = await s.application(launched, before, 'stella');
  const page = await tab();
  await page.goto(before.origin);
  await page.evaluate(s.beApplication, 'stan');
  await ring(page, 'stella');
  await Promise.all([told(page, 'established'), s.told(other, 'established')]);
  before.child.kill('SIGKILL');
  await before.ended;
  await s.serve(before.host, '--data', data);
  await hears(SAID.chromium, 'Chromium, without a server');
  await page.evaluate(() => window.call.hangup());
  await s.told(other, 'ended');
  await page.close();
  await other.context().close();
});

/** In a page: whether the other side's picture comes and moves, within some seconds. */
async function moves() {
  const video = Object.assign(document.createElement('video'), { muted: true, srcObject: window.call.incomingStream });
  document.body.append(video);
  video.play();
  const pen = Object.assign(document.createElement('canvas'), { width: 64, height: 64 }).getContext('2d', { willReadFrequently: true });
  const seen = new Set();
  for (let looks = 0; looks < 200 && seen.size < 5; looks += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (!video.videoWidth) continue;
    pen.drawImage(video, 0, 0, 64, 64);
    seen.add(pen.getImageData(0, 0, 64, 64).data.join());
  }
  video.remove();
  return seen.size === 5;
}

test('Firefox and Chromium see each other, whoever calls', async () => {
  // A camera that does not exist comes with a microphone that does not.
  const [seeing, launched] = await Promise.all([launch({ 'media.navigator.streams.fake': true }), s.browser('seen', SAID.chromium)]);
  const other = await s.application(launched, server, 'vera');
  const own = await application('vito', seeing);
  for (const [caller, callee] of [[own, 'vera'], [other, 'vito']]) {
    await caller.evaluate(async (callee) => window.take(await window.client.callClient.callUserVideo(callee)), callee);
    await Promise.all([told(own, 'established'), s.told(other, 'established')]);
    assert.deepEqual(await Promise.all([own, other].map((page) => page.evaluate(moves))), [true, true]);
    await caller.evaluate(() => window.call.hangup());
    await Promise.all([told(own, 'ended'), s.told(other, 'ended')]);
    for (const page of [own, other]) await page.evaluate(() => (window.told.length = 0));
  }
  await s.close(other);
  await close(own);
  await seeing.close();
});
