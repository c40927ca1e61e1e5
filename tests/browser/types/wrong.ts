// What the types refuse: each line that is marked has to be wrong. Compiled, never run.
import { CallState, Sinch, SinchError } from 'https://calls.example.com/offhook.js';
import type { Call, CallListener, ClientRegistration, SinchClient } from 'https://calls.example.com/offhook.js';

declare const client: SinchClient;
declare const call: Call;
declare const registration: ClientRegistration;
declare function fetchToken(): Promise<string>;

// @ts-expect-error a host is missing
Sinch.getSinchClient('key', 'alice');
// @ts-expect-error no such part of a builder
Sinch.getSinchClientBuilder().host('calls.example.com');
// @ts-expect-error a user id is a text
Sinch.getSinchClientBuilder().userId(7);
// @ts-expect-error a factory makes streams
Sinch.getSinchClientBuilder().mediaStreamFactory({ create: async () => new MediaStream() });
// @ts-expect-error the global is read, not made
new Sinch();

// @ts-expect-error there is no token
registration.register();
// @ts-expect-error nor here
registration.register(undefined);
// @ts-expect-error a promise is no token
registration.register(fetchToken());

// @ts-expect-error the names of events are the published ones
client.addListener({ onClientStart: () => {} });
// @ts-expect-error an event of calls, not of clients
client.addListener({ onCallEnded: () => {} });
// @ts-expect-error a listener is an object
call.addListener('onCallEnded', () => {});
// @ts-expect-error a method that is not called is always true
if (client.isStarted) console.log('started');
// @ts-expect-error whose client it is does not change
client.userId = 'bob';
// @ts-expect-error yes or no
client.setUseRelayIceCandidatesOnly('yes');

// @ts-expect-error nobody to ring
client.callClient.callUser();
// @ts-expect-error headers are texts
client.callClient.callUser('bob', { table: 4 });
// @ts-expect-error headers are an object
client.callClient.callUser('bob', new Map([['table', '4']]));
// @ts-expect-error a call comes later
client.callClient.callUser('bob').hangup();
// @ts-expect-error there may be no such call
client.callClient.getCall('c').hangup();

// @ts-expect-error states are entered by what happens
call.state = CallState.Ended;
// @ts-expect-error no such state
console.log(CallState.Connected);
// @ts-expect-error a time may not have come
call.details.endedTime.getTime();
// @ts-expect-error most calls have no error
call.details.error.message;
// @ts-expect-error keys are a text
call.sendDtmf(1);
// @ts-expect-error a number, not its name
const code: string = new SinchError().code;
// @ts-expect-error the first of an event is the call
const listener: CallListener = { onCallEnded: (details: { duration: number }) => details };
console.log(code, listener);
