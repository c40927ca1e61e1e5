/** The softphone page: a user interface on offhook.js, and nothing that offhook.js does not give to any page. */

import { CallDirection, CallEndCause, CallState, Sinch } from './offhook.js';
import { keyTone, levelOf, ring, wake } from './sound.js';

const $ = (id) => document.getElementById(id);
const ENDINGS = {
  [CallEndCause.Timeout]: 'cannot be reached', [CallEndCause.Denied]: 'declined', [CallEndCause.NoAnswer]: 'did not answer',
  [CallEndCause.Failure]: 'the call failed', [CallEndCause.HungUp]: 'call over', [CallEndCause.Canceled]: 'call withdrawn',
  [CallEndCause.OtherDeviceAnswered]: 'answered on another device', [CallEndCause.Inactive]: 'the connection was lost',
};
const STATES = {
  [CallState.Init]: 'Calling…', [CallState.Progressing]: 'Reaching them…', [CallState.Ringing]: 'Ringing…',
  [CallState.Answered]: 'Connecting…', [CallState.Established]: 'On the line',
};

let client;
let development;
/** @type {Map<string, Card>} */
const cards = new Map();

function say(text, isProblem = false) {
  $('notice').textContent = text && text[0].toUpperCase() + text.slice(1);
  $('notice').classList.toggle('problem', isProblem);
}

// ---- signing in

async function begin() {
  $('user').value = localStorage.getItem('softphone user') ?? '';
  const answer = await fetch('/v1/development').catch(() => undefined);
  development = answer?.ok ? (await answer.json()).application_key : undefined;
  if (development) return;
  $('with-token').hidden = false;
  $('token-instead').hidden = true;
  $('intro').textContent = 'Sign in with the key of your application and a registration token of its back end.';
}

async function tokenFor(user, form) {
  if (!form.token) {
    const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ user }) };
    const answer = await fetch('/v1/development', request);
    if (!answer.ok) throw new Error('the server gives out no tokens: paste one');
    return (await answer.json()).token;
  }
  return form.token;
}

function signIn(form) {
  wake();
  const key = form.application || development;
  client?.terminate();
  try {
    client = Sinch.getSinchClient(key, form.user, location.origin);
  } catch (error) {
    return say(error.message, true);
  }
  client.addListener({
    onCredentialsRequired: (_, registration) =>
      tokenFor(form.user, form)
        .then(registration.register)
        .catch((error) => {
          registration.registerFailed();
          say(error.message, true);
        }),
    onClientStarted: () => signedIn(form.user),
    onClientFailed: (_, error) => signedOut(`Not signed in: ${error.message}`, true),
    onClientReconnecting: () => isAway(true),
    onClientReconnected: () => isAway(false),
  });
  client.callClient.addListener({ onIncomingCall: (_, call) => new Card(call) });
  client.start().catch(() => {});
  say('Signing in…');
}

/** Whether the server cannot be heard now; calls go on meanwhile. */
function isAway(away) {
  $('presence').classList.toggle('away', away);
  say(away ? 'The connection to the server is lost and is being made again.' : '');
}

function signedIn(user) {
  localStorage.setItem('softphone user', user);
  $('welcome').hidden = true;
  $('phone').hidden = $('who').hidden = false;
  $('me').textContent = user;
  isAway(false);
  $('callee').focus();
  listDevices();
  offerPush();
  showPast();
  for (const kind of ['microphone', 'camera']) chooseDevice(kind);
}

function signedOut(text, isProblem) {
  $('welcome').hidden = false;
  $('phone').hidden = $('who').hidden = true;
  say(text, isProblem);
}

// ---- Web Push

const WORKER = '/offhook-sw.js';

/** Offered where the browser can do it; who took the offer is asked no more. */
function offerPush() {
  const isPossible = 'PushManager' in window;
  $('push-offer').hidden = !isPossible;
  if (isPossible && localStorage.getItem('softphone push') === client.userId) ringWhenClosed(true);
}

