/** One call as the signaling client keeps it, and what may be said of one. */

import { Answered, Ended, ErrorCode, ErrorType, Established, Init, Progressing, Ringing, SinchError, wrong } from './errors.js';
import { CAUSES, MOST, bytes, headerBytes } from './frames.js';
import { Verification } from './verification.js';

/** What the time of a state is called, by the number of the state. */
const REACHED = ['started', 'progressed', 'established', 'ended', 'answered', 'rung'];

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
    Object.assign(this, { id, outgoing, remote, headers, proof: new Verification(id, entropy) });
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

/** Times and end of a call, as they are now. A time that has not come is undefined; durations are milliseconds, 0 until they are over. */
function told(call) {
  const { times, cause, error, offer, outgoing, mediaConnected } = call._record;
  const { started, progressed, rung, answered, established, ended } = times;
  // Not a number where one of the two has not come.
  const between = (from, to) => to - from || 0;
  const has = (kind) => mediaConnected && call._media.incoming.getTracks().some((track) => track.kind === kind);
  // Its port is 0 in Firefox, where it shares that of the sound. No first offer has one that is refused.
  const isVideoOffered = call._video || /^m=video/m.test(offer);
  const ice = error === 'media_failed';
  return {
    ...Object.fromEntries(REACHED.map((name) => [`${name}Time`, name in times ? new Date(call._epoch + times[name]) : undefined])),
    duration: between(established, ended),
    setupDuration: between(started, progressed),
    notifyingDuration: between(progressed, rung),
    ringingDuration: between(outgoing ? rung : started, answered ?? ended),
    connectionDuration: between(answered, established),
    hadAudioStream: has('audio'),
    hadVideoStream: has('video'),
    isVideoOffered,
    requestedAudio: true,
    requestedVideo: isVideoOffered,
    endCause: CAUSES[cause],
    error: error && new SinchError(`the call failed: ${error}`, ice ? ErrorCode.CallFailedToConnectIce : ErrorCode.ApiCallFailed, ice ? ErrorType.Session : ErrorType.Api),
  };
}
const NAMES = Object.keys(told({ _record: { times: {} } }));
/** Who keeps it sees what is true when they look. */
export class CallDetails {
  constructor(call) {
    for (const name of NAMES) Object.defineProperty(this, name, { get: () => told(call)[name], enumerable: true });
  }
}
