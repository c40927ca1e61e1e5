// Applications in the styles of frameworks, on pages of another origin: services and zones, hooks, deferreds, listeners that are classes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

let server;
let first;
let second;
let origin;
before(async () => {
  server = await s.serve();
  first = await s.browser('styles-a', s.speechLike(18));
  second = await s.browser('styles-b', s.speechLike(19));
  origin = await s.site();
});
after(s.cleanUp);

const { act, says } = s;
const shows = (page, text) =>
  page.waitForFunction((text) => document.querySelector('output').textContent === text, text, { timeout: 20000 }).catch(async (error) => {
    throw new Error(`waited in vain for ${text}: ${await page.textContent('output')} ${await page.textContent('#status')} ${page.complaints}`, { cause: error });
  });
const open = (browser, app, me, more) => s.applicationPage(browser, origin, server, app, { me, ...more });

test('a service whose promises are those of a zone, that names the published host and starts when managed push is there, as the published sample does', async () => {
  const [kim, lou] = [await open(first, 'service', 'kim', { before: 'zone.js' }), await open(second, 'service', 'lou', { before: 'zone.js' })];
  assert.deepEqual([await act(kim, 'start', 'kim'), await act(lou, 'start', 'lou')], [true, true]);
  await act(kim, 'ring', 'lou');
  for (const page of [kim, lou]) await says(page, 'Established true');
  await act(lou, 'hangup');
  for (const page of [kim, lou]) await says(page, 'Ended true');
  assert.equal((await kim.textContent('#status')), 'ready;login over;Progressing true;Ringing true;Answered true;Established true;Ended true;');
  assert.equal((await lou.textContent('#status')).replace('answered;', ''), 'ready;login over;Answered true;Established true;Ended true;');
  await act(kim, 'ring', 'nobody-there');
  await says(kim, 'Progressing', 2);
  for (const page of [kim, lou]) await act(page, 'stop');
  await says(kim, 'Ended true', 2);
  // The browser's own note that the server has no key of a push service.
  for (const page of [kim, lou]) assert.match(page.complaints.splice(0).join(), /^Failed to load resource: the server responded with a status of 404 [^,]*$/);
  await s.close(kim, lou);
});

test('hooks whose effects run twice and late miss nothing of a call, and no client stays behind', async () => {
  const [mia, ned] = [await open(first, 'hooks', 'mia'), await open(second, 'hooks', 'ned')];
  for (const page of [mia, ned]) await shows(page, 'true idle nobody');
  assert.equal(await mia.textContent('#status'), 'ready;start InvalidOperationError;', 'the first one was undone');
  await act(mia, 'ring', 'ned');
  await shows(ned, 'true incoming mia');
  await shows(mia, 'true ringing ned');
  await act(ned, 'answer');
  for (const page of [mia, ned]) await page.waitForFunction(() => document.querySelector('output').textContent.includes('established'));
  await act(ned, 'hangup');
  for (const page of [mia, ned]) await shows(page, 'true ended HungUp nobody');
  assert.deepEqual(await act(mia, 'log'), ['progressing', 'ringing', 'answered', 'established', 'ended HungUp']);
  assert.deepEqual(await act(ned, 'log'), ['answered', 'established', 'ended HungUp']);
  // Who rings and is gone before the component listens.
  await act(mia, 'ring', 'ned');
  await ned.waitForFunction(() => document.querySelector('output').textContent.includes('incoming'));
  await act(ned, 'hangup');
  for (const page of [mia, ned]) await shows(page, 'true ended Denied nobody');
  await s.close(mia, ned);
});

test('a desk with a queue: parallel calls on hold and muted, an audio element for each, deferreds that come late', async () => {
  const desk = await open(first, 'desk', 'desk');
  const [oda, pat] = [await open(second, 'desk', 'oda'), await open(second, 'desk', 'pat')];
  for (const page of [desk, oda, pat]) {
    await act(page, 'start');
    await says(page, 'started');
  }
  await act(oda, 'ring', 'desk');
  await shows(desk, 'waiting 1 running 1 active none');
  await act(pat, 'ring', 'desk');
  await shows(desk, 'waiting 2 running 2 active none');
  assert.equal(await act(desk, 'next'), 'oda');
  await shows(desk, 'waiting 1 running 2 active oda');
  assert.equal(await act(desk, 'next'), 'pat');
  await shows(desk, 'waiting 0 running 2 active pat');
  const loud = async (page, id) => (await s.hear(page, 1.5, `#${id}`)).some((sample) => Math.abs(sample) > 0.02);
  const hear = (page, id, is) => s.until(`${id} ${is}`, async () => (await loud(page, id)) === is);
  await hear(desk, 'audio-pat', true);
  await hear(desk, 'audio-oda', false);
  await hear(pat, 'audio-desk', true);
  await hear(oda, 'audio-desk', false);
  await act(desk, 'focus', 'oda');
  await hear(desk, 'audio-oda', true);
  await hear(desk, 'audio-pat', false);
  await hear(oda, 'audio-desk', true);
  await act(desk, 'hangup');
  await says(oda, 'desk Ended');
  await shows(desk, 'waiting 0 running 1 active none');
  assert.match(await oda.textContent('#status'), /desk Progressing;desk Ringing;desk Answered;desk Established;desk Ended;$/);
  assert.equal(await desk.locator('audio').count(), 1);
  // The other call is still on hold as the desk closes.
  assert.deepEqual(await act(desk, 'closing'), [false, 0, 0]);
  await says(pat, 'desk Ended');
  assert.equal(await pat.locator('audio').count(), 0);
  await s.close(desk, oda, pat);
});

test('video with a view of oneself, a bot that answers, a journal of dates', async () => {
  const bot = await open(second, 'journal', 'bot', { bot: 1 });
  const quin = await open(first, 'journal', 'quin');
  for (const page of [bot, quin]) await says(page, 'started');
  await act(quin, 'ring', 'bot', { topic: 'weather' });
  for (const page of [bot, quin]) await says(page, 'established undefined 0');
  await quin.waitForFunction(() => ['incoming', 'self'].every((id) => document.getElementById(id).videoWidth > 0));
  for (const page of [bot, quin]) await says(page, 'ended 1');
  await act(quin, 'ring', 'absent');
  await act(quin, 'hangup');
  await says(quin, 'ended 2');
  const [answered, vain] = await act(quin, 'journal');
  const [taken] = await act(bot, 'journal');
  assert.deepEqual([answered.with, answered.incoming, answered.video, answered.had, answered.cause, answered.error], ['bot', false, true, [true, true], 'HungUp', null]);
  assert.deepEqual([taken.with, taken.shown, taken.incoming, taken.video, taken.headers, taken.cause], ['quin', 'quin of the journal', true, true, { topic: 'weather' }, 'HungUp']);
  assert.deepEqual([vain.cause, vain.talked, vain.length], ['Canceled', 0, 0]);
  for (const [entry, times] of [[answered, 6], [taken, 4], [vain, 2]]) {
    const { order, length, talked, iso, waits } = entry;
    assert.ok(order.length >= times && order.every((time, i) => i === 0 || time >= order[i - 1]), JSON.stringify(entry));
    assert.equal(length, talked);
    assert.ok(Math.abs(Date.parse(iso) - Date.now()) < 60000 && waits.every((ms) => Number.isInteger(ms) && ms >= 0), JSON.stringify(entry));
  }
  await s.close(bot, quin);
});
