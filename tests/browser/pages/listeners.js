// An application of parts that do not know each other: each adds listeners, and takes its own and others' away, while they are told.
const log = [];
const parts = [];
const note = (text) => void log.push(text);

const client = Sinch.getSinchClientBuilder().applicationKey(setting.get('key')).userId(setting.get('me')).environmentHost(setting.get('host')).build();
const token = {
  async onCredentialsRequired({ userId }, { register }) {
    client.removeListener(token);
    await register(await createJWT(setting.get('key'), setting.get('secret'), userId));
  },
};
client.addListener(token);
const once = { onClientStarted: () => note('started once') && client.removeListener(once) };
const greedy = {
  onClientStarted() {
    note('started greedy');
    client.removeListener(greedy);
    // Told of nothing: it is gone before its turn, and comes back for the next start.
    client.removeListener(late);
    client.addListener({ onClientStarted: () => note('started added') });
  },
};
const late = { onClientStarted: () => note('started late') };
[once, greedy, late].forEach((listener) => client.addListener(listener));

/** All that listen to a call. */
function follow(call) {
  const every = ['onCallProgressing', 'onCallRinging', 'onCallAnswered', 'onCallEstablished', 'onCallEnded'];
  const logger = Object.fromEntries(every.map((event) => [event, () => note(event.slice(6))]));
  // Twice the same is one.
  call.addListener(logger);
  call.addEventListener(logger);
  const ringtone = {
    onCallRinging: () => note('tone on'),
    onCallAnswered() {
      note('tone off');
      call.removeListener(ringtone);
    },
    onCallEnded: () => note('tone must not hear this'),
  };
  call.addListener(ringtone);
  call.addListener({
    onCallAnswered() {
      call.removeListener(ringtone);
      call.addListener({ onCallAnswered: () => note('added too late'), onCallEstablished: () => note('timer on'), onCallEnded: () => note('timer off') });
    },
  });
  // One that breaks in every callback, by throwing and by promise.
  call.addListener(Object.fromEntries(every.map((event) => [event, () => { throw new Error(`broken ${event}`); }])));
  call.addListener(Object.fromEntries(every.map((event) => [event, async () => { throw new Error(`broken later ${event}`); }])));
  const last = {
    onCallEnded() {
      call.removeEventListener(last);
      call.removeListener(logger);
      call.removeListener({});
      note(`cause ${call.details.endCause} ${client.callClient.getCall(call.id) === undefined}`);
      // A call that is over may still be asked for anything.
      call.hangup();
      call.mute();
      note(`state ${call.state} ${call.incomingStream instanceof MediaStream}`);
    },
  };
  call.addListener(last);
  parts.push(call);
}
client.callClient.addListener({
  onIncomingCall(callClient, call) {
    follow(call);
    call.answer().catch((error) => note(`no answer ${error.name}`));
  },
});
// A second part that takes itself away when it is told of the first call, and hangs up what it does not like.
const picky = {
  onIncomingCall(callClient, call) {
    note(`picky ${call.headers.subject}`);
    if (call.headers.subject === 'unwanted') call.hangup();
    else callClient.removeListener(picky);
  },
};
client.callClient.addListener(picky);

window.addEventListener('error', (event) => {
  note(`error ${event.error.message}`);
  event.preventDefault();
});
window.log = log;
window.ring = async (callee, subject) => follow(await client.callClient.callUser(callee, { subject }));
window.hangup = () => parts.at(-1).hangup();
/** Hangs up in the middle of being told that it rings: each part hears the events in their order. */
window.impatient = async (callee) => {
  const call = await client.callClient.callUser(callee);
  const heard = [];
  call.addListener({ onCallRinging: () => call.hangup(), onCallEnded: () => heard.push('first ended') });
  call.addListener({ onCallRinging: () => heard.push(`second ringing ${call.state}`), onCallEnded: () => heard.push('second ended') });
  await new Promise((resolve) => call.addListener({ onCallEnded: resolve }));
  return heard;
};
client.start().then(() => status('started'));
status('ready');
