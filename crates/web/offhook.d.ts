/** Types of offhook.js: the published Sinch JavaScript API, and what Offhook adds ("Offhook:"). */

export declare enum CallState { Init = 0, Progressing = 1, Established = 2, Ended = 3, Answered = 4, Ringing = 5 }
export declare enum CallEndCause {
  None = 0, Timeout = 1, Denied = 2, NoAnswer = 3, Failure = 4, HungUp = 5, Canceled = 6, OtherDeviceAnswered = 7, Inactive = 8,
}
export declare enum CallDirection { Inbound = 'Inbound', Outbound = 'Outbound' }
export declare enum ErrorType { Generic = 0, Network = 1, Session = 2, Api = 3, Persistence = 4, Sip = 5, Http = 6 }
export declare enum ErrorCode {
  Generic = 1, NetworkConnectionRefused = 1000, NetworkTimedOut = 1001, NetworkServerError = 1002, AuthenticationFailed = 2002,
  CallFailedToConnectIce = 3002, WebRtcAudioRecordInitFailed = 3500, WebRtcAudioRecordStartFailed = 3501,
  WebRtcAudioTrackInitFailed = 3502, WebRtcAudioTrackStartFailed = 3503, ApiCallFailed = 4000,
}
export declare class SinchError extends Error { code: number; domain: number; isFatal: boolean }
export declare class ArgumentError extends Error {}
export declare class InvalidOperationError extends Error {}

export interface ClientRegistration {
  /** Takes the token (JWT). May be passed on by itself: `getToken().then(registration.register)`. What is no token is as `registerFailed`. */
  register(jwt: string): Promise<void>;
  /**
   * The application has no token: a start fails; a running client asks again later. Offhook: an error or a text as the reason is told in the
   * failure, and a listener that throws, or whose promise rejects, has no token either.
   */
  registerFailed(reason?: unknown): void;
}
export interface SinchClientListener {
  onClientStarted?(client: SinchClient): void;
  onClientFailed?(client: SinchClient, error: SinchError): void;
  onCredentialsRequired?(client: SinchClient, registration: ClientRegistration): void;
  /** Offhook: the connection is lost and is being made again; calls go on. */
  onClientReconnecting?(client: SinchClient): void;
  /** Offhook: it is back. */
  onClientReconnected?(client: SinchClient): void;
}
export interface CallClientListener { onIncomingCall?(callClient: CallClient, call: Call): void }
export interface CallQualityWarningEvent {
  name: 'HighRemoteInboundRtt' | 'HighInboundJitter' | 'HighInboundPacketLoss' | 'MissingMediaStream' | 'ConstantOutboundAudioLevel'
    | 'ConstantInboundAudioLevel' | 'ZeroOutboundAudioLevel' | 'ZeroInboundAudioLevel';
  type: 'Trigger' | 'Recover';
  mediaStreamType?: 'Audio' | 'Video';
}
export interface CallListener {
  onCallProgressing?(call: Call): void;
  onCallRinging?(call: Call): void;
  onCallAnswered?(call: Call): void;
  onCallEstablished?(call: Call): void;
  onCallEnded?(call: Call): void;
  onRemoteTrack?(call: Call, track: MediaStreamTrack): void;
  onCallQualityWarningEvent?(call: Call, event: CallQualityWarningEvent): void;
  /** Offhook: there is an authentication string, or the verification failed. */
  onCallVerification?(call: Call, verification: CallVerification): void;
}
/**
 * Offhook: whether the two people can know that nobody sits between them, not even the server. `ready`: `string` is eight digits, the same on
 * both sides; compare them by voice. `failed`: somebody changed what was exchanged; take the call for overheard. `unavailable`: the other
 * side, or a server between, does not know of it; nothing is known of who listens.
 */
