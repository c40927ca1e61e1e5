// An application that uses what else a call has: headers, keys, mute, video that pauses, warnings of quality, notifications that it relays.
document.getElementById('app').innerHTML = '<video id="incoming" autoplay playsinline></video> <video id="outgoing" autoplay playsinline muted></video>';
const events = (window.events = []);
const warnings = (window.warnings = []);
const client = (window.client = Sinch.getSinchClientBuilder()
  .applicationKey(setting.get('key')).userId(setting.get('me')).environmentHost(setting.get('host'))
  .videoConfiguration({ width: { ideal: 320 }, height: { ideal: 240 } }).callerIdentifier('+46000000000').build());
client.pushNotificationDisplayName = `Dr ${setting.get('me')}`;
let answers = true;

function take(call) {
  window.call = call;
  document.getElementById('incoming').srcObject = call.incomingStream;
  document.getElementById('outgoing').srcObject = call.outgoingStream;
  call.addListener({
    onCallProgressing: () => events.push('progressing'),
    onCallRinging: () => events.push('ringing'),
    onCallAnswered: () => events.push('answered'),
    onCallEstablished: () => events.push('established'),
    onCallEnded: () => events.push(`ended ${call.details.endCause}`),
    onRemoteTrack: (_, track) => events.push(`track ${track.kind}`),
    onCallQualityWarningEvent: (of, event) => warnings.push([of === call, event.name, event.type, event.mediaStreamType]),
  });
  return call;
}
client.addListener({
  onCredentialsRequired: (_, registration) =>
    createJWT(setting.get('key'), setting.get('secret'), client.userId).then(registration.register, registration.registerFailed),
  onClientStarted: () => status('started'),
});
client.callClient.addListener({
  onIncomingCall: (_, call) => {
    take(call);
    status(`incoming ${call.remoteUserDisplayName} ${JSON.stringify(call.headers)} ${call.details.isVideoOffered}`);
    if (answers) call.answer().catch((error) => status(`no answer ${error.message}`));
  },
});
/** What a call's headers may be. */
window.headers = {
  plain: { subject: 'lunch', 'x-order': '4711', empty: '', __proto__: null },
  unicode: { 'värld': 'grüße 👋', newline: 'a\nb', quote: '"\\', constructor: 'c', toString: 't' },
  most: { h: 'ä'.repeat(511) + 'x' },
  over: { h: 'ä'.repeat(512) },
};
window.ring = async (callee, video, headers) => take(await client.callClient[video ? 'callUserVideo' : 'callUser'](callee, window.headers[headers])).id;
window.refused = (todo) => Promise.resolve().then(todo).then(() => 'allowed', (error) => error.name);
window.keys = async () => {
  const tried = {};
  for (const keys of ['0123456789', '#*', 'ABCD', 'abcd', '1', '', 'E', '1 2', '12w']) tried[keys] = await window.refused(() => call.sendDtmf(keys));
  return tried;
};
window.tracks = (kind) => call.outgoingStream.getTracks().filter((track) => track.kind === kind).map(({ enabled, readyState }) => `${enabled} ${readyState}`);
/** A message of the server's push, as a service worker hands it on, for a client that is not started. */
window.relay = (message) => {
  const started = client.isStarted();
  const result = client.relayRemotePushNotification(message);
  const { callId, remoteUserId } = result.callNotificationResult ?? {};
  return [started, result.isValid(), result.isCall(), result.displayName, callId, remoteUserId, result.callNotificationResult?.hasTimedOut(), result.callNotificationResult?.isCallCanceled()];
};
window.answering = (yes) => (answers = yes);
status('ready');
