//! Test sounds: files, installed and synthetic speech.

use std::io::Cursor;
use std::time::Duration;

use offhook_sim::measure::{active_level, level_track};
use offhook_sim::sound::{
    SpeechError, Voice, WavError, chirp_train, load_wav, read_wav, save_wav, silence, speech_for_demo_under,
    synthetic_speech, tone, write_wav,
};

fn wav(spec: hound::WavSpec, samples: &[i32]) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("memory does not fail");
    samples.iter().for_each(|sample| writer.write_sample(*sample).expect("in range"));
    writer.finalize().expect("memory does not fail");
    file.into_inner()
}

fn pcm(channels: u16, sample_rate: u32, bits_per_sample: u16) -> hound::WavSpec {
    hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format: hound::SampleFormat::Int }
}

#[test]
fn what_is_saved_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tone.wav");
    let sound = tone(440.0, 0.5, Duration::from_millis(100));
    save_wav(&path, &sound).unwrap();
    let loaded = load_wav(&path).unwrap();
    assert_eq!(loaded.len(), 4800);
    assert!(sound.iter().zip(&loaded).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn channels_are_averaged_and_depths_scaled() {
    let stereo = wav(pcm(2, 48_000, 24), &[4_194_304, 0, 4_194_304, 0]);
    assert_eq!(read_wav(stereo.as_slice()).unwrap(), [0.25, 0.25]);
    let eight = wav(pcm(1, 48_000, 8), &[-64]);
    assert_eq!(read_wav(eight.as_slice()).unwrap(), [-0.5]);
}

#[test]
fn other_rates_become_48_khz() {
    let telephone = wav(pcm(1, 8000, 16), &vec![8192; 800]);
    let sound = read_wav(telephone.as_slice()).unwrap();
    assert_eq!(sound.len(), 4800);
    assert!((sound[2400] - 0.25).abs() < 1e-3);
}

#[test]
fn bad_files_give_typed_errors() {
    assert!(matches!(read_wav(&b"RIFX"[..]), Err(WavError::Malformed(_))));
    assert!(matches!(read_wav(&b"RI"[..]), Err(WavError::Io(_))));
    assert!(matches!(read_wav(wav(pcm(1, 100, 16), &[0]).as_slice()), Err(WavError::Rate(100))));
    assert!(matches!(read_wav(wav(pcm(40, 8000, 16), &[0; 40]).as_slice()), Err(WavError::Channels(40))));
    let mut claims_more = wav(pcm(1, 48_000, 16), &[1; 8]);
    claims_more[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(read_wav(claims_more.as_slice()).is_err());
    assert!(matches!(load_wav(std::path::Path::new("/nonexistent.wav")), Err(WavError::Io(_))));
    assert!(write_wav(Cursor::new(Vec::new()), &[]).is_ok());
}

#[test]
fn installed_speech_fills_the_time_at_its_level_with_short_pauses() {
    let share = tempfile::tempdir().unwrap();
    let folder = share.path().join("sounds/alsa");
    std::fs::create_dir_all(&folder).unwrap();
    // A second of silence, speech, a second inside, and silence: only 300 ms at most may remain of each.
    let second = silence(Duration::from_secs(1));
    let words = synthetic_speech(Duration::from_secs(1), 3);
    let recording = [second.clone(), words.clone(), second.clone(), words, second].concat();
    save_wav(&folder.join("Front_Center.wav"), &recording).unwrap();
    save_wav(&folder.join("Noise.wav"), &tone(100.0, 0.9, Duration::from_secs(3))).unwrap();
    std::fs::write(folder.join("broken.wav"), "not sound").unwrap();

    let speech = speech_for_demo_under(share.path(), Voice::Alice, Duration::from_secs(6)).unwrap();
    assert_eq!(speech.len(), 6 * 48_000);
    assert!((active_level(&speech).unwrap().0 + 23.0).abs() < 1.0);
    let frames = level_track(&speech, Duration::from_millis(10));
    let pauses = frames.chunk_by(|a, b| (a.level.0 < -50.0) == (b.level.0 < -50.0));
    let longest = pauses.filter(|run| run[0].level.0 < -50.0).map(<[_]>::len).max().unwrap();
    assert!(longest <= 35, "{longest} frames of silence");
    assert!(
        speech_for_demo_under(share.path(), Voice::Bob, Duration::from_secs(6)).is_ok(),
        "one package will do"
    );
}

#[test]
fn missing_packages_are_named() {
    let share = tempfile::tempdir().unwrap();
    let error = speech_for_demo_under(share.path(), Voice::Bob, Duration::from_secs(1)).unwrap_err();
    assert_eq!(error, SpeechError::NotInstalled { packages: "alsa-utils asterisk-core-sounds-en-wav" });
    assert!(error.to_string().contains("apt-get install"));
}

#[test]
fn synthetic_speech_is_repeatable_active_and_paused() {
    let speech = synthetic_speech(Duration::from_secs(5), 9);
    assert_eq!(speech.len(), 240_000);
    assert_eq!(speech, synthetic_speech(Duration::from_secs(5), 9));
    assert_ne!(speech, synthetic_speech(Duration::from_secs(5), 10));
    assert!(speech.iter().all(|sample| sample.abs() <= 0.96));
    assert!((active_level(&speech).unwrap().0 + 23.0).abs() < 1.5, "{:?}", active_level(&speech));
    let frames = level_track(&speech, Duration::from_millis(10));
    let quiet = frames.iter().filter(|frame| frame.level.0 < -60.0).count();
    assert!((50..300).contains(&quiet), "{quiet} of 500 frames are pauses");
}

#[test]
fn chirps_never_come_at_an_even_pace() {
    let train = chirp_train(0.5, Duration::from_secs(10), 1);
    let frames = level_track(&train, Duration::from_millis(10));
    let starts: Vec<usize> =
        (1..frames.len()).filter(|&n| frames[n].level.0 > -40.0 && frames[n - 1].level.0 <= -40.0).collect();
    assert!(starts.len() >= 8);
    let gaps: Vec<usize> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.windows(2).any(|pair| pair[0].abs_diff(pair[1]) > 5), "{gaps:?}");
}
