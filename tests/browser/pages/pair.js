// An application with both ends of a call in one page, as those are that show what calling is: two clients, without microphone.
document.getElementById('app').innerHTML = '<audio id="left" autoplay></audio> <audio id="right" autoplay></audio>';
const make = (user) => {
  const client = Sinch.getSinchClientBuilder().applicationKey(setting.get('key')).userId(user).environmentHost(setting.get('host')).silentMediaStream().build();
  client.addListener({
    onCredentialsRequired: ({ userId }, { register, registerFailed }) => createJWT(setting.get('key'), setting.get('secret'), userId).then(register).catch(registerFailed),
  });
  return client;
};
const [left, right] = [make('left'), make('right')];
const next = (listens, event) => new Promise((resolve) => listens.addListener({ [event]: (_, news) => resolve(news ?? _) }));

/** A whole call: what each side saw of it, and how many tracks came. */
window.talk = async (from, to) => {
  const [caller, callee] = from === 'left' ? [left, right] : [right, left];
  const rung = next(callee.callClient, 'onIncomingCall');
  const out = await caller.callClient.callUser(callee.userId);
  document.getElementById('right').srcObject = out.incomingStream;
  const inc = await rung;
  document.getElementById('left').srcObject = inc.incomingStream;
  const up = [next(out, 'onCallEstablished'), next(inc, 'onCallEstablished')];
  const over = [next(out, 'onCallEnded'), next(inc, 'onCallEnded')];
  await inc.answer();
  await Promise.all(up);
  const tracks = [out, inc].map((call) => call.incomingStream.getAudioTracks().length);
  (to === 'caller' ? out : inc).hangup();
  await Promise.all(over);
  return [out.callId === inc.callId, ...tracks, ...[out, inc].map(({ details }) => details.endCause)];
};
window.start = () => Promise.all([left.start(), right.start()]).then(() => [left.isStarted(), right.isStarted()]);
window.restart = async () => {
  left.terminate();
  const after = left.isStarted();
  await left.start();
  return [after, left.isStarted()];
};
/** Both at once call each other: whatever becomes of the two calls, each ends once at both sides. */
window.glare = async () => {
  const rings = [];
  for (const { callClient } of [left, right]) callClient.addListener({ onIncomingCall: (_, call) => rings.push(call.callId) });
  const calls = await Promise.all([left.callClient.callUser('right'), right.callClient.callUser('left')]);
  const ends = calls.map((call) => next(call, 'onCallEnded'));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  calls.forEach((call) => call.hangup());
  await Promise.all(ends);
  return [new Set(rings).size === rings.length, calls.map(({ state }) => state)];
};
/** One rings oneself, with no other device: it ends, and nobody is rung. */
window.self = async () => {
  let rung = 0;
  left.callClient.addListener({ onIncomingCall: () => (rung += 1) });
  const call = await left.callClient.callUser('left');
  const ended = next(call, 'onCallEnded');
  const patience = new Promise((resolve) => setTimeout(resolve, 3000));
  await Promise.race([ended, patience]);
  call.hangup();
  await ended;
  return [rung, Sinch.CallState[call.state], Sinch.CallEndCause[call.details.endCause]];
};
status('ready');
