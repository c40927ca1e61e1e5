//! Files for comparing the enhancement of microphones with others', and what Offhook makes of them.
//!
//! ```text
//! enhance scenes DIR [SEED]    writes NAME.far.wav, NAME.near.wav and NAME.mic.wav of simulated rooms and of noise
//! enhance process DIR          writes NAME.offhook.wav (and NAME.offhook+noise.wav of rooms), and prints the CPU time of each as JSON
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use offhook_media::AudioProcessing;
use offhook_media::enhance::{BLOCK, Enhancer};
use offhook_sim::measure::Decibels;
use offhook_sim::room::{DelayJump, Room, RoomConfig};
use offhook_sim::sound::{Voice, load_wav, noise, save_wav, silence, speech_for_demo, tone};

/// Each file lasts so long; double talk is in the second half of it.
const LENGTH: Duration = Duration::from_secs(30);
const DOUBLE_TALK: std::ops::Range<usize> = 15 * 48_000..25 * 48_000;
const NOISY: Duration = Duration::from_secs(12);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["scenes", folder] => scenes(Path::new(folder), 1),
        ["scenes", folder, seed] => scenes(Path::new(folder), seed.parse()?),
        ["process", folder] => process(Path::new(folder)),
        _ => Err("usage: enhance scenes DIR [SEED] | enhance process DIR".into()),
    }
}

fn rooms(seed: u64) -> Vec<(&'static str, RoomConfig)> {
    let (ms, second) = (Duration::from_millis, Duration::from_secs);
    let base = RoomConfig { seed, ..RoomConfig::default() };
    let jumps =
        vec![DelayJump { at: second(10), delay: ms(110) }, DelayJump { at: second(20), delay: ms(40) }];
    vec![
        ("linear", RoomConfig { loudspeaker_limit: f32::INFINITY, ..base.clone() }),
        ("desk", base.clone()),
        ("short", RoomConfig { delay: ms(30), decay: ms(60), ..base.clone() }),
        ("far", RoomConfig { delay: ms(150), decay: ms(200), ..base.clone() }),
        (
            "bends",
            RoomConfig { delay: ms(30), loudspeaker_limit: 0.3, echo_gain: Decibels(0.0), ..base.clone() },
        ),
        ("fast", RoomConfig { skew_ppm: 100.0, ..base.clone() }),
        ("slow", RoomConfig { skew_ppm: -100.0, ..base.clone() }),
        ("jumps", RoomConfig { delay_jumps: jumps, ..base }),
    ]
}

fn scenes(folder: &Path, seed: u64) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let far: Vec<f32> =
        speech_for_demo(Voice::Bob, LENGTH)?.iter().map(|sample| (sample * 1.6).clamp(-1.0, 1.0)).collect();
    let quiet = silence(LENGTH);
    let mut near = quiet.clone();
    let said = speech_for_demo(Voice::Alice, LENGTH)?;
    near[DOUBLE_TALK].copy_from_slice(&said[..DOUBLE_TALK.len()]);
    let save = |name: &str, far: &[f32], near: &[f32], mic: &[f32]| -> Result<(), Box<dyn Error>> {
        for (kind, sound) in [("far", far), ("near", near), ("mic", mic)] {
            save_wav(&folder.join(format!("{name}.{kind}.wav")), sound)?;
        }
        Ok(())
    };
    for (name, config) in rooms(seed) {
        let mic = Room::new(config.clone()).record(&far, &quiet);
        save(&format!("echo-{name}"), &far, &quiet, &mic)?;
        if ["desk", "far", "fast"].contains(&name) {
            save(&format!("talk-{name}"), &far, &near, &Room::new(config).record(&far, &near))?;
        }
    }
    for (voice_name, voice) in [("one", Voice::Alice), ("other", Voice::Bob)] {
        let spoken = speech_for_demo(voice, NOISY)?;
        for (noise_name, noise) in noises(seed)? {
            for ratio in [5, 15] {
                let gain = rms(&spoken) / rms(&noise) * 10f32.powf(-(ratio as f32) / 20.0);
                let noisy: Vec<f32> =
                    spoken.iter().zip(&noise).map(|(s, n)| (s + n * gain).clamp(-1.0, 1.0)).collect();
                let name = format!("noise-{voice_name}-{noise_name}-{ratio}");
                save(&name, &silence(NOISY), &spoken, &noisy)?;
            }
        }
    }
    Ok(())
}

type Named = (&'static str, Vec<f32>);

/// Hiss, street, a fan with its hum, and eight other people.
fn noises(seed: u64) -> Result<[Named; 4], Box<dyn Error>> {
    let hiss = noise(0.1, NOISY, seed);
    let mut state = [0.0_f32; 3];
    let pink: Vec<f32> = hiss
        .iter()
        .map(|white| {
            // Paul Kellet's filter: -3 dB per octave.
            state[0] = 0.997_65 * state[0] + white * 0.099_046;
            state[1] = 0.963 * state[1] + white * 0.296_516_4;
            state[2] = 0.57 * state[2] + white * 1.052_691_3;
            state.iter().sum::<f32>() + white * 0.184_8
        })
        .collect();
    let hum = [(100.0, 0.05), (200.0, 0.03), (417.0, 0.02)].map(|(hertz, size)| tone(hertz, size, NOISY));
    let fan = pink.iter().enumerate().map(|(n, pink)| pink * 0.5 + hum.iter().map(|hum| hum[n]).sum::<f32>());
    let fan = fan.collect();
    let crowd = speech_for_demo(Voice::Bob, NOISY * 10)?;
    let babble =
        (0..hiss.len()).map(|n| (2..10).map(|person| crowd[person * hiss.len() + n]).sum()).collect();
    Ok([("hiss", hiss), ("street", pink), ("fan", fan), ("babble", babble)])
}

fn rms(sound: &[f32]) -> f32 {
    (sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len().max(1) as f32).sqrt()
}

fn process(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".mic.wav")) else {
            continue;
        };
        let echo =
            AudioProcessing { high_pass_filter: true, echo_cancellation: true, ..AudioProcessing::OFF };
        let noise = AudioProcessing { noise_suppression: true, ..AudioProcessing::OFF };
        let runs = if name.starts_with("noise") {
            vec![("offhook", noise)]
        } else {
            vec![
                ("offhook", echo),
                ("offhook+noise", AudioProcessing { noise_suppression: true, ..echo }),
                ("offhook+all", AudioProcessing::ON),
            ]
        };
        let (far, mic) = (load_wav(&folder.join(format!("{name}.far.wav")))?, load_wav(&path)?);
        for (kind, settings) in runs {
            let (mut chain, mut out, begin) =
                (Enhancer::new(), Vec::with_capacity(mic.len()), Instant::now());
            for (near, far) in mic.as_chunks::<BLOCK>().0.iter().zip(far.as_chunks::<BLOCK>().0) {
                let mut block = *near;
                chain.process(settings, &mut block, far);
                out.extend_from_slice(&block);
            }
            let micros = begin.elapsed().as_secs_f64() * 1e6 / (out.len() / BLOCK).max(1) as f64;
            save_wav(&folder.join(format!("{name}.{kind}.wav")), &out)?;
            report(&format!("{{\"name\":\"{name}\",\"kind\":\"{kind}\",\"micros_per_block\":{micros:.1}}}"));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what it is for")]
fn report(line: &str) {
    println!("{line}");
}
