// What applications do that is allowed and easy to forget, under node: they keep details, use an object again, cut texts, bring their own microphone.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CallEndCause, KEY, createSinch, started, turn, welcome, world } from './world.mjs';

test('details that are kept tell what is true when they are looked at', async () => {
  const { client, socket } = await started();
  const call = await client.callClient.callUser('bob');
  const { details } = call;
  assert.deepEqual([details.endCause, details.endedTime], [CallEndCause.None, undefined]);
  Object.freeze(details);
  const before = { ...details };
  for (const [i, [type, body]] of [['call.ringing', {}], ['call.answered', { sdp: 'v=0 answer' }], ['call.ended', { cause: 'hung_up' }]].entries()) {
    socket.say(type, body, { seq: i + 1, call_id: call.id });
  }
  assert.deepEqual([details.endCause, details.endedTime instanceof Date, call.details], [CallEndCause.HungUp, true, details]);
  assert.equal(before.endCause, CallEndCause.None, 'a copy stays');
  const { endCause, startedTime } = JSON.parse(JSON.stringify(details));
  assert.deepEqual([endCause, startedTime], [CallEndCause.HungUp, before.startedTime.toISOString()]);
  assert.deepEqual(structuredClone(details), { ...details });
  client.terminate();
});

test('a call is a video call when its offer has a picture, with a port of its own or with that of the sound, as Firefox offers it', async () => {
  const { client, socket } = await started();
  const offered = [];
  client.callClient.addListener({ onIncomingCall: (_, call) => offered.push(call.details.isVideoOffered) });
  const sound = 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 109\r\n';
  const pictures = ['m=video 9 UDP/TLS/RTP/SAVPF 96\r\n', 'm=video 0 UDP/TLS/RTP/SAVPF 120\r\na=bundle-only\r\n', ''];
  pictures.forEach((picture, i) => socket.say('call.incoming', { from: 'bob', sdp: sound + picture }, { seq: i + 1, call_id: `c${i}` }));
  assert.deepEqual(offered, [true, true, false]);
  client.terminate();
});

test('one object of headers serves several calls that begin together', async () => {
  const { client, socket, mediaDevices } = await started();
  mediaDevices.wait = turn;
  const headers = {};
  const calls = ['bob', 'carol'].map((user) => client.callClient.callUser(user, Object.assign(headers, { to: user })));
  headers.to = 7;
  const told = (await Promise.all(calls)).map((call) => call.headers);
  const said = socket.sent.filter(({ type }) => type === 'call.start').map(({ body }) => body.headers);
  assert.deepEqual([told, said], Array(2).fill([{ to: 'bob' }, { to: 'carol' }]));
  client.terminate();
});

test('a header that is undefined is none; what only looks like an object of texts is refused, it would be lost', async () => {
  const { client, socket } = await started();
  const call = await client.callClient.callUser('bob', { subject: 'lunch', table: undefined });
  assert.deepEqual([call.headers, socket.last('call.start').body.headers], Array(2).fill({ subject: 'lunch' }));
  for (const given of [new Headers({ a: 'b' }), new URLSearchParams('a=b'), new Map([['a', 'b']]), { a: null }, { a: 1 }, () => {}, Symbol('a')]) {
    await assert.rejects(client.callClient.callUser('bob', given), { name: 'ArgumentError' });
  }
  client.terminate();
});

test('a call whose microphone opens after its client was terminated rings nobody, also when the client was started again', async () => {
  const { client, sockets, mediaDevices, isOpen } = await started();
  let open;
  mediaDevices.wait = () => new Promise((resolve) => (open = resolve));
  const call = assert.rejects(client.callClient.callUser('bob'), { name: 'InvalidOperationError' });
  client.terminate();
  const again = client.start();
  await turn();
  await welcome(sockets[1]);
  await again;
  open();
  await call;
  assert.deepEqual([sockets.map((socket) => socket.last('call.start')), isOpen()], [[undefined, undefined], []]);
  client.terminate();
});

test('a builder refuses nothing for what it needs, in the moment in which it is given', () => {
  const sinch = createSinch(world().env);
  for (const name of ['applicationKey', 'userId', 'environmentHost']) {
    for (const nothing of [undefined, null, '']) assert.throws(() => sinch.getSinchClientBuilder()[name](nothing), { name: 'ArgumentError', message: `${name} is missing` });
  }
  const builder = sinch.getSinchClientBuilder().callerIdentifier('').mediaStreamFactory(undefined);
  for (const [missing, next] of [['applicationKey', KEY], ['userId', 'alice'], ['environmentHost', 'localhost']]) {
    assert.throws(() => builder.build(), { name: 'ArgumentError', message: `${missing} is missing` });
    builder[missing](next);
  }
  assert.equal(builder.build().userId, 'alice');
});

