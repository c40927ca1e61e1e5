/** Why a client ends that the server turned away, in words that say what to do. */

import { ErrorCode, ErrorType } from './errors.js';

const REFUSALS = {
  token_signature: "the token's signature is wrong: check the application secret it is signed with",
  token_expired: 'the token has expired: get a new token',
  token_replayed: 'another device has used this token: get a new one',
  token_not_yet_valid: 'the token is issued in the future: compare the clocks',
  token_subject: 'the token is for another user or application: get one for this user and application key',
  token_algorithm: 'the token is not signed with HS256: sign it so',
  token_lifetime: 'the token lives longer than the server allows: sign a shorter one',
  token_malformed: 'the token has the wrong form: pass it on whole, as it was signed',
  user_blocked: 'this user is blocked: only who runs the application can unblock them',
  credential_refused: 'the device credential is unknown, ended or revoked: register with a new token',
};
const failure = (message, code, domain, refusal) => ({ message, code, domain, fatal: true, refusal });
const unauthorized = (message, refusal) => failure(message, ErrorCode.AuthenticationFailed, ErrorType.Session, refusal);
/** The application may say why, by an error or a text. */
export function withoutToken(why) {
  const reason = why?.message ?? why;
  return unauthorized(`the application could not get a registration token${typeof reason === 'string' ? `: ${reason}` : ''}`);
}
export const unreachable = () =>
  failure('the server could not be reached: check its address and that it runs', ErrorCode.NetworkTimedOut, ErrorType.Network);
export function stoppedByServer(error) {
  if (!error) return unauthorized('another page of this browser took over the connection');
  const message = REFUSALS[error] ?? 'the server refused the connection';
  const isOurs = error !== 'rate_limited' && error !== 'internal';
  return isOurs ? unauthorized(message, error) : failure(message, ErrorCode.ApiCallFailed, ErrorType.Api, error);
}
export function turnedAway(error, wait) {
  const [why, code] = error === 'rate_limited'
    ? ['the server refuses this client for now: too many registrations, or devices of this user', ErrorCode.ApiCallFailed]
    : ['the server cannot register anybody now', ErrorCode.NetworkServerError];
  return failure(`${why}; try again in ${Math.max(1, Math.ceil(wait / 1000))} s`, code, ErrorType.Api, error);
}
