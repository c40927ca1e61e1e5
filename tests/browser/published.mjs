// Applications written for the published API, on pages of another origin than the server's.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

let server;
let first;
let second;
let origin;
before(async () => {
  server = await s.serve('127.0.0.1:0', '--push-subject', 'mailto:tests@example.org');
  first = await s.browser('published-a', s.speechLike(14));
  second = await s.browser('published-b', s.speechLike(15));
  origin = await s.site();
});
after(s.cleanUp);

const { says } = s;
const status = (page) => page.textContent('#status');
async function open(browser, name, more = {}) {
  const page = await s.tab(browser);
  await page.goto(`${origin}/${name}?${new URLSearchParams({ host: server.host, key: server.key, secret: server.secret, ...more })}`);
  await says(page, 'ready');
  return page;
}
async function phone(browser, user, more) {
  const page = await open(browser, 'builder.html', more);
  await page.fill('#me', user);
  await page.click('#start');
  return page;
}
/** How bright the picture is, 0 to 255. */
const brightness = (page) =>
  page.evaluate(() => {
    const canvas = new OffscreenCanvas(32, 24).getContext('2d');
    canvas.drawImage(document.getElementById('incoming'), 0, 0, 32, 24);
    const { data } = canvas.getImageData(0, 0, 32, 24);
    return data.reduce((sum, value, i) => (i % 4 < 3 ? sum + value : sum), 0) / (32 * 24 * 3);
  });

test('builder, late listener, push without permission, headers, video that pauses and changes, names of numbers', async () => {
  const dave = await phone(second, 'dave', { late: 1500 });
  await says(dave, 'push refused SinchError');
  assert.match(await status(dave), /push refused SinchError 4000 3: notifications are not allowed: calls come in while the page is open/);
  const carol = await phone(first, 'carol', { host: `http://${server.host}` });
  await says(carol, 'started carol true');
  await carol.fill('#callee', 'dave');
  await carol.click('#video');
  await says(carol, 'calling Init Outbound true');
  await says(dave, 'incoming from carol {"subject":"lunch","table":"4"} video true same true');
  await says(carol, 'Ringing');
  assert.equal(await dave.evaluate(() => document.getElementById('outgoing').srcObject.getTracks().length), 0, 'no camera before the answer');
  await dave.click('#answer');
  for (const page of [carol, dave]) {
    await says(page, 'Established');
    await page.waitForFunction(() => document.getElementById('incoming').videoWidth > 0 && document.getElementById('incoming').currentTime > 0.5);
  }
  await dave.click('#answer');
  await says(dave, 'no answer InvalidOperationError');
  await s.until('a picture', async () => (await brightness(dave)) > 20);
  await carol.click('#pause');
  await s.until('a black picture', async () => (await brightness(dave)) < 5);
  await carol.click('#pause');
  await s.until('a picture again', async () => (await brightness(dave)) > 20);
  await carol.click('#small');
  await dave.waitForFunction(() => document.getElementById('incoming').videoWidth <= 320, undefined, { timeout: 20000 });
  assert.ok((await s.hear(dave, 3, '#incoming')).some((sample) => Math.abs(sample) > 0.02), 'carol is heard');
  await dave.click('#hangup');
  for (const page of [carol, dave]) await says(page, 'gone true');
  const told = (await status(carol)).split(';').filter((text) => /^[A-Z]/.test(text));
  assert.deepEqual(told, ['Progressing', 'Ringing', 'Answered', 'Established']);
  assert.deepEqual((await status(dave)).split(';').filter((text) => /^[A-Z]/.test(text)), ['Answered', 'Established']);
  for (const page of [carol, dave]) {
    assert.match(await status(page), /track audio true[\s\S]*ended HungUp undefined same true/);
    assert.match(await status(page), /track video true/);
    const details = await page.evaluate(() => window.details);
    assert.ok(details.duration > 1000 && details.connectionDuration > 0 && details.ringingDuration > 0, JSON.stringify(details));
    assert.deepEqual([details.hadAudioStream, details.hadVideoStream, details.requestedVideo, details.requestedAudio], [true, true, true, true]);
  }
  await s.close(carol, dave);
});

test('a call from the builder to the seed page, denied, canceled, answered', async () => {
  const erin = await phone(first, 'erin');
  await says(erin, 'started erin true');
  const frank = await open(second, 'seed.html');
  await frank.fill('#me', 'frank');
  await frank.click('#start');
  await s.until('the start', () => frank.said.some((text) => text.includes('Client started for')));
  await erin.fill('#callee', 'frank');
  const ring = async (count) => {
    await erin.click('#voice');
    await frank.waitForFunction((count) => document.getElementById('status').textContent.split('incoming').length > count, count);
  };
  await ring(1);
  await frank.click('#hangup');
  await says(erin, 'ended Denied');
  await ring(2);
  await erin.click('#hangup');
  await says(frank, 'ended 6');
  await ring(3);
  await frank.click('#answer');
  await says(erin, 'Established');
  await erin.click('#hangup');
  await says(frank, 'ended 5');
  await s.close(erin, frank);
});

test('imported as a module from another origin: names, arguments, addresses, listeners that come late', async () => {
  const page = await open(first, 'module.html', { me: 'grace' });
  const answer = (name) => page.evaluate((name) => window.answers[name](), name);
  assert.deepEqual(await answer('names'), [true, 'string', 'Established', 5, 'Inactive', 7, 'Http', 'CallFailedToConnectIce', 6]);
  const building = await answer('building');
  assert.deepEqual(building, [...Array(13).fill('ArgumentError'), 'allowed']);
  assert.deepEqual(await answer('hosts'), Array(5).fill([true, false]).flat());
  assert.deepEqual(await answer('late'), ['InvalidOperationError', true]);
  assert.equal(await answer('devices'), 1);
  await s.close(page);
});

test('calls that cannot be, and one that nobody takes', async () => {
  const page = await open(first, 'module.html', { me: 'heidi' });
  const { early, wrong, before, inVain, after } = await page.evaluate(() => window.answers.calls());
  assert.equal(early, 'InvalidOperationError');
  const unsupported = 'SinchError 4000 3 false';
  const is = 'ArgumentError';
  assert.deepEqual(wrong, [is, is, is, is, is, is, is, is, unsupported, is, is, is, is]);
  assert.deepEqual(before, [0, 'Outbound', true, 1]);
  assert.deepEqual(inVain, ['InvalidOperationError', 'InvalidOperationError', 'ArgumentError']);
  assert.deepEqual(after, [3, 6, 0, 0, 0, undefined, true, true]);
  await s.close(page);
});

test('a push message that an application relays starts the client it is for, and no other', async () => {
  const page = await open(first, 'module.html', { me: 'ivan' });
  const { foreign, stranger, mine, end } = await page.evaluate(() => window.answers.pushes());
  assert.deepEqual(foreign, Array(8).fill(false));
  assert.deepEqual(stranger, [true, 'bob', 'c-1', false]);
  assert.deepEqual(mine, [true, 'bob', 'c-1', false]);
  assert.equal(end, true);
  await s.close(page);
});
