// An application of services that are injected and streams that are subscribed to, as compiled for old browsers: classes are functions.
var __extends = function (d, b) {
  Object.setPrototypeOf(d, b);
  function __() { this.constructor = d; }
  d.prototype = (__.prototype = b.prototype, new __());
};
var Subject = (function () {
  function Subject() { this.observers = []; }
  Subject.prototype.subscribe = function (next) {
    var _this = this;
    this.observers.push(next);
    return { unsubscribe: function () { _this.observers = _this.observers.filter(function (one) { return one !== next; }); } };
  };
  Subject.prototype.next = function (value) { this.observers.forEach(function (next) { return next(value); }); };
  return Subject;
}());
/** What every listener of this application is: its methods are those of a prototype that is not its own. */
var BaseListener = (function () {
  function BaseListener(service) { this.service = service; }
  BaseListener.prototype.onClientFailed = function (client, error) { this.service.failures.next(error); };
  BaseListener.prototype.onCallProgressing = function (call) { this.service.states.next(['Progressing', call]); };
  BaseListener.prototype.onCallRinging = function (call) { this.service.states.next(['Ringing', call]); };
  BaseListener.prototype.onCallAnswered = function (call) { this.service.states.next(['Answered', call]); };
  BaseListener.prototype.onCallEstablished = function (call) { this.service.states.next(['Established', call]); };
  BaseListener.prototype.onCallEnded = function (call) { this.service.states.next(['Ended', call]); };
  return BaseListener;
}());
var TelephonyListener = (function (_super) {
  __extends(TelephonyListener, _super);
  function TelephonyListener() { return _super !== null && _super.apply(this, arguments) || this; }
  TelephonyListener.prototype.onCredentialsRequired = function (client, registration) {
    return this.service.http(client.userId).then(function (token) { return registration.register(token); })
      .catch(function () { return registration.registerFailed(); });
  };
  TelephonyListener.prototype.onIncomingCall = function (callClient, call) {
    call.addListener(this);
    this.service.calls.next(call);
  };
  TelephonyListener.prototype.onCallEnded = function (call) {
    _super.prototype.onCallEnded.call(this, call);
    call.removeListener(this);
  };
  return TelephonyListener;
}(BaseListener));
var TelephonyService = (function () {
  function TelephonyService(http) {
    this.http = http;
    this.states = new Subject();
    this.calls = new Subject();
    this.failures = new Subject();
    this.listener = new TelephonyListener(this);
  }
  TelephonyService.prototype.login = function (user) {
    var _this = this;
    // As the published sample has it: nobody says what is to be done where it cannot be had.
    this.client = Sinch.getSinchClientBuilder().applicationKey(setting.get('key')).userId(user).environmentHost('https://ocra.api.sinch.com').build();
    this.client.addListener(this.listener);
    this.client.callClient.addListener(this.listener);
    return this.client.setSupportManagedPush().then(function () { return _this.client.start(); }).finally(function () { return status('login over'); });
  };
  TelephonyService.prototype.dial = function (callee) {
    var _this = this;
    return Promise.resolve(this.client.callClient.callUser(callee)).then(function (call) {
      call.addListener(_this.listener);
      return call;
    });
  };
  return TelephonyService;
}());
document.getElementById('app').innerHTML = '<audio autoplay></audio>';
var service = new TelephonyService(function (user) { return new Promise(function (resolve, reject) { createJWT(setting.get('key'), setting.get('secret'), user).then(resolve, reject); }); });
service.states.subscribe(function (news) { status(news[0] + ' ' + (Sinch.CallState[news[1].state] === news[0])); });
service.failures.subscribe(function (error) { status('failed ' + error.code); });
service.calls.subscribe(function (call) {
  document.querySelector('audio').srcObject = call.incomingStream;
  window.call = call;
  call.answer().then(function () { status('answered'); });
});
window.actions = {
  start: function (user) { return service.login(user).then(function () { return service.client.isStarted(); }); },
  ring: function (callee) {
    return service.dial(callee).then(function (call) {
      window.call = call;
      document.querySelector('audio').srcObject = call.incomingStream;
    });
  },
  hangup: function () { window.call.hangup(); },
  pending: function () { return window.pending; },
  stop: function () { service.client.terminate(); },
};
status('ready');
