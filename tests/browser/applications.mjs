// More applications written for the published API, each in a style of its own, on pages of another origin than the server's.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

let server;
let first;
let second;
let origin;
before(async () => {
  server = await s.serve();
  first = await s.browser('applications-a', s.speechLike(16));
  second = await s.browser('applications-b', s.speechLike(17));
  origin = await s.site();
});
after(s.cleanUp);

const { act, says } = s;
const status = (page) => page.textContent('#status');
const open = (browser, app, more) => s.applicationPage(browser, origin, server, app, more);

test('a store of deep proxies that freezes what is dispatched holds client and calls, and acts through them', async () => {
  const [ann, ben] = [await open(first, 'store'), await open(second, 'store')];
  await act(ann, 'start', 'ann');
  await act(ben, 'start', 'ben');
  for (const page of [ann, ben]) await says(page, 'started true undefined');
  await act(ann, 'ring', 'ben');
  await says(ann, 'call Init proxy true frozen true subject');
  await says(ben, 'call Init proxy true frozen true subject');
  await says(ann, 'ringing');
  await act(ben, 'answer');
  for (const page of [ann, ben]) await says(page, 'established');
  assert.equal(await act(ann, 'known'), true);
  await act(ann, 'microphone');
  await act(ann, 'mute');
  assert.equal(await act(ann, 'sounds'), false);
  await act(ann, 'unmute');
  assert.equal(await act(ann, 'sounds'), true);
  assert.ok((await s.hear(ben, 2)).some((sample) => Math.abs(sample) > 0.02), 'ann is heard');
  await ben.waitForFunction(() => /^ann Established 0 false$/.test(document.querySelector('output').textContent));
  await act(ben, 'hangup');
  for (const page of [ann, ben]) {
    await says(page, 'ended 5 true');
    assert.deepEqual(await act(page, 'history'), [[3, 5]]);
  }
  // Again, over what the store keeps of the first.
  await act(ben, 'ring', 'ann');
  await ann.waitForFunction(() => window.actions.history().length === 2);
  await act(ann, 'hangup');
  await says(ben, 'ended 2 false');
  for (const page of [ann, ben]) await act(page, 'stop');
  await s.close(ann, ben);
});

test('callbacks, prototypes and thenables that are no promises', async () => {
  const page = await open(first, 'callbacks');
  const other = await open(second, 'callbacks');
  assert.equal(await page.evaluate(() => window.sign('cid')), 'resolved');
  assert.equal(await other.evaluate(() => window.sign('dora')), 'resolved');
  await says(page, 'cid started true true');
  assert.equal(await page.evaluate(() => window.sign('unknown-user')), 'rejected 2002');
  await says(page, 'unknown-user failed 2002 2 true true');
  await page.evaluate(() => window.phones.cid.ring('dora'));
  await says(other, 'incoming cid true');
  await says(other, 'taken 1');
  for (const each of [page, other]) await says(each, 'established');
  await page.evaluate(() => window.phones.cid.call.hangup());
  await says(page, 'Progressing Ringing Answered Established Ended cause 5 same true args 1');
  await says(other, 'Answered Established Ended cause 5 same true args 1');
  await page.evaluate(() => window.phones.cid.ring('not a name'));
  await says(page, 'not calling ArgumentError');
  // The refusal that its own promise carries is the page's to see.
  assert.deepEqual(page.complaints.splice(0), ['Uncaught #<Object>']);
  await s.close(page, other);
});

