/** What client, call client and calls have in common: who listens to them, and members that work wherever the object is kept. */

import { wrong } from './errors.js';
import { isObject } from './frames.js';

/** Members of an object that whoever looks at it does not see. */
export const hide = (object, members) => {
  for (const [name, value] of Object.entries(members)) Object.defineProperty(object, name, { value, writable: true });
};
/** Members that work on their object however they are reached: through a framework's proxy, or passed on by themselves. */
function bind(object, ...prototypes) {
  for (const [name, member] of prototypes.flatMap((from) => Object.entries(Object.getOwnPropertyDescriptors(from)))) {
    for (const part of ['get', 'set', 'value']) member[part] &&= member[part].bind(object);
    if (name !== 'constructor') Object.defineProperty(object, name, member);
  }
}

/** An error of the application is told as if nobody had called it. */
export const reported = (error) => (globalThis.reportError ?? console.error)(error);

/** Who listens; any member of a listener may be absent. Nothing here is `#private`: applications' frameworks reach these objects through proxies. */
export class Listeners {
  constructor() {
    hide(this, { _all: new Set(), _waiting: [], _early: [[]], _set: [] });
    bind(this, Object.getPrototypeOf(this), Listeners.prototype);
  }
  /** Vue wraps what calls itself "Object" in deep proxies, in which nothing is identical to itself. */
  get [Symbol.toStringTag]() { return 'Offhook'; }
  addListener(listener) {
    if (!isObject(listener) && typeof listener !== 'function') throw wrong('a listener is an object with methods');
    this._all.add(listener);
    // Whoever adds one is not interrupted by it.
    queueMicrotask(() => {
      const [early = []] = this._early;
      // What comes of one is told behind the others.
      for (const news of early) this._tell(...news);
      this._early.pop();
      this._waiting.splice(0).forEach((waiting) => this._await(...waiting));
    });
  }
  /** Tells what nobody should miss: before anybody listened it waits for the first who does, in its order. Components of frameworks listen once they are shown. */
  _say(...news) {
    const [early] = this._early;
    if (early && (early.length || !this._all.size)) early.push(news);
    else this._tell(...news);
  }
  /** Tells what somebody has to act on: while nobody listens for it, it waits for who comes late, as long as it is due. */
  _await(event, news, isDue) {
    this._waiting = this._waiting.filter(([, , isStillDue]) => isStillDue());
    if (!isDue()) return;
    const told = this._tell(event, news);
    if (!told.length) this._waiting.push([event, news, isDue]);
    // Who is asked for a token, and fails, has none.
    else Promise.all(told).then((failures) => failures.every(Boolean) && news.registerFailed?.(failures[0][0]));
  }
  addEventListener(listener) {
    this.addListener(listener);
  }
  /** Takes the place of the one that was set before. */
  setEventListener(listener) {
    this.addListener(listener);
    const [before] = this._set.splice(0, 1, listener);
    if (before !== listener) this.removeListener(before);
  }
  removeListener(listener) {
    this._all.delete(listener);
  }
  removeEventListener(listener) {
    this.removeListener(listener);
  }
  /** Each is told, whatever another does; one that another takes away meanwhile is not. Gives a promise for each: of nothing, or of what it failed with. */
  _tell(event, ...more) {
    return [...this._all].filter((listener) => listener[event]).map(async (listener) => {
      try {
        if (this._all.has(listener)) await listener[event](this, ...more);
      } catch (error) {
        reported(error);
        return [error];
      }
    });
  }
}
