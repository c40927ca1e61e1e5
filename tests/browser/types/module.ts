// An application of the builder's spelling, as a module. Compiled, never run.
import def, {
  ArgumentError, CallDirection, CallEndCause, CallState, ErrorCode, ErrorType, InvalidOperationError, Sinch, SinchError,
} from 'https://calls.example.com/offhook.js';
import type {
  Call, CallClient, CallClientListener, CallDetails, CallListener, CallQualityWarningEvent, ClientRegistration, MediaStreamFactory, NotificationResult, SinchApi,
  SinchClient, SinchClientListener,
} from 'https://calls.example.com/offhook.js';

declare function fetchToken(user: string): Promise<string>;
const same: SinchApi = def;

class Microphone implements MediaStreamFactory {
  async getMediaStream({ audio, video }: MediaStreamConstraints): Promise<MediaStream> {
    return navigator.mediaDevices.getUserMedia({ audio: audio ?? true, video: video ?? false });
  }
}

export class Phone implements SinchClientListener, CallClientListener, CallListener {
  #client: SinchClient | undefined;
  #calls = new Map<string, Call>();
  readonly warnings: Array<[CallQualityWarningEvent['name'], 'Trigger' | 'Recover', 'Audio' | 'Video' | undefined]> = [];

  async start(key: string, user: string, host: string): Promise<boolean> {
    const client = Sinch.getSinchClientBuilder()
      .applicationKey(key)
      .userId(user)
      .environmentHost(host)
      .callerIdentifier('+46000000000')
      .videoConfiguration({ width: { ideal: 640 } })
      .mediaStreamFactory((wanted) => navigator.mediaDevices.getUserMedia(wanted))
      .mediaStreamFactory(new Microphone())
      .fetchApi(fetch)
      .silentMediaStream()
      .build();
    client.addListener(this);
    client.addListener({});
    client.addListener({ onCredentialsRequired: ({ userId }, { register, registerFailed }) => void fetchToken(userId).then(register).catch(registerFailed) });
    client.callClient.addListener(this);
    client.setUseRelayIceCandidatesOnly(true);
    client.pushNotificationDisplayName = 'Alice A.';
    client.pushNotificationDisplayName = null;
    this.#client = client;
    const pushed: boolean = await client.setSupportManagedPush('sw.js', { scope: '/' }).catch((error: SinchError) => error.code === ErrorCode.ApiCallFailed);
    try {
      await client.start();
    } catch (error) {
      if (error instanceof SinchError) console.error(error.message, error.domain === ErrorType.Network, error.isFatal);
      if (error instanceof InvalidOperationError || error instanceof Sinch.ArgumentError) throw error;
    }
    return pushed && client.isStarted();
  }
  onClientStarted(client: SinchClient): void {
    console.log(client.userId, client === this.#client);
  }
  onClientFailed(_: SinchClient, { code, domain, isFatal, message }: SinchError) {
    const numbers: number[] = [code, domain];
    console.log(numbers, isFatal, message);
  }
  async onCredentialsRequired(client: SinchClient, registration: ClientRegistration) {
    await registration.register(await fetchToken(client.userId));
  }
  onIncomingCall(callClient: CallClient, call: Call) {
    console.log(callClient.getCall(call.id) === call, call.headers.subject, call.remoteUserDisplayName);
    this.take(call);
    call.answer().catch((error: Error) => console.error(error instanceof ArgumentError));
  }
  async ring(callee: string, video: boolean): Promise<Call> {
    const { callClient } = this.#client!;
    return this.take(await callClient[video ? 'callUserVideo' : 'callUser'](callee, { subject: 'lunch' }));
  }
  take(call: Call): Call {
    call.addListener(this);
    call.addListener({ onCallRinging: ({ callId }) => console.log(callId) });
    this.#calls.set(call.id, call);
    const audio = document.createElement('audio');
    audio.srcObject = call.incomingStream;
    call.outgoingStream.getTracks().forEach(({ enabled }) => console.log(enabled));
    return call;
  }
  onCallEstablished(call: Call) {
    const state: string = CallState[call.state]!;
    if (call.direction === CallDirection.Outbound && call.state === CallState.Established) call.sendDtmf('12#');
    call.mute();
    call.unmute();
    call.pauseVideo();
    call.resumeVideo();
    console.log(state, call.isMuted, call.quality?.rtt, call.verification.state === 'ready' && call.authenticationString);
  }
  onRemoteTrack(_: Call, { kind }: MediaStreamTrack) {
    console.log(kind);
  }
  onCallQualityWarningEvent(_: Call, { name, type, mediaStreamType }: CallQualityWarningEvent) {
    this.warnings.push([name, type, mediaStreamType]);
  }
  onCallEnded(call: Call) {
    const { endCause, error, duration, endedTime, isVideoOffered }: CallDetails = call.details;
    const seconds: number = duration / 1000;
    const why: SinchError | undefined = error;
    const isOver: boolean = endCause === CallEndCause.HungUp || endCause === 4;
    console.log(seconds, why?.message, isOver, endedTime?.getTime(), isVideoOffered);
    call.removeListener(this);
  }
  pushed(event: MessageEvent) {
    const result: NotificationResult | undefined = this.#client?.relayRemotePushNotification(event.data);
    const push = result?.isValid() && result.isCall() ? result.callNotificationResult : undefined;
    return push && !push.hasTimedOut() && !push.isCallCanceled() ? [push.callId, push.remoteUserId, result?.displayName] : [];
  }
  async stop() {
    await this.#client?.callClient.setAudioTrackConstraints({ deviceId: { exact: 'one' } });
    await this.#client?.callClient.setVideoTrackConstraints(null);
    await this.#client?.unregisterPushToken();
    this.#client?.terminate();
    return same.version;
  }
}
