/** What a server may say (docs/SIGNALING.md): its form is checked before anything looks at it. */

import { CallEndCause, CallState } from './errors.js';

export const MOST = { frame: 65536, sdp: 32768, headers: 1024, candidate: 1024, pending: 512, held: 64, remote: 128, over: 64 };

/** The published names as they are on the wire: HungUp is hung_up. */
const onTheWire = (published) =>
  Object.fromEntries(Object.entries(published).map(([name, n]) => [name.replace(/\B[A-Z]/g, '_$&').toLowerCase(), n]));
export const STATES = onTheWire(CallState);
export const CAUSES = onTheWire(CallEndCause);

const utf8 = new TextEncoder();
export const bytes = (value) => utf8.encode(value).length;
export const headerBytes = (headers) => bytes(Object.entries(headers).flat().join(''));

export const isId = (value) => typeof value === 'string' && /^[\w=-]{1,255}$/.test(value);
export const isAbsent = (value) => value === undefined || value === null;
export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
/** A text, of so many bytes at most. */
export const text = (most = MOST.frame) => (value) => typeof value === 'string' && bytes(value) <= most;
const number = (value) => Number.isSafeInteger(value) && value >= 0;
const flag = (value) => typeof value === 'boolean';
const among = (table) => (value) => typeof value === 'string' && Object.hasOwn(table, value);
const list = (of) => (value) => Array.isArray(value) && value.every(of);
export const areHeaders = (value) => isObject(value) && Object.values(value).every(text());
/** An object with these members; one whose name ends in "?" may be absent. */
const form = (members) => (value) =>
  isObject(value) &&
  Object.entries(members).every(([name, check]) => {
    const member = value[name.replace('?', '')];
    return (name.endsWith('?') && isAbsent(member)) || check(member);
  });

const headers = (value) => areHeaders(value) && headerBytes(value) <= MOST.headers;
const sdp = text(MOST.sdp);
/** A commitment or a nonce, of any form. */
const piece = text(64);
const name = text(255);
const issued = form({ secret: text(), expires: number });
const outcome = form({ 'of?': text(), 'error?': text(), 'message?': text() });
const part = text(MOST.candidate);
const servers = list(form({ urls: list(text()), 'username?': text(), 'credential?': text() }));
const named = form({ 'ice_servers?': servers });
const FORMS = {
  welcome: form({
    session: isId, resume_token: text(), epoch: text(), resumed: flag, heartbeat_ms: number, server_time: number, limits: isObject,
    'credential?': issued, 'ice_servers?': servers,
  }),
  snapshot: form({
    calls: list(form({ call_id: isId, outgoing: flag, remote: isId, state: among(STATES), 'headers?': headers, 'sdp?': sdp, 'commitment?': piece, 'nonce?': piece, 'display_name?': name })),
  }),
  registered: form({ credential: issued }),
  outcome,
  error: outcome,
  bye: form({ action: among({ resume: 1, reconnect: 1, stop: 1 }), 'error?': text(), 'retry_after_ms?': number }),
  ack: isObject,
  pong: isObject,
  'call.incoming': form({ from: isId, sdp, 'headers?': headers, 'ice_servers?': servers, 'commitment?': piece, 'display_name?': name }),
  'call.progressing': named,
  'call.ice_servers': named,
  'call.ringing': isObject,
  'call.established': isObject,
  'call.answered': form({ 'sdp?': sdp, 'by?': isId, 'nonce?': piece }),
  'call.reveal': form({ nonce: piece }),
  'call.candidate': form({ 'candidate?': part, 'mid?': part, 'ufrag?': part, 'end?': flag }),
  'call.update': form({ kind: among({ offer: 1, answer: 1 }), sdp }),
  'call.ended': form({ cause: among(CAUSES), 'error?': text() }),
};

/** Reads a server's frame; undefined when it is not one this version understands. */
export function parse(frame) {
  if (bytes(frame) > MOST.frame) return undefined;
  let value;
  try {
    value = JSON.parse(frame);
  } catch {
    return undefined;
  }
  if (!isObject(value) || value.v !== 1 || !isId(value.id) || !among(FORMS)(value.type)) return undefined;
  const { type, seq = 0, ack = 0, call_id: call } = value;
  const body = value.body ?? {};
  if (!number(seq) || !number(ack) || !(call === undefined ? !type.startsWith('call.') : isId(call))) return undefined;
  return FORMS[type](body) ? { type, seq, ack, call, body } : undefined;
}