async function ringWhenClosed(isWanted) {
  const button = $('push');
  button.disabled = true;
  try {
    const isSubscribed = isWanted ? await client.setSupportManagedPush(WORKER) : await client.unregisterPushToken();
    button.setAttribute('aria-pressed', Boolean(isSubscribed));
    if (isWanted) localStorage.setItem('softphone push', client.userId);
    else localStorage.removeItem('softphone push');
    if (isWanted && !isSubscribed) say('This server sends no Web Push, or the push service of this browser cannot be reached: calls come in while this page is open.', true);
  } catch (error) {
    say(error.message, true);
  }
  button.disabled = false;
}

// ---- devices

const KINDS = { microphone: 'audioinput', speaker: 'audiooutput', camera: 'videoinput' };

async function listDevices() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  for (const [id, kind] of Object.entries(KINDS)) {
    const chosen = localStorage.getItem(`softphone ${id}`) ?? '';
    const found = devices.filter((device) => device.kind === kind && device.deviceId && device.deviceId !== 'default');
    $(id).replaceChildren(new Option('System default', ''), ...found.map((d, i) => new Option(d.label || `${id} ${i + 1}`, d.deviceId)));
    $(id).value = found.some((device) => device.deviceId === chosen) ? chosen : '';
  }
}

function chooseDevice(id) {
  const deviceId = $(id).value;
  const constraints = deviceId ? { deviceId: { exact: deviceId } } : true;
  const failed = (error) => say(inPlainWords(error), true);
  if (id === 'microphone') client?.callClient.setAudioTrackConstraints(constraints).catch(failed);
  else if (id === 'camera') client?.callClient.setVideoTrackConstraints(constraints).catch(failed);
  else for (const card of cards.values()) card.part('sound').setSinkId?.(deviceId).catch(failed);
}

/** What the person can do about a microphone or camera that does not open. */
function inPlainWords({ cause, message }) {
  if (cause?.name === 'NotAllowedError') return 'The browser does not let this page use the microphone: allow it beside the address, then try again.';
  if (cause?.name === 'NotFoundError') return 'No microphone was found: plug one in, or turn it on in the settings of this computer.';
  return message;
}

// ---- calls

let isDialing = false;
async function dial(video) {
  wake();
  const callee = $('callee').value.trim();
  // The browser may still be asking for the microphone.
  if (isDialing || !$('dial').reportValidity()) return;
  say('');
  isDialing = true;
  try {
    const call = video ? await client.callClient.callUserVideo(callee) : await client.callClient.callUser(callee);
    new Card(call);
  } catch (error) {
    say(inPlainWords(error), true);
  }
  isDialing = false;
}

/** The tab says who calls, for who looks at another one. */
function showTitle() {
  const ringing = [...cards.values()].find((card) => card.isWaiting);
  document.title = ringing ? `${ringing.name} calls · Offhook` : 'Offhook';
}

/** The keys of a telephone, with their letters. */
const KEYS = [
  ['1'], ['2', 'ABC'], ['3', 'DEF'], ['4', 'GHI'], ['5', 'JKL'], ['6', 'MNO'], ['7', 'PQRS'], ['8', 'TUV'], ['9', 'WXYZ'], ['*'], ['0', '+'], ['#'],
];

