// The two kinds of ends of a call: Chromium with a page on offhook.js, and `offhook call`. And what each costs the processor.
import { readFileSync, readdirSync } from 'node:fs';

import * as s from '../../tests/browser/support.mjs';

const TICKS = 100;

/** Processor seconds of a process and all its threads so far. */
function seconds(pid) {
  try {
    const words = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
    return (Number(words[11]) + Number(words[12])) / TICKS;
  } catch {
    return 0;
  }
}
const sum = (pids) => pids.reduce((all, pid) => all + seconds(pid), 0);

/** Work of other programs beyond this share of one processor disturbs. */
const QUIET = 0.05;

/**
 * Processor seconds of all programs but this one and what it started, with those of their children that have ended, and when that was. Added up by
 * program: the sum that the system keeps for the whole machine is sampled, and counts a thread too often that wakes with the clock.
 */
export function machine() {
  const all = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ').map(Number);
      all.set(Number(pid), { parent: words[1], seconds: (words[11] + words[12] + words[13] + words[14]) / TICKS });
    } catch {
      // It ended meanwhile.
    }
  }
  const isOurs = (pid) => pid === process.pid || (pid > 1 && isOurs(all.get(pid)?.parent ?? 0));
  const others = [...all].filter(([pid]) => !isOurs(pid)).reduce((sum, [, program]) => sum + program.seconds, 0);
  return { at: performance.now(), others };
}

/** What a measure between these two moments was disturbed by; empty when by nothing. */
export function disturbance(before, after) {
  const others = (after.others - before.others) / ((after.at - before.at) / 1000);
  return others > QUIET ? `other programs took ${(100 * others).toFixed(0)} % of a processor` : '';
}

/** The page: registers, and answers or calls. Runs in the browser. */
async function application({ user, who, processing }) {
  document.body.replaceChildren(Object.assign(document.createElement('audio'), { autoplay: true }));
  const { Sinch } = await import('/offhook.js');
  const { application_key: key } = await (await fetch('/v1/development')).json();
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  stream.getTracks().forEach((track) => track.stop());
  const devices = await navigator.mediaDevices.enumerateDevices();
  const id = (label) => devices.find((device) => device.label === label).deviceId;
  const audio = document.querySelector('audio');
  await audio.setSinkId(id(`ear_${who}`));
  const take = (call) => {
    window.call = call;
    audio.srcObject = call.incomingStream;
  };
  const client = Sinch.getSinchClient(key, user, location.host);
  client.addListener({
    onCredentialsRequired: async (_, registration) => {
      const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ user }) };
      registration.register((await (await fetch('/v1/development', request)).json()).token);
    },
  });
  const microphone = { deviceId: { exact: id(`mic_${who}`) } };
  for (const name of ['echoCancellation', 'noiseSuppression', 'autoGainControl']) microphone[name] = processing;
  await client.callClient.setAudioTrackConstraints(microphone);
  client.callClient.addListener({
    onIncomingCall: (_, call) => {
      take(call);
      call.answer();
    },
  });
  window.ring = async (callee) => take(await client.callClient.callUser(callee));
  await client.start();
}

export class Chromium {
  static async open(server, who, condition) {
    const processing = condition === 'processed';
    const launched = await s.chromium.launch({
      executablePath: s.chromiumPath, ignoreDefaultArgs: ['--mute-audio'],
      args: [
        '--no-sandbox', '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required', '--disable-gpu',
        '--allow-loopback-in-peer-connection',
      ],
    });
    const context = await launched.newContext({ permissions: ['microphone'] });
    const page = await context.newPage();
    const end = Object.assign(new Chromium(), { launched, page, user: `chromium-${who}`, kind: 'chromium' });
    await page.goto(`${server.origin}/version`);
    await page.evaluate(application, { user: end.user, who, processing });
    return end;
  }
  ring(callee) {
    return this.page.evaluate((callee) => window.ring(callee), callee);
  }
  established() {
    return this.page.waitForFunction(() => window.call?.state === 2, undefined, { timeout: 60000 });
  }
  /** Who takes part in a call: the page, the network service, the audio service. Sandboxes and the browser itself are left out. */
  async processes() {
    const cdp = await this.launched.newBrowserCDPSession();
    const { processInfo } = await cdp.send('SystemInfo.getProcessInfo');
    await cdp.detach();
    const service = (pid) => /utility-sub-type=(audio|network)\./.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    const parts = processInfo.filter(({ type, id }) => type === 'renderer' || (type === 'utility' && service(id)));
    return { parts: parts.map(({ id }) => id), whole: processInfo.map(({ id }) => id) };
  }
  async cpu() {
    this.counted ??= await this.processes();
    return { call: sum(this.counted.parts), whole: sum(this.counted.whole) };
  }
  version() {
    return this.launched.version();
  }
  close() {
    return this.launched.close();
  }
}

export class Rust {
  static async open(server, who, condition) {
    const light = condition === 'light' ? ['--light'] : [];
    const stages = ['high-pass', 'echo-cancellation', 'noise-suppression', 'auto-gain'];
    const plain = condition === 'processed' ? [] : stages.map((stage) => `--no-${stage}`);
    const user = `rust-${who}`;
    const options = [
      '--server', server.host, '--application-key', server.key, '--application-secret', server.secret, '--user', user, '--json',
      '--microphone', `pulseaudio:mic_${who}`, '--speaker', `pulseaudio:ear_${who}`, ...plain, ...light,
    ];
    return Object.assign(new Rust(), { options, user, kind: 'rust' });
  }
  async ring(callee) {
    this.program = s.run(['call', callee, ...this.options]);
  }
  async established() {
    if (this.program.child.exitCode !== null) throw new Error(this.program.output());
  }
  async cpu() {
    const call = seconds(this.program.child.pid);
    return { call, whole: call };
  }
  async close() {
    this.program?.child.kill('SIGINT');
    const { out } = (await this.program?.ended) ?? {};
    return out && JSON.parse(out.trim().split('\n').at(-1));
  }
}
