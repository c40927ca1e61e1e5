// The published warnings, out of what a browser measured, under node.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WARNINGS } from '../../crates/web/quality.js';

const MEDIA = { held: false, muted: false, pc: { iceConnectionState: 'connected' } };
/** Which warnings stand after these seconds. */
const standing = (seconds, media = MEDIA) => Object.keys(WARNINGS).filter((name) => WARNINGS[name](seconds, media));
const seconds = (count, sample) => Array.from({ length: count }, (_, i) => (typeof sample === 'function' ? sample(i) : sample));
const talking = (i) => 0.1 + 0.05 * (i % 3);

test('silence is silence too where a decoder gives the smallest step of a sample', () => {
  for (const level of [0, 0.00003051850947599719, 0.00006103701895199438]) {
    assert.deepEqual(standing(seconds(5, { inboundLevel: level, outboundLevel: 0.2 })), ['ZeroInboundAudioLevel'], String(level));
    assert.deepEqual(standing(seconds(20, (i) => ({ inboundLevel: level, outboundLevel: talking(i) }))), ['ZeroInboundAudioLevel'], 'and not a constant level');
    assert.deepEqual(standing(seconds(4, { inboundLevel: level })), [], 'after five seconds, not before');
  }
  assert.deepEqual(standing([...seconds(19, { inboundLevel: 0 }), { inboundLevel: 0.1 }]), [], 'who says something has recovered');
});

test('a level that stays is constant after twenty seconds, and one that is quiet is not silent', () => {
  assert.deepEqual(standing(seconds(20, { inboundLevel: 0.01, outboundLevel: 0.2 })), ['ConstantOutboundAudioLevel', 'ConstantInboundAudioLevel']);
  assert.deepEqual(standing(seconds(19, { inboundLevel: 0.01, outboundLevel: 0.2 })), []);
  assert.deepEqual(standing(seconds(20, (i) => ({ inboundLevel: talking(i), outboundLevel: talking(i + 1) }))), []);
});

test('who is silent by intent is warned of nothing', () => {
  const silent = seconds(20, { inboundLevel: 0, outboundLevel: 0 });
  assert.deepEqual(standing(silent), ['ZeroOutboundAudioLevel', 'ZeroInboundAudioLevel']);
  assert.deepEqual(standing(silent, { ...MEDIA, muted: true }), ['ZeroInboundAudioLevel']);
  assert.deepEqual(standing(silent, { ...MEDIA, held: true }), []);
});

test('three bad seconds of four warn, and the limits are the published ones', () => {
  for (const [name, member, limit] of [['HighInboundJitter', 'jitter', 30], ['HighInboundPacketLoss', 'loss', 1]]) {
    const [bad, good] = [{ [member]: limit + 0.1 }, { [member]: limit }];
    assert.deepEqual(standing([bad, bad, good, bad]), [name]);
    assert.deepEqual(standing([bad, bad, bad, good, good]), []);
    assert.deepEqual(standing([good, good, good, good]), []);
  }
  assert.deepEqual(standing([{ rtt: 301 }]), ['HighRemoteInboundRtt']);
  assert.deepEqual(standing([{ rtt: 300 }]), []);
  assert.deepEqual(standing([{}], { ...MEDIA, pc: { iceConnectionState: 'disconnected' } }), ['MissingMediaStream']);
});
