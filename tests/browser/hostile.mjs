// A page that breaks the protocol gets errors; the people in a call meanwhile, and the people it rings, do not notice more than a call that fails.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

const SAID = { a: s.speechLike(6), b: s.speechLike(7) };
const people = {};
let server;
let first;
let second;

before(async () => {
  server = await s.serve();
  first = await s.browser('honest-a', SAID.a);
  second = await s.browser('honest-b', SAID.b);
  people.alice = await person(first, 'alice');
  people.bob = await person(second, 'bob');
  await s.talk(people.alice, people.bob, 'bob');
});
after(s.cleanUp);

/** A person whose sound the browser leaves as it is; `calls` are the ids of the calls they made. */
async function person(browser, user) {
  const page = await s.tab(browser);
  page.calls = [];
  page.on('websocket', (socket) =>
    socket.on('framesent', ({ payload }) => {
      const frame = JSON.parse(payload);
      if (frame.type === 'call.start') page.calls.push(frame.call_id);
    }));
  await s.plainSound(page);
  return s.signIn(page, server, user);
}

/** A page that speaks to the server without the SDK: `say` gives the id of its frame, `answer` what the server said to one. */
async function mallory() {
  const page = await s.tab(second);
  await page.goto(server.origin);
  await page.evaluate(async () => {
    const user = `mallory-${Math.random().toString(36).slice(2, 8)}`;
    const { application_key: key } = await (await fetch('/v1/development')).json();
    const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ user }) };
    const { token } = await (await fetch('/v1/development', request)).json();
    const socket = new WebSocket(`ws://${location.host}/v1/signal`, 'offhook.v1.json');
    const heard = [];
    let next = 0;
    const say = (type, body, call) => {
      next += 1;
      socket.send(JSON.stringify({ v: 1, id: `m${next}`, seq: next, ack: 0, type, body, ...(call && { call_id: call }) }));
      return `m${next}`;
    };
    const until = async (test) => {
      for (let i = 0; i < 400; i += 1) {
        const found = heard.find(test);
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`waited in vain; the last heard was ${JSON.stringify(heard.slice(-3))}`);
    };
    socket.onmessage = ({ data }) => heard.push(JSON.parse(data));
    socket.onclose = ({ code }) => heard.push({ closed: code });
    await new Promise((resolve) => (socket.onopen = resolve));
    say('hello', { application_key: key, user, device_id: crypto.randomUUID(), credential: { token } });
    await until(({ type }) => type === 'snapshot');
    const answer = async (id) => (await until(({ body }) => body?.of === id)).body.error;
    window.hostile = { say, until, answer, raw: (text) => socket.send(text), heard, user };
  });
  return page;
}

/** A machine that is busy with hostile pages may lose sound for a while, so it is listened to more than once. */
async function isTalking() {
  await s.until('the honest call', async () => {
    const [atAlice, atBob] = await Promise.all([s.hear(people.alice, 4), s.hear(people.bob, 4)]);
    return s.likeness(SAID.b, atAlice) > 0.75 && s.likeness(SAID.a, atBob) > 0.75;
  });
  for (const page of Object.values(people)) {
    assert.equal(await s.state(page), 'On the line');
    assert.deepEqual(page.complaints, []);
  }
}