test('who has no token is told so, however the application fails and whichever spelling it has', async () => {
  const page = await open(first, 'callbacks');
  const told = [[[true, 'SinchError', 2002, 2, true]], 'SinchError', 2002];
  for (const spelling of ['seed', 'builder']) {
    for (const mistake of ['nothing', 'number', 'promise', 'throws', 'rejects', 'fails']) {
      assert.deepEqual(await page.evaluate(([spelling, mistake]) => window.wrong(spelling, mistake), [spelling, mistake]), told, `${spelling} ${mistake}`);
    }
  }
  // What goes wrong in the application is the page's to see.
  assert.deepEqual([...new Set(page.complaints.map((text) => /ArgumentError|no session|#<Object>/.exec(text)?.[0] ?? text))].sort(), ['#<Object>', 'ArgumentError', 'no session']);
  await page.context().close();
});

test('listeners that come and go while they are told', async () => {
  const [eve, fay] = [await open(first, 'listeners', { me: 'eve' }), await open(second, 'listeners', { me: 'fay' })];
  for (const page of [eve, fay]) await says(page, 'started');
  const log = async (page) => (await page.evaluate(() => window.log.splice(0))).filter((text) => !text.startsWith('error'));
  assert.deepEqual(await log(eve), ['started once', 'started greedy']);
  await log(fay);
  await eve.evaluate(() => window.ring('fay', 'welcome'));
  const reached = (page, text) => page.waitForFunction((text) => window.log.includes(text), text, { timeout: 20000 });
  for (const page of [eve, fay]) await reached(page, 'Established');
  await eve.evaluate(() => window.hangup());
  for (const page of [eve, fay]) await reached(page, 'state 3 true');
  await eve.waitForFunction(() => window.log.filter((text) => text.startsWith('error')).length === 10);
  const errors = (await eve.evaluate(() => window.log.filter((text) => text.startsWith('error')))).sort();
  const every = ['Answered', 'Ended', 'Established', 'Progressing', 'Ringing'];
  assert.deepEqual(errors, [...every.map((name) => `error broken later onCall${name}`), ...every.map((name) => `error broken onCall${name}`)].sort());
  assert.deepEqual(await log(eve), [
    'Progressing', 'Ringing', 'tone on', 'Answered', 'tone off', 'Established', 'timer on', 'Ended', 'cause 5 true', 'state 3 true', 'timer off',
  ]);
  assert.deepEqual(await log(fay), ['picky welcome', 'Answered', 'tone off', 'Established', 'timer on', 'Ended', 'cause 5 true', 'state 3 true', 'timer off']);
  assert.deepEqual(await fay.evaluate(() => window.impatient('eve')), ['second ringing 3', 'first ended', 'second ended']);
  await s.close(eve, fay);
});

test('one that calls in the moment in which it may, and again in the moment in which a call is over', async () => {
  const callee = await open(second, 'features', { me: 'gus' });
  await callee.evaluate(() => window.client.start());
  const page = await open(first, 'redial', { me: 'hal', callee: 'gus', times: 3 });
  await says(page, 'done');
  assert.deepEqual(await page.evaluate(() => window.ends), Array(3).fill(['HungUp', true, true]));
  await callee.waitForFunction(() => window.events.filter((text) => text === 'ended 5').length === 3);
  assert.match(await status(callee), /{"attempt":"1"}.*{"attempt":"2"}.*{"attempt":"3"}/);
  // Who is rung denies each: two calls at once, and the next as soon as one is over.
  await callee.evaluate(() => {
    window.answering(false);
    window.client.callClient.addListener({ onIncomingCall: (_, call) => call.hangup() });
  });
  const vain = await open(first, 'redial', { me: 'ike', callee: 'gus', times: 8, twice: 1 });
  await says(vain, 'done');
  const ends = await vain.evaluate(() => window.ends);
  assert.ok(ends.length >= 8 && ends.every((end) => end.join() === 'Denied,false,true'), JSON.stringify(ends));
  await s.close(page, vain, callee);
});

test('headers, keys, mute, video that pauses, who is shown, notifications that are relayed', async () => {
  const [ian, joy] = [await open(first, 'features', { me: 'ian' }), await open(second, 'features', { me: 'joy' })];
  for (const page of [ian, joy]) await page.evaluate(() => window.client.start());
  await joy.evaluate(() => window.answering(false));
  for (const which of ['plain', 'unicode', 'most']) {
    await ian.evaluate((which) => window.ring('joy', false, which), which);
    await says(ian, 'started');
    await joy.waitForFunction((which) => JSON.stringify(Object.entries(window.call?.headers ?? {}).sort()) === JSON.stringify(Object.entries(window.headers[which]).sort()), which);
    await ian.evaluate(() => window.call.hangup());
    await joy.waitForFunction(() => window.call.state === 3);
  }
  assert.equal(await ian.evaluate(() => window.refused(() => window.ring('joy', false, 'over'))), 'ArgumentError');
  assert.match(await status(joy), /incoming Dr ian /);
  await joy.evaluate(() => window.answering(true));
  await ian.evaluate(() => (window.events.length = 0));
  await ian.evaluate(() => window.ring('joy', true, 'plain'));
  for (const page of [ian, joy]) await page.waitForFunction(() => window.events.includes('established') && document.getElementById('incoming').videoWidth > 0, undefined, { timeout: 20000 });
  assert.deepEqual(await ian.evaluate(() => window.keys()), {
    '0123456789': 'allowed', '#*': 'allowed', ABCD: 'allowed', abcd: 'allowed', 1: 'allowed', '': 'ArgumentError', E: 'ArgumentError', '1 2': 'ArgumentError', '12w': 'ArgumentError',
  });
  const tracks = (kind) => ian.evaluate((kind) => window.tracks(kind), kind);
  for (const [todo, audio, video] of [
    ['mute', false, true], ['pauseVideo', false, false], ['unmute', true, false], ['unmute', true, false], ['resumeVideo', true, true], ['resumeVideo', true, true],
  ]) {
    await ian.evaluate((todo) => window.call[todo](), todo);
    assert.deepEqual([await tracks('audio'), await tracks('video')], [[`${audio} live`], [`${video} live`]], todo);
  }
  // Nobody says anything for a while: a warning, and its end.
  await ian.evaluate(() => {
    window.silence = window.call.outgoingStream.getAudioTracks()[0];
    window.silence.enabled = false;
  });
  await joy.waitForFunction(() => window.warnings.some(([same, name, type, stream]) => same && name === 'ZeroInboundAudioLevel' && type === 'Trigger' && stream === 'Audio'), undefined, { timeout: 30000 });
  await ian.evaluate(() => (window.silence.enabled = true));
  await joy.waitForFunction(() => window.warnings.some(([, name, type]) => name === 'ZeroInboundAudioLevel' && type === 'Recover'), undefined, { timeout: 30000 });
  await joy.evaluate(() => window.call.hangup());
  await ian.waitForFunction(() => window.events.includes('ended 5'));
  assert.deepEqual(await tracks('audio'), ['true ended']);
  // Joy's client stops; a message that it is called brings it back, and the call is there.
  await joy.evaluate(() => window.client.terminate());
  const message = { v: 1, type: 'incoming_call', application_key: server.key, user_id: 'joy', call_id: 'c1', from: 'ian', display_name: 'Dr ian', created: Math.floor(Date.now() / 1000) };
  const relay = (given) => joy.evaluate((given) => window.relay(given), given);
  const started = joy.evaluate(() => new Promise((resolve) => window.client.addListener({ onClientStarted: () => resolve(true) })));
  assert.deepEqual(await relay({ ...message, type: 'call_ended', end_cause: 'canceled' }), [false, true, false, undefined, 'c1', 'ian', false, true]);
  assert.deepEqual(await relay({ ...message, created: 1 }), [false, true, true, 'Dr ian', 'c1', 'ian', true, false]);
  assert.deepEqual(await relay(message), [false, true, true, 'Dr ian', 'c1', 'ian', false, false]);
  assert.equal(await started, true);
  assert.deepEqual(await relay(message), [true, true, true, 'Dr ian', 'c1', 'ian', false, false], 'one that is started stays');
  await ian.evaluate(() => (window.events.length = 0));
  await ian.evaluate(() => window.ring('joy', false, 'plain'));
  await ian.waitForFunction(() => window.events.includes('established'), undefined, { timeout: 20000 });
  await ian.evaluate(() => window.call.hangup());
  await s.close(ian, joy);
});

test('both ends in one page, without microphones: calls both ways, a client that starts again, two that call each other at once', async () => {
  const page = await open(first, 'pair');
  assert.deepEqual(await page.evaluate(() => window.start()), [true, true]);
  assert.deepEqual(await page.evaluate(() => window.talk('left', 'caller')), [true, 1, 1, 5, 5]);
  assert.deepEqual(await page.evaluate(() => window.talk('right', 'callee')), [true, 1, 1, 5, 5]);
  assert.deepEqual(await page.evaluate(() => window.restart()), [false, true]);
  assert.deepEqual(await page.evaluate(() => window.talk('right', 'caller')), [true, 1, 1, 5, 5]);
  assert.deepEqual(await page.evaluate(() => window.glare()), [true, [3, 3]]);
  assert.deepEqual(await page.evaluate(() => window.self()), [0, 'Ended', 'Timeout'], "nobody else is there");
  await s.close(page);
});

test('in a frame that is a sandbox, without storage and workers, a client starts, calls, stops and starts again', async () => {
  const page = await s.tab(first);
  const app = new URLSearchParams({ host: server.host, key: server.key, secret: server.secret, app: 'pair' });
  await page.goto(`${origin}/setting.js`);
  await page.setContent(`<iframe sandbox="allow-scripts" src="${origin}/application.html?${app}"></iframe>`);
  const frame = page.frames()[1];
  await frame.waitForFunction(() => document.getElementById('status')?.textContent.includes('ready'));
  assert.deepEqual(await frame.evaluate(() => window.start()), [true, true]);
  assert.deepEqual(await frame.evaluate(() => window.talk('left', 'caller')), [true, 1, 1, 5, 5]);
  assert.equal(await frame.evaluate(() => left.setSupportManagedPush().catch(({ name, code }) => `${name} ${code}`)), 'SinchError 4000');
  assert.deepEqual(await frame.evaluate(() => window.restart()), [false, true]);
  assert.deepEqual(await frame.evaluate(() => window.talk('right', 'callee')), [true, 1, 1, 5, 5]);
  await s.close(page);
});

test('one that brings its own stream with nothing in it listens, as caller and as callee', async () => {
  const page = await open(first, 'pair');
  const heard = await page.evaluate(async () => {
    const listener = Sinch.getSinchClientBuilder()
      .applicationKey(setting.get('key')).userId('listener').environmentHost(setting.get('host'))
      .mediaStreamFactory({ getMediaStream: async () => new MediaStream() }).build();
    listener.addListener({ onCredentialsRequired: ({ userId }, { register }) => createJWT(setting.get('key'), setting.get('secret'), userId).then(register) });
    await Promise.all([listener.start(), right.start()]);
    const heard = [];
    for (const [caller, callee] of [[listener, right], [right, listener]]) {
      const rung = next(callee.callClient, 'onIncomingCall');
      const out = await caller.callClient.callUser(callee.userId);
      const inc = await rung;
      const up = [out, inc].map((call) => next(call, 'onCallEstablished'));
      await inc.answer();
      await Promise.all(up);
      const quiet = caller === listener ? out : inc;
      heard.push([quiet.outgoingStream.getTracks().length, quiet.incomingStream.getAudioTracks().length, out.state, inc.state]);
      const over = next(inc, 'onCallEnded');
      out.hangup();
      await over;
    }
    return heard;
  });
  assert.deepEqual(heard, [[0, 1, 2, 2], [0, 1, 2, 2]]);
  await s.close(page);
});