export interface CallVerification {
  state: 'pending' | 'ready' | 'failed' | 'unavailable';
  string?: string;
  error?: 'malformed' | 'fingerprint' | 'commitment_broken' | 'out_of_order' | 'reveal_changed' | 'reveal_missing' | 'fingerprint_changed';
}
/** Durations are milliseconds, 0 until they are over; a time that has not come is undefined. Whoever keeps it sees what is true when they look. */
export interface CallDetails {
  startedTime: Date;
  progressedTime?: Date;
  rungTime?: Date;
  answeredTime?: Date;
  establishedTime?: Date;
  endedTime?: Date;
  duration: number;
  setupDuration: number;
  notifyingDuration: number;
  ringingDuration: number;
  connectionDuration: number;
  hadAudioStream: boolean;
  hadVideoStream: boolean;
  requestedAudio: boolean;
  requestedVideo: boolean;
  isVideoOffered: boolean;
  endCause: CallEndCause;
  error?: SinchError;
}
/** Offhook: one second of a call. Times in ms, loss in percent, levels from 0 to 1; what was not measured is undefined. */
export interface CallQuality {
  at: number;
  rtt?: number;
  pathRtt?: number;
  jitter?: number;
  loss?: number;
  kbps?: number;
  inboundLevel?: number;
  outboundLevel?: number;
}
interface Listening<L> {
  addListener(listener: L): void;
  removeListener(listener: L): void;
  /** The older spellings. */
  addEventListener(listener: L): void;
  removeEventListener(listener: L): void;
  /** Takes the place of the one that was set before. */
  setEventListener(listener: L): void;
}
export interface Call extends Listening<CallListener> {
  readonly id: string;
  readonly callId: string;
  readonly direction: CallDirection;
  readonly state: CallState;
  readonly details: CallDetails;
  readonly headers: Record<string, string>;
  readonly remoteUserId: string;
  /** What an incoming caller calls themselves, else the user id. Nobody vouches for the name: show it beside the id, not in its place. */
  readonly remoteUserDisplayName: string;
  /** There from the start; its tracks come when the other side is heard. */
  readonly incomingStream: MediaStream;
  /** There from the start; empty until the local person calls or accepts. */
  readonly outgoingStream: MediaStream;
  /** Rejects with InvalidOperationError when the call is not incoming and unanswered, or the microphone cannot be used. */
  answer(): Promise<void>;
  hangup(): void;
  mute(): void;
  unmute(): void;
  pauseVideo(): void;
  resumeVideo(): void;
  /** `0-9 # * A-D`, in an established call. */
  sendDtmf(keys: string): void;
  /** Offhook: neither side hears the other until `unhold`. */
  hold(): void;
  unhold(): void;
  readonly isMuted: boolean;
  readonly isOnHold: boolean;
  readonly quality?: CallQuality;
  /** Offhook. */
  readonly verification: CallVerification;
  /** Offhook: eight digits in two groups, once there are some. */
  readonly authenticationString?: string;
}
export interface CallClient extends Listening<CallClientListener> {
  callUser(userId: string, headers?: Record<string, string>): Promise<Call>;
  callUserVideo(userId: string, headers?: Record<string, string>): Promise<Call>;
  /** Rejects: an Offhook server connects users. */
  callPhoneNumber(number: string, headers?: Record<string, string>): Promise<Call>;
  callSip(address: string, headers?: Record<string, string>): Promise<Call>;
  callConference(conferenceId: string, headers?: Record<string, string>): Promise<Call>;
  getCall(callId: string): Call | undefined;
  /** Also for running calls; without constraints, those of the browser. */
  setAudioTrackConstraints(constraints?: MediaTrackConstraints | boolean | null): Promise<void>;
  setVideoTrackConstraints(constraints?: MediaTrackConstraints | boolean | null): Promise<void>;
}
export interface CallNotificationResult {
  callId: string;
  /** Absent in a message that says a call is over. */
  remoteUserId?: string;
  /** A pushed message tells neither headers nor video: look at the call. */
  headers?: Record<string, string>;
  isVideoOffered(): boolean;
  /** The call began more than a minute ago. */
  hasTimedOut(): boolean;
  /** The message says that the call is over. */
  isCallCanceled(): boolean;
}
export interface NotificationResult {
  /** Whether it is a message of an Offhook server. */
  isValid(): boolean;
  isCall(): boolean;
  displayName?: string;
  callNotificationResult?: CallNotificationResult;
}
export interface SinchClient extends Listening<SinchClientListener> {
  readonly userId: string;
  readonly callClient: CallClient;
  /** What callees are told that the local person is called, also by a push; at most 255 bytes. */
  get pushNotificationDisplayName(): string;
  set pushNotificationDisplayName(name: string | null | undefined);
  isStarted(): boolean;
  setPushNotificationDisplayName(name: string): void;
  getCallClient(): CallClient;
  /** Resolves when registered, rejects when that fails; InvalidOperationError when already started. */
  start(): Promise<void>;
  terminate(): void;
  terminateGracefully(): Promise<void>;
  /**
   * Web Push: asks the person, registers the service worker and subscribes. Rejects with a SinchError where the browser has none, the person
   * does not allow notifications, or the worker cannot be loaded; calls then come in while a page is open. Resolves to whether the browser is
   * subscribed: it is not where the server sends none, nor where the push service cannot be reached; then the next start tries again.
   */
  setSupportManagedPush(serviceWorkerPath?: string, options?: RegistrationOptions): Promise<boolean>;
  /** Ends the subscription. */
  unregisterPushToken(): Promise<void>;
  /** The same, and unregisters the service worker. */
  disableManagedPushSupport(): Promise<void>;
  /** The same, as it is spelled where it was published. */
  disableMangedPushSupport(): Promise<void>;
  /** Takes the message or its text; tells what a pushed message says, and starts the client when its user is called. */
  relayRemotePushNotification(payload: unknown): NotificationResult;
  setUseRelayIceCandidatesOnly(only: boolean): void;
}
/** Where microphone and camera come from. What it gives for a call is stopped when the call is over. */
export interface MediaStreamFactory { getMediaStream(options: MediaStreamConstraints): Promise<MediaStream> }
export interface SinchClientBuilder {
  applicationKey(key: string): this;
  userId(id: string): this;
  /**
   * host, host:port or URL. Without a scheme, loopback is spoken to without TLS, everything else with it. Left out, or a host of the
   * published service, it is the server that the script is from.
   */
  environmentHost(host: string): this;
  callerIdentifier(id: string): this;
  fetchApi(fetch: typeof globalThis.fetch): this;
  mediaStreamFactory(factory: MediaStreamFactory | MediaStreamFactory['getMediaStream']): this;
  videoConfiguration(constraints: MediaTrackConstraints): this;
  silentMediaStream(): this;
  build(): SinchClient;
}
export interface SinchApi {
  readonly version: string;
  getSinchClientBuilder(): SinchClientBuilder;
  getSinchClient(applicationKey: string, userId: string, apiUrl: string): SinchClient;
  CallState: typeof CallState;
  CallEndCause: typeof CallEndCause;
  CallDirection: typeof CallDirection;
  ErrorType: typeof ErrorType;
  ErrorCode: typeof ErrorCode;
  SinchError: typeof SinchError;
  ArgumentError: typeof ArgumentError;
  InvalidOperationError: typeof InvalidOperationError;
}
export declare const Sinch: SinchApi;
export default Sinch;
declare global {
  /** What the classic script `/sinch-rtc.js` defines. */
  var Sinch: SinchApi;
}
/** Offhook: the API on another environment than the browser's `globalThis`, for tests. */
export declare function createSinch(env: object): SinchApi;
