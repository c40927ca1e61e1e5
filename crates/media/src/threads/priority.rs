//! Real-time priority, where the system grants it.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Of the media thread, 1 to 99: below the sound system's own threads.
pub(crate) const MEDIA_PRIORITY: u8 = 60;
/// Of what enhances microphones: its result is wanted within 20 ms, the media thread's within a tick.
pub(crate) const ENHANCE_PRIORITY: u8 = 55;
/// Of threads that carry packets: below all that touches sound.
const DRIVER_PRIORITY: u8 = 20;
/// Of threads that play the part of a sound card.
pub(crate) const CALLBACK_PRIORITY: u8 = 65;

/// What the system granted a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// First-in-first-out real-time scheduling (`SCHED_FIFO`) at this priority.
    RealTime(u8),
    /// Real time was refused (see `ulimit -r`): the thread competes with all others and may be late on a busy machine.
    Denied,
    /// Real time was not asked for.
    Normal,
}

impl std::fmt::Display for Priority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RealTime(priority) => write!(formatter, "fifo-{priority}"),
            Self::Denied => formatter.write_str("denied"),
            Self::Normal => formatter.write_str("normal"),
        }
    }
}

/// Asks for real-time priority for the calling thread, one that carries packets between a [`PacketPort`](crate::PacketPort) and the network: a
/// packet that waits for a thread to be woken makes every packet's delay longer. Far below the media thread; once, when the thread starts.
pub fn ask_for_packet_priority() -> Priority {
    ask_for_real_time(DRIVER_PRIORITY)
}

/// Asks for the calling thread. A system call, once, before the first tick.
pub(crate) fn ask_for_real_time(priority: u8) -> Priority {
    let Ok(value) = ThreadPriorityValue::try_from(priority) else {
        return Priority::Denied;
    };
    let asked = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(value),
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
    );
    if asked.is_ok() { Priority::RealTime(priority) } else { Priority::Denied }
}
