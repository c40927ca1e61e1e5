//! Calls a user, talks for some seconds, and hangs up.
//!
//! `cargo run --example call -- HOST APPLICATION_KEY USER TOKEN CALLEE SECONDS SPOKEN.wav HEARD.wav`
//!
//! Without the two files, microphone and speaker are the system's.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use offhook::{AudioElement, CallEvent, Client, ClientEvent, Device};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, key, user, token, callee, seconds, sound @ ..] = arguments.as_slice() else {
        return Err(
            "usage: call HOST APPLICATION_KEY USER TOKEN CALLEE SECONDS [SPOKEN.wav HEARD.wav]".into()
        );
    };
    let (seconds, device) =
        (seconds.parse()?, |index: usize| sound.get(index).map_or(Device::Default, Device::wav));
    let client = Client::builder()
        .application_key(key)
        .user_id(user)
        .environment_host(host)
        .microphone(device(0))
        .build()?;
    let speaker = AudioElement::open(device(1))?;

    let mut events = client.start().await?;
    while let Some(event) = events.next().await {
        match event {
            ClientEvent::CredentialsRequired(registration) => registration.register(token).await?,
            ClientEvent::Started => break,
            ClientEvent::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    let call = client.call_client().call_user(callee).await?;
    speaker.set_src_object(Some(&call.incoming_stream()));
    while let Some(event) = call.next_event().await {
        match event {
            CallEvent::Ringing => println!("ringing"),
            CallEvent::Established => {
                println!("established");
                let call = call.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    call.hang_up();
                });
            }
            CallEvent::Ended(details) => println!("ended: {:?}", details.end_cause),
            _ => {}
        }
    }
    client.terminate().await;
    Ok(())
}
