// Microphone and connection of a call under node: whatever happens meanwhile, nothing stays open.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CallEndCause, CallState, started, turn } from './world.mjs';

const INCOMING = ['call.incoming', { from: 'bob', sdp: 'v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n' }, { seq: 1, call_id: 'in' }];
/** Somebody is rung; what opens the microphone waits for `open`. */
async function rung() {
  const all = await started();
  let call;
  all.client.callClient.addListener({ onIncomingCall: (_, incoming) => (call = incoming) });
  all.socket.say(...INCOMING);
  const opening = [];
  all.mediaDevices.wait = () => new Promise((resolve, reject) => opening.push({ resolve, reject }));
  return { ...all, call, opening };
}

test('a microphone that opens after the call is over is given back, and so is the connection', async () => {
  for (const [end, cause] of [[({ call }) => call.hangup(), 'Denied'], [({ socket }) => socket.say('call.ended', { cause: 'canceled' }, { seq: 2, call_id: 'in' }), 'Canceled'], [({ client }) => client.terminate(), 'Denied']]) {
    const all = await rung();
    const answer = assert.rejects(all.call.answer(), { name: 'InvalidOperationError' });
    end(all);
    all.opening[0].resolve();
    await answer;
    assert.deepEqual([all.isOpen(), all.tracks.length, CallEndCause[all.call.details.endCause]], [[], 1, cause]);
    assert.equal(all.socket.last('call.answer'), undefined);
    all.client.terminate();
  }
});

test('an answer that fails leaves nothing open, and may be tried again', async () => {
  const all = await rung();
  const first = assert.rejects(all.call.answer(), { name: 'InvalidOperationError', message: /NotAllowedError/ });
  all.opening[0].reject(new DOMException('', 'NotAllowedError'));
  await first;
  const { RTCPeerConnection } = all.env;
  const { setRemoteDescription } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.setRemoteDescription = async () => { throw new Error('no such codec'); };
  const second = assert.rejects(all.call.answer(), { message: 'no such codec' });
  all.opening[1].resolve();
  await second;
  assert.deepEqual([all.isOpen(), all.call.state], [[], CallState.Init]);
  RTCPeerConnection.prototype.setRemoteDescription = setRemoteDescription;
  const third = all.call.answer();
  all.opening[2].resolve();
  await third;
  assert.deepEqual([all.call.state, all.call.outgoingStream.getTracks()], [CallState.Answered, [all.tracks.at(-1)]]);
  all.client.terminate();
  assert.deepEqual(all.isOpen(), []);
});

test('of several microphones that are chosen the last one stays, and one that opens too late is given back', async () => {
  const all = await rung();
  const { callClient } = all.client;
  const answer = all.call.answer();
  all.opening[0].resolve();
  await answer;
  all.call.mute();
  const changes = ['one', 'two'].map((deviceId) => callClient.setAudioTrackConstraints({ deviceId }));
  await turn();
  assert.equal(all.opening.length, 2, 'one after the other');
  all.opening[1].resolve();
  await turn();
  all.opening[2].resolve();
  await Promise.all(changes);
  assert.deepEqual(all.isOpen().map((open) => open.constraints?.audio.deviceId), ['two', undefined]);
  assert.deepEqual(all.call.outgoingStream.getTracks().map(({ enabled }) => enabled), [false], 'it is as mute as the one before');
  const late = callClient.setAudioTrackConstraints({ deviceId: 'three' });
  await turn();
  all.call.hangup();
  all.opening[3].resolve();
  await late;
  assert.deepEqual([all.isOpen(), all.tracks.length], [[], 4]);
  await callClient.setAudioTrackConstraints(null);
  const next = callClient.callUser('bob');
  all.opening[4].resolve();
  await next;
  assert.deepEqual(all.captured.at(-1), { audio: true, video: false }, 'no constraints are the default ones');
  all.client.terminate();
});
