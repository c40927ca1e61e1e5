/** One call as the signaling client keeps it, and what may be said of one. */

import { Answered, Ended, Established, Init, Progressing, Ringing, wrong } from './errors.js';
import { MOST, bytes, headerBytes } from './frames.js';
import { Verification } from './verification.js';

/** What the time of a state is called, by the number of the state. */
export const REACHED = ['started', 'progressed', 'established', 'ended', 'answered', 'rung'];

/** One call, as the machine knows it. */
export class CallRecord {
  state = Init;
  cause = 'none';
  /** The servers for this call alone. */
  iceServers = [];
  mediaConnected = false;
  held = [];
  remoteCandidates = [];
  constructor(now, entropy, id, outgoing, remote, headers) {
    /** @type {Record<string, number>} milliseconds of the machine's clock */
    this.times = { started: now };
    Object.assign(this, { id, outgoing, remote, headers, verification: new Verification(id, entropy) });
  }
  get isAnswered() {
    return this.state === Answered || this.state === Established;
  }
  get isOver() {
    return this.state === Ended;
  }
  /** Whether it may go there; then it has. */
  enter(now, next) {
    const { state, outgoing } = this;
    const allowed = {
      [Progressing]: outgoing && state === Init,
      [Ringing]: outgoing && (state === Init || state === Progressing),
      [Answered]: state === Init || state === Progressing || state === Ringing,
      [Established]: state === Answered,
      [Ended]: state !== Ended,
    }[next];
    if (allowed) {
      this.state = next;
      this.times[REACHED[next]] = now;
    }
    return allowed;
  }
}

export function checkDescription(sdp) {
  if (bytes(sdp) > MOST.sdp) throw wrong('the session description is larger than 32 KiB');
}
export function checkHeaders(headers) {
  if (headerBytes(headers) > MOST.headers) throw wrong("the call's headers are larger than 1024 bytes");
}
