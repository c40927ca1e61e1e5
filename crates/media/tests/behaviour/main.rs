//! How the engine behaves: one file per behaviour.

mod allocations;
mod asking_server;
mod clocks;
mod corpus;
mod device_loss;
mod device_rates;
mod late_microphone;
mod mute_dtmf;
mod no_alloc;
mod pcm_devices;
mod pumped_microphone;
mod real_threads;
mod reports;
mod server;
mod set_sink;
mod several_calls;
mod sound_server;
mod stall;
mod support;
mod two_streams_one_element;
mod wav_devices;
