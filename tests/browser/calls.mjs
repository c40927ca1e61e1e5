// Calls between browsers and with the Rust client. Sound is judged by content: what one microphone plays is found in what the other hears.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

const SAID = { a: s.speechLike(1), b: s.speechLike(2), rust: s.speechLike(3) };
const { LIKE, UNLIKE } = s;
let server;
let first;
let second;

before(async () => {
  server = await s.serve();
  first = await s.browser('a', SAID.a);
  second = await s.browser('b', SAID.b);
});
after(s.cleanUp);

/** A tab whose sound the browser leaves as it is, so that it can be compared. */
async function person(browser, user) {
  const page = await s.tab(browser);
  await s.plainSound(page);
  return s.signIn(page, server, user);
}

async function pair() {
  const name = Math.random().toString(36).slice(2, 8);
  const caller = await person(first, `alice-${name}`);
  const callee = await person(second, `bob-${name}`);
  return { caller, callee, callers: `alice-${name}`, callees: `bob-${name}` };
}

const established = ({ caller, callee, callees }) => s.talk(caller, callee, callees);

/** The authentication string as it is shown. */
async function code(page) {
  await page.waitForSelector('.code:not([hidden])');
  return page.textContent('.code');
}

test('what is compared: a voice is like itself, with holes too, and unlike every other', () => {
  const voices = Array.from({ length: 6 }, (_, i) => s.speechLike(20 + i));
  for (const [i, said] of voices.entries()) {
    const heard = said.slice(100000, 100000 + 5 * 48000);
    for (let at = 0; at < heard.length; at += 48000) heard.fill(0, at, at + 3000);
    assert.ok(s.likeness(said, heard) > LIKE, `voice ${i}`);
    for (const other of voices) if (other !== said) assert.ok(s.likeness(other, heard) < UNLIKE, `voice ${i} is another`);
  }
  assert.equal(s.likeness(voices[0], new Float32Array(5 * 48000)), 0, 'silence is like nothing');
});

test('browser to browser: each hears what the other says, mute silences, hanging up ends both', async () => {
  const two = await pair();
  const { caller, callee, callees } = two;
  await s.ring(caller, callees);
  await callee.waitForSelector('.answer:not([hidden])');
  await s.waitState(caller, 'Ringing…');
  await callee.click('.answer');
  await Promise.all([s.waitState(caller, 'On the line'), s.waitState(callee, 'On the line')]);
  const codes = await Promise.all([caller, callee].map(code));
  assert.match(codes[0], /^Code \d{4} \d{4}$/);
  assert.equal(codes[0], codes[1]);
  await Promise.all([s.hears(caller, SAID.b, { not: SAID.a }), s.hears(callee, SAID.a, { not: SAID.b })]);
  await caller.click('.mute');
  await new Promise((resolve) => setTimeout(resolve, 500));
  const muted = await s.hear(callee, 2);
  assert.ok(muted.every((sample) => Math.abs(sample) < 0.01), 'muted');
  await caller.click('.mute');
  await s.hears(callee, SAID.a, { what: 'who was muted' });
  await caller.click('.hangup');
  await s.waitState(callee, 'call over');
  await s.close(caller, callee);
});

test('hold silences both ways, and the call goes on after it', async () => {
  const two = await pair();
  await established(two);
  await two.callee.click('.hold');
  await s.waitState(two.callee, 'On hold');
  await new Promise((resolve) => setTimeout(resolve, 700));
  const held = await Promise.all([s.hear(two.caller, 2), s.hear(two.callee, 2)]);
  for (const sound of held) assert.ok(sound.every((sample) => Math.abs(sample) < 0.01), 'held');
  await two.callee.click('.hold');
  await s.waitState(two.callee, 'On the line');
  await new Promise((resolve) => setTimeout(resolve, 700));
  await Promise.all([s.hears(two.caller, SAID.b), s.hears(two.callee, SAID.a)]);
  await s.close(two.caller, two.callee);
});

test('video: both pictures move at both sides', async () => {
  const { caller, callee, callees } = await pair();
  await caller.fill('#callee', callees);
  await caller.click('#ring-video');
  await callee.waitForSelector('.answer:not([hidden])');
  await callee.click('.answer');
  for (const page of [caller, callee]) {
    await s.waitState(page, 'On the line');
    await page.waitForFunction(() => document.querySelector('.far').videoWidth > 0 && document.querySelector('.far').currentTime > 0.5);
  }
  await s.close(caller, callee);
});

test('deny, cancel', async () => {
  const { caller, callee, callees } = await pair();
  await s.ring(caller, callees);
  await callee.waitForSelector('.answer:not([hidden])');
  await callee.click('.hangup');
  await s.waitState(caller, 'declined');
  await caller.waitForSelector('.call', { state: 'detached' });
  await callee.waitForSelector('.call', { state: 'detached' });
  await s.ring(caller, callees);
  await callee.waitForSelector('.answer:not([hidden])');
  await caller.click('.hangup');
  await s.waitState(callee, 'call withdrawn');
  await s.close(caller, callee);
});

