/// <reference path="../../../crates/web/offhook.d.ts" />
// An application of the seed page's spelling, with the global that the classic script defines. Compiled, never run.

const createJWT = async (key: string, secret: string, userId: string): Promise<string> => [key, secret, userId].join('.');

class SinchPhone {
  private readonly sinch = Sinch;
  private callClient: ReturnType<ReturnType<typeof Sinch.getSinchClient>['getCallClient']> | null = null;
  private readonly sinchApplicationKey = '<application_key>';

  startSinchClient = (userId: string, apiUrl: string) => {
    const sinch = this.sinch.getSinchClient(this.sinchApplicationKey, userId, apiUrl);
    sinch.setEventListener(this);
    sinch.start();
  };
  onClientStarted = async (sinch: ReturnType<typeof Sinch.getSinchClient>) => {
    const callClient = sinch.getCallClient();
    callClient.addEventListener(this);
    this.callClient = callClient;
  };
  onCredentialsRequired = (sinch: { userId: string }, clientRegistration: { register(jwt: string): Promise<void> }) => {
    createJWT(this.sinchApplicationKey, '<secret>', sinch.userId).then((jwt) => {
      clientRegistration.register(jwt);
    });
  };
  onIncomingCall = (_: unknown, call: { answer(): Promise<void>; incomingStream: MediaStream }) => {
    document.querySelector('audio')!.srcObject = call.incomingStream;
    call.answer();
  };
  call = async (callee: string) => {
    const call = await this.callClient?.callUser(callee);
    call?.addEventListener({ onCallEnded: ({ details }) => console.log(Sinch.CallEndCause[details.endCause], details.endCause === Sinch.CallEndCause.Denied) });
    return call?.state === Sinch.CallState.Ended;
  };
}
new SinchPhone().startSinchClient('alice', 'ocra.api.sinch.com');
