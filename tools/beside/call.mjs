// One call between two ends, from the ring to the end of what is said in it.
import { join } from 'node:path';

import * as s from '../../tests/browser/support.mjs';
import { Chromium, Rust } from './ends.mjs';

/** Speech before what counts, in which buffers find their size; sound after it that is still to be heard. Seconds. */
export const [WARM_UP, TAIL] = [5, 2];
const LOSS = 0.1;
/** The network of calls that are judged by loss carries at least so many datagrams a second. */
const LEAST_CARRIED = 20;
const CONDITIONS = ['clean', 'loss', 'processed', 'light'];
const KINDS = { rust: Rust, chromium: Chromium };
export const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

/** Every call of one run: Offhook's and the browser's own, on each network and microphone that is asked for. */
export function planned(conditions) {
  for (const condition of conditions) if (!CONDITIONS.includes(condition)) throw new Error(`--only takes ${CONDITIONS.join(', ')}: not ${condition}`);
  const pairs = (condition) => (condition === 'light' ? [['rust', 'chromium']] : [['rust', 'chromium'], ['chromium', 'chromium']]);
  return conditions.flatMap((condition) => pairs(condition).map((kinds) => ({ condition, kinds })));
}

/** Both ends of one call, talking; `benches` are their sound servers. */
export class Call {
  static async start(server, { condition, kinds }, benches) {
    const call = Object.assign(new Call(), { condition, benches, ends: [] });
    for (const [n, who] of ['a', 'b'].entries()) {
      benches[n].use();
      call.ends.push(await KINDS[kinds[n]].open(server, who, condition));
    }
    const [caller, callee] = call.ends;
    call.network = condition === 'loss' ? await s.lossyNetwork({ all: true }) : undefined;
    await call.network?.behind(callee.page);
    // `offhook call` begins here, with the caller's sound server.
    benches[0].use();
    await caller.ring(callee.user);
    await callee.established();
    await caller.established();
    call.network?.lose(LOSS);
    call.since = { at: performance.now(), carried: call.network?.carried() };
    return call;
  }
  /** Both say all that they have. */
  speak(said) {
    return Promise.all(['a', 'b'].map((who, n) => this.benches[n].say(who, said[who].path)));
  }
  /** What the ends tell of it. */
  async end() {
    const seconds = (performance.now() - this.since.at) / 1000;
    const reports = await Promise.all(this.ends.map((end) => end.close()));
    this.network?.close();
    if (this.network && this.network.carried() - this.since.carried < seconds * LEAST_CARRIED) {
      throw new Error('the call did not run through the relay that loses datagrams');
    }
    return reports;
  }
}

/** A folder for a sound server. */
export const place = (name) => join(s.scratch, `sound-${name}`);
