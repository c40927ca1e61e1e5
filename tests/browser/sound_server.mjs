// A sound server of its own, on which every microphone and speaker is a channel of one device: what was said and what was heard have one clock.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const RATE = 48000;
/** Of each person: what the microphone hears, and what the speaker plays. */
const CHANNELS = { mic_a: 0, mic_b: 1, ear_a: 2, ear_b: 3 };
const MAP = 'aux0,aux1,aux2,aux3';
const SOUND = ['--format=s16le', `--rate=${RATE}`];

const exited = (child) => new Promise((resolve) => child.on('exit', resolve));

export class Bench {
  /** Starts it, to be used; `folder` is kept for its socket. */
  static async start(folder) {
    mkdirSync(join(folder, 'home/.config/pulse'), { recursive: true });
    writeFileSync(join(folder, 'home/.config/pulse/daemon.conf'), `default-sample-rate = ${RATE}\nalternate-sample-rate = ${RATE}\n`);
    const socket = join(folder, 'native');
    const bench = Object.assign(new Bench(), {
      environment: { HOME: join(folder, 'home'), XDG_RUNTIME_DIR: folder, PULSE_RUNTIME_PATH: join(folder, 'pulse'), PULSE_SERVER: `unix:${socket}` },
    });
    bench.use();
    const modules = [
      `module-native-protocol-unix socket=${socket} auth-anonymous=1`,
      `module-null-sink sink_name=bench norewinds=1 format=s16le rate=${RATE} channels=4 channel_map=${MAP}`,
    ];
    const part = (kind, name, master, channel) =>
      `module-remap-${kind} ${kind}_name=${name} master=${master} channels=1 channel_map=mono master_channel_map=aux${channel} remix=no ` +
      `${kind}_properties=device.description=${name}`;
    for (const [name, channel] of Object.entries(CHANNELS)) {
      const isMicrophone = name.startsWith('mic');
      if (isMicrophone) modules.push(part('source', name, 'bench.monitor', channel));
      // A person speaks into the microphone's channel.
      modules.push(part('sink', isMicrophone ? name.replace('mic', 'mouth') : name, 'bench', channel));
    }
    const options = ['-n', '--daemonize=no', '--exit-idle-time=-1', '--use-pid-file=no', '--disable-shm=no', '--log-level=error'];
    const log = openSync(join(folder, 'log'), 'w');
    const server = spawn('pulseaudio', [...options, ...modules.flatMap((module) => ['-L', module])], { stdio: ['ignore', log, log] });
    Object.assign(bench, { server, ended: exited(server) });
    for (let tries = 0; ; tries += 1) {
      try {
        execFileSync('pactl', ['info'], { stdio: 'ignore' });
        return bench;
      } catch {
        if (tries > 100 || server.exitCode !== null) throw new Error(`pulseaudio does not start: ${readFileSync(join(folder, 'log'))}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
  /** Makes the environment of this process, and so of all it starts from now on, name this server. */
  use() {
    Object.assign(process.env, this.environment);
    delete process.env.DBUS_SESSION_BUS_ADDRESS;
  }
  /** Records all channels into a file until the returned function is called. */
  record(path) {
    const parec = spawn('parec', ['--device=bench.monitor', '--channels=4', `--channel-map=${MAP}`, ...SOUND], {
      stdio: ['ignore', openSync(path, 'w'), 'ignore'],
    });
    const ended = exited(parec);
    return async () => {
      parec.kill('SIGINT');
      await ended;
    };
  }
  /** Says a file of raw samples into a person's microphone. */
  async say(who, path) {
    this.use();
    await exited(spawn('pacat', ['--playback', `--device=mouth_${who}`, '--channels=1', ...SOUND, path], { stdio: 'ignore' }));
  }
  async stop() {
    this.server.kill();
    await this.ended;
  }
}

/** The channels of a recording. */
export function channels(path) {
  const data = readFileSync(path);
  const all = new Int16Array(data.buffer, data.byteOffset, data.length >> 1);
  const length = Math.floor(all.length / 4);
  const take = (channel) => Int16Array.from({ length }, (_, i) => all[i * 4 + channel]);
  return Object.fromEntries(Object.entries(CHANNELS).map(([name, channel]) => [name, take(channel)]));
}

/** Where `said` begins in a microphone's channel, which the sound server hands on bit by bit; undefined when it did not. */
export function beginning(channel, said) {
  const first = said.findIndex((sample) => sample !== 0);
  const start = channel.findIndex((sample) => sample !== 0) - first;
  if (start < 0 || start + said.length > channel.length) return undefined;
  // A server that could not keep up left a gap: all after it is late.
  for (let i = 0; i < said.length; i += 1) if (Math.abs(channel[start + i] - said[i]) > 2) return undefined;
  return start;
}
