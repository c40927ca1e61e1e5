//! WAV files as microphone and speaker.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::OpenDeviceError;
use super::paced::{SoundSink, SoundSource};
use crate::wav::{WavError, WavFile, load_wav};

/// Samples a slow disk may be behind: ten seconds.
const QUEUE_SAMPLES: usize = 480_000;
/// How often what was recorded is written.
const WRITE_EVERY: Duration = Duration::from_millis(100);
/// Writes after which the file is made readable: a second.
const WRITES_PER_HEADER: u32 = 10;

/// Plays a file once, then silence.
pub(super) struct WavPlayer {
    sound: Vec<f32>,
    position: usize,
}

impl WavPlayer {
    /// Reads all of it.
    pub(super) fn open(path: &Path) -> Result<Self, OpenDeviceError> {
        Ok(Self { sound: load_wav(path).map_err(|error| failed(path, error))?, position: 0 })
    }
}

impl SoundSource for WavPlayer {
    fn fill(&mut self, samples: &mut [f32]) {
        let left = &self.sound[self.position..];
        let given = left.len().min(samples.len());
        samples[..given].copy_from_slice(&left[..given]);
        samples[given..].fill(0.0);
        self.position += given;
    }
}

/// Records into a file, which a thread of its own writes; a device's thread does not wait for disks.
pub(super) struct WavRecorder {
    queue: HeapProd<f32>,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl WavRecorder {
    /// Creates or replaces the file.
    pub(super) fn create(path: &Path) -> Result<Self, OpenDeviceError> {
        let file = WavFile::create(path).map_err(|error| failed(path, error))?;
        let (queue, waiting) = HeapRb::new(QUEUE_SAMPLES).split();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let spawned = std::thread::Builder::new()
            .name("offhook-wav".to_owned())
            .spawn(move || write_until_stopped(file, waiting, &stopped));
        let writer = spawned.map_err(|error| failed(path, error.into()))?;
        Ok(Self { queue, stop, writer: Some(writer) })
    }
}

impl SoundSink for WavRecorder {
    fn take(&mut self, samples: &[f32]) {
        // A disk that is ten seconds behind loses sound; nothing else may wait for it.
        self.queue.push_slice(samples);
    }
}

impl Drop for WavRecorder {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            // A writer that panicked has nothing more to say.
            let _ = writer.join();
        }
    }
}

fn write_until_stopped(mut file: WavFile, mut waiting: HeapCons<f32>, stopped: &AtomicBool) {
    let mut block = vec![0.0; 4800];
    let mut writes = 0_u32;
    loop {
        let last = stopped.load(Relaxed);
        let written = write_waiting(&mut file, &mut waiting, &mut block);
        let finished = if last { file.flush() } else { Ok(()) };
        if let Err(error) = written.and(finished) {
            return tracing::warn!(%error, "a recording ended early");
        }
        if last {
            return;
        }
        writes += 1;
        if writes.is_multiple_of(WRITES_PER_HEADER)
            && let Err(error) = file.flush()
        {
            return tracing::warn!(%error, "a recording ended early");
        }
        std::thread::park_timeout(WRITE_EVERY);
    }
}

fn write_waiting(file: &mut WavFile, waiting: &mut HeapCons<f32>, block: &mut [f32]) -> Result<(), WavError> {
    loop {
        let taken = waiting.pop_slice(block);
        if taken == 0 {
            return Ok(());
        }
        file.write(&block[..taken])?;
    }
}

fn failed(path: &Path, error: WavError) -> OpenDeviceError {
    OpenDeviceError::Wav { path: path.display().to_string(), error }
}
