// The golden traces of the signaling client, run by signaling.js: the same file that the Rust machine runs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Machine } from '../../crates/web/signaling.js';
import { authenticationString, commitment, fingerprint, sha256 } from '../../crates/web/verification.js';

const TRACES = new URL('../../crates/signaling/tests/golden/client.json', import.meta.url);
const WALL = 1_000_000;

/** 0, 1, 2, ... */
function counting() {
  let next = 0;
  return (bytes) => {
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = next++ & 255;
    return bytes;
  };
}

function act(machine, now, [what, ...args]) {
  machine.handleTimeout(now);
  const frame = () => JSON.stringify({ ...args[0], v: 1, id: 's' });
  const inputs = {
    start: () => machine.start(now, WALL, args[0]?.secret && { secret: args[0].secret, expires: args[0].expires }),
    register: () => machine.register(now, args[0]),
    register_failed: () => machine.registerFailed(now),
    terminate: () => machine.terminate(now),
    connected: () => machine.handleConnected(now),
    disconnected: () => machine.handleDisconnected(now),
    network_changed: () => machine.networkChanged(now),
    receive: () => machine.handleFrame(now, frame()),
    wait: () => {},
    call: () => machine.callUser(now, ...args),
    answer: () => machine.answer(now, ...args),
    hang_up: () => machine.hangUp(now, args[0]),
    refuse_busy: () => machine.refuseBusy(now, args[0]),
    candidate: () => machine.localCandidate(now, args[0], whole(args[1])),
    update: () => machine.update(now, ...args),
    renew_ice_servers: () => machine.renewIceServers(now, args[0]),
    report: () => machine.report(now, ...args),
    media_connected: () => machine.mediaConnected(now, args[0]),
    media_failed: () => machine.mediaFailed(now, args[0], args[1]),
  };
  assert.ok(inputs[what], `unknown input ${what}`);
  try {
    inputs[what]();
    return [];
  } catch (error) {
    return [{ error: error.message }];
  }
}

const whole = (candidate) => ({ candidate: '', mid: '', ufrag: '', end: false, ...candidate });

function shown(output) {
  if (output.send) {
    const { v, ...frame } = JSON.parse(output.send);
    assert.equal(v, 1);
    return { send: frame };
  }
  if (output.event?.failed) {
    // The sentence for a person is not part of the traces.
    const { message, ...failed } = output.event.failed;
    assert.ok(message.length > 10);
    return { event: { failed } };
  }
  return output.for ? { wake: Math.floor(output.wake), for: output.for } : output;
}

function run(machine, step) {
  const outputs = act(machine, step.at, step.do);
  for (let next = machine.poll(); next !== undefined; next = machine.poll()) {
    outputs.push(shown(next));
    if (next.for) break;
  }
  return outputs;
}

const VECTORS = new URL('../../crates/signaling/tests/golden/authentication.json', import.meta.url);
const { strings, descriptions } = JSON.parse(readFileSync(VECTORS, 'utf8'));
test('the vectors of the authentication string hold', () => {
  assert.ok(strings.length > 0 && descriptions.length > 10);
  for (const { call, caller, callee, commitment: committed, string } of strings) {
    const side = ({ nonce, fingerprint: print }) => `${nonce} ${print}`;
    assert.equal(commitment(call, side(caller)), committed);
    assert.equal(authenticationString(call, side(caller), side(callee)), string);
  }
  for (const { sdp, fingerprint: print } of descriptions) assert.equal(fingerprint(sdp) ?? null, print, JSON.stringify(sdp));
});
test('sha256 is that of the platform, for every length of the last block', () => {
  for (let length = 0; length < 200; length += 1) {
    const text = 'offhook '.repeat(30).slice(0, length);
    assert.equal(sha256(text), createHash('sha256').update(text).digest('hex'));
  }
});

const scenarios = JSON.parse(readFileSync(TRACES, 'utf8'));
assert.ok(scenarios.length > 50, 'the traces are there');
for (const { name, steps } of scenarios) {
  test(name, () => {
    const config = { application: 'a32e5a8d-f7d8-411c-9645-9038e8dd051d', user: 'alice', device: 'a1' };
    const machine = new Machine(config, counting());
    steps.forEach((step, index) => {
      const outputs = JSON.parse(JSON.stringify(run(machine, step)));
      assert.deepEqual(outputs, step.expect, `step ${index}: ${JSON.stringify(step.do).slice(0, 200)}`);
    });
  });
}