/** One call on the screen. */
class Card {
  trips = [];
  constructor(call) {
    this.call = call;
    this.root = $('call-card').content.cloneNode(true).firstElementChild;
    const { remoteUserId: id, remoteUserDisplayName: name } = call;
    this.name = name;
    this.part('name').textContent = this.part('name').title = name;
    // Nobody vouches for the name.
    this.part('id').textContent = this.part('id').title = id;
    this.part('id').hidden = name === id;
    this.part('avatar').textContent = [...name][0];
    this.part('sound').srcObject = call.incomingStream;
    this.part('near').srcObject = call.outgoingStream;
    this.part('far').srcObject = call.incomingStream;
    this.part('sound').setSinkId?.($('speaker').value).catch(() => {});
    this.levels = [['meter-in', levelOf(call.incomingStream)], ['meter-out', levelOf(call.outgoingStream)]];
    this.on('answer', () => this.answer());
    this.on('hangup', () => call.hangup());
    this.on('mute', () => (call.isMuted ? call.unmute() : call.mute()));
    this.on('hold', () => this.hold(!call.isOnHold));
    this.on('picture', () => {
      this.paused = !this.paused;
      if (this.paused) call.pauseVideo();
      else call.resumeVideo();
    });
    this.on('keys-toggle', () => (this.part('keypad').hidden = !this.part('keypad').hidden));
    for (const [key, letters = ''] of KEYS) {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = key;
      button.dataset.letters = letters;
      button.addEventListener('click', () => this.press(key));
      this.part('keypad').append(button);
    }
    cards.set(call.id, this);
    $('calls').prepend(this.root);
    const show = () => this.show();
    call.addListener({
      onCallProgressing: show, onCallRinging: show, onCallAnswered: show, onRemoteTrack: show,
      onCallEstablished: () => {
        holdOthers(this);
        listDevices();
        show();
      },
      onCallVerification: show,
      onCallEnded: () => this.ended(),
    });
    this.incoming = call.direction === CallDirection.Inbound;
    this.quiet = this.incoming || call.state === CallState.Ringing ? ring(this.incoming ? 'incoming' : 'outgoing') : undefined;
    this.ticks = setInterval(() => this.tick(), 100);
    show();
    if (!this.incoming) return;
    $('announcement').textContent = `${name} calls you.`;
    // Whoever is typing is not to answer by accident.
    if (performance.now() - typedAt > 3000) this.part('answer').focus();
  }
  part(name) {
    return this.root.querySelector(`.${name}`);
  }
  on(name, todo) {
    this.part(name).addEventListener('click', () => {
      todo();
      this.show();
    });
  }
  /** Whether the person here has to answer or decline. */
  get isWaiting() {
    return this.incoming && this.call.state === CallState.Init;
  }
  get isAnswered() {
    return [CallState.Answered, CallState.Established].includes(this.call.state);
  }
  async answer() {
    wake();
    this.part('answer').disabled = true;
    try {
      await this.call.answer();
    } catch (error) {
      say(inPlainWords(error), true);
      this.part('answer').disabled = false;
    }
    this.show();
  }
  hold(held) {
    if (!this.isAnswered) return;
    if (held) this.call.hold();
    else {
      holdOthers(this);
      this.call.unhold();
    }
    this.show();
  }
  press(key) {
    try {
      this.call.sendDtmf(key);
      keyTone(key);
    } catch (error) {
      say(`The key was not sent: ${error.message}`, true);
    }
  }
  show() {
    const { call, incoming } = this;
    const { state } = call;
    const waiting = this.isWaiting;
    const established = state === CallState.Established;
    const has = (stream) => stream.getVideoTracks().length > 0;
    if (state === CallState.Ringing && !incoming) this.quiet ??= ring('outgoing');
    else if (!waiting) this.silence();
    const words = waiting ? (call.details.isVideoOffered ? 'Video call for you' : 'Calls you') : STATES[state];
    this.part('state').textContent = call.isOnHold ? 'On hold' : words;
    this.root.classList.toggle('ringing', waiting);
    this.part('answer').hidden = !waiting;
    this.part('hangup').lastElementChild.textContent = waiting ? 'Decline' : this.isAnswered ? 'Hang up' : 'Cancel';
    for (const name of ['mute', 'hold', 'keys-toggle']) this.part(name).hidden = !this.isAnswered;
    this.part('picture').hidden = !this.isAnswered || !has(call.outgoingStream);
    this.part('stage').hidden = !this.isAnswered || !(has(call.incomingStream) || has(call.outgoingStream));
    this.part('live').hidden = !established;
    this.showCode();
    this.part('mute').setAttribute('aria-pressed', call.isMuted);
    this.part('hold').setAttribute('aria-pressed', call.isOnHold);
    this.part('picture').setAttribute('aria-pressed', Boolean(this.paused));
    this.part('keys-toggle').setAttribute('aria-expanded', !this.part('keypad').hidden);
    showTitle();
  }
  /** What both read to each other, to know that nobody sits between them. */
  showCode() {
    const { state, string } = this.call.verification;
    const code = this.part('code');
    code.hidden = !['ready', 'failed'].includes(state);
    code.classList.toggle('bad', state === 'failed');
    code.textContent = string ? `Code ${string}` : 'This call could not be verified: somebody may be listening in.';
    code.title = string ? 'Read it to each other. If both have the same, nobody sits between you, not even the server.' : '';
  }
  silence() {
    this.quiet?.();
    this.quiet = undefined;
  }
  tick() {
    const { call } = this;
    if (call.state !== CallState.Established) return;
    const seconds = Math.floor((Date.now() - call.details.establishedTime) / 1000);
    const two = (n) => String(n).padStart(2, '0');
    this.part('timer').textContent = `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
    for (const [name, level] of this.levels) this.part(name).value = level();
    this.part('avatar').style.setProperty('--level', this.part('meter-in').value);
    const { quality } = call;
    if (!quality || quality.at === this.measured) return;
    this.measured = quality.at;
    this.part('words').textContent = inWords(quality);
    const trip = quality.rtt ?? quality.pathRtt;
    if (trip !== undefined) this.trips.push(trip);
    this.trips = this.trips.slice(-60);
    const top = Math.max(100, ...this.trips);
    const points = this.trips.map((ms, i) => `${(i * 120) / 59},${27 - (26 * ms) / top}`);
    this.part('graph').firstElementChild.setAttribute('points', points.join(' '));
  }
  ended() {
    clearInterval(this.ticks);
    this.silence();
    this.show();
    this.root.classList.add('over');
    for (const name of ['actions', 'live', 'stage', 'keypad']) this.part(name).hidden = true;
    const { endCause, error } = this.call.details;
    this.part('state').textContent = ENDINGS[endCause] ?? 'call over';
    // Isolated: an id keeps its small letter, and a name that runs from right to left leaves the rest in its order.
    say(`\u2068${this.name}\u2069: ${ENDINGS[endCause]}${error ? ` (${error.message})` : ''}`);
    cards.delete(this.call.id);
    $('announcement').textContent = '';
    showTitle();
    remember(this.call);
    setTimeout(() => this.root.remove(), 4000);
  }
}

/** A person talks in one call at a time. */
function holdOthers(card) {
  for (const other of cards.values()) if (other !== card && other.isAnswered && !other.call.isOnHold) other.hold(true);
}

function inWords({ rtt, pathRtt, loss, jitter }) {
  const trip = rtt ?? pathRtt;
  const parts = [trip !== undefined && `${Math.round(trip)} ms`, loss > 0 && `${loss.toFixed(1)} % lost`].filter(Boolean);
  const bad = (a, b, c) => trip > a || loss > b || jitter > c;
  const word = bad(400, 8, 80) ? 'Poor' : bad(250, 3, 40) ? 'Fair' : bad(120, 1, 20) ? 'Good' : 'Excellent';
  return trip === undefined && loss === undefined ? 'Listening…' : `${word}${parts.length ? ` · ${parts.join(', ')}` : ''}`;
}

// ---- recent calls

function past() {
  try {
    return JSON.parse(localStorage.getItem(`softphone calls ${client.userId}`)) ?? [];
  } catch {
    return [];
  }
}

/** The newest first, each once; a click rings them. */
function remember(call) {
  const { endCause, startedTime } = call.details;
  const entry = { name: call.remoteUserId, at: startedTime.getTime(), way: call.direction, endCause };
  const all = [entry, ...past().filter(({ name }) => name !== entry.name)].slice(0, 6);
  localStorage.setItem(`softphone calls ${client.userId}`, JSON.stringify(all));
  showPast();
}

function showPast() {
  const all = past();
  const today = new Date().toDateString();
  $('history').hidden = !all.length;
  $('recent').replaceChildren(...all.map(({ name }) => new Option(name, name)));
  $('past').replaceChildren(...all.map(({ name, at, way, endCause }) => {
    const isIncoming = way === CallDirection.Inbound;
    const isMissed = isIncoming && [CallEndCause.Canceled, CallEndCause.NoAnswer, CallEndCause.Timeout].includes(endCause);
    const date = new Date(at);
    const when = date.toDateString() === today ? date.toLocaleTimeString([], { timeStyle: 'short' }) : date.toLocaleDateString([], { dateStyle: 'medium' });
    const button = Object.assign(document.createElement('button'), { type: 'button', className: isMissed ? 'missed' : '', title: `Ring ${name}` });
    const part = (tag, className, textContent) => button.append(Object.assign(document.createElement(tag), { className, textContent }));
    part('span', 'way', isMissed ? '✕' : isIncoming ? '↙' : '↗');
    part('span', 'whom', name);
    part('small', 'when', `${isMissed ? 'missed, ' : ''}${when}`);
    button.firstChild.ariaHidden = 'true';
    button.addEventListener('click', () => {
      $('callee').value = name;
      dial(false);
    });
    const item = document.createElement('li');
    item.append(button);
    return item;
  }));
}

// ---- keys

let typedAt = -Infinity;
function onKey(event) {
  typedAt = performance.now();
  if (event.target.matches('input, textarea, select') || event.ctrlKey || event.metaKey || event.altKey || event.repeat || !cards.size) return;
  const key = event.key.toLowerCase();
  const all = [...cards.values()].reverse();
  const ringing = all.find((card) => card.isWaiting);
  const talking = all.find((card) => card.isAnswered && !card.call.isOnHold) ?? all.find((card) => card.isAnswered);
  const click = (card, name) => card?.part(name).click();
  if (key === 'a') ringing?.answer();
  else if (key === 'd') click(ringing ?? talking ?? all[0], 'hangup');
  else if (key === 'm') click(talking, 'mute');
  else if (key === 'h') click(talking, 'hold');
  else if (key === 'k') click(talking, 'keys-toggle');
  else if (/^[0-9*#]$/.test(key) && talking && !talking.part('keypad').hidden) talking.press(key);
  else return;
  event.preventDefault();
}

$('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = (id) => $(id).value.trim();
  const shown = !$('with-token').hidden;
  signIn({ user: text('user'), application: shown ? text('application') : '', token: shown ? text('token') : '' });
});
$('token-instead').addEventListener('click', () => {
  $('with-token').hidden = false;
  $('token-instead').hidden = true;
  $('application').focus();
});
$('sign-out').addEventListener('click', async () => {
  // Whoever signs out is not to be rung here.
  if ($('push').ariaPressed === 'true') await ringWhenClosed(false);
  client?.terminate();
  signedOut('Signed out.');
});
$('push').addEventListener('click', () => ringWhenClosed($('push').ariaPressed !== 'true'));
$('dial').addEventListener('submit', (event) => {
  event.preventDefault();
  dial(false);
});
$('ring-video').addEventListener('click', () => dial(true));
for (const id of Object.keys(KINDS)) {
  $(id).addEventListener('change', () => {
    localStorage.setItem(`softphone ${id}`, $(id).value);
    chooseDevice(id);
  });
}
navigator.mediaDevices?.addEventListener('devicechange', listDevices);
document.addEventListener('keydown', onKey);
begin();
