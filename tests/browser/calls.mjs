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
  const [atCaller, atCallee] = await Promise.all([s.hear(caller, 5), s.hear(callee, 5)]);
  assert.ok(s.likeness(SAID.b, atCaller) > LIKE && s.likeness(SAID.a, atCaller) < UNLIKE);
  assert.ok(s.likeness(SAID.a, atCallee) > LIKE && s.likeness(SAID.b, atCallee) < UNLIKE);
  await caller.click('.mute');
  await new Promise((resolve) => setTimeout(resolve, 500));
  const muted = await s.hear(callee, 2);
  assert.ok(muted.every((sample) => Math.abs(sample) < 0.01), 'muted');
  await caller.click('.mute');
  assert.ok(s.likeness(SAID.a, await s.hear(callee, 4)) > LIKE, 'heard again');
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
  const [atCaller, atCallee] = await Promise.all([s.hear(two.caller, 4), s.hear(two.callee, 4)]);
  assert.ok(s.likeness(SAID.b, atCaller) > LIKE && s.likeness(SAID.a, atCallee) > LIKE);
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
    assert.ok(s.likeness(SAID.b, await s.hear(two.caller, 4)) > LIKE, 'without a server');
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
  const sound = await s.hear(caller, 5);
  assert.ok(s.likeness(SAID.rust, sound) > LIKE, 'the Rust client is heard');
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
  const rust = s.run(['call', 'bob', ...account('rusty'), '--input', wav, '--output', heard, '--duration', '8', '--json']);
  await callee.waitForSelector('.answer:not([hidden])');
  await callee.click('.answer');
  await s.waitState(callee, 'On the line');
  const shown = await code(callee);
  assert.ok(s.likeness(SAID.rust, await s.hear(callee, 5)) > LIKE, 'the Rust client is heard');
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
  const says = (page, text) => page.waitForFunction((text) => document.getElementById('status').textContent.includes(text), text);
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
