// The API of offhook.js under node: registration, calls, arguments, listeners.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { CallDirection, CallEndCause, CallState, KEY, createSinch, endpoint, started, turn, world } from './world.mjs';

test('another network: an open connection has to answer soon, a lost one is made anew at once', async () => {
  const { client, socket, sockets, listeners } = await started();
  listeners.online();
  assert.ok(socket.last('ping'));
  socket.say('pong', {});
  socket.onclose();
  assert.equal(sockets.length, 1, 'it waits');
  listeners.online();
  assert.equal(sockets.length, 2);
  client.terminate();
  assert.deepEqual(Object.keys(listeners), [], 'who has stopped listens to nothing');
  assert.equal(sockets.length, 2);
});

test('a client registers with a detached register, keeps its credential, and starts without a token next time', async () => {
  const told = [];
  const { client, store, env, sockets } = await started(told);
  assert.deepEqual(told, ['started']);
  assert.ok(client.isStarted());
  await assert.rejects(client.start(), { name: 'InvalidOperationError' });
  assert.match([...store.values()][0], /"secret":"kept"/);
  client.terminate();
  const again = createSinch(env).getSinchClientBuilder().applicationKey(KEY).userId('alice').environmentHost('127.0.0.1:7070').build();
  again.start();
  await turn();
  sockets[1].onopen();
  const hellos = sockets.map((socket) => socket.last('hello').body);
  assert.deepEqual(hellos[1].credential, { device: 'kept' });
  assert.equal(hellos[1].device_id, hellos[0].device_id);
  again.terminate();
});

test('an outgoing call goes through its states and ends with the published numbers', async () => {
  const { client, socket } = await started();
  client.setPushNotificationDisplayName('Alice A.');
  const call = await client.getCallClient().callUser('bob', { subject: 'lunch' });
  const id = call.callId;
  const told = [];
  call.addEventListener({
    onCallProgressing: () => told.push(call.state), onCallRinging: () => told.push(call.state),
    onCallAnswered: () => told.push(call.state), onCallEnded: () => told.push(call.state),
  });
  assert.deepEqual([call.direction, call.state, call.remoteUserId], [CallDirection.Outbound, CallState.Init, 'bob']);
  assert.equal(call.outgoingStream.getTracks().length, 1);
  assert.deepEqual(socket.last('call.start').body, { to: 'bob', headers: { subject: 'lunch' }, sdp: 'v=0 offer', display_name: 'Alice A.' });
  socket.say('call.progressing', {}, { seq: 1, call_id: id });
  socket.say('call.ringing', {}, { seq: 2, call_id: id });
  socket.say('call.answered', { sdp: 'v=0 answer' }, { seq: 3, call_id: id });
  socket.say('call.ended', { cause: 'hung_up' }, { seq: 4, call_id: id });
  assert.deepEqual(told, [CallState.Progressing, CallState.Ringing, CallState.Answered, CallState.Ended]);
  assert.equal(call.details.endCause, CallEndCause.HungUp);
  assert.ok(call.outgoingStream.getTracks().every((track) => track.stopped), 'the microphone is given back');
  client.terminate();
});

