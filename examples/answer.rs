//! Waits for one call, answers it, and records what the caller says.
//!
//! `cargo run --example answer -- HOST APPLICATION_KEY USER TOKEN SPOKEN.wav HEARD.wav`
//!
//! Without the two files, microphone and speaker are the system's.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use offhook::{AudioElement, CallEvent, Client, ClientEvent, Device};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, key, user, token, sound @ ..] = arguments.as_slice() else {
        return Err("usage: answer HOST APPLICATION_KEY USER TOKEN [SPOKEN.wav HEARD.wav]".into());
    };
    let device = |index: usize| sound.get(index).map_or(Device::Default, Device::wav);
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
            ClientEvent::Started => println!("waiting for a call"),
            ClientEvent::Failed(error) => return Err(error.into()),
            ClientEvent::IncomingCall(call) => {
                println!("{} calls", call.remote_user_id());
                speaker.set_src_object(Some(&call.incoming_stream()));
                call.answer().await?;
                while let Some(event) = call.next_event().await {
                    match event {
                        CallEvent::Established => println!("established"),
                        CallEvent::Ended(details) => println!("ended: {:?}", details.end_cause),
                        _ => {}
                    }
                }
                break;
            }
            _ => {}
        }
    }
    client.terminate().await;
    Ok(())
}
