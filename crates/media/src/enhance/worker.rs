//! Runs the chains of all microphones, off the media thread. Driven by a thread of its own, or by a simulation.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::Thread;

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::follower::Follower;
use super::link::{CaptureBlock, EnhanceShared, EnhancedBlock, ReferencePiece, ReferenceTap};
use super::port::EnhancePort;
use super::reference::{Reference, samples_at};
use super::stage::BLOCK;
use super::{AudioProcessing, Enhancer};
use crate::control::lock;

/// Blocks under way each way: 80 ms.
const MOST_BLOCKS: usize = 8;
/// Pieces of what loudspeakers play under way: 1.3 s.
const MOST_PIECES: usize = 256;
/// What waits longer than this went on without us: 30 ms.
const TOO_OLD: usize = 3;
/// The reference is read so much ahead of the microphone's time, so that it never comes after its echo: stamps are good to a millisecond or two.
const AHEAD: f64 = 96.0;

/// How microphones come to the worker.
pub(crate) struct EnhanceControl {
    ports: Mutex<mpsc::Sender<WorkerPort>>,
    thread: Mutex<Option<Thread>>,
}

impl EnhanceControl {
    /// A way for a microphone: its end is to be sent to the media thread.
    pub(crate) fn open_port(&self, settings: AudioProcessing) -> (EnhancePort, Arc<EnhanceShared>) {
        let shared = Arc::new(EnhanceShared::new(settings));
        let (to_worker, captured) = HeapRb::new(MOST_BLOCKS).split();
        let (enhanced, from_worker) = HeapRb::new(MOST_BLOCKS).split();
        let port = WorkerPort {
            shared: Arc::clone(&shared),
            captured,
            enhanced,
            chain: Box::default(),
            follower: Follower::new(),
            next: 0,
        };
        // Without a worker the sound goes on as it is.
        let _ = lock(&self.ports).send(port);
        self.wake();
        (EnhancePort::new(Arc::clone(&shared), to_worker, from_worker), shared)
    }

    /// There may be something to do again.
    pub(crate) fn wake(&self) {
        if let Some(thread) = &*lock(&self.thread) {
            thread.unpark();
        }
    }

    /// The worker sleeps on this thread while there is nothing to do.
    pub(crate) fn wake_by(&self, thread: Thread) {
        *lock(&self.thread) = Some(thread);
    }
}

/// The chains, and what they need.
pub(crate) struct EnhanceWorker {
    arriving: mpsc::Receiver<WorkerPort>,
    ports: Vec<WorkerPort>,
    pieces: HeapCons<ReferencePiece>,
    reference: Reference,
    echo_is_wanted: Arc<AtomicBool>,
}

impl EnhanceWorker {
    pub(crate) fn new() -> (Self, EnhanceControl, ReferenceTap) {
        let (ports, arriving) = mpsc::channel();
        let (ring, pieces) = HeapRb::new(MOST_PIECES).split();
        let echo_is_wanted = Arc::new(AtomicBool::new(false));
        let tap = ReferenceTap::new(ring, Arc::clone(&echo_is_wanted));
        let reference = Reference::new();
        let worker = Self { arriving, ports: Vec::new(), pieces, reference, echo_is_wanted };
        (worker, EnhanceControl { ports: Mutex::new(ports), thread: Mutex::new(None) }, tap)
    }

    /// Whether there is no microphone to work for.
    pub(crate) fn is_idle(&self) -> bool {
        self.ports.is_empty()
    }

    /// Whether any microphone is to be enhanced.
    pub(crate) fn is_wanted(&self) -> bool {
        self.ports.iter().any(|port| port.shared.settings().needs_worker())
    }

    /// Does what there is to do; returns how many blocks that was.
    pub(crate) fn work(&mut self) -> usize {
        self.ports.extend(self.arriving.try_iter());
        self.ports.retain(|port| !port.shared.is_closed());
        let wanted = self.ports.iter().any(|port| port.shared.settings().echo_cancellation);
        self.echo_is_wanted.store(wanted, Relaxed);
        // The microphones are looked at first: what was played by then is there already.
        let waiting: usize = self.ports.iter().map(|port| port.captured.occupied_len()).sum();
        let mut other_loudspeaker = false;
        while let Some(piece) = self.pieces.try_pop() {
            other_loudspeaker |= piece.restart;
            self.reference.write(&piece);
        }
        for port in &mut self.ports {
            if other_loudspeaker {
                port.chain.forget_echo_path();
            }
            port.work(&self.reference);
        }
        waiting
    }
}

/// The worker's end of a microphone's way.
pub(crate) struct WorkerPort {
    shared: Arc<EnhanceShared>,
    captured: HeapCons<CaptureBlock>,
    enhanced: HeapProd<EnhancedBlock>,
    chain: Box<Enhancer>,
    follower: Follower,
    next: u64,
}

impl WorkerPort {
    fn work(&mut self, reference: &Reference) {
        while self.captured.occupied_len() > TOO_OLD
            && let Some(block) = self.captured.try_pop()
        {
            self.note(&block);
            self.skip(&block);
        }
        while let Some(block) = self.captured.try_pop() {
            self.note(&block);
            self.process(block, reference);
        }
    }

    /// What a block says of what was before it.
    fn note(&mut self, block: &CaptureBlock) {
        if block.restart {
            self.chain.reset();
            self.follower.restart();
        } else if block.other_device {
            self.chain.forget_echo_path();
            self.follower.restart();
        } else {
            // unwrap: never more than fits, and if it were, the stamps show it.
            let lost = usize::try_from(block.sequence.saturating_sub(self.next)).unwrap_or(0);
            self.follower.advance(lost.saturating_mul(BLOCK));
        }
        self.next = block.sequence + 1;
    }

    fn skip(&mut self, _: &CaptureBlock) {
        self.follower.advance(BLOCK);
    }

    fn process(&mut self, mut block: CaptureBlock, reference: &Reference) {
        let far = match block.ends_at {
            Some(ends_at) => {
                let stamped = samples_at(ends_at) - BLOCK as f64;
                let place = self.follower.place(stamped, BLOCK);
                reference.read(place + AHEAD, self.follower.pace())
            }
            None => [0.0; BLOCK],
        };
        self.follower.advance(BLOCK);
        // The high-pass is behind it already.
        let settings = AudioProcessing { high_pass_filter: false, ..self.shared.settings() };
        let enhanced = self.chain.process(settings, &mut block.samples, &far);
        let done = EnhancedBlock {
            sequence: block.sequence,
            level: enhanced.level,
            delay: self.chain.delay(),
            samples: block.samples,
        };
        // The media thread takes them faster than they are made; what it does not, it goes on without.
        let _ = self.enhanced.try_push(done);
    }
}
