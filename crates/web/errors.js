/** The published numbers and errors. */

/** An enumeration as TypeScript makes it: `CallState[3]` is 'Ended'. */
const numbers = (names) => {
  for (const [name, number] of Object.entries(names)) Object.defineProperty(names, number, { value: name });
  return Object.freeze(names);
};
/** @enum {number} How far a call is. */
export const CallState = numbers({ Init: 0, Progressing: 1, Established: 2, Ended: 3, Answered: 4, Ringing: 5 });
export const { Init, Progressing, Established, Ended, Answered, Ringing } = CallState;
/** @enum {number} Why a call ended. */
export const CallEndCause = numbers({
  None: 0, Timeout: 1, Denied: 2, NoAnswer: 3, Failure: 4, HungUp: 5, Canceled: 6, OtherDeviceAnswered: 7, Inactive: 8,
});
/** @enum {string} Who called. */
export const CallDirection = Object.freeze({ Inbound: 'Inbound', Outbound: 'Outbound' });
/** @enum {number} Which part failed. */
export const ErrorType = numbers({ Generic: 0, Network: 1, Session: 2, Api: 3, Persistence: 4, Sip: 5, Http: 6 });
/** @enum {number} What failed. */
export const ErrorCode = numbers({
  Generic: 1, NetworkConnectionRefused: 1000, NetworkTimedOut: 1001, NetworkServerError: 1002, AuthenticationFailed: 2002,
  CallFailedToConnectIce: 3002, WebRtcAudioRecordInitFailed: 3500, WebRtcAudioRecordStartFailed: 3501,
  WebRtcAudioTrackInitFailed: 3502, WebRtcAudioTrackStartFailed: 3503, ApiCallFailed: 4000,
});

/** An error with the published numbers. */
export class SinchError extends Error {
  name = 'SinchError';
  /** @param {string} message @param {number} code @param {number} domain @param {boolean} isFatal */
  constructor(message, code = ErrorCode.Generic, domain = ErrorType.Generic, isFatal = false) {
    super(message);
    Object.assign(this, { code, domain, isFatal });
  }
}
/** An argument is missing or wrong. */
export class ArgumentError extends Error {
  name = 'ArgumentError';
}
/** The state does not allow this now. */
export class InvalidOperationError extends Error {
  name = 'InvalidOperationError';
}

export const wrong = (message) => new ArgumentError(message);
export const refuse = (message) => new InvalidOperationError(message);
export const wrongState = () => refuse("the call's state does not allow this");
export const notStarted = () => refuse('the client is not started');
export const notPossible = (message) => new SinchError(message, ErrorCode.ApiCallFailed, ErrorType.Api);