test("someone else's call can be neither ended, answered, renegotiated nor heard of", async () => {
  const page = await mallory();
  const [id] = people.alice.calls;
  const errors = await page.evaluate(async (id) => {
    const { say, answer } = window.hostile;
    const tries = [
      ['call.hangup', { cause: 'hung_up' }], ['call.answer', { sdp: 'v=0' }], ['call.ringing', {}], ['call.established', {}],
      ['call.update', { kind: 'offer', sdp: 'v=0' }], ['call.candidate', { candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ host', mid: '0' }],
      ['call.start', { to: 'bob', sdp: 'v=0' }],
    ];
    const said = [];
    for (const [type, body] of tries) said.push([type, await answer(say(type, body, id))]);
    return said;
  }, id);
  for (const [type, error] of errors) assert.ok(['unknown_call', 'duplicate_call'].includes(error), `${type}: ${error}`);
  await isTalking();
  await page.context().close();
});

test('what is malformed, unknown or too large is answered with an error, and in the end the connection is closed', async () => {
  const page = await mallory();
  const said = await page.evaluate(async () => {
    const { say, answer, raw, until, heard } = window.hostile;
    const big = { to: 'bob', sdp: 'v=0\r\n'.padEnd(33000, 'x') };
    const tries = {
      sdp: ['call.start', big], headers: ['call.start', { to: 'bob', sdp: 'v=0', headers: { k: 'x'.repeat(1025) } }],
      user: ['call.start', { to: 'x'.repeat(300), sdp: 'v=0' }], type: ['call.steal', {}], member: ['call.start', { to: 7, sdp: 'v=0' }],
    };
    const refused = {};
    for (const [what, [type, body]] of Object.entries(tries)) refused[what] = await answer(say(type, body, crypto.randomUUID()));
    const before = heard.length;
    for (const text of ['no JSON', '[]', 'null', '{"v":1}', '{"v":9,"id":"x","type":"ping"}', '{"v":1,"id":7,"type":"ping"}']) raw(text);
    await until((_, i) => i >= before + 5);
    const errors = heard.slice(before).map(({ type }) => type);
    for (let i = 0; i < 30; i += 1) raw('still no JSON');
    const { closed } = await until((message) => message.closed);
    return { refused, errors, closed };
  });
  assert.deepEqual(said.refused, { sdp: 'too_large', headers: 'too_large', user: 'malformed', type: 'unsupported', member: 'malformed' });
  assert.ok(said.errors.every((type) => type === 'error'), said.errors.join());
  assert.equal(said.closed, 4002);
  await isTalking();
  await page.context().close();
});

test('a frame above the limit ends the connection that sent it', async () => {
  const page = await mallory();
  const closed = await page.evaluate(async () => {
    window.hostile.raw(JSON.stringify({ v: 1, id: 'm', type: 'ping', body: { x: 'x'.repeat(70000) } }));
    return (await window.hostile.until((message) => message.closed)).closed;
  });
  // 1006: the server closed with 1009 while bytes of the frame were still coming, which resets the connection.
  assert.ok([1009, 1006].includes(closed), `${closed}`);
  await isTalking();
  await page.context().close();
});

test('1000 candidates are refused from some point on, and the page that is rung by them stays usable', async () => {
  const page = await mallory();
  const carol = await person(second, 'carol');
  const errors = await page.evaluate(async () => {
    const { say, answer, heard } = window.hostile;
    const call = crypto.randomUUID();
    const pc = new RTCPeerConnection();
    pc.addTransceiver('audio');
    const { sdp } = await pc.createOffer();
    await answer(say('call.start', { to: 'carol', sdp }, call));
    const ids = [];
    for (let i = 0; i < 1000; i += 1) ids.push(say('call.candidate', { candidate: `candidate:${i} 1 udp 1 192.0.2.1 ${1000 + i} typ host`, mid: '0' }, call));
    for (let i = 0; i < 200 && !heard.some(({ closed }) => closed) && heard.filter(({ body }) => ids.includes(body?.of)).length < 1000; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return heard.filter(({ body }) => ids.includes(body?.of)).map(({ body }) => body.error ?? 'taken');
  });
  const taken = errors.filter((error) => error === 'taken').length;
  assert.ok(taken <= 64 && errors.length > taken, `${taken} taken of ${errors.length} answered`);
  await carol.waitForSelector('.hangup');
  await carol.click('.hangup');
  await carol.waitForSelector('.call', { state: 'detached' });
  assert.deepEqual(carol.complaints, []);
  await isTalking();
  for (const one of [page, carol]) await one.context().close();
});

test('a wrong fingerprint and a description that is none: the call fails where it was answered, and the next one is fine', async () => {
  const page = await mallory();
  const carol = await person(second, 'carol');
  await page.evaluate(() => {
    /** Rings carol with an offer that `change` made; takes what she answers. */
    window.hostile.ring = async (kind) => {
      const { say, until, heard } = window.hostile;
      const call = crypto.randomUUID();
      const pc = (window.pc = new RTCPeerConnection());
      pc.addTransceiver('audio');
      pc.onicecandidate = ({ candidate }) => candidate?.candidate && say('call.candidate', { candidate: candidate.candidate, mid: '0' }, call);
      await pc.setLocalDescription(await pc.createOffer());
      const { sdp } = pc.localDescription;
      const wrong = sdp.replace(/(a=fingerprint:sha-256 )(..)/, (_, name, byte) => name + (byte === '00' ? '01' : '00'));
      say('call.start', { to: 'carol', sdp: kind === 'fingerprint' ? wrong : 'v=0\r\nnothing of use' }, call);
      const of = (type) => (message) => message.type === type && message.call_id === call;
      until(of('call.answered')).then(({ body }) => pc.setRemoteDescription({ type: 'answer', sdp: body.sdp })).catch(() => {});
      until(of('call.candidate')).then(() => {
        for (const { body } of heard.filter(of('call.candidate'))) pc.addIceCandidate({ candidate: body.candidate ?? '', sdpMid: '0' }).catch(() => {});
      });
    };
  });
  await page.evaluate(() => window.hostile.ring('fingerprint'));
  await carol.waitForSelector('.answer:not([hidden])');
  await carol.click('.answer');
  await s.waitState(carol, 'the call failed', 40000);
  await carol.waitForSelector('.call', { state: 'detached' });
  await page.evaluate(() => window.hostile.ring('nothing'));
  await carol.waitForSelector('.answer:not([hidden])');
  await carol.click('.answer');
  await carol.waitForSelector('#notice.problem');
  await carol.click('.hangup');
  await carol.waitForSelector('.call', { state: 'detached' });
  const dave = await person(first, 'dave');
  await s.ring(dave, 'carol');
  await carol.waitForSelector('.answer:not([hidden])');
  await carol.click('.answer');
  await Promise.all([s.waitState(carol, 'On the line'), s.waitState(dave, 'On the line')]);
  await isTalking();
  for (const one of [page, carol, dave]) await one.context().close();
});
