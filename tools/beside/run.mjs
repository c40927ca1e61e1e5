// Calls between Offhook and Chromium beside calls between Chromium and Chromium, on one machine, with the same speech. Run by `make beside`.
//
//   node tools/beside/run.mjs --offhook PROGRAM [--runs 3] [--seconds 60] [--only clean,loss,processed,light] [--measure sound,cost]
//     [--page docs/QUALITY.md] [--out DIR]
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    offhook: { type: 'string', default: 'target/release/offhook' }, runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '60' }, only: { type: 'string', default: 'clean,loss,processed,light' },
    measure: { type: 'string', default: 'sound,cost' }, page: { type: 'string', default: '' }, out: { type: 'string', default: 'target/beside' },
  },
});
process.env.OFFHOOK_PROGRAM = resolve(options.offhook);
const s = await import('../../tests/browser/support.mjs');
const { RATE } = await import('../../tests/browser/sound_server.mjs');
const { TAIL, WARM_UP, planned } = await import('./call.mjs');
const sound = await import('./sound.mjs');
const cost = await import('./cost.mjs');
const { blocks, write } = await import('./report.mjs');

const SECONDS = Number(options.seconds);
const MEASURES = { sound: { open: () => sound.Listener.open(options.out), told: sound.told }, cost: { open: () => cost.Meter.open(), told: cost.told } };
const say = (text) => console.log(`[${new Date().toTimeString().slice(0, 8)}] ${text}`);

/** The minute of speech as raw samples for each person: one of them begins in its middle, so that they do not say the same at once. */
function speech(folder) {
  const wav = join(folder, 'speech.wav');
  execFileSync('.tools/score/bin/python', ['tools/score/speech.py', 'english', wav]);
  const minute = s.readWav(wav).samples.map((x) => Math.round(x * 32767)).subarray(0, SECONDS * RATE);
  const turned = (by) => Int16Array.from({ length: minute.length }, (_, i) => minute[(i + by) % minute.length]);
  const raw = (who, samples) => {
    const path = join(folder, `${who}.raw`);
    const around = [samples.subarray(samples.length - WARM_UP * RATE), samples, samples.subarray(0, TAIL * RATE)];
    const whole = Int16Array.from({ length: around.reduce((sum, part) => sum + part.length, 0) });
    let at = 0;
    for (const part of around) {
      whole.set(part, at);
      at += part.length;
    }
    writeFileSync(path, Buffer.from(whole.buffer));
    return { path, samples: whole };
  };
  const half = Math.floor(SECONDS / 20) * 10 * RATE;
  return { seconds: SECONDS, a: raw('a', turned(0)), b: raw('b', turned(half)) };
}

async function circumstances() {
  const probe = await s.chromium.launch({ executablePath: s.chromiumPath, args: ['--no-sandbox'] });
  const text =
    `Chromium ${probe.version()}, ${cpus().length} processors of a machine of kind "${cpus()[0].model.trim()}", ${options.runs} calls of ${SECONDS} s for ` +
    'each figure: the median, and in brackets the least and the greatest.';
  await probe.close();
  return text;
}

async function main() {
  const measures = options.measure.split(',');
  for (const measure of measures) if (!MEASURES[measure]) throw new Error(`--measure takes sound, cost: not ${measure}`);
  const plan = planned(options.only.split(','));
  rmSync(options.out, { recursive: true, force: true });
  mkdirSync(options.out, { recursive: true });
  const count = plan.length * Number(options.runs) * measures.length;
  say(`${count} calls of ${SECONDS} s: about ${Math.ceil((count * (SECONDS + WARM_UP + TAIL + 10)) / 60)} min`);
  const said = speech(options.out);
  const server = await s.serve();
  const runs = [];
  for (const measure of measures) {
    const stand = await MEASURES[measure].open();
    for (let run = 1; run <= Number(options.runs); run += 1) {
      for (const { condition, kinds } of plan) {
        const name = `${measure}-${condition}-${kinds.join('-')}-${run}`;
        const done = await stand.call(server, said, name, { condition, kinds });
        runs.push({ name, condition, kinds, ...done });
        say(`${runs.length}/${count} ${name}: ${MEASURES[measure].told(done, { kinds })}${done.disturbed && `; DISTURBED: ${done.disturbed}`}`);
      }
    }
    await stand.close();
  }
  const result = { circumstances: await circumstances(), runs };
  writeFileSync(join(options.out, 'results.json'), `${JSON.stringify(result, null, 1)}\n`);
  console.log(`\n${blocks(result)}\n`);
  if (options.page) write(result, options.page);
}

try {
  await main();
} finally {
  await s.cleanUp();
}
