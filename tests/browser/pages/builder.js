// An application as one writes it against the later releases: builder, addListener, managed push, one listener per call, names of numbers.
class VideoPhone {
  #client;
  #call;
  #paused = false;

  async start(userId) {
    this.#client = Sinch.getSinchClientBuilder()
      .applicationKey(setting.get('key'))
      .userId(userId)
      .environmentHost(setting.get('host'))
      .callerIdentifier('')
      .videoConfiguration({ width: { ideal: 640 } })
      .build();
    this.#client.addListener(this.#clientListener());
    try {
      await this.#client.setSupportManagedPush();
    } catch (error) {
      status(`push refused ${error.name} ${error.code} ${error.domain}: ${error.message}`);
    }
    this.#client.start();
  }

  #clientListener() {
    return {
      onClientStarted: async (client) => {
        // Its address book comes from elsewhere, and takes a while.
        await new Promise((resolve) => setTimeout(resolve, Number(setting.get('late') ?? 0)));
        client.callClient.addListener({
          onIncomingCall: (callClient, call) => {
            status(`incoming from ${call.remoteUserId} ${JSON.stringify(call.headers)} video ${call.details.isVideoOffered} same ${callClient === client.callClient}`);
            this.#take(call);
          },
        });
        status(`started ${client.userId} ${client.isStarted()}`);
      },
      onClientFailed: (client, error) => status(`failed ${error.code} ${error.domain} ${error.isFatal}`),
      onCredentialsRequired: (client, clientRegistration) => {
        createJWT(setting.get('key'), setting.get('secret'), client.userId)
          .then(clientRegistration.register)
          .catch(() => clientRegistration.registerFailed());
      },
    };
  }

  #take(call) {
    this.#call = call;
    const [incoming, outgoing] = [call.incomingStream, call.outgoingStream];
    document.getElementById('incoming').srcObject = incoming;
    document.getElementById('outgoing').srcObject = outgoing;
    const state = (of) => status(Sinch.CallState[of.state]);
    call.addListener({
      onCallProgressing: state,
      onCallRinging: state,
      onCallAnswered: state,
      onCallEstablished: state,
      onRemoteTrack: (of, track) => status(`track ${track.kind} ${of === call}`),
      onCallEnded: ({ details, incomingStream, outgoingStream, callId }) => {
        status(`ended ${Sinch.CallEndCause[details.endCause]} ${details.error} same ${incomingStream === incoming && outgoingStream === outgoing}`);
        status(`gone ${this.#client.callClient.getCall(callId) === undefined}`);
        window.details = details;
      },
    });
  }

  async ring(callee, withVideo) {
    const { callClient } = this.#client;
    const call = await callClient[withVideo ? 'callUserVideo' : 'callUser'](callee, { subject: 'lunch', table: '4' });
    status(`calling ${Sinch.CallState[call.state]} ${call.direction} ${callClient.getCall(call.id) === call}`);
    this.#take(call);
  }

  answer() {
    return this.#call.answer().catch((error) => status(`no answer ${error.name}`));
  }

  hangup() {
    this.#call.hangup();
  }

  pause() {
    this.#paused = !this.#paused;
    if (this.#paused) this.#call.pauseVideo();
    else this.#call.resumeVideo();
  }

  smaller() {
    return this.#client.callClient.setVideoTrackConstraints({ width: { exact: 320 }, height: { exact: 240 } });
  }
}

load(`http://${setting.get('host').replace(/^\w+:\/\//, '')}/sinch-rtc.js`).then(() => {
  const phone = new VideoPhone();
  const click = (id, todo) => document.getElementById(id).addEventListener('click', todo);
  const value = (id) => document.getElementById(id).value;
  click('start', () => phone.start(value('me')));
  click('voice', () => phone.ring(value('callee'), false));
  click('video', () => phone.ring(value('callee'), true));
  click('answer', () => phone.answer());
  click('hangup', () => phone.hangup());
  click('pause', () => phone.pause());
  click('small', () => phone.smaller());
  status('ready');
});
