// An application that calls in the moment in which it may, and calls again in the moment in which a call is over.
const wanted = Number(setting.get('times') ?? 3);
const callee = setting.get('callee');
const ends = (window.ends = []);
let running = 0;

const client = Sinch.getSinchClient(setting.get('key'), setting.get('me'), setting.get('host'));
document.getElementById('app').innerHTML = '<audio autoplay></audio>';

class Redial {
  onCredentialsRequired = (sinch, clientRegistration) => {
    createJWT(setting.get('key'), setting.get('secret'), sinch.userId).then((jwt) => {
      clientRegistration.register(jwt);
    });
  };
  onClientStarted = (sinch) => {
    status(`started ${sinch.isStarted()}`);
    // Both at once: two calls are two.
    this.dial(sinch);
    if (setting.get('twice')) this.dial(sinch);
  };
  onClientFailed = (_, error) => status(`failed ${error.code}`);
  dial(sinch) {
    running += 1;
    sinch.getCallClient().callUser(callee, { attempt: String(ends.length + 1) }).then((call) => {
      document.querySelector('audio').srcObject = call.incomingStream;
      call.addEventListener({
        onCallEstablished: () => setTimeout(() => call.hangup(), Number(setting.get('talk') ?? 0)),
        onCallEnded: () => {
          running -= 1;
          ends.push([Sinch.CallEndCause[call.details.endCause], call.details.establishedTime !== undefined, call.outgoingStream.getTracks().every((track) => track.readyState === 'ended')]);
          if (ends.length < wanted) this.dial(sinch);
          else if (running === 0) status('done');
        },
      });
    }).catch((error) => status(`not called ${error.name} ${error.message}`));
  }
}
client.setEventListener(new Redial());
client.start();
window.client = client;
status('ready');
