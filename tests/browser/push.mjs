// Web Push in a real service worker: the debugger of Chromium plays the push service.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

let server;
let chromium;
before(async () => {
  server = await s.serve();
  chromium = await s.browser('push', s.speechLike(5));
});
after(s.cleanUp);

const call = { v: 1, type: 'incoming_call', application_key: 'a32e5a8d-f7d8-411c-9645-9038e8dd051d', user_id: 'alice', call_id: 'c-1', from: 'bob' };

/** A page of the server's origin whose service worker is ours, and a push service for it. */
async function phone() {
  const page = await s.tab(chromium, { permissions: ['microphone', 'camera', 'notifications'] });
  await page.goto(`${server.origin}/`);
  const cdp = await page.context().newCDPSession(page);
  let registrationId;
  cdp.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => (registrationId = registrations[0]?.registrationId ?? registrationId));
  await cdp.send('ServiceWorker.enable');
  await page.evaluate(async () => {
    window.told = [];
    navigator.serviceWorker.addEventListener('message', ({ data }) => window.told.push(data));
    await navigator.serviceWorker.register('/offhook-sw.js');
    await navigator.serviceWorker.ready;
  });
  const worker = await s.until('the worker', () => page.context().serviceWorkers()[0]);
  await s.until('the registration', () => registrationId);
  const push = (message) =>
    cdp.send('ServiceWorker.deliverPushMessage', { origin: server.origin, registrationId, data: typeof message === 'string' ? message : JSON.stringify(message) });
  const shown = () =>
    worker.evaluate(async () => (await registration.getNotifications()).map(({ title, tag, data }) => ({ title, tag, type: data.type })));
  return { page, worker, push, shown };
}

/** The page as if another window lay over it: the worker asks each page how visible it is. */
const cover = (worker) =>
  worker.evaluate(() => {
    const { matchAll } = clients;
    clients.matchAll = async (...args) =>
      (await matchAll.apply(clients, args)).map((page) => ({
        url: page.url, visibilityState: 'hidden', focus: () => page.focus(), postMessage: (message) => page.postMessage(message),
      }));
  });

test('a person who looks at the page is told by the page, not by a notification', async () => {
  const { page, push, shown } = await phone();
  await push(call);
  await page.waitForFunction(() => window.told.length === 1);
  assert.deepEqual(await page.evaluate(() => window.told[0]), { visible: true, data: call });
  assert.deepEqual(await shown(), []);
  await page.context().close();
});

test('nobody looks: it is shown who calls, once, a click tells the page, and the end takes it away', async () => {
  const { page, worker, push, shown } = await phone();
  await cover(worker);
  await push(call);
  await push(call);
  await s.until('the notification', async () => (await shown()).length);
  assert.deepEqual(await shown(), [{ title: 'bob calls', tag: 'c-1', type: 'incoming_call' }]);
  await worker.evaluate(async () => {
    const [notification] = await registration.getNotifications();
    dispatchEvent(new NotificationEvent('notificationclick', { notification }));
  });
  await page.waitForFunction(() => window.told.length === 3);
  assert.deepEqual(await page.evaluate(() => window.told[2].data), call);
  assert.deepEqual(await shown(), []);
  await push({ ...call, call_id: 'c-2', from: 'carol' });
  await s.until('the second call', async () => (await shown()).length);
  await push({ v: 1, type: 'call_ended', call_id: 'c-2', end_cause: 'other_device_answered' });
  await s.until('nothing to see', async () => !(await shown()).length);
  await page.context().close();
});

test('a missed call stays to be seen, and what is no message of ours shows nothing', async () => {
  const { page, worker, push, shown } = await phone();
  await cover(worker);
  for (const foreign of ['', 'no JSON', '[]', 'null', { v: 2, call_id: 'x', type: 'incoming_call' }, { v: 1, type: 'incoming_call' }]) await push(foreign);
  await push({ v: 1, type: 'call_ended', call_id: 'unknown', end_cause: 'canceled' });
  await push(call);
  await s.until('the call', async () => (await shown()).length);
  assert.equal((await shown()).length, 1);
  await push({ v: 1, type: 'call_ended', call_id: 'c-1', end_cause: 'canceled' });
  await s.until('the missed call', async () => (await shown())[0]?.title === 'bob called');
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test('the softphone offers it, and says when the server sends no pushes or the push service cannot be reached', async () => {
  const page = await s.tab(chromium, { permissions: ['microphone', 'camera', 'notifications'] });
  const key = 'BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM';
  let answer = { status: 404, body: '' };
  await page.route('**/v1/push', (route) => route.fulfill(answer));
  await s.signIn(page, server, 'alice');
  await page.click('#push');
  await page.waitForFunction(() => /sends no Web Push/.test(document.getElementById('notice').textContent));
  answer = { json: { public_key: key } };
  await page.evaluate(() => (document.getElementById('notice').textContent = ''));
  await page.click('#push:not([disabled])');
  // Off the record, and without Google's servers, Chromium cannot subscribe.
  await page.waitForFunction(() => /push service/.test(document.getElementById('notice').textContent));
  assert.equal(await page.getAttribute('#push', 'aria-pressed'), 'false');
  await page.unroute('**/v1/push');
  await page.context().close();
});
