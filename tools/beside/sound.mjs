// What is heard of what was said: both ends on one sound server, recorded with one clock.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import * as s from '../../tests/browser/support.mjs';
import { Bench, RATE, beginning, channels } from '../../tests/browser/sound_server.mjs';
import { Call, TAIL, WARM_UP, place, wait } from './call.mjs';
import { disturbance, machine } from './ends.mjs';

const python = '.tools/score/bin/python';
const execute = promisify(execFile);

export class Listener {
  static async open(out) {
    return Object.assign(new Listener(), { out, bench: await Bench.start(place('both')) });
  }
  /** One call, and the scores of both its ways. */
  async call(server, said, name, plan) {
    const recording = join(this.out, 'recording.raw');
    const call = await Call.start(server, plan, [this.bench, this.bench]);
    const stop = this.bench.record(recording);
    await wait(1);
    const before = machine();
    await call.speak(said);
    const disturbed = disturbance(before, machine());
    await wait(0.5);
    await stop();
    const reports = await call.end();
    const ways = this.cutOut(recording, said, name, plan.kinds);
    const heard = [];
    for (const way of ways ?? []) heard.push({ ...way, score: await score(way) });
    return { heard, reports, disturbed: [!ways && 'the sound server did not keep up', disturbed].filter(Boolean).join(', ') };
  }
  /** Said and heard both ways, as files with one clock; undefined when the recording has a gap. */
  cutOut(recording, said, name, kinds) {
    const all = channels(recording);
    const ways = [];
    for (const [from, to] of [['a', 'b'], ['b', 'a']]) {
      const begin = beginning(all[`mic_${from}`], said[from].samples);
      if (begin === undefined) return undefined;
      const file = (channel, what, seconds) => {
        const start = begin + WARM_UP * RATE;
        const samples = Float32Array.from(all[channel].subarray(start, start + seconds * RATE), (x) => x / 32768);
        return s.writeWav(join(this.out, `${name}-${from}-${what}.wav`), samples);
      };
      const kind = (who) => kinds['ab'.indexOf(who)];
      const { seconds } = said;
      ways.push({
        from: kind(from), to: kind(to),
        spoken: file(`mic_${from}`, 'said', seconds), heardAs: file(`ear_${to}`, 'heard', seconds + TAIL - 1),
      });
    }
    return ways;
  }
  close() {
    return this.bench.stop();
  }
}

async function score(way) {
  const { stdout } = await execute(python, ['tools/score/score.py', way.spoken, way.heardAs, '--no-opinion']).catch((error) => error);
  return JSON.parse(stdout);
}

export const told = ({ heard }) =>
  heard.map(({ from, to, score }) => `${from} to ${to} ${score.delay_mean?.toFixed(0)} ms, PESQ ${score.pesq?.toFixed(2)}`).join('; ');
