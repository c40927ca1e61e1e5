// What a call costs the processor: each end on a sound server of its own, as on two machines. On one they would run in step, and be awake for
// each other's packets.
import { Bench } from '../../tests/browser/sound_server.mjs';
import { Call, WARM_UP, place, wait } from './call.mjs';
import { machine } from './ends.mjs';

/** Work of other programs beyond this share of one processor disturbs. */
const QUIET = 0.05;

export class Meter {
  static async open() {
    return Object.assign(new Meter(), { benches: [await Bench.start(place('a')), await Bench.start(place('b'))] });
  }
  /** One call: processor seconds per minute of each end. */
  async call(server, said, _, plan) {
    const call = await Call.start(server, plan, this.benches);
    const speaking = call.speak(said);
    await wait(WARM_UP);
    const before = await counted(call.ends);
    await wait(said.seconds);
    const after = await counted(call.ends);
    await speaking;
    await call.end();
    const minutes = (after.at - before.at) / 60000;
    const per = (end, what) => (after.ends[end][what] - before.ends[end][what]) / minutes;
    const cpu = call.ends.map((_, end) => ({ call: per(end, 'call'), whole: per(end, 'whole') }));
    const others = (after.machine.busy - before.machine.busy - (after.machine.ours - before.machine.ours)) / (minutes * 60);
    return { cpu, others, disturbed: others > QUIET ? `other programs took ${(100 * others).toFixed(0)} % of a processor` : '' };
  }
  close() {
    return Promise.all(this.benches.map((bench) => bench.stop()));
  }
}

async function counted(ends) {
  return { at: performance.now(), ends: await Promise.all(ends.map((end) => end.cpu())), machine: machine() };
}

export const told = ({ cpu }, { kinds }) => cpu.map(({ call, whole }, end) => `${kinds[end]} ${call.toFixed(2)} s/min (whole ${whole.toFixed(2)})`).join('; ');
