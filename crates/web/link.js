/** What joins the connections of one session: numbers, acknowledgements, and commands whose outcome has not come. */

import { MOST } from './frames.js';

/** Asks for a snapshot: no session counts so far. */
const NOTHING_HANDLED = Number.MAX_SAFE_INTEGER;

export class Link {
  /** @type {{session: string, token: string, epoch: string} | undefined} */
  session;
  needsSnapshot = false;
  /** The newest event that was handled, and the newest that the server knows to be. */
  lastSeq = 0;
  acknowledged = 0;
  next = 0;
  unsettled = [];

  /** The next frame out; it acknowledges. */
  frame(call, type, body) {
    this.acknowledged = this.lastSeq;
    this.next += 1;
    return { v: 1, id: `c${this.next}`, seq: this.next, ack: this.lastSeq, type, call_id: call, body };
  }
  /** One that is repeated after a reconnect until its outcome came. */
  command(call, type, body) {
    const frame = this.frame(call, type, body);
    if (this.unsettled.length === MOST.pending) this.unsettled.shift();
    this.unsettled.push(frame);
    return frame;
  }
  /** Whether a frame with this number is new, or has none. */
  receive(seq) {
    if (seq === 0) return true;
    const isNew = seq > this.lastSeq;
    if (isNew) this.lastSeq = seq;
    return isNew;
  }
  get owesAck() {
    return this.lastSeq > this.acknowledged;
  }
  /** How the session is asked for on a new connection. */
  resumption() {
    return this.session && { ...this.session, last_seq: this.needsSnapshot ? NOTHING_HANDLED : this.lastSeq };
  }
  /** The server gave a session: the old one, or another. */
  enter({ session, resume_token: token, epoch, resumed }) {
    // In a new session starts are not repeated: the old one may have carried them out.
    if (this.session?.session !== session) this.unsettled = this.unsettled.filter((frame) => frame.type !== 'call.start');
    this.session = { session, token, epoch };
    this.needsSnapshot = !resumed;
    if (!resumed) this.lastSeq = this.acknowledged = 0;
  }
  /** What has no outcome, to be said again. */
  repeats() {
    this.acknowledged = this.lastSeq;
    for (const frame of this.unsettled) frame.ack = this.lastSeq;
    return this.unsettled;
  }
  /** The outcome of a command came: the command. */
  settle(of) {
    const index = this.unsettled.findIndex((frame) => frame.id === of);
    return index < 0 ? undefined : this.unsettled.splice(index, 1)[0];
  }
  /** Whether a call was begun that the server, which has acknowledged so far, cannot know. */
  isStarting(call, ack) {
    return this.unsettled.some((frame) => frame.type === 'call.start' && frame.seq > ack && frame.call_id === call);
  }
  /** Whether something of a call has no outcome. */
  isPending(type, call) {
    return this.unsettled.some((frame) => frame.type === type && frame.call_id === call);
  }
  /** A call is over: a start that was never received would otherwise ring after a reconnect. */
  forget(call) {
    this.unsettled = this.unsettled.filter((frame) => frame.call_id !== call || frame.type === 'call.hangup');
  }
}
