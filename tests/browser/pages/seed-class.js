// The class of the published page, word for word; only its end and the last line are ours.
class SinchPhone {
  constructor() {
    this.sinch = Sinch;
    this.sinchApplicationKey = '<application_key>';
    this.apiUrl = 'ocra.api.sinch.com';
    this.callClient = null;
  }
 start = () => {
    this.handleStartClientClick(this.sinchApplicationKey, this.apiUrl);
    this.handleMakeCallClick();
  }

  startSinchClient = (applicationKey, apiUrl) => {
    console.log('Sinch - Starting client');

    const getUserId = this.getUserId();
    const sinch = this.sinch.getSinchClient(applicationKey, getUserId, apiUrl);
    sinch.setEventListener(this);
    sinch.start();
  }

  onClientStarted = async (sinch) => {
    console.log(`Sinch - Client started for ${ sinch.userId }`);

    const callClient = sinch.getCallClient();
    callClient.addEventListener(this);
    this.callClient = callClient;
  }

 onCredentialsRequired = (sinch, clientRegistration) => {
    console.log('Sinch - Credentials required');

    this.createJWT(this.sinchApplicationKey, this.sinchApplicationSecret, sinch.userId).then((jwt) => {
      clientRegistration.register(jwt);
    });
  }

}
window.SinchPhone = SinchPhone;
