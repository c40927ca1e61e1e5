// What a framework puts in the place of the browser's promises, to know when something is done: it has what promises had when it was written.
window.pending = 0;
window.Promise = (function (Native) {
  function Zoned(executor) {
    const self = this instanceof Zoned ? this : Object.create(Zoned.prototype);
    window.pending += 1;
    self.inner = new Native(executor);
    self.inner.then(() => (window.pending -= 1), () => (window.pending -= 1));
    return self;
  }
  Zoned.prototype.then = function (...callbacks) { return new Zoned((resolve, reject) => this.inner.then(...callbacks).then(resolve, reject)); };
  Zoned.prototype.catch = function (callback) { return this.then(undefined, callback); };
  Zoned.prototype.finally = function (callback) { return this.then((value) => (callback(), value), (error) => { callback(); throw error; }); };
  Zoned.resolve = (value) => new Zoned((resolve) => resolve(value));
  Zoned.reject = (error) => new Zoned((_, reject) => reject(error));
  for (const all of ['all', 'race', 'allSettled']) Zoned[all] = (values) => new Zoned((resolve, reject) => Native[all]([...values]).then(resolve, reject));
  return Zoned;
})(window.Promise);
