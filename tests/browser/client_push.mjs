// Web Push of offhook.js under node, with a service worker and a push service.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KEY, createSinch, turn, welcome, world } from './world.mjs';

/** The world with a service worker and a push service. */
function pushable() {
  const all = world();
  const subscribed = [];
  const listeners = new Set();
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
    addEventListener: (type, listener) => listeners.add(listener),
    removeEventListener: (type, listener) => listeners.delete(listener),
  };
  Object.assign(all.env, {
    PushManager: class {},
    Notification: { requestPermission: async () => all.permission ?? 'granted' },
    fetch: async (url) => ({ ok: (all.asked = url) && all.key !== null, json: async () => ({ public_key: all.key ?? 'KEY' }) }),
  });
  return { ...all, all, subscribed, tell: (data) => listeners.forEach((listener) => listener({ data })), subscription: () => subscription };
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

test('without permission, worker or Web Push setSupportManagedPush rejects, and calls go on', async () => {
  const wrong = { name: 'SinchError', code: 4000, domain: 3, message: /calls come in while the page is open/ };
  for (const [lack, path] of [
    [(all) => (all.permission = 'denied')], [() => {}, 'missing.js'],
    [(all) => delete all.env.PushManager], [(all) => delete all.env.navigator.serviceWorker],
    // In a sandboxed frame even the look is refused.
    [(all) => Object.defineProperty(all.env.navigator, 'serviceWorker', { get() { throw new DOMException('sandboxed', 'SecurityError'); } })],
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

test('the published order starts the client of a server that sends no Web Push, and asks nobody for anything', async () => {
  for (const lack of [(all) => (all.key = null), (all) => (all.env.fetch = async () => { throw new TypeError('offline'); })]) {
    const { env, all, sockets } = pushable();
    lack(all);
    env.Notification.requestPermission = () => assert.fail('there is nothing to allow');
    env.console = { warn: (...said) => (all.warned = said.join(' ')), debug() {} };
    const client = createSinch(env).getSinchClient(KEY, 'alice', '127.0.0.1:7070');
    client.addListener(register);
    assert.equal(await client.setSupportManagedPush().then((sends) => { client.start(); return sends; }), false);
    await turn();
    await welcome(sockets[0]);
    assert.ok(client.isStarted() && !sockets[0].last('push.subscribe'));
    assert.match(all.warned, /no Web Push: the server sends none/);
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
  tell({ visible: true, data: called });
  await turn();
  assert.equal(sockets.length, 1, 'who signed out is not rung');
});
