// An application that imports the module from the server, which is another origin than its own, and goes through what may be wrong.
const { default: Sinch, Sinch: named, CallState, CallEndCause, SinchError, ArgumentError, InvalidOperationError } =
  await import(`http://${setting.get('host')}/offhook.js`);

const key = setting.get('key');
const [userId, host] = [setting.get('me'), setting.get('host')];
const builder = () => Sinch.getSinchClientBuilder();
const whole = () => builder().applicationKey(key).userId(userId).environmentHost(host);
const kind = (error) =>
  (error instanceof ArgumentError && 'ArgumentError') || (error instanceof InvalidOperationError && 'InvalidOperationError') ||
  (error instanceof SinchError && `SinchError ${error.code} ${error.domain} ${error.isFatal}`) || String(error);
const refused = async (todo) => {
  try {
    await todo();
    return 'allowed';
  } catch (error) {
    return kind(error);
  }
};
const token = (client, { register }) => createJWT(key, setting.get('secret'), client.userId).then(register);

/** What another page asks for by name; each gives what can be compared. */
window.answers = {
  names: () => [
    Sinch === named, typeof Sinch.version, CallState[2], CallState.Ringing, CallEndCause[8], CallEndCause.OtherDeviceAnswered,
    Sinch.ErrorType[6], Sinch.ErrorCode[3002], Object.keys(CallState).length,
  ],
  building: async () => Promise.all([
    refused(() => builder().build()),
    ...[null, '', undefined].flatMap((empty) => [
      refused(() => whole().applicationKey(empty).build()),
      refused(() => whole().userId(empty).build()),
      refused(() => whole().environmentHost(empty).build()),
    ]),
    refused(() => whole().userId('with space').build()),
    refused(() => whole().userId('a'.repeat(256)).build()),
    refused(() => whole().applicationKey(key.toUpperCase()).build()),
    refused(() => whole().build()),
  ]),
  /** Each form of the server's address leads to a client that starts. */
  hosts: async () => {
    const started = [];
    for (const form of [host, `http://${host}`, `http://${host}/`, `ws://${host}`, host.replace('127.0.0.1', 'localhost')]) {
      const client = whole().environmentHost(form).build();
      client.addListener({ onCredentialsRequired: token });
      await client.start();
      started.push(client.isStarted());
      client.terminate();
      started.push(client.isStarted());
    }
    return started;
  },
  /** A listener that comes after start() is still asked for the token, and one that comes after a call still takes it. */
  late: async () => {
    const client = whole().build();
    const start = client.start();
    await new Promise((resolve) => setTimeout(resolve, 300));
    client.addListener({ onCredentialsRequired: token });
    await start;
    const twice = await refused(() => client.start());
    client.terminate();
    await client.start();
    const again = client.isStarted();
    client.terminate();
    return [twice, again];
  },
  /** How many devices a client is that starts and stops, and the next one of its page. */
  devices: async () => {
    const devices = new Set();
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
      const { type, body } = JSON.parse(text);
      if (type === 'hello') devices.add(body.device_id);
      send.call(this, text);
    };
    const [one, two] = [whole().build(), whole().build()];
    for (const client of [one, two]) client.addListener({ onCredentialsRequired: token });
    one.start().catch(() => {});
    one.terminate();
    for (const client of [one, one, two]) {
      await client.start();
      client.terminate();
    }
    WebSocket.prototype.send = send;
    return devices.size;
  },
  calls: async () => {
    const client = whole().build();
    const { callClient } = client;
    const early = await refused(() => callClient.callUser('bob'));
    client.addListener({ onCredentialsRequired: token });
    await client.start();
    const wrong = await Promise.all([
      refused(() => callClient.callUser('')), refused(() => callClient.callUser(null)), refused(() => callClient.callUser('no such name')),
      refused(() => callClient.callUser('bob', { much: 'x'.repeat(1025) })), refused(() => callClient.callUser('bob', { number: 4 })),
      refused(() => callClient.callUser('bob', 'text')), refused(() => callClient.callConference('c'.repeat(65))),
      refused(() => callClient.callPhoneNumber('12')), refused(() => callClient.callPhoneNumber('+46000000000')),
      refused(() => callClient.callSip('nobody')), refused(() => callClient.addListener()), refused(() => client.addListener('text')),
      refused(() => (client.pushNotificationDisplayName = 'ä'.repeat(128))),
    ]);
    const call = await callClient.callUser('nobody-is-there', null);
    const before = [call.state, call.direction, call.incomingStream instanceof MediaStream, call.outgoingStream.getAudioTracks().length];
    const inVain = [await refused(() => call.answer()), await refused(() => call.sendDtmf('1')), await refused(() => call.sendDtmf('x'))];
    const ended = new Promise((resolve) => call.addListener({ onCallEnded: resolve }));
    call.mute();
    call.hangup();
    await ended;
    call.hangup();
    const { endCause, duration, setupDuration, ringingDuration, connectionDuration, error, startedTime, endedTime } = call.details;
    const after = [call.state, endCause, duration, ringingDuration, connectionDuration, error, endedTime >= startedTime, setupDuration >= 0];
    client.terminate();
    return { early, wrong, before, inVain, after };
  },
  pushes: async () => {
    const client = whole().build();
    client.addListener({ onCredentialsRequired: token });
    const started = new Promise((resolve) => client.addListener({ onClientStarted: resolve }));
    const told = (result) => [result.isValid(), result.displayName, result.callNotificationResult?.callId, client.isStarted()];
    const foreign = [null, undefined, '', 'text', [], {}, { data: null }, { v: 1 }].map((payload) => client.relayRemotePushNotification(payload).isValid());
    const message = { v: 1, type: 'incoming_call', application_key: key, user_id: userId, call_id: 'c-1', from: 'bob', created: Math.floor(Date.now() / 1000) };
    const stranger = told(client.relayRemotePushNotification({ ...message, user_id: 'somebody-else' }));
    const mine = told(client.relayRemotePushNotification(JSON.stringify({ visible: true, data: message })));
    await started;
    const end = client.isStarted();
    client.terminate();
    return { foreign, stranger, mine, end };
  },
};
status('ready');
