// What a call costs the processor: each end on a sound server of its own, as on two machines. On one they would run in step, and be awake for
// each other's packets; how far out of step two of them run is another matter for each call.
import { Bench } from '../../tests/browser/sound_server.mjs';
import { Call, WARM_UP, place, wait } from './call.mjs';
import { disturbance, machine } from './ends.mjs';

export class Meter {
  calls = 0;
  static async open() {
    return new Meter();
  }
  /** One call: processor seconds per minute of each end. */
  async call(server, said, _, plan) {
    this.calls += 1;
    const benches = [await Bench.start(place(`${this.calls}a`)), await Bench.start(place(`${this.calls}b`))];
    const call = await Call.start(server, plan, benches);
    const speaking = call.speak(said);
    await wait(WARM_UP);
    const before = await counted(call.ends);
    await wait(said.seconds);
    const after = await counted(call.ends);
    await speaking;
    await call.end();
    await Promise.all(benches.map((bench) => bench.stop()));
    const minutes = (after.machine.at - before.machine.at) / 60000;
    const per = (end, what) => (after.ends[end][what] - before.ends[end][what]) / minutes;
    const cpu = call.ends.map((_, end) => ({ call: per(end, 'call'), whole: per(end, 'whole') }));
    return { cpu, disturbed: disturbance(before.machine, after.machine) };
  }
  async close() {}
}

async function counted(ends) {
  return { ends: await Promise.all(ends.map((end) => end.cpu())), machine: machine() };
}

export const told = ({ cpu }, { kinds }) => cpu.map(({ call, whole }, end) => `${kinds[end]} ${call.toFixed(2)} s/min (whole ${whole.toFixed(2)})`).join('; ');
