// What an application answers when it is asked for a token, and what comes of it, under node.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KEY, createSinch, started, turn, welcome, world } from './world.mjs';

/** A client whose application answers onCredentialsRequired in this way, in either spelling of the API. */
function asking(spelling, onCredentialsRequired, ...others) {
  const all = world();
  const sinch = createSinch(all.env);
  const client = spelling === 'seed'
    ? sinch.getSinchClient(KEY, 'alice', 'localhost')
    : sinch.getSinchClientBuilder().applicationKey(KEY).userId('alice').environmentHost('localhost').build();
  const failed = [];
  client[spelling === 'seed' ? 'setEventListener' : 'addListener']({ onCredentialsRequired, onClientFailed: (of, error) => failed.push([of === client, error]) });
  others.forEach((other) => client.addListener(other));
  return { ...all, client, failed };
}
const SOON = Symbol('still starting');
const outcome = (start) => Promise.race([start.then(() => 'started', (error) => error), turn().then(turn).then(() => SOON)]);
/** What is reported of errors of the application meanwhile. */
async function reporting(todo) {
  const errors = [];
  globalThis.reportError = ({ message }) => errors.push(message);
  try {
    await todo();
  } finally {
    delete globalThis.reportError;
  }
  return errors;
}

test('who registers with no token fails to start, in both spellings, and is told why', async () => {
  const offline = Promise.reject(new Error('offline'));
  offline.catch(() => {});
  for (const spelling of ['seed', 'builder']) {
    for (const [given, why] of [
      [[], /jwt is missing/], [[undefined], /jwt is missing/], [[null], /jwt is missing/], [[''], /jwt is missing/], [[7], /jwt must be a text/],
      [[{ token: 'TOKEN' }], /jwt must be a text/], [[['TOKEN']], /jwt must be a text/], [['x'.repeat(4097)], /at most 4096 bytes/],
      [[offline], /jwt must be a text/],
    ]) {
      let registered;
      const { client, failed, sockets } = asking(spelling, (_, registration) => void (registered = registration.register(...given)).catch(() => {}));
      const error = await outcome(client.start());
      assert.notEqual(error, SOON, `${spelling} ${given}`);
      assert.deepEqual([error.name, error.code, error.domain, error.isFatal], ['SinchError', 2002, 2, true]);
      assert.match(error.message, why);
      assert.deepEqual(failed, [[true, error]], 'told once, by the error that start() rejects with');
      await assert.rejects(registered, { name: 'ArgumentError', message: why });
      assert.deepEqual([client.isStarted(), sockets.length], [false, 0]);
    }
  }
});

test('a listener that fails to get a token, at once or later, fails the start, in both spellings', async () => {
  for (const spelling of ['seed', 'builder']) {
    for (const listener of [
      () => { throw new Error('signed out'); },
      async () => { throw new Error('signed out'); },
      () => turn().then(() => { throw new Error('signed out'); }),
      (_, { registerFailed }) => Promise.reject(new Error('signed out')).catch(registerFailed),
    ]) {
      let error;
      const { client, failed } = asking(spelling, listener);
      const errors = await reporting(async () => (error = await outcome(client.start())));
      assert.notEqual(error, SOON, `${spelling} ${listener}`);
      assert.deepEqual([error.name, error.code, error.domain, error.isFatal], ['SinchError', 2002, 2, true]);
      assert.match(error.message, /signed out/);
      assert.deepEqual(failed, [[true, error]]);
      assert.deepEqual(errors, `${listener}`.includes('registerFailed') ? [] : ['signed out'], 'the application hears of its own error, too');
    }
  }
  for (const reason of [undefined, null, 'text', {}, Object.create(null), Object.create(null, { message: { value: Symbol('no text') } })]) {
    const { client, failed } = asking('builder', (_, { registerFailed }) => registerFailed(reason));
    assert.equal((await outcome(client.start())).code, 2002, 'whatever the application says that the reason is');
    assert.equal(failed.length, 1);
  }
});

test('a listener that fails spoils no start that another listener, or its own register, brings about', async () => {
  const broken = { onCredentialsRequired: () => { throw new Error('broken'); } };
  const later = (_, { register }) => turn().then(() => register('TOKEN'));
  for (const [first, ...others] of [
    [broken.onCredentialsRequired, { onCredentialsRequired: later }], [later, broken],
    [(_, { register }) => { register('TOKEN'); throw new Error('broken'); }],
  ]) {
    await reporting(async () => {
      const { client, failed, sockets } = asking('builder', first, ...others, {});
      const start = client.start();
      await turn().then(turn).then(turn);
      await welcome(sockets[0]);
      await start;
      assert.deepEqual([client.isStarted(), failed], [true, []]);
      client.terminate();
    });
  }
  // All of several: the first reason is told.
  let error;
  const { client, failed } = asking('builder', () => { throw new Error('first'); }, { onCredentialsRequired: () => turn().then(() => { throw new Error('second'); }) });
  await reporting(async () => (error = await outcome(client.start())));
  assert.match(error.message, /first/);
  assert.equal(failed.length, 1);
});

test('a running client whose application has no token for once goes on', async () => {
  const tokens = ['TOKEN'];
  const asked = [];
  const answer = (_, registration) => asked.push(registration) && void registration.register(tokens.shift()).catch(() => {});
  const { client, failed, sockets } = asking('builder', answer);
  const start = client.start();
  await turn();
  const [socket] = sockets;
  // A credential that has to be renewed at once.
  await welcome(socket, { expires: 1e9 });
  await start;
  assert.deepEqual([asked.length, client.isStarted(), failed, socket.closed], [2, true, [], undefined]);
  await assert.rejects(asked[1].register('TOKEN'), { name: 'InvalidOperationError' }, 'it is asked again');
  assert.equal(socket.last('register'), undefined);
  client.terminate();
});