test('who listens late, as the first one, is told what a call went through, in its order; who comes after them is not', async () => {
  const { client, socket } = await started();
  const names = ['Progressing', 'Ringing', 'Answered', 'Ended'];
  const listener = (said, more) => Object.fromEntries(names.map((name) => [`onCall${name}`, (...args) => { said.push(`${name} ${args.length}`); more?.[name]?.(args[0]); }]));
  const ring = async () => {
    const call = await client.callClient.callUser('bob');
    const say = (type, body, seq) => socket.say(`call.${type}`, body, { seq: socket.seq = (socket.seq ?? 0) + 1, call_id: call.id });
    return { call: Object.freeze(call), say };
  };
  for (const end of ['denied', undefined]) {
    const { call, say } = await ring();
    say('progressing', {});
    say('ringing', {});
    if (end) say('ended', { cause: end });
    const [first, second, third] = [[], [], []];
    call.addListener(listener(first));
    call.addListener(listener(second));
    assert.deepEqual([first, second], [[], []], 'whoever adds one is not interrupted by it');
    if (!end) call.hangup();
    await turn();
    call.addListener(listener(third));
    await turn();
    const all = ['Progressing 1', 'Ringing 1', 'Ended 1'];
    assert.deepEqual([first, second, third], [all, all, []]);
  }
  // One that hangs up as it hears of it.
  const { call, say } = await ring();
  say('progressing', {});
  say('ringing', {});
  const said = [];
  call.addListener(listener(said, { Progressing: (of) => of.hangup() }));
  await turn();
  assert.deepEqual(said, ['Progressing 1', 'Ringing 1', 'Ended 1']);
  // One that is taken away and added again missed what was told meanwhile, as the published one does.
  const other = await ring();
  const again = [];
  const one = listener(again);
  other.call.addListener(one);
  await turn();
  other.call.removeListener(one);
  other.say('progressing', {});
  other.call.addListener(one);
  await turn();
  other.say('ringing', {});
  assert.deepEqual(again, ['Ringing 1']);
  client.terminate();
});

test('where a library put promises of its own, without what newer ones have, in the place of the browser\'s, all goes on', async () => {
  const { any } = Promise;
  Promise.any = undefined;
  try {
    const { client, socket } = await started();
    const call = await client.callClient.callUser('bob');
    const said = [];
    call.addListener({ onCallRinging: () => said.push('ringing') });
    socket.say('call.ringing', {}, { seq: 1, call_id: call.id });
    assert.deepEqual(said, ['ringing']);
    client.terminate();
  } finally {
    Promise.any = any;
  }
});

test('a text that was cut within a character is said with a replacement, and the call goes on', async () => {
  const { client, socket } = await started();
  client.pushNotificationDisplayName = '👋 Alice'.slice(0, 1);
  const call = await client.callClient.callUser('bob', { subject: 'lunch 🍜'.slice(0, 7), whole: '🍜' });
  const { display_name: name, headers } = socket.last('call.start').body;
  assert.deepEqual([name, headers], ['\ufffd', { subject: 'lunch \ufffd', whole: '🍜' }]);
  call.hangup();
  client.terminate();
});

test('a factory of streams is an object with the published method, or a function', async () => {
  class Microphone {
    asked = [];
    async getMediaStream(options) {
      this.asked.push(options);
      return this.source.getUserMedia(options);
    }
  }
  for (const asFunction of [false, true]) {
    const all = world();
    const microphone = Object.assign(new Microphone(), { source: all.mediaDevices });
    const factory = asFunction ? (options) => microphone.getMediaStream(options) : microphone;
    const builder = createSinch(all.env).getSinchClientBuilder().applicationKey(KEY).userId('alice').environmentHost('127.0.0.1:7070');
    const client = builder.mediaStreamFactory(factory).build();
    client.addListener({ onCredentialsRequired: (_, { register }) => register('TOKEN') });
    client.start();
    await turn();
    await welcome(all.sockets[0]);
    const call = await client.callClient.callUser('bob');
    await client.callClient.setAudioTrackConstraints({ deviceId: 'other' });
    assert.deepEqual(microphone.asked, [{ audio: true, video: false }, { audio: { deviceId: 'other' } }]);
    assert.deepEqual(call.outgoingStream.getTracks(), [all.tracks[1]]);
    client.terminate();
    assert.deepEqual(all.isOpen(), []);
  }
});

test('a factory that always gives picture and sound: another microphone is the sound', async () => {
  const all = world();
  const track = (kind) => ({ kind, enabled: true, stop() {} });
  const given = [];
  const factory = async () => {
    const stream = new all.env.MediaStream();
    given.push(['video', 'audio'].map(track));
    given.at(-1).forEach((one) => stream.addTrack(one));
    return stream;
  };
  const builder = createSinch(all.env).getSinchClientBuilder().applicationKey(KEY).userId('alice').environmentHost('127.0.0.1:7070');
  const client = builder.mediaStreamFactory(factory).build();
  client.addListener({ onCredentialsRequired: (_, { register }) => register('TOKEN') });
  client.start();
  await turn();
  await welcome(all.sockets[0]);
  const call = await client.callClient.callUserVideo('bob');
  await client.callClient.setAudioTrackConstraints({ deviceId: 'other' });
  assert.deepEqual(call.outgoingStream.getTracks(), [given[0][0], given[1][1]]);
  client.terminate();
});
