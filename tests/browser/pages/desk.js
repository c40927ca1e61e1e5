// A page of a call centre in the older style, with globals and deferreds whose callbacks come in a later turn, as libraries have them since they follow the standard.
// Callers wait in a queue; of several calls that run one is talked in and the others are on hold; each call has an audio element of its own.
var calls = {};
var queue = [];
var active = null;
function later(promise) {
  return {
    then: function (done, fail) {
      var settle = function (callback) { return function (value) { setTimeout(function () { if (callback) callback(value); }, 30); }; };
      promise.then(settle(done), settle(fail));
      return this;
    },
  };
}
function show() {
  document.querySelector('output').textContent = 'waiting ' + queue.length + ' running ' + Object.keys(calls).length + ' active ' + (active ? active.remoteUserId : 'none');
}
function Line(call) {
  var self = this;
  self.call = call;
  self.audio = document.createElement('audio');
  self.audio.id = 'audio-' + call.remoteUserId;
  self.audio.autoplay = true;
  self.audio.srcObject = call.incomingStream;
  document.body.appendChild(self.audio);
  calls[call.callId] = self;
  ['Progressing', 'Ringing', 'Answered', 'Established', 'Ended'].forEach(function (event) {
    self['onCall' + event] = function (of) { status(of.remoteUserId + ' ' + event); self.changed(event); };
  });
  call.addEventListener(self);
}
Line.prototype.changed = function (event) {
  if (event === 'Established') focus(this.call);
  if (event !== 'Ended') return;
  this.audio.pause();
  this.audio.srcObject = null;
  this.audio.parentNode.removeChild(this.audio);
  delete calls[this.call.callId];
  queue = queue.filter(function (one) { return one !== this.call; }, this);
  if (active === this.call) active = null;
  show();
};
/** Talks in this one; the others hear nothing, and are not heard. */
function focus(call) {
  Object.keys(calls).forEach(function (id) {
    var other = calls[id].call;
    if (other === call || other.state !== Sinch.CallState.Established) return;
    other.hold();
    other.mute();
  });
  if (call.isOnHold) call.unhold();
  call.unmute();
  active = call;
  show();
}
var client = Sinch.getSinchClient(setting.get('key'), setting.get('me'), setting.get('host'));
client.setEventListener({
  onCredentialsRequired: function (of, registration) {
    later(createJWT(setting.get('key'), setting.get('secret'), of.userId)).then(registration.register, registration.registerFailed);
  },
  onClientStarted: function (of) {
    of.getCallClient().addEventListener({
      onIncomingCall: function (callClient, call) {
        // The desk listens once the row of the caller is shown.
        later(Promise.resolve(call)).then(function () { new Line(call); queue.push(call); show(); });
      },
    });
    status('started');
  },
});
document.getElementById('app').innerHTML = '<output></output>';
window.actions = {
  start: function () { client.start(); },
  next: function () { var call = queue.shift(); return call.answer().then(function () { return call.remoteUserId; }); },
  ring: function (callee) { later(client.getCallClient().callUser(callee, { from: 'desk' })).then(function (call) { new Line(call); show(); }); },
  focus: function (user) { Object.keys(calls).forEach(function (id) { if (calls[id].call.remoteUserId === user) focus(calls[id].call); }); },
  hangup: function () { active.hangup(); },
  closing: function () { client.terminate(); return [client.isStarted(), Object.keys(calls).length, document.querySelectorAll('audio').length]; },
};
show();
status('ready');
