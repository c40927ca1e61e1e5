// Video calls with a view of oneself, and a journal of all calls whose times are dates. With "bot" nobody sits there: it answers every call and hangs up later.
const journal = [];
const element = (id, muted) => `<video id="${id}" autoplay playsinline ${muted ? 'muted' : ''}></video>`;
document.getElementById('app').innerHTML = element('incoming') + element('self', true) + '<table></table>';
const seconds = (ms) => (ms / 1000).toFixed(1);
function enter(call) {
  const { details } = call;
  const { startedTime, progressedTime, rungTime, answeredTime, establishedTime, endedTime } = details;
  journal.push({
    with: call.remoteUserId, shown: call.remoteUserDisplayName, incoming: call.direction === Sinch.CallDirection.Inbound, headers: call.headers,
    order: [startedTime, progressedTime, rungTime, answeredTime, establishedTime, endedTime].filter(Boolean).map((time) => time.getTime()),
    at: startedTime.toLocaleTimeString('en'), iso: startedTime.toISOString(), talked: details.duration, cause: Sinch.CallEndCause[details.endCause],
    length: establishedTime ? endedTime - establishedTime : 0, video: details.isVideoOffered, had: [details.hadAudioStream, details.hadVideoStream],
    waits: [details.setupDuration, details.notifyingDuration, details.ringingDuration, details.connectionDuration], error: details.error ?? null,
  });
  const row = document.querySelector('table').insertRow();
  for (const cell of [call.remoteUserId, startedTime.toLocaleString(), seconds(details.duration)]) row.insertCell().textContent = cell;
}
class CallView {
  constructor(call) {
    this.call = call;
    call.addListener(this);
  }
  onCallProgressing() { document.getElementById('self').srcObject = this.call.outgoingStream; }
  onRemoteTrack(call, track) {
    if (track.kind === 'video') document.getElementById('incoming').srcObject = call.incomingStream;
    status(`track ${track.kind}`);
  }
  onCallEstablished(call) {
    document.getElementById('self').srcObject = call.outgoingStream;
    document.getElementById('incoming').srcObject = call.incomingStream;
    status(`established ${call.details.endedTime} ${call.details.duration}`);
    if (setting.get('bot')) setTimeout(call.hangup, 1500);
  }
  onCallEnded(call) {
    for (const id of ['incoming', 'self']) document.getElementById(id).srcObject = null;
    enter(call);
    status(`ended ${journal.length}`);
  }
}
const client = Sinch.getSinchClientBuilder().environmentHost(setting.get('host')).userId(setting.get('me')).applicationKey(setting.get('key')).build();
client.setPushNotificationDisplayName(`${setting.get('me')} of the journal`);
client.addListener({
  onCredentialsRequired: (_, { register, registerFailed }) => void createJWT(setting.get('key'), setting.get('secret'), client.userId).then(register, registerFailed),
  onClientStarted: ({ callClient }) => {
    status('started');
    callClient.addListener({
      onIncomingCall: async (_, call) => {
        new CallView(call);
        if (setting.get('bot')) await call.answer();
      },
    });
  },
  onClientFailed: (_, error) => status(`failed ${error.code} ${error.message}`),
});
client.start();
window.actions = {
  ring: async (callee, headers) => void (window.view = new CallView(await client.callClient.callUserVideo(callee, headers))),
  hangup: () => window.view.call.hangup(),
  journal: () => journal,
};
status('ready');
