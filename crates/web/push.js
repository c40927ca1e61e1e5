/** Web Push (RFC 8030, RFC 8292): the server wakes a browser whose page is closed when its user is called. */

import { notPossible } from './errors.js';
import { isObject } from './frames.js';

/** What a pushed message says, as the published API tells it. */
function inspect({ v, type, call_id: callId, from, created, display_name: name }) {
  const isOurs = v === 1 && typeof callId === 'string' && ['incoming_call', 'call_ended'].includes(type);
  const isCall = isOurs && type === 'incoming_call';
  const result = { isValid: () => isOurs, isCall: () => isCall, displayName: isCall ? name || from : undefined };
  if (!isOurs) return result;
  const callNotificationResult = {
    callId, remoteUserId: from, isVideoOffered: () => false, isCallCanceled: () => !isCall,
    hasTimedOut: () => created * 1000 + 60000 < Date.now(),
  };
  return { ...result, callNotificationResult };
}

/** Of what a worker's page was sent, or a push service gave: an object, or its text. */
function content(payload) {
  try {
    const given = typeof payload === 'string' ? JSON.parse(payload) : payload;
    return [given?.data, given].find(isObject) ?? {};
  } catch {
    return {};
  }
}

/** The subscription of one client. */
export class Push {
  constructor(client) {
    this.owner = client;
    this.heard = ({ data }) => this.relay(data);
  }
  /** A page in a sandbox may not even look whether there is one. */
  get workers() {
    try {
      return this.owner._env.navigator?.serviceWorker;
    } catch {
      return undefined;
    }
  }
  /** A client that the application terminated is not started by what its worker hears. */
  hear(how) {
    this.workers?.[how]('message', this.heard);
  }
  /** Asks the browser, the server and the person; what they refuse is said. */
  async support(path, options) {
    const { workers } = this;
    const { _env: env, _url: url, _fetch: fetch } = this.owner;
    const none = (why, cause) => Object.assign(notPossible(`${why}: calls come in while the page is open`), { cause });
    if (!workers || !env.PushManager) throw none('this browser has no Web Push here');
    const answer = await fetch(url.replace(/^ws(.*)signal$/, 'http$1push')).catch(() => undefined);
    // Applications start once this has resolved: without it they still can.
    if (!answer?.ok) return this._none('the server sends none');
    this.key = (await answer.json()).public_key;
    if ((await env.Notification.requestPermission()) !== 'granted') throw none('notifications are not allowed');
    try {
      this.enrolled = await workers.register(path, options);
      await active(this.enrolled);
    } catch (cause) {
      throw none(`the service worker ${path} cannot be used (${cause.message})`, cause);
    }
    return this.subscribe();
  }
  /** Where the browser's push service cannot be reached, calls still come in while the page is open; the next start tries again. */
  async subscribe() {
    if (!this.enrolled) return false;
    this.hear('addEventListener');
    const { pushManager } = this.enrolled;
    const options = { userVisibleOnly: true, applicationServerKey: this.key };
    try {
      const subscription = await pushManager.subscribe(options).catch(async (error) => {
        // There is one that was made with the key of another server.
        const old = error.name === 'InvalidStateError' && (await pushManager.getSubscription());
        if (!old) throw error;
        await old.unsubscribe();
        return pushManager.subscribe(options);
      });
      const { endpoint, keys } = subscription.toJSON();
      this.current = { endpoint, p256dh: keys.p256dh, auth: keys.auth };
      this.tell();
      return true;
    } catch (error) {
      return this._none(error);
    }
  }
  _none(why) {
    this.owner._env.console?.warn('offhook: no Web Push:', why);
    return false;
  }
  /** Said again after each start and reconnect: the server may have forgotten it. */
  tell() {
    if (this.current && this.owner.isStarted()) this.owner._act('subscribe', this.current);
  }
  async unregister() {
    this.current = undefined;
    const registration = this.enrolled ?? (await this.workers?.getRegistration());
    if (this.owner.isStarted()) this.owner._act('subscribe');
    this.enrolled = undefined;
    await (await registration?.pushManager?.getSubscription())?.unsubscribe();
    return registration;
  }
  /** A message of the service worker, or its content: starts the client when it is called. */
  relay(payload) {
    const message = content(payload);
    const result = inspect(message);
    const { owner: client } = this;
    const isNow = result.isCall() && !result.callNotificationResult.hasTimedOut();
    if (isNow && !client._starting && message.user_id === client.userId) client.start();
    return result;
  }
}

/** A subscription needs a worker that runs. */
const active = ({ active, waiting, installing }) =>
  active ||
  new Promise((resolve, reject) => {
    const worker = installing ?? waiting;
    worker.addEventListener('statechange', () => {
      if (worker.state === 'activated') resolve();
      if (worker.state === 'redundant') reject(new Error('it failed to install'));
    });
  });