test('three pages of one user ring, one answers, the others are told', async () => {
  const { caller, callee, callees } = await pair();
  const devices = [callee, await person(second, callees), await s.signIn(await callee.context().newPage(), server, callees)];
  await s.ring(caller, callees);
  for (const device of devices) await device.waitForSelector('.answer:not([hidden])');
  await devices[1].click('.answer');
  await s.waitState(devices[1], 'On the line');
  for (const device of [devices[0], devices[2]]) await s.waitState(device, 'answered on another device');
  await caller.click('.hangup');
  await s.close(caller, devices[1], callee);
});

test('a page that is loaded again ends its call, and can be rung at once', async () => {
  const two = await pair();
  await established(two);
  await two.callee.reload();
  await two.caller.waitForFunction(() => /over|lost/.test(document.querySelector('.call .state')?.textContent));
  await s.signIn(two.callee, server, two.callees);
  await two.caller.waitForSelector('.call', { state: 'detached' });
  await established(two);
  await s.close(two.caller, two.callee);
});

test('a server that is killed and started again during a call: the sound goes on, and hanging up is heard', async () => {
  const data = ['--data', join(s.scratch, 'data')];
  const usual = server;
  server = await s.serve('127.0.0.1:0', ...data);
  try {
    const two = await pair();
    await established(two);
    server.child.kill('SIGKILL');
    await two.caller.waitForSelector('#presence.away');
    await s.hears(two.caller, SAID.b, { what: 'without a server' });
    await s.serve(server.host, ...data);
    for (const page of [two.caller, two.callee]) await page.waitForSelector('#presence:not(.away)', { timeout: 30000 });
    await two.caller.click('.hangup');
    await s.waitState(two.callee, 'call over');
    for (const page of [two.caller, two.callee]) await page.context().close();
  } finally {
    server = usual;
  }
});

const account = (user) => ['--server', server.host, '--application-key', server.key, '--application-secret', server.secret, '--user', user];

test('browser to Rust: both hear each other, and keys arrive', async () => {
  const wav = s.writeWav(join(s.scratch, 'rust.wav'), s.long(SAID.rust));
  const heard = join(s.scratch, 'rust-heard.wav');
  const rust = s.run(['answer', ...account('rusty'), '--auto', '--input', wav, '--output', heard, '--json']);
  const caller = await person(first, 'alice');
  // Until it has registered, the call would time out.
  await s.until('the Rust client', () => rust.output().includes('waits for a call'));
  await s.ring(caller, 'rusty');
  await s.waitState(caller, 'On the line');
  const shown = await code(caller);
  await s.hears(caller, SAID.rust, { what: 'the Rust client' });
  await caller.click('.keys-toggle');
  for (const key of ['4', '2']) await caller.click(`.keypad button:text-is("${key}")`);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await caller.click('.hangup');
  const { out, err } = await rust.ended;
  const { samples, rate } = s.readWav(heard);
  assert.ok(s.bestLikeness(SAID.a, samples, rate) > LIKE, 'the browser is heard');
  assert.match(out + err, /pressed 4[\s\S]*pressed 2/);
  const report = JSON.parse(out);
  assert.deepEqual([report.verification, `Code ${report.authentication_string}`], ['Ready', shown]);
  assert.ok(err.includes(report.authentication_string), 'it is printed');
  await s.close(caller);
});

test('Rust to browser', async () => {
  const wav = s.writeWav(join(s.scratch, 'rust.wav'), s.long(SAID.rust));
  const heard = join(s.scratch, 'rust-heard-2.wav');
  const callee = await person(second, 'bob');
  const rust = s.run(['call', 'bob', ...account('rusty'), '--input', wav, '--output', heard, '--duration', '40', '--json']);
  await callee.waitForSelector('.answer:not([hidden])');
  await callee.click('.answer');
  await s.waitState(callee, 'On the line');
  const shown = await code(callee);
  await s.hears(callee, SAID.rust, { what: 'the Rust client' });
  rust.child.kill('SIGINT');
  const ended = await rust.ended;
  assert.equal(ended.code, 0, rust.output());
  assert.equal(`Code ${JSON.parse(ended.out).authentication_string}`, shown);
  const { samples, rate } = s.readWav(heard);
  assert.ok(s.bestLikeness(SAID.b, samples, rate) > LIKE, 'the browser is heard');
  await s.waitState(callee, 'call over');
  await s.close(callee);
});

test('the class of the seed page, word for word, calls and is called', async () => {
  const site = await s.site();
  const query = new URLSearchParams({ host: server.host, key: server.key, secret: server.secret });
  const pages = [];
  for (const [browser, user] of [[first, 'carol'], [second, 'dave']]) {
    const page = await s.tab(browser);
    await page.goto(`${site}/seed.html?${query}`);
    await page.waitForFunction(() => document.getElementById('status').textContent.includes('ready'));
    await page.fill('#me', user);
    await page.click('#start');
    pages.push(page);
  }
  const [carol, dave] = pages;
  const { says } = s;
  for (const page of pages) await s.until('the start', () => page.said.some((text) => text.includes('Client started for')));
  await carol.fill('#callee', 'dave');
  await carol.click('#call');
  await says(dave, 'incoming');
  await dave.click('#answer');
  await Promise.all([says(carol, 'established'), says(dave, 'established')]);
  assert.ok((await s.hear(dave, 3)).some((sample) => Math.abs(sample) > 0.02), 'carol is heard');
  await carol.click('#hangup');
  await says(dave, 'ended 5');
  await s.close(carol, dave);
});
