// An application of components with hooks: effects run after what they belong to was shown, and in development each runs, is undone, and runs again.
const effects = new Map();
/** As frameworks do it: not at once, but when the browser has time. */
const passive = (todo) => setTimeout(todo, 60);
function useEffect(name, effect, inputs) {
  const before = effects.get(name);
  if (before && before.inputs.every((one, i) => Object.is(one, inputs[i]))) return;
  const now = { inputs };
  effects.set(name, now);
  passive(() => {
    before?.undo?.();
    now.undo = effect();
    if (before) return;
    now.undo?.();
    now.undo = effect();
  });
}
const state = { client: null, call: null, phase: 'idle', started: false, log: [] };
const setState = (change) => {
  Object.assign(state, typeof change === 'function' ? change(state) : change);
  queueMicrotask(render);
};

function useClient(user) {
  useEffect('client', () => {
    const client = Sinch.getSinchClientBuilder().applicationKey(setting.get('key')).userId(user).build();
    let isMounted = true;
    client.addListener({
      onCredentialsRequired: async (of, registration) => {
        try {
          const jwt = await createJWT(setting.get('key'), setting.get('secret'), of.userId);
          if (isMounted) registration.register(jwt);
        } catch {
          registration.registerFailed();
        }
      },
      onClientStarted: () => isMounted && setState({ client, started: true }),
      onClientFailed: (_, error) => status(`failed ${error.message}`),
    });
    client.start().catch((error) => status(`start ${error.name}`));
    return () => {
      isMounted = false;
      client.terminate();
    };
  }, [user]);
}
function useIncoming(client) {
  useEffect('incoming', () => {
    if (!client) return undefined;
    const listener = { onIncomingCall: (_, call) => setState({ call, phase: 'incoming' }) };
    client.callClient.addListener(listener);
    return () => client.callClient.removeListener(listener);
  }, [client]);
}
function useCall(call) {
  useEffect('call', () => {
    if (!call) return undefined;
    const to = (phase) => () => setState(({ log }) => ({ phase, log: [...log, phase] }));
    const listener = {
      onCallProgressing: to('progressing'), onCallRinging: to('ringing'), onCallAnswered: to('answered'), onCallEstablished: to('established'),
      onCallEnded: ({ details }) => {
        to(`ended ${Sinch.CallEndCause[details.endCause]}`)();
        setState({ call: null });
      },
    };
    call.addListener(listener);
    const audio = document.querySelector('audio');
    audio.srcObject = call.incomingStream;
    return () => {
      call.removeListener(listener);
      audio.srcObject = null;
    };
  }, [call]);
}
function render() {
  useClient(setting.get('me'));
  useIncoming(state.client);
  useCall(state.call);
  document.querySelector('output').textContent = `${state.started} ${state.phase} ${state.call?.remoteUserId ?? 'nobody'}`;
}
document.getElementById('app').innerHTML = '<output></output> <audio autoplay></audio>';
window.actions = {
  ring: async (callee) => {
    const call = await state.client.callClient.callUser(callee);
    setState({ call, phase: 'calling', log: [] });
  },
  answer: () => state.call.answer(),
  hangup: () => state.call.hangup(),
  log: () => state.log.splice(0),
};
render();
status('ready');
