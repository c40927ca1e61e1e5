/** Tones and level meters of the softphone, by WebAudio. */

let context;
/** A browser lets pages sound only after the person did something. */
export function wake() {
  context ??= new AudioContext();
  if (context.state === 'suspended') context.resume().catch(() => {});
  return context;
}

function beep(frequencies, at, length, loud) {
  for (const frequency of frequencies) {
    const tone = new OscillatorNode(context, { frequency });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setTargetAtTime(loud, at, 0.01);
    gain.gain.setTargetAtTime(0, at + length, 0.02);
    tone.connect(gain).connect(context.destination);
    tone.start(at);
    tone.stop(at + length + 0.2);
  }
}

/** How many ring, and the timer that they share: several sound as one. */
const rings = { incoming: { count: 0 }, outgoing: { count: 0 } };

/** Repeats a tone until the returned function is called, once. */
export function ring(kind) {
  wake();
  const [frequencies, length, every, loud] = kind === 'incoming' ? [[660, 880], 0.5, 2000, 0.08] : [[425], 1, 4000, 0.03];
  const once = () => beep(frequencies, context.currentTime + 0.02, length, loud);
  const shared = rings[kind];
  if (shared.count === 0) {
    once();
    shared.timer = setInterval(once, every);
  }
  shared.count += 1;
  return () => {
    shared.count -= 1;
    if (shared.count === 0) clearInterval(shared.timer);
  };
}

/** The sound of a key, for the person who pressed it. */
export function keyTone(key) {
  wake();
  const index = '123A456B789C*0#D'.indexOf(key);
  beep([[697, 770, 852, 941][index >> 2], [1209, 1336, 1477, 1633][index & 3]], context.currentTime, 0.1, 0.05);
}

/** How loud a stream is now, 0 to 1; its tracks may come later. */
export function levelOf(stream) {
  const samples = new Float32Array(1024);
  let analyser;
  let heard;
  return () => {
    const track = stream.getAudioTracks()[0];
    if (!track) return 0;
    if (heard !== track) {
      heard = track;
      analyser = new AnalyserNode(wake(), { fftSize: 1024 });
      context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    }
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
    // From -60 dB to full scale.
    return power > 0 ? Math.max(0, Math.min(1, 1 + (10 * Math.log10(power)) / 60)) : 0;
  };
}
