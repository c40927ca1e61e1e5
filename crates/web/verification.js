/** The authentication string of a call (docs/SIGNALING.md): a twin of `verification` in crates/signaling. */

import { isAbsent } from './frames.js';

const H = [];
const K = [];
const fraction = (root) => ((root % 1) * 2 ** 32) | 0;
for (let n = 2, primes = []; primes.length < 64; n += 1) {
  if (primes.some((prime) => n % prime === 0)) continue;
  primes.push(n);
  H.push(fraction(Math.sqrt(n)));
  K.push(fraction(Math.cbrt(n)));
}
const turn = (word, ...by) => by.reduce((sum, bits) => sum ^ ((word >>> bits) | (word << (32 - bits))), 0);

/** SHA-256 (FIPS 180-4) of ASCII text as hexadecimal digits, at once: the browser's own only promises it. */
export function sha256(text) {
  const words = new Int32Array((((text.length + 8) >> 6) + 1) * 16);
  for (let i = 0; i <= text.length; i += 1) words[i >> 2] |= (i < text.length ? text.charCodeAt(i) : 128) << (24 - 8 * (i & 3));
  words[words.length - 1] = text.length * 8;
  let hash = H.slice(0, 8);
  for (let at = 0; at < words.length; at += 16) {
    const w = [...words.slice(at, at + 16)];
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i += 1) {
      const [x, y] = [w[i - 15], w[i - 2]];
      w[i] ??= (w[i - 16] + w[i - 7] + (turn(x, 7, 18) ^ (x >>> 3)) + (turn(y, 17, 19) ^ (y >>> 10))) | 0;
      const t = h + turn(e, 6, 11, 25) + ((e & f) ^ (~e & g)) + K[i] + w[i];
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t) | 0, c, b, a, (t + turn(a, 2, 13, 22) + ((a & b) ^ (a & c) ^ (b & c))) | 0];
    }
    hash = [a, b, c, d, e, f, g, h].map((word, i) => (word + hash[i]) | 0);
  }
  return hex(hash.map((word) => word >>> 0), 8);
}
export const hex = (numbers, digits = 2) => Array.from(numbers, (n) => n.toString(16).padStart(digits, '0')).join('');

/** The one certificate that a description names: all of its lines are alike, and nothing else in it looks like one. */
export function fingerprint(sdp) {
  const read = (line) => /^a=fingerprint:sha-256 ((?:[\da-f]{2}:){31}[\da-f]{2})\r?$/i.exec(line)?.[1].toUpperCase();
  const named = sdp.split('\n').map(read).filter(Boolean);
  return named.length === sdp.match(/fingerprint/gi)?.length && new Set(named).size === 1 ? named[0] : undefined;
}
const isPart = (text) => /^[\da-f]{64}$/.test(text);
export const commitment = (call, caller) => sha256(`offhook commitment 1\n${call}\ncaller ${caller}`);
/** A side is its nonce and its fingerprint. */
export function authenticationString(call, caller, callee) {
  const digest = sha256(`offhook authentication string 1\n${call}\ncaller ${caller}\ncallee ${callee}`);
  const digits = String(parseInt(digest.slice(0, 12), 16) % 1e8).padStart(8, '0');
  return `${digits.slice(0, 4)} ${digits.slice(4)}`;
}

/** The verification of one call, by its messages. Without a step it is unavailable, or has failed. */
export class Verification {
  constructor(call, entropy) {
    const own = (sdp) => {
      const print = fingerprint(sdp);
      return print && `${hex(entropy(new Uint8Array(32)))} ${print}`;
    };
    Object.assign(this, { call, own });
  }
  get view() {
    const { step, string, error } = this;
    if (error) return { state: 'failed', error };
    return string ? { state: 'ready', string } : { state: step ? 'pending' : 'unavailable' };
  }
  fail(error) {
    this.step = this.string = undefined;
    this.error = error;
  }
  /** What goes with the offer; an offer without one certificate has none. */
  offer(sdp) {
    this._caller = this.own(sdp);
    if (!this._caller) return undefined;
    this.step = 'calling';
    return commitment(this.call, this._caller);
  }
  /** The other side's certificate, or the failure. */
  read(sdp, part) {
    this.remote = fingerprint(sdp);
    if (this.remote && isPart(part)) return true;
    this.remote = this.fail(this.remote ? 'malformed' : 'fingerprint');
    return false;
  }
  ring(committed, sdp) {
    if (!isAbsent(committed) && this.read(sdp, committed)) Object.assign(this, { step: 'ringing', committed });
  }
  /** The nonce that goes with the answer. */
  answer(sdp) {
    if (this.step !== 'ringing') return undefined;
    this._callee = this.own(sdp);
    this.step = this._callee && 'answered';
    return this._callee?.slice(0, 64);
  }
  /** The other side answered. */
  answered(nonce, sdp) {
    if (this.step !== 'calling') return;
    this.step = undefined;
    if (isAbsent(nonce) || !this.read(sdp, nonce)) return;
    this._callee = `${nonce} ${this.remote}`;
    this.done('revealing');
  }
  /** The nonce that this side shows. */
  get revealing() {
    return this.step === 'revealing' ? this._caller.slice(0, 64) : undefined;
  }
  done(step) {
    this.step = step;
    this.string = authenticationString(this.call, this._caller, this._callee);
  }
  revealed(nonce) {
    const { step, remote } = this;
    const caller = `${nonce} ${remote}`;
    if (!step || (step === 'told' && caller === this._caller)) return;
    if (step !== 'answered') this.fail(step === 'told' ? 'reveal_changed' : 'out_of_order');
    else if (!isPart(nonce)) this.fail('malformed');
    else if (commitment(this.call, caller) !== this.committed) this.fail('commitment_broken');
    else {
      this._caller = caller;
      this.done('told');
    }
  }
  /** Whether a later description of the other side may be followed. */
  allows(sdp) {
    const stays = !this.remote || fingerprint(sdp) === this.remote;
    if (!stays) this.fail('fingerprint_changed');
    return stays;
  }
  expire() {
    if (this.step === 'answered') this.fail('reveal_missing');
  }
  /** How it ended, once for each end. */
  news() {
    const { view: { state, string, error }, told } = this;
    this.told = string ?? error;
    return this.told === told ? undefined : { [state]: this.told };
  }
}
