/** How a call sounds, out of getStats, and the published warnings. */

/** One second of a call: milliseconds, percent, levels of 0 to 1; what was not measured is undefined. */
export function summary(report, last) {
  const sample = { at: Date.now() };
  const ms = (seconds) => (seconds === undefined ? undefined : seconds * 1000);
  const take = {
    'remote-inbound-rtp': (stat) => (sample.rtt = ms(stat.roundTripTime)),
    'media-source': (stat) => (sample.outboundLevel = stat.audioLevel),
    'inbound-rtp': ({ packetsReceived: received, packetsLost: lost, bytesReceived, jitter, audioLevel }) => {
      Object.assign(sample, { received, lost, bytes: bytesReceived, jitter: ms(jitter), inboundLevel: audioLevel });
      const due = received + lost - (last?.received + last?.lost);
      if (due > 0) sample.loss = Math.max(0, ((lost - last.lost) * 100) / due);
      if (sample.bytes >= last?.bytes) sample.kbps = ((sample.bytes - last.bytes) * 8) / (sample.at - last.at);
    },
  };
  for (const stat of report.values()) {
    if (stat.type === 'candidate-pair' && stat.nominated && stat.state === 'succeeded') {
      sample.pathRtt = ms(stat.currentRoundTripTime);
      const kinds = [stat.localCandidateId, stat.remoteCandidateId].map((id) => report.get(id)?.candidateType);
      sample.relayed = kinds.includes('relay') || (kinds.includes(undefined) ? undefined : false);
    }
    else if (stat.kind === 'audio') take[stat.type]?.(stat);
  }
  return sample;
}

const often = (isBad) => (history) => history.slice(-4).filter(isBad).length >= 3;
/** A decoder that was given silence may answer with the smallest step of 16 bits, or two. */
const SILENCE = 1e-4;
const silent = (levels) => levels.length >= 5 && levels.slice(-5).every((level) => level < SILENCE);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const constant = (levels) => {
  const middle = mean(levels);
  return levels.length === 20 && middle >= SILENCE && mean(levels.map((level) => (level - middle) ** 2)) < 0.005 ** 2;
};
/** A side that is silent because the person wants it so is no fault. */
const levels = (side, judge) => (history, { held, muted }) =>
  !held && !(muted && side === 'outboundLevel') && judge(history.map((sample) => sample[side]).filter((level) => level !== undefined));
/** From the samples of the last 20 seconds, newest last, and the call's media: whether it is bad. */
export const WARNINGS = {
  HighRemoteInboundRtt: (history) => history.at(-1).rtt > 300,
  HighInboundJitter: often(({ jitter }) => jitter > 30),
  HighInboundPacketLoss: often(({ loss }) => loss > 1),
  MissingMediaStream: (_, { pc }) => !['connected', 'completed'].includes(pc.iceConnectionState),
  ConstantOutboundAudioLevel: levels('outboundLevel', constant),
  ConstantInboundAudioLevel: levels('inboundLevel', constant),
  ZeroOutboundAudioLevel: levels('outboundLevel', silent),
  ZeroInboundAudioLevel: levels('inboundLevel', silent),
};