test('an incoming call opens no microphone before the person accepts', async () => {
  const { client, socket, captured } = await started();
  let call;
  client.callClient.addListener({ onIncomingCall: (_, incoming) => (call = incoming) });
  socket.say('call.incoming', { from: 'bob', display_name: 'Bob B.', sdp: 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n' }, { seq: 1, call_id: 'in' });
  assert.equal(captured.length, 0);
  assert.equal(client.callClient.getCall('in'), call);
  assert.deepEqual([call.remoteUserId, call.remoteUserDisplayName], ['bob', 'Bob B.']);
  await call.answer();
  assert.equal(captured.length, 1);
  assert.equal(socket.last('call.answer').body.sdp, 'v=0 answer');
  await assert.rejects(call.answer(), { name: 'InvalidOperationError' });
  call.hangup();
  assert.equal(socket.last('call.hangup').body.cause, 'hung_up');
  client.terminate();
});

test('arguments are checked', async () => {
  const { sinch, client } = await started();
  const wrong = { name: 'ArgumentError' };
  assert.throws(() => sinch.getSinchClientBuilder().userId('alice').environmentHost('x').build(), wrong);
  assert.throws(() => sinch.getSinchClient('no uuid', 'alice', 'x'), wrong);
  assert.throws(() => sinch.getSinchClient(KEY, 'a b', 'x'), wrong);
  await assert.rejects(client.callClient.callUser(''), wrong);
  await assert.rejects(client.callClient.callUser('bob', { k: 'x'.repeat(1025) }), wrong);
  await assert.rejects(client.callClient.callConference('x'.repeat(65)), wrong);
  await assert.rejects(client.callClient.callPhoneNumber('+46000000000'), { name: 'SinchError', code: 4000 });
  client.terminate();
  await assert.rejects(client.callClient.callUser('bob'), { name: 'InvalidOperationError' });
});

test('a server is named by host, host:port or URL', () => {
  for (const [text, url] of [
    ['ocra.example.com', 'wss://ocra.example.com/v1/signal'], ['example.com:8443', 'wss://example.com:8443/v1/signal'],
    ['127.0.0.1:7171', 'ws://127.0.0.1:7171/v1/signal'], ['localhost', 'ws://localhost:7070/v1/signal'],
    ['::1', 'ws://[::1]:7070/v1/signal'], ['http://10.0.0.1/', 'ws://10.0.0.1/v1/signal'], ['https://example.com', 'wss://example.com/v1/signal'],
  ]) assert.equal(endpoint(text), url);
  for (const text of ['', 'ftp://x', 'a b', 'host:port', 'host:70000', 'http://x/path', 'user@host', '[::1', 'a:b:c']) {
    assert.throws(() => endpoint(text), { name: 'ArgumentError' }, text);
  }
});

test('a client that is not started hears nothing of the page, and what goes wrong in one call does not stop the client', async () => {
  const idle = world();
  createSinch(idle.env).getSinchClient(KEY, 'alice', 'localhost');
  assert.deepEqual(Object.keys(idle.listeners), []);
  const { env, client, socket } = await started();
  const errors = [];
  globalThis.reportError = ({ message }) => errors.push(message);
  const call = await client.callClient.callUser('bob');
  env.RTCPeerConnection.prototype.setConfiguration = () => { throw new Error('no such scheme'); };
  socket.say('call.progressing', { ice_servers: [{ urls: ['nonsense:x'] }] }, { seq: 1, call_id: call.id });
  socket.say('call.ended', { cause: 'denied' }, { seq: 2, call_id: call.id });
  delete globalThis.reportError;
  assert.deepEqual([call.details.endCause, errors], [CallEndCause.Denied, ['no such scheme', 'no such scheme']]);
  client.terminate();
});

test('durations are whole milliseconds, and the differences of the times', async () => {
  const { client, socket } = await started();
  const call = await client.callClient.callUser('bob');
  const first = call.details.startedTime;
  for (const [i, [type, body]] of [['call.progressing', {}], ['call.ringing', {}], ['call.answered', { sdp: 'v=0 answer' }], ['call.ended', { cause: 'hung_up' }]].entries()) {
    await turn();
    socket.say(type, body, { seq: i + 1, call_id: call.id });
  }
  const { startedTime, progressedTime, rungTime, answeredTime, setupDuration, notifyingDuration, ringingDuration, duration } = call.details;
  assert.deepEqual([setupDuration, notifyingDuration, ringingDuration], [progressedTime - startedTime, rungTime - progressedTime, answeredTime - rungTime]);
  assert.ok(setupDuration > 0 && Number.isInteger(setupDuration) && duration === 0);
  assert.equal(startedTime.getTime(), first.getTime(), 'a time that was told stays');
  client.terminate();
});

test('a framework may reach client, call client and calls through proxies', async () => {
  const { client, socket } = await started();
  const seen = (object) => new Proxy(object, { get: (target, key, receiver) => {
    const value = Reflect.get(target, key, receiver);
    return [client.callClient].includes(value) ? seen(value) : value;
  } });
  const call = seen(await seen(client).callClient.callUser('bob'));
  const said = [];
  call.addListener({ onCallRinging: ({ id }) => said.push(id) });
  socket.say('call.ringing', {}, { seq: 1, call_id: call.id });
  assert.deepEqual([said, call.state], [[call.id], CallState.Ringing]);
  call.hangup();
  assert.equal(call.details.endCause, CallEndCause.Canceled);
  const kinds = [client, client.callClient, call].map((object) => Object.prototype.toString.call(object));
  assert.ok(!kinds.includes('[object Object]'), 'those that wrap plain objects and what is in them leave ours alone');
  client.terminate();
});

test('methods may be passed on by themselves, also those of a call that is frozen, and stay replaceable', async () => {
  const { client, socket } = await started();
  const { callUser, getCall, addListener } = client.callClient;
  const incoming = [];
  addListener({ onIncomingCall: (_, call) => incoming.push(call) });
  const call = Object.freeze(await callUser('bob'));
  assert.equal(getCall(call.id), call);
  const said = [];
  call.addListener({ onCallEnded: () => said.push(call.details.endCause) });
  const { mute, hangup } = call;
  mute();
  assert.equal(call.isMuted, true);
  hangup();
  assert.deepEqual(said, [CallEndCause.Canceled]);
  socket.say('call.incoming', { from: 'bob', sdp: 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n' }, { seq: 1, call_id: 'in' });
  const { answer } = Object.freeze(incoming[0]);
  await answer();
  assert.equal(incoming[0].state, CallState.Answered);
  assert.deepEqual([Object.keys(call), Object.keys(client)], [[], ['userId', 'callClient']], 'who looks at them sees nothing of it');
  client.terminate = () => said.push('another');
  client.terminate();
  delete client.terminate;
  client.terminate();
  assert.deepEqual([said.at(-1), client.isStarted()], ['another', false]);
});

test('a client that starts again, and the next one of its page, have the place of the one before', async () => {
  const all = world();
  // As browsers have locks: they come and go in later turns.
  const held = new Set();
  all.env.navigator.locks = {
    async request(name, { ifAvailable }, todo) {
      assert.ok(ifAvailable);
      await turn();
      if (held.has(name)) return todo(null);
      held.add(name);
      await todo({ name });
      await turn();
      held.delete(name);
    },
  };
  const client = () => createSinch(all.env).getSinchClient(KEY, 'alice', '127.0.0.1:7070');
  const place = async (todo) => {
    todo();
    await new Promise((resolve) => setTimeout(resolve, 60));
    return [...held].map((name) => name.split(' ').at(-1)).join();
  };
  const [one, two] = [client(), client()];
  for (const each of [one, two]) each.addListener({ onCredentialsRequired() {} });
  const start = (each) => void each.start().catch(() => {});
  assert.equal(await place(() => start(one)), '0');
  assert.equal(await place(() => (one.terminate(), start(one))), '0', 'the same once more');
  assert.equal(await place(() => start(two)), '0,1', 'two at once are two devices');
  one.terminate();
  two.terminate();
  assert.equal(await place(() => (start(one), one.terminate(), start(two))), '0', 'one that gave up at once');
  assert.equal(await place(() => two.terminate()), '');
});

test('every published name is there, and the published numbers', async () => {
  const { sinch, client } = await started();
  const builder = ['applicationKey', 'userId', 'environmentHost', 'callerIdentifier', 'fetchApi', 'mediaStreamFactory', 'videoConfiguration', 'silentMediaStream'];
  for (const name of builder) {
    const made = sinch.getSinchClientBuilder();
    assert.equal(made[name]('x'), made, name);
  }
  const has = (object, names) => names.forEach((name) => assert.equal(typeof object[name], 'function', name));
  has(sinch.getSinchClientBuilder(), ['build']);
  has(client, [
    'start', 'isStarted', 'terminate', 'addListener', 'removeListener', 'setSupportManagedPush', 'relayRemotePushNotification', 'unregisterPushToken',
    'setUseRelayIceCandidatesOnly', 'getCallClient', 'setEventListener', 'addEventListener', 'terminateGracefully', 'setPushNotificationDisplayName', 'disableManagedPushSupport',
    'disableMangedPushSupport',
  ]);
  has(client.callClient, [
    'callUser', 'callUserVideo', 'callPhoneNumber', 'callSip', 'callConference', 'getCall', 'addListener', 'removeListener', 'setAudioTrackConstraints',
    'setVideoTrackConstraints',
  ]);
  const call = await client.callClient.callUser('bob');
  has(call, ['addListener', 'removeListener', 'answer', 'hangup', 'mute', 'unmute', 'pauseVideo', 'resumeVideo', 'sendDtmf']);
  for (const name of ['id', 'callId', 'direction', 'state', 'details', 'headers', 'remoteUserId', 'remoteUserDisplayName', 'incomingStream', 'outgoingStream']) {
    assert.notEqual(call[name], undefined, name);
  }
  assert.deepEqual({ ...CallState }, { Init: 0, Progressing: 1, Established: 2, Ended: 3, Answered: 4, Ringing: 5 });
  assert.deepEqual(Object.values(CallEndCause), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(Object.values(sinch.ErrorType), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual([sinch.ErrorCode.CallFailedToConnectIce, sinch.ErrorCode.AuthenticationFailed, sinch.ErrorCode.WebRtcAudioTrackStartFailed], [3002, 2002, 3503]);
  assert.match(sinch.version, /^\d+\.\d+\.\d+$/);
  client.terminate();
  assert.equal(call.details.endCause, CallEndCause.Canceled);
});

test('the types declare what there is, and nothing else', async () => {
  const declared = readFileSync(new URL('../../crates/web/offhook.d.ts', import.meta.url), 'utf8');
  const interfaces = new Map();
  for (const [, name, body] of declared.matchAll(/interface (\w+).*? \{\n([^]*?)\n\}/g)) {
    interfaces.set(name, [...body.matchAll(/^ {2}(?:readonly |[gs]et )?(\w+)\??[(:]/gm)].map(([, member]) => member));
  }
  const { sinch, client } = await started();
  const call = await client.callClient.callUser('bob');
  const members = (object) => {
    const all = new Set(Object.keys(object));
    for (let at = Object.getPrototypeOf(object); at !== Object.prototype; at = Object.getPrototypeOf(at)) {
      Object.getOwnPropertyNames(at).filter((name) => name !== 'constructor' && !name.startsWith('_')).forEach((name) => all.add(name));
    }
    return [...all].sort();
  };
  const listening = interfaces.get('Listening');
  for (const [name, object, also] of [
    ['SinchApi', sinch, []], ['SinchClientBuilder', sinch.getSinchClientBuilder(), []], ['SinchClient', client, listening],
    ['CallClient', client.callClient, listening], ['Call', call, listening], ['CallDetails', call.details, []],
  ]) {
    assert.deepEqual(members(object), [...new Set([...interfaces.get(name), ...also])].sort(), name);
  }
  client.terminate();
});

test('more arguments are checked, and what is refused changes nothing', async () => {
  const { sinch, client, socket } = await started();
  const wrong = { name: 'ArgumentError' };
  for (const bad of [undefined, null, '', 'ä', 'a b', 'x'.repeat(256), 7, {}]) {
    await assert.rejects(client.callClient.callUser(bad), wrong, String(bad));
    assert.throws(() => sinch.getSinchClient(KEY, bad, 'localhost'), wrong, String(bad));
  }
  for (const bad of [KEY.toUpperCase(), `${KEY} `, '', null]) assert.throws(() => sinch.getSinchClient(bad, 'alice', 'localhost'), wrong);
  for (const bad of [null, '', undefined]) assert.throws(() => sinch.getSinchClient(KEY, 'alice', bad), wrong);
  for (const bad of [{ k: 7 }, 'text', [], new Map([['k', 'v']]), { k: 'ä'.repeat(512) }]) await assert.rejects(client.callClient.callUser('bob', bad), wrong);
  for (const bad of ['x'.repeat(65), '', undefined]) await assert.rejects(client.callClient.callConference(bad), wrong);
  for (const bad of ['0461', '+', '+46 70', undefined]) await assert.rejects(client.callClient.callPhoneNumber(bad), wrong);
  for (const bad of ['nobody', '@x', 'a@b@c', '']) await assert.rejects(client.callClient.callSip(bad), wrong);
  for (const bad of ['x'.repeat(256), 'ä'.repeat(128), 7]) assert.throws(() => (client.pushNotificationDisplayName = bad), wrong);
  client.pushNotificationDisplayName = 'ä'.repeat(127);
  assert.equal(client.pushNotificationDisplayName.length, 127);
  for (const bad of [undefined, null, 'text']) assert.throws(() => client.addListener(bad), wrong);
  assert.equal(socket.last('call.start'), undefined);
  const call = await client.callClient.callUser('bob', { k: 'ä'.repeat(511) });
  for (const bad of ['', 'x', '1 2', undefined]) assert.throws(() => call.sendDtmf(bad), wrong);
  assert.throws(() => call.sendDtmf('1'), { name: 'InvalidOperationError' });
  await assert.rejects(call.answer(), { name: 'InvalidOperationError' });
  call.hangup();
  call.hangup();
  assert.equal(socket.sent.filter(({ type }) => type === 'call.hangup').length, 1);
  client.terminate();
});

test('listeners: each is told, removed ones are not, one that throws stops no other, members may be absent', async () => {
  const { client, socket } = await started();
  const call = await client.callClient.callUser('bob');
  const said = [];
  const removed = { onCallRinging: () => said.push('removed') };
  const errors = [];
  globalThis.reportError = ({ message }) => errors.push(message);
  call.addListener({ onCallRinging: () => { throw new Error('of the application'); } });
  call.addListener({});
  call.addListener(removed);
  call.removeListener(removed);
  const next = { onCallRinging: () => said.push('taken away meanwhile') };
  call.addListener({ onCallRinging: () => call.removeListener(next) });
  call.addListener(next);
  call.addListener({ onCallRinging: (...args) => said.push(args[0] === call && args.length) });
  socket.say('call.ringing', {}, { seq: 1, call_id: call.id });
  delete globalThis.reportError;
  assert.deepEqual([said, errors], [[1], ['of the application']]);
  client.terminate();
});

test('a listener that is set takes the place of the one that was set before, and of no other', async () => {
  const { client, socket } = await started();
  const call = await client.callClient.callUser('bob');
  const said = [];
  const named = (name) => ({ onCallRinging: () => said.push(`${name} ringing`), onCallEnded: () => said.push(`${name} ended`) });
  const second = named('second');
  call.setEventListener(named('first'));
  call.addEventListener(named('added'));
  call.setEventListener(second);
  call.setEventListener(second);
  assert.throws(() => call.setEventListener(undefined), { name: 'ArgumentError' });
  socket.say('call.ringing', {}, { seq: 1, call_id: call.id });
  call.setEventListener(named('third'));
  call.hangup();
  assert.deepEqual(said, ['added ringing', 'second ringing', 'added ended', 'third ended']);
  client.terminate();
});

test('who denies, and who fails to get a token, is told so once, with the published numbers', async () => {
  const { client, socket } = await started();
  let call;
  const told = [];
  client.callClient.addListener({ onIncomingCall: (callClient, incoming) => (call = incoming) && told.push(callClient === client.callClient) });
  const event = ['call.incoming', { from: 'bob', sdp: 'v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n', headers: { a: 'b' } }, { seq: 1, call_id: 'in' }];
  socket.say(...event);
  socket.say(...event);
  assert.deepEqual(told, [true]);
  assert.deepEqual([call.headers, call.details.isVideoOffered, call.direction, call.details.setupDuration], [{ a: 'b' }, true, 'Inbound', 0]);
  call.hangup();
  assert.equal(socket.last('call.hangup').body.cause, 'denied');
  assert.deepEqual([call.state, call.details.endCause, call.details.duration], [CallState.Ended, CallEndCause.Denied, 0]);
  client.terminate();
  const { env } = world();
  const other = createSinch(env).getSinchClient(KEY, 'alice', 'localhost');
  const failed = [];
  other.addListener({ onCredentialsRequired: (_, { registerFailed }) => registerFailed(), onClientFailed: (_, error) => failed.push([error.code, error.domain, error.isFatal]) });
  await assert.rejects(other.start(), { name: 'SinchError', code: 2002 });
  assert.deepEqual(failed, [[2002, 2, true]]);
});
