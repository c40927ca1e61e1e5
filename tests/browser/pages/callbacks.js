// An application of the older style: callbacks, prototypes, promises of its own that have `then`, `done` and `fail`, and nothing else.
var key = setting.get('key');
var host = setting.get('host');

/** As libraries had them before browsers had promises: what they give is thenable, and has no `catch`. */
function Deferred(work) {
  var self = this;
  self.callbacks = [];
  self.settled = null;
  work(function (value) { self.settle('done', value); }, function (error) { self.settle('fail', error); });
}
Deferred.prototype.settle = function (how, value) {
  this.settled = { how: how, value: value };
  this.callbacks.splice(0).forEach(this.run, this);
};
Deferred.prototype.run = function (callback) {
  if (callback[this.settled.how]) callback[this.settled.how](this.settled.value);
};
Deferred.prototype.then = function (done, fail) {
  this.callbacks.push({ done: done, fail: fail });
  if (this.settled) this.callbacks.splice(0).forEach(this.run, this);
  return this;
};
Deferred.prototype.done = function (callback) { return this.then(callback); };
Deferred.prototype.fail = function (callback) { return this.then(null, callback); };

/** Asks the "back end"; a user it does not know gets no token. */
function requestToken(user) {
  return new Deferred(function (done, fail) {
    setTimeout(function () {
      if (/^unknown/.test(user)) fail({ status: 403, statusText: 'Forbidden' });
      else createJWT(key, setting.get('secret'), user).then(done, fail);
    }, 50);
  });
}

function Phone(user) {
  this.user = user;
  this.client = Sinch.getSinchClient(key, user, host);
  this.client.setEventListener(this);
  this.client.getCallClient().addEventListener(this);
}
Phone.prototype.onCredentialsRequired = function (client, registration) {
  return requestToken(client.userId).done(registration.register).fail(registration.registerFailed);
};
Phone.prototype.onClientStarted = function (client) {
  status(this.user + ' started ' + (client === this.client) + ' ' + client.isStarted());
};
Phone.prototype.onClientFailed = function (client, error) {
  status(this.user + ' failed ' + error.code + ' ' + error.domain + ' ' + error.isFatal + ' ' + (error instanceof Sinch.SinchError));
};
Phone.prototype.onIncomingCall = function (callClient, call) {
  var phone = this;
  phone.take(call);
  status('incoming ' + call.remoteUserId + ' ' + (callClient === phone.client.getCallClient()));
  setTimeout(function () {
    call.answer().then(function () { status('taken ' + arguments.length); }, function (error) { status('not taken ' + error.name); });
  }, 100);
};
Phone.prototype.take = function (call) {
  this.call = call;
  document.getElementById('sound').srcObject = call.incomingStream;
  call.addEventListener(new Line(this));
};
Phone.prototype.ring = function (callee) {
  var phone = this;
  phone.client.getCallClient().callUser(callee, { subject: 'callbacks' }).then(function (call) {
    status('calling ' + call.direction);
    phone.take(call);
  }, function (error) { status('not calling ' + error.name); });
};

/** Who listens to one call: its methods are its prototype's, and use `this`. */
function Line(phone) {
  this.phone = phone;
  this.heard = [];
}
['onCallProgressing', 'onCallRinging', 'onCallAnswered', 'onCallEstablished', 'onCallEnded'].forEach(function (event) {
  Line.prototype[event] = function () {
    var call = arguments[0];
    this.heard.push(event.slice(6));
    if (event === 'onCallEnded') status(this.heard.join(' ') + ' cause ' + call.details.endCause + ' same ' + (call === this.phone.call) + ' args ' + arguments.length);
    else if (event === 'onCallEstablished') status('established');
  };
});

document.getElementById('app').innerHTML = '<audio id="sound" autoplay></audio>';
window.phones = {};
window.sign = function (user) {
  window.phones[user] = new Phone(user);
  return window.phones[user].client.start().then(function () { return 'resolved'; }, function (error) { return 'rejected ' + error.code; });
};
/** What the application forgets or gets wrong when it is asked for a token, in either spelling. */
window.wrong = function (spelling, mistake) {
  var client = spelling === 'seed' ? Sinch.getSinchClient(key, 'mallory', host)
    : Sinch.getSinchClientBuilder().applicationKey(key).userId('mallory').environmentHost(host).build();
  var told = [];
  client[spelling === 'seed' ? 'setEventListener' : 'addListener']({
    onCredentialsRequired: function (_, registration) {
      if (mistake === 'throws') throw new Error('no session');
      if (mistake === 'rejects') return Promise.reject(new Error('no session'));
      if (mistake === 'fails') return requestToken('unknown').fail(registration.registerFailed);
      // The published page does not look at what register gives.
      registration.register(mistake === 'promise' ? createJWT(key, setting.get('secret'), 'mallory') : mistake === 'number' ? 7 : undefined);
    },
    onClientFailed: function (of, error) { told.push([of === client, error.name, error.code, error.domain, error.isFatal]); },
  });
  return client.start().then(function () { return 'started'; }, function (error) { return [told, error.name, error.code]; });
};
status('ready');
