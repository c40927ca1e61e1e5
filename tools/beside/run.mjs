// Calls between Offhook and Chromium beside calls between Chromium and Chromium, on one machine, with the same speech. Run by `make beside`.
//
//   node tools/beside/run.mjs --offhook PROGRAM [--runs 3] [--seconds 60] [--only clean,loss,processed,light] [--page docs/QUALITY.md] [--out DIR]
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';

const { values: options } = parseArgs({
  options: {
    offhook: { type: 'string', default: 'target/release/offhook' }, runs: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '60' }, only: { type: 'string', default: 'clean,loss,processed,light' },
    page: { type: 'string', default: '' }, out: { type: 'string', default: 'target/beside' },
  },
});
process.env.OFFHOOK_PROGRAM = resolve(options.offhook);
const s = await import('../../tests/browser/support.mjs');
const { Bench, RATE, beginning, channels } = await import('../../tests/browser/sound_server.mjs');
const { Chromium, Rust, machine } = await import('./ends.mjs');
const { blocks, write } = await import('./report.mjs');

const python = '.tools/score/bin/python';
const SECONDS = Number(options.seconds);
/** Speech before the minute that counts, in which buffers find their size; sound after it that is still to be heard. */
const [WARM_UP, TAIL] = [5, 2];
const LOSS = 0.1;
/** Work of other programs beyond this share of one processor disturbs. */
const QUIET = 0.05;
const PAIRS = [[Rust, Chromium], [Chromium, Chromium]];
const execute = promisify(execFile);
const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const say = (text) => console.log(`[${new Date().toTimeString().slice(0, 8)}] ${text}`);

/** The minute of speech as raw samples for each person: one of them begins in its middle, so that they do not say the same at once. */
async function speech(folder) {
  const wav = join(folder, 'speech.wav');
  await execute(python, ['tools/score/speech.py', 'english', wav]);
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
  return { a: raw('a', turned(0)), b: raw('b', turned(half)) };
}

/** Both ends, talking. */
async function connect(server, pair, condition) {
  const caller = await pair[0].open(server, 'a', condition);
  const callee = await pair[1].open(server, 'b', condition);
  const network = condition === 'loss' ? await s.lossyNetwork({ all: true }) : undefined;
  await network?.behind(callee.page);
  await caller.ring(callee.user);
  await callee.established();
  await caller.established();
  network?.lose(LOSS);
  return { ends: [caller, callee], network };
}

async function counted(ends) {
  return { at: performance.now(), ends: await Promise.all(ends.map((end) => end.cpu())), machine: machine() };
}

/** One call: records it, counts, and cuts out the minute. */
async function call(bench, server, said, name, pair, condition) {
  const recording = join(options.out, 'recording.raw');
  const { ends, network } = await connect(server, pair, condition);
  const stop = bench.record(recording);
  await wait(1);
  const carried = network?.carried();
  const speaking = Promise.all([bench.say('a', said.a.path), bench.say('b', said.b.path)]);
  await wait(WARM_UP);
  const before = await counted(ends);
  await wait(SECONDS);
  const after = await counted(ends);
  await speaking;
  await wait(0.5);
  await stop();
  const reports = await Promise.all(ends.map((end) => end.close()));
  network?.close();
  if (network && network.carried() - carried < SECONDS * 20) throw new Error('the call did not run through the relay that loses datagrams');
  const minutes = (after.at - before.at) / 60000;
  const per = (end, what) => (after.ends[end][what] - before.ends[end][what]) / minutes;
  const cpu = ends.map((_, end) => ({ call: per(end, 'call'), whole: per(end, 'whole') }));
  const others = (after.machine.busy - before.machine.busy - (after.machine.ours - before.machine.ours)) / (minutes * 60);
  const cut = cutOut(recording, said, name, ends.map(({ kind }) => kind));
  const why = [!cut && 'the sound server did not keep up', others > QUIET && `other programs took ${(100 * others).toFixed(0)} % of a processor`];
  return { name, condition, kinds: ends.map(({ kind }) => kind), cpu, others, heard: cut ?? [], disturbed: why.filter(Boolean).join(', '), reports };
}

/** What was said and what was heard of it, both ways, as files with one clock; undefined when the recording has a gap. */
function cutOut(recording, said, name, kinds) {
  const all = channels(recording);
  const ways = [];
  for (const [from, to] of [['a', 'b'], ['b', 'a']]) {
    const begin = beginning(all[`mic_${from}`], said[from].samples);
    if (begin === undefined) return undefined;
    const file = (channel, what, seconds) => {
      const start = begin + WARM_UP * RATE;
      const samples = Float32Array.from(all[channel].subarray(start, start + seconds * RATE), (x) => x / 32768);
      return s.writeWav(join(options.out, `${name}-${from}-${what}.wav`), samples);
    };
    const kind = (who) => kinds['ab'.indexOf(who)];
    ways.push({
      from: kind(from), to: kind(to), spoken: file(`mic_${from}`, 'said', SECONDS), heardAs: file(`ear_${to}`, 'heard', SECONDS + TAIL - 1),
    });
  }
  return ways;
}

async function score(way) {
  const { stdout } = await execute(python, ['tools/score/score.py', way.spoken, way.heardAs, '--no-opinion']).catch((error) => error);
  return JSON.parse(stdout);
}

async function main() {
  rmSync(options.out, { recursive: true, force: true });
  mkdirSync(options.out, { recursive: true });
  const conditions = options.only.split(',');
  const plan = [];
  for (let run = 1; run <= Number(options.runs); run += 1) {
    for (const condition of conditions) for (const pair of condition === 'light' ? PAIRS.slice(0, 1) : PAIRS) plan.push({ condition, pair, run });
  }
  say(`${plan.length} calls of ${SECONDS} s, then their scores: about ${Math.ceil((plan.length * (SECONDS + WARM_UP + TAIL + 20)) / 60)} min`);
  const said = await speech(options.out);
  const folder = join(s.scratch, 'sound');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const bench = await Bench.start(folder);
  const server = await s.serve();
  const runs = [];
  for (const { condition, pair, run } of plan) {
    const name = `${condition}-${pair.map((end) => end.name.toLowerCase()).join('-')}-${run}`;
    const done = await call(bench, server, said, name, pair, condition);
    for (const way of done.heard) way.score = await score(way);
    runs.push(done);
    const ways = done.heard.map(({ from, to, score }) =>
      `${from} to ${to} ${score.delay_mean?.toFixed(0)} ms, PESQ ${score.pesq?.toFixed(2)}`);
    const costs = done.cpu.map(({ call, whole }, end) => `${done.kinds[end]} ${call.toFixed(2)} s/min (whole ${whole.toFixed(2)})`);
    say(`${runs.length}/${plan.length} ${name}: ${[...ways, ...costs].join('; ')}${done.disturbed && `; DISTURBED: ${done.disturbed}`}`);
  }
  const probe = await s.chromium.launch({ executablePath: s.chromiumPath, args: ['--no-sandbox'] });
  const circumstances =
    `Chromium ${probe.version()}, ${cpus().length} processors of a machine of kind "${cpus()[0].model.trim()}", ${options.runs} calls of ${SECONDS} s each: ` +
    'the median, and in brackets the least and the greatest.';
  await probe.close();
  const result = { circumstances, runs };
  writeFileSync(join(options.out, 'results.json'), `${JSON.stringify(result, null, 1)}\n`);
  console.log(`\n${blocks(result)}\n`);
  if (options.page) write(result, options.page);
  await bench.stop();
}

try {
  await main();
} finally {
  await s.cleanUp();
}
