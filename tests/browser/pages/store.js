// An application whose state is a store: components see it through deep proxies, what is dispatched is frozen, as development tools do.
const views = new Set();
const wrapped = new WeakMap();
/** Only what belongs to the browser itself is left alone: it works on nothing but itself. */
function reactive(value) {
  if (typeof value !== 'object' || value === null || value instanceof EventTarget) return value;
  if (!wrapped.has(value)) wrapped.set(value, new Proxy(value, {
    get(target, name, receiver) {
      const { writable = true, configurable = true } = Reflect.getOwnPropertyDescriptor(target, name) ?? {};
      const found = Reflect.get(target, name, receiver);
      return writable || configurable ? reactive(found) : found;
    },
    set(target, name, next, receiver) {
      const done = Reflect.set(target, name, next, receiver);
      queueMicrotask(() => views.forEach((view) => view()));
      return done;
    },
  }));
  return wrapped.get(value);
}
const freeze = (value) => {
  if (typeof value === 'object' && value !== null && !(value instanceof EventTarget) && !Object.isFrozen(value)) Object.values(Object.freeze(value)).forEach(freeze);
  return value;
};

const state = reactive({ call: null, history: [], client: null, updates: 0 });
const dispatch = (change) => Object.assign(state, freeze(change), { updates: state.updates + 1 });
const shown = () => state.call;

const app = document.getElementById('app');
app.innerHTML = '<output></output> <audio autoplay></audio>';
views.add(() => {
  const call = shown();
  if (!call) return;
  app.querySelector('output').textContent = `${call.remoteUserId} ${Sinch.CallState[call.state]} ${call.details.duration} ${call.details.isVideoOffered}`;
  const audio = app.querySelector('audio');
  if (audio.srcObject !== call.incomingStream) audio.srcObject = call.incomingStream;
});

function follow(call) {
  const changed = (what) => () => {
    status(what);
    dispatch({});
  };
  call.addListener({
    onCallRinging: changed('ringing'), onCallEstablished: changed('established'),
    onCallEnded: ({ details }) => changed(`ended ${details.endCause} ${details.duration > 0}`)(),
  });
  dispatch({ history: [...state.history, call] });
  state.call = call;
  status(`call ${Sinch.CallState[shown().state]} proxy ${shown() !== call} frozen ${Object.isFrozen(shown())} ${Object.keys(shown().headers)}`);
}

/** What components do: always through the store. */
window.actions = {
  async start(user) {
    const client = Sinch.getSinchClientBuilder().applicationKey(setting.get('key')).userId(user).environmentHost(setting.get('host')).build();
    state.client = client;
    state.client.addListener({
      onCredentialsRequired: (of, { register }) => createJWT(setting.get('key'), setting.get('secret'), of.userId).then(register),
      onClientStarted: ({ callClient }) => callClient.addListener({ onIncomingCall: (_, call) => follow(call) }),
    });
    await state.client.start();
    status(`started ${state.client.isStarted()} ${state.client.callClient.getCall('none')}`);
  },
  ring: async (callee) => follow(await state.client.callClient.callUser(callee, { subject: 'store' })),
  answer: () => shown().answer(),
  mute: () => shown().mute(),
  unmute: () => shown().unmute(),
  sounds: () => shown().outgoingStream.getAudioTracks().every(({ enabled }) => enabled),
  known: () => state.client.callClient.getCall(shown().id)?.callId === shown().callId,
  microphone: () => state.client.callClient.setAudioTrackConstraints({ echoCancellation: false }),
  hangup: () => shown().hangup(),
  history: () => state.history.map(({ state: is, details: { endCause } }) => [is, endCause]),
  stop: () => state.client.terminate(),
};
status('ready');
