// What changes under a running call: the network gets bad and good again, addresses change, a person takes another microphone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import * as s from './support.mjs';

const SAID = { a: s.speechLike(8), b: s.speechLike(9) };
let server;
let first;
let second;
before(async () => {
  server = await s.serve();
  first = await s.browser('net-a', SAID.a);
  second = await s.browser('net-b', SAID.b);
});
after(s.cleanUp);

async function inCall(prepare = async () => {}) {
  const name = Math.random().toString(36).slice(2, 8);
  const caller = await s.application(first, server, `alice-${name}`);
  const callee = await s.application(second, server, `bob-${name}`);
  await prepare(caller, callee);
  await caller.evaluate(async (user) => window.take(await window.client.callClient.callUser(user)), `bob-${name}`);
  for (const page of [caller, callee]) await told(page, 'established');
  return [caller, callee];
}
const { told } = s;
const isHeard = async (page) => s.until('sound', async () => (await s.hear(page, 2)).some((sample) => Math.abs(sample) > 0.02), 30000);
test('packets get lost: the listener is warned, and told when it is over', async () => {
  const network = await s.lossyNetwork();
  const [caller, callee] = await inCall((_, callee) => network.behind(callee));
  assert.ok(network.carried() > 0, 'the call runs through it');
  network.lose(0.3);
  await told(callee, 'Trigger HighInboundPacketLoss');
  network.lose(0);
  await told(callee, 'Recover HighInboundPacketLoss');
  await isHeard(callee);
  await s.close(caller, callee);
});

test('the network changes: paths are looked for again under a new ICE generation, and the call goes on', async () => {
  const [caller, callee] = await inCall();
  const ufrag = (page) => page.evaluate(() => /a=ice-ufrag:(\S+)/.exec(window.call._media.pc.currentLocalDescription.sdp)[1]);
  const old = [await ufrag(caller), await ufrag(callee)];
  await caller.evaluate(() => window.dispatchEvent(new Event('online')));
  await s.until('a new generation', async () => (await ufrag(caller)) !== old[0] && (await ufrag(callee)) !== old[1]);
  await s.until('media', () => caller.evaluate(() => window.call._media.pc.connectionState === 'connected'));
  await Promise.all([isHeard(caller), isHeard(callee)]);
  assert.deepEqual(await caller.evaluate(() => window.told.filter((text) => text === 'ended')), []);
  await s.close(caller, callee);
});

test('another microphone in a running call: the old one is given back, the other side hears the new one, mute stays', async () => {
  const [caller, callee] = await inCall();
  const change = await caller.evaluate(async () => {
    const { call, client } = window;
    call.mute();
    const [old] = call.outgoingStream.getAudioTracks();
    const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === 'audioinput');
    const other = devices.find(({ deviceId }) => deviceId !== 'default' && deviceId !== old.getSettings().deviceId);
    await client.callClient.setAudioTrackConstraints({ deviceId: { exact: other.deviceId } });
    const tracks = call.outgoingStream.getAudioTracks();
    const [sender] = call._media.pc.getSenders();
    const seen = {
      count: tracks.length, isOther: tracks[0].getSettings().deviceId === other.deviceId, isSent: sender.track === tracks[0],
      oldIs: old.readyState, isMuted: !tracks[0].enabled,
    };
    call.unmute();
    return seen;
  });
  assert.deepEqual(change, { count: 1, isOther: true, isSent: true, oldIs: 'ended', isMuted: true });
  await isHeard(callee);
  const refused = await caller.evaluate(() =>
    window.client.callClient.setAudioTrackConstraints({ deviceId: { exact: 'none' } }).catch(({ name, message }) => [name, message]));
  assert.equal(refused[0], 'InvalidOperationError');
  await isHeard(callee);
  await s.close(caller, callee);
});

test('relay only: no address of the caller is told, and without a relay nobody connects', async () => {
  const caller = await s.application(first, server, 'hidden');
  const callee = await s.application(second, server, 'seen');
  const candidates = [];
  await caller.evaluate(() => {
    window.client.setUseRelayIceCandidatesOnly(true);
    const { send } = WebSocket.prototype;
    window.candidates = [];
    WebSocket.prototype.send = function (text) {
      const frame = JSON.parse(text);
      if (frame.type === 'call.candidate' && frame.body.candidate) window.candidates.push(frame.body.candidate);
      send.call(this, text);
    };
  });
  await caller.evaluate(async () => window.take(await window.client.callClient.callUser('seen')));
  await s.until('the answer', () => caller.evaluate(() => window.call.state === 4));
  await told(caller, 'ended');
  candidates.push(...(await caller.evaluate(() => window.candidates)));
  assert.deepEqual(candidates, []);
  assert.deepEqual(await caller.evaluate(() => [window.call.details.endCause, window.call.details.error.code]), [4, 3002]);
  await s.close(caller, callee);
});
