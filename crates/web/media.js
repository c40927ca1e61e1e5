/** The peer connection of one call, as perfect negotiation has it: the callee gives way. */

import { Established, wrongState } from './errors.js';
import { WARNINGS, summary } from './quality.js';

export class Media {
  muted = false;
  paused = false;
  held = false;
  answering = false;
  history = [];
  warnings = new Set();
  /** Own candidates until the call has an id, the other side's until its description is there. */
  queued = [];
  early = [];
  timers = new Map();
  work = Promise.resolve();
  replaced = Promise.resolve();

  constructor(client, call) {
    const env = client._env;
    Object.assign(this, { owner: client, env, call, incoming: new env.MediaStream(), outgoing: new env.MediaStream() });
  }
  /** Tells the machine something of this call. */
  act(input, news) {
    this.owner._act(input, this.call.id, news);
  }
  after(name, ms, todo) {
    this.env.clearTimeout(this.timers.get(name));
    this.timers.set(name, ms === undefined ? undefined : this.env.setTimeout(todo, ms));
  }
  /** Opens microphone and camera: only when the local person calls or accepts. */
  async open(video) {
    const { _constraints: wanted } = this.owner;
    const stream = await this.owner._capture({ ...wanted, video: video && wanted.video });
    const { outgoing } = this;
    // Those of an answer that failed.
    outgoing.getTracks().forEach((track) => outgoing.removeTrack(track));
    stream.getTracks().forEach((track) => outgoing.addTrack(track));
    if (this.over) throw wrongState();
    this.apply();
  }
  async offer() {
    const pc = this.connect();
    this.addTracks();
    this.offered = await pc.createOffer();
    return this.offered.sdp;
  }
  answer(sdp) {
    const pc = this.connect();
    return this.accept(pc, sdp, () => this.addTracks());
  }
  /** Each call has servers of its own, where the server names some. */
  configuration() {
    const own = this.call._record?.iceServers ?? [];
    const iceServers = own.length ? own : this.owner._machine.iceServers;
    return { iceServers, iceTransportPolicy: this.owner._relayOnly ? 'relay' : 'all', bundlePolicy: 'max-bundle' };
  }
  /** The server named its servers, or none: an outgoing call looks for its own addresses from here on. */
  gather() {
    const { offered, pc } = this;
    if (!pc || this.over) return;
    pc.setConfiguration(this.configuration());
    this.offered = undefined;
    if (offered) this.then(() => pc.setLocalDescription(offered));
  }
  connect() {
    const pc = (this.pc = new this.env.RTCPeerConnection(this.configuration()));
    pc.onicecandidate = ({ candidate: found }) => {
      const { candidate = '', sdpMid, usernameFragment } = found ?? {};
      this.send({ candidate, mid: sdpMid ?? '0', ufrag: usernameFragment ?? '', end: !candidate });
    };
    pc.ontrack = ({ track }) => {
      this.incoming.addTrack(track);
      this.call._say('onRemoteTrack', track);
    };
    pc.onconnectionstatechange = () => this.watch(pc.connectionState);
    return pc;
  }
  addTracks() {
    for (const track of this.outgoing.getTracks()) this.pc.addTrack(track, this.outgoing);
    // Who says nothing still listens: an offer of nothing could not be answered.
    if (!this.pc.getTransceivers().length) this.pc.addTransceiver('audio');
  }
  /** Takes an offer; gives the answer. */
  async accept(pc, sdp, prepare) {
    await pc.setRemoteDescription({ type: 'offer', sdp });
    prepare?.();
    await pc.setLocalDescription(await pc.createAnswer());
    this.flush();
    return pc.localDescription.sdp;
  }
  send(candidate) {
    if (!this.call.id) this.queued.push(candidate);
    // A call that is over needs no candidates.
    else if (!this.call._record.isOver) this.act('localCandidate', candidate);
  }
  /** Remote news one after the other, in their order. */
  then(todo) {
    this.work = this.work.then(() => this.over || todo()).catch((error) => this.env.console?.debug('offhook:', error));
  }
  answered(sdp) {
    if (this.offered) this.gather();
    this.then(async () => {
      await this.pc.setRemoteDescription({ type: 'answer', sdp }).catch(() => this.fail('failure'));
      this.flush();
    });
  }
  candidate(remote) {
    this.then(async () => {
      if (!this.pc?.remoteDescription) return void this.early.push(remote);
      const { candidate, mid, ufrag, end } = remote;
      await this.pc.addIceCandidate({ candidate: end ? '' : candidate, sdpMid: mid || '0', usernameFragment: ufrag || undefined });
    });
  }
  flush() {
    for (const candidate of this.early.splice(0)) this.candidate(candidate);
  }
  update({ kind, sdp }) {
    this.then(async () => {
      const { pc } = this;
      const isStable = pc.signalingState === 'stable';
      if (kind === 'answer') {
        if (pc.signalingState !== 'have-local-offer') return;
        await pc.setRemoteDescription({ type: 'answer', sdp });
        this.after('repeat');
        this.flush();
      } else if (sdp === this.taken) {
        // Sent again, because our answer did not come through.
        this.sendUpdate('answer', this.given);
      } else if (isStable || !this.call._record.outgoing) {
        if (!isStable) this.wanted ??= 'direction';
        this.given = await this.accept(pc, sdp);
        this.taken = sdp;
        this.sendUpdate('answer', this.given);
      }
      if (this.wanted) this.negotiate(this.wanted);
    });
  }
  sendUpdate(kind, sdp) {
    if (this.call._record.isAnswered) this.act('update', { kind, sdp });
  }
  /** Offers again: to look for new paths ("restart"), or because the direction changed. */
  negotiate(why) {
    this.then(async () => {
      const { pc } = this;
      if (this.wanted !== 'restart') this.wanted = why;
      if (this.offered || pc?.signalingState !== 'stable') return;
      const iceRestart = this.wanted === 'restart';
      this.wanted = undefined;
      await pc.setLocalDescription(await pc.createOffer({ iceRestart }));
      const { sdp } = pc.localDescription;
      const again = (wait) => {
        this.sendUpdate('offer', sdp);
        this.after('repeat', wait, () => again(Math.min(wait * 2, 80000)));
      };
      again(5000);
    });
  }
  /** Media has to connect in this time after the answer. */
  expect() {
    this.after('media', 20000, () => this.fail('failure'));
  }
  watch(state) {
    const { outgoing, mediaConnected } = this.call._record;
    if (state === 'connected') {
      for (const timer of ['media', 'lost', 'search']) this.after(timer);
      this.act('mediaConnected');
      if (!this.timers.get('stats')) this.measure();
    } else if (mediaConnected && ['disconnected', 'failed'].includes(state)) {
      if (!this.timers.get('lost')) this.after('lost', 15000, () => this.fail('inactive'));
      const search = () => {
        if (!this.call._record.isOver) this.act('renewIceServers');
        this.negotiate('restart');
        this.after('search', 3000, search);
      };
      if (!this.timers.get('search')) this.after('search', outgoing ? 0 : 1000, search);
    } else if (state === 'failed') this.fail('failure');
  }
  fail(cause) {
    this.act('mediaFailed', cause);
  }
  set(change) {
    Object.assign(this, change);
    this.apply();
  }
  apply() {
    for (const track of this.outgoing.getTracks()) track.enabled = !this.held && !(track.kind === 'audio' ? this.muted : this.paused);
  }
  hold(held) {
    if (this.held === held) return;
    this.set({ held });
    for (const transceiver of this.pc?.getTransceivers() ?? []) {
      if (held) transceiver._before = transceiver.direction;
      transceiver.direction = held ? 'inactive' : (transceiver._before ?? 'sendrecv');
    }
    this.negotiate('direction');
  }
  sender(kind) {
    return this.pc?.getSenders().find(({ track }) => track?.kind === kind);
  }
  /** Another microphone or camera in a running call; of several the last one stays. */
  replace(kind, constraints) {
    const change = async () => {
      const sender = this.sender(kind);
      if (!sender) return;
      const track = (await this.owner._capture({ [kind]: constraints })).getTracks().find((one) => one.kind === kind);
      const { outgoing } = this;
      const { track: old } = sender;
      try {
        if (!this.over) await sender.replaceTrack(track);
      } catch (error) {
        track.stop();
        if (!this.over) throw error;
      }
      if (this.over) return track.stop();
      outgoing.removeTrack(old);
      outgoing.addTrack(track);
      old.stop();
      this.apply();
    };
    this.replaced = this.replaced.catch(() => {}).then(change);
    return this.replaced;
  }
  async measure() {
    this.after('stats', 1000, () => this.measure());
    const report = await this.pc.getStats().catch(() => undefined);
    if (this.over || !report) return;
    this.last = summary(report, this.last);
    const { warnings, history } = this;
    history.push(this.last);
    if (history.length > 20) history.shift();
    if (this.call.state !== Established) return;
    for (const [name, isBad] of Object.entries(WARNINGS)) {
      const bad = isBad(history, this);
      if (bad === warnings.has(name)) continue;
      warnings[bad ? 'add' : 'delete'](name);
      this.call._tell('onCallQualityWarningEvent', { name, type: bad ? 'Trigger' : 'Recover', mediaStreamType: 'Audio' });
    }
  }
  /** What the server is told of the call, once media was connected; what was not measured is absent. */
  get report() {
    const { received, lost, rtt, pathRtt, jitter, relayed } = this.last ?? {};
    const gone = Math.max(lost, 0);
    const whole = (value) => (value >= 0 ? Math.min(Math.round(value), 60000) : undefined);
    return {
      lost_per_mille: whole((gone * 1000) / (received + gone)),
      round_trip_ms: whole(rtt ?? pathRtt), jitter_ms: whole(jitter), relayed,
    };
  }
  close() {
    this.over = true;
    for (const timer of this.timers.keys()) this.after(timer);
    this.release();
  }
  /** Gives microphone, camera and connection back. */
  release() {
    for (const track of this.outgoing.getTracks()) track.stop();
    this.pc?.close();
    this.pc = undefined;
  }
}
