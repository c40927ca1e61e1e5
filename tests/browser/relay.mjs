// Calls that may use nothing but the TURN relay inside the server. Sound is judged by content, the path by what both ends say of it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

const SAID = { a: s.speechLike(11), b: s.speechLike(12), rust: s.speechLike(13) };
const { LIKE } = s;
let server;
let first;
let second;
before(async () => {
  // On one machine all addresses are of the kind that a relay refuses unless it is told otherwise.
  server = await s.serve('127.0.0.1:0', '--turn', '127.0.0.1:0', '--turn-allow-peers', '0.0.0.0/0');
  first = await s.browser('relay-a', SAID.a);
  second = await s.browser('relay-b', SAID.b);
});
after(s.cleanUp);

const hidden = async (browser, user) => {
  const page = await s.application(browser, server, user);
  await page.evaluate(() => {
    window.client.setUseRelayIceCandidatesOnly(true);
    window.said = [];
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
      const { type, body } = JSON.parse(text);
      window.said.push(...(body.sdp?.match(/^a=candidate:.*$/gm) ?? []), ...(type === 'call.candidate' && body.candidate ? [body.candidate] : []));
      send.call(this, text);
    };
  });
  return page;
};
/** The kinds of both ends of the path that is used. */
const path = (page) =>
  page.evaluate(async () => {
    const report = await window.call._media.pc.getStats();
    const { selectedCandidatePairId } = [...report.values()].find(({ type }) => type === 'transport');
    const pair = report.get(selectedCandidatePairId);
    return [report.get(pair.localCandidateId).candidateType, report.get(pair.remoteCandidateId).candidateType];
  });
async function toldOnlyRelayed(page) {
  const candidates = await page.evaluate(() => window.said);
  assert.ok(candidates.length > 0, 'candidates are told');
  for (const candidate of candidates) assert.match(candidate, / typ relay /);
}
async function hearEachOther(caller, callee) {
  await Promise.all([s.hears(caller, SAID.b, { not: SAID.a }), s.hears(callee, SAID.a, { not: SAID.b })]);
}

test('browser to browser, relay only at both: relayed addresses and no others are told, and both hear each other', async () => {
  const caller = await hidden(first, 'alice');
  const callee = await hidden(second, 'bob');
  await caller.evaluate(async () => window.take(await window.client.callClient.callUser('bob')));
  for (const page of [caller, callee]) await s.told(page, 'established');
  await hearEachOther(caller, callee);
  for (const page of [caller, callee]) assert.deepEqual(await path(page), ['relay', 'relay']);
  for (const page of [caller, callee]) await toldOnlyRelayed(page);
  await s.close(caller, callee);
});

test('relay only at the caller alone: its addresses stay unknown to a callee that takes any path', async () => {
  const caller = await hidden(first, 'carol');
  const callee = await s.application(second, server, 'dave');
  await caller.evaluate(async () => window.take(await window.client.callClient.callUser('dave')));
  for (const page of [caller, callee]) await s.told(page, 'established');
  await hearEachOther(caller, callee);
  assert.equal((await path(caller))[0], 'relay');
  assert.equal((await path(callee))[1], 'relay');
  await toldOnlyRelayed(caller);
  await s.close(caller, callee);
});

const rust = (user, ...more) => [
  '--server', server.host, '--application-key', server.key, '--application-secret', server.secret, '--user', user, '--relay-only', '--json',
  '--input', s.writeWav(join(s.scratch, `${user}.wav`), s.long(SAID.rust)), '--output', join(s.scratch, `${user}-heard.wav`), ...more,
];
/** What the Rust client says of the path when the call is over. */
async function concluded(program, user, said) {
  const { out, err } = await program.ended;
  const { samples, rate } = s.readWav(join(s.scratch, `${user}-heard.wav`));
  assert.ok(s.bestLikeness(said, samples, rate) > LIKE, 'the browser is heard');
  const report = JSON.parse(out.split('\n').find((line) => line.startsWith('{')) ?? assert.fail(out + err));
  assert.deepEqual([report.ice.local_kind, report.ice.remote_kind], ['relay', 'relay']);
}

test('browser to Rust, relay only at both', async () => {
  const program = s.run(['answer', '--auto', ...rust('rusty')]);
  await s.until('the Rust client', () => program.output().includes('waits for a call'));
  const caller = await hidden(first, 'erin');
  await caller.evaluate(async () => window.take(await window.client.callClient.callUser('rusty')));
  await s.told(caller, 'established');
  await s.hears(caller, SAID.rust, { what: 'the Rust client' });
  assert.deepEqual(await path(caller), ['relay', 'relay']);
  await toldOnlyRelayed(caller);
  await caller.evaluate(() => window.call.hangup());
  await concluded(program, 'rusty', SAID.a);
  await s.close(caller);
});

test('Rust to browser, relay only at both', async () => {
  const callee = await hidden(second, 'frank');
  const program = s.run(['call', 'frank', ...rust('rosty', '--duration', '40')]);
  await s.told(callee, 'established');
  await s.hears(callee, SAID.rust, { what: 'the Rust client' });
  assert.deepEqual(await path(callee), ['relay', 'relay']);
  await callee.evaluate(() => window.call.hangup());
  await concluded(program, 'rosty', SAID.b);
  await toldOnlyRelayed(callee);
  await s.close(callee);
});
