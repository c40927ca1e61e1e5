// What stands around the class of the seed page: the script tag, buttons, an audio element.
function application(SinchPhone) {
  class Phone extends SinchPhone {
    sinchApplicationKey = setting.get('key');
    sinchApplicationSecret = setting.get('secret');
    apiUrl = setting.get('host');
    getUserId = () => document.getElementById('me').value;
    createJWT = createJWT;
    handleStartClientClick = (key, url) => document.getElementById('start').addEventListener('click', () => this.startSinchClient(key, url));
    handleMakeCallClick = () =>
      document.getElementById('call').addEventListener('click', async () =>
        this.take(await this.callClient.callUser(document.getElementById('callee').value)));
    onIncomingCall = (_, call) => {
      status('incoming');
      this.take(call);
      document.getElementById('answer').onclick = () => call.answer();
    };
    take(call) {
      document.getElementById('sound').srcObject = call.incomingStream;
      document.getElementById('hangup').onclick = () => call.hangup();
      call.addListener({
        onCallRinging: () => status('ringing'),
        onCallEstablished: () => status('established'),
        onCallEnded: () => status(`ended ${call.details.endCause}`),
      });
    }
  }
  const phone = new Phone();
  phone.start();
  status('ready');
}

load(`http://${setting.get('host')}/sinch-rtc.js`)
  .then(() => load('seed-class.js'))
  .then(() => application(window.SinchPhone));
