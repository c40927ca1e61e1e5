//! Packets between the media thread and the thread that owns the network.

use offhook_media_core::dsp::AudioLevel;
use offhook_media_core::feedback::NetworkReport;
use offhook_media_core::recv::IncomingPacket;
use offhook_media_core::send::OutgoingPacket;
use offhook_media_core::units::MediaTime;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use thiserror::Error;

/// Most payload bytes of a packet, either way.
pub const MOST_INCOMING: usize = 1500;
/// Packets that wait in either direction: more than half a second at 10 ms.
const PORT_PACKETS: usize = 64;
/// Reports that wait in either direction: two seconds of them.
const PORT_REPORTS: usize = 8;

/// A packet for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutgoingRtp<'a> {
    /// RTP payload type.
    pub payload_type: u8,
    /// First packet after a pause, or of a key.
    pub marker: bool,
    /// RTP timestamp at 48 kHz.
    pub timestamp: u32,
    /// Level of the sound in it.
    pub level: AudioLevel,
    /// When its last sound came: the beginning of a tick of the media thread.
    pub made: MediaTime,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Packets from one thread to another: what is known of each in one ring, their payloads, as long as they are, in another. With room for the longest
/// in each place, every packet would move 1500 bytes from one processor's memory to another's, where it has a hundred.
struct RingWriter<H> {
    heads: HeapProd<(H, u16)>,
    payloads: HeapProd<u8>,
}

struct RingReader<H> {
    heads: HeapCons<(H, u16)>,
    payloads: HeapCons<u8>,
    /// The payload that was taken last.
    payload: Box<[u8; MOST_INCOMING]>,
}

/// Not for the real-time thread.
fn packet_ring<H>() -> (RingWriter<H>, RingReader<H>) {
    let (heads, heads_out) = HeapRb::new(PORT_PACKETS).split();
    let (payloads, payloads_out) = HeapRb::new(PORT_PACKETS * MOST_INCOMING).split();
    let payload = Box::new([0; MOST_INCOMING]);
    (RingWriter { heads, payloads }, RingReader { heads: heads_out, payloads: payloads_out, payload })
}

impl<H> RingWriter<H> {
    /// Real-time safe.
    fn push(&mut self, head: H, payload: &[u8]) -> Result<(), PortFull> {
        let is_free = !self.heads.is_full() && payload.len() <= self.payloads.vacant_len();
        if !is_free || payload.len() > MOST_INCOMING {
            return Err(PortFull);
        }
        // Who sees the head finds the payload.
        self.payloads.push_slice(payload);
        self.heads.try_push((head, payload.len() as u16)).map_err(|_| PortFull)
    }
}

impl<H> RingReader<H> {
    /// Real-time safe.
    fn pop(&mut self) -> Option<(H, &[u8])> {
        let (head, length) = self.heads.try_pop()?;
        let payload = &mut self.payload[..usize::from(length)];
        self.payloads.pop_slice(payload);
        Some((head, payload))
    }
}

/// The network's end of a stream. Look at `outgoing` and `reports` right after the ticks of the media thread, which wakes nobody:
/// [`Engine::period`](crate::Engine::period).
#[derive(Debug)]
pub struct PacketPort {
    /// Where packets off the network go.
    pub incoming: PacketSender,
    /// Where packets for the network come from.
    pub outgoing: PacketReceiver,
    /// How the far end's packets are received, four times a second while they come: for the far end.
    pub reports: ReportReceiver,
    /// How our packets are received, as the far end says or shows.
    pub feedback: ReportSender,
}

impl PacketPort {
    /// A port and the media thread's side of it. Not for the real-time thread.
    pub(crate) fn pair() -> (Self, StreamPort) {
        let (outgoing, to_network) = packet_ring();
        let (from_network, incoming) = packet_ring();
        let (reports, to_far_end) = HeapRb::new(PORT_REPORTS).split();
        let (from_far_end, feedback) = HeapRb::new(PORT_REPORTS).split();
        let port = Self {
            incoming: PacketSender(from_network),
            outgoing: PacketReceiver(to_network),
            reports: ReportReceiver(to_far_end),
            feedback: ReportSender(from_far_end),
        };
        let (outgoing, incoming) = (StreamSender(outgoing), StreamReceiver(incoming));
        (port, StreamPort { outgoing, incoming, reports, feedback })
    }
}

/// The media thread's side of a [`PacketPort`].
pub(crate) struct StreamPort {
    pub(crate) outgoing: StreamSender,
    pub(crate) incoming: StreamReceiver,
    pub(crate) reports: HeapProd<NetworkReport>,
    pub(crate) feedback: HeapCons<NetworkReport>,
}

/// The packet was not taken: the media thread is more than half a second behind, or the stream is closed. Drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the stream takes no packet now")]
pub struct PortFull;

/// Takes packets off the network. For any one thread; never blocks.
pub struct PacketSender(RingWriter<IncomingPacket<'static>>);

impl PacketSender {
    /// Hands a packet to the media thread, which takes it at its next tick.
    ///
    /// # Errors
    /// [`PortFull`]; also for a payload longer than [`MOST_INCOMING`].
    pub fn push(&mut self, packet: &IncomingPacket<'_>) -> Result<(), PortFull> {
        let IncomingPacket { arrival, payload_type, marker, ssrc, sequence, timestamp, payload } = *packet;
        let head = IncomingPacket { arrival, payload_type, marker, ssrc, sequence, timestamp, payload: &[] };
        self.0.push(head, payload)
    }

    /// Whether the stream is gone.
    pub fn is_closed(&self) -> bool {
        !self.0.heads.read_is_held()
    }
}

/// Gives packets for the network. For any one thread; never blocks.
pub struct PacketReceiver(RingReader<OutgoingRtp<'static>>);

impl PacketReceiver {
    /// The next packet to send.
    pub fn pop(&mut self) -> Option<OutgoingRtp<'_>> {
        self.0.pop().map(|(head, payload)| OutgoingRtp { payload, ..head })
    }

    /// Whether the stream is gone; packets may still wait.
    pub fn is_closed(&self) -> bool {
        !self.0.heads.write_is_held()
    }
}

/// Takes what the media thread has for the network.
pub(crate) struct StreamSender(RingWriter<OutgoingRtp<'static>>);

impl StreamSender {
    /// Real-time safe.
    pub(crate) fn push(&mut self, packet: &OutgoingPacket) -> Result<(), PortFull> {
        let &OutgoingPacket { payload_type, marker, timestamp, level, made, .. } = packet;
        self.0.push(
            OutgoingRtp { payload_type, marker, timestamp, level, made, payload: &[] },
            packet.payload(),
        )
    }
}

/// Gives what the network has for the media thread.
pub(crate) struct StreamReceiver(RingReader<IncomingPacket<'static>>);

impl StreamReceiver {
    /// Real-time safe.
    pub(crate) fn pop(&mut self) -> Option<IncomingPacket<'_>> {
        self.0.pop().map(|(head, payload)| IncomingPacket { payload, ..head })
    }
}

/// Takes reports of the far end. For any one thread; never blocks.
pub struct ReportSender(HeapProd<NetworkReport>);

impl ReportSender {
    /// Hands a report to the media thread, which goes by it from its next tick on.
    ///
    /// # Errors
    /// [`PortFull`]: drop it, the next one says the same and more.
    pub fn push(&mut self, report: NetworkReport) -> Result<(), PortFull> {
        self.0.try_push(report).map_err(|_| PortFull)
    }
}

/// Gives reports for the far end. For any one thread; never blocks.
pub struct ReportReceiver(HeapCons<NetworkReport>);

impl ReportReceiver {
    /// The next report to send.
    pub fn pop(&mut self) -> Option<NetworkReport> {
        self.0.try_pop()
    }
}

impl std::fmt::Debug for ReportSender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReportSender").field("waiting", &self.0.occupied_len()).finish()
    }
}

impl std::fmt::Debug for ReportReceiver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReportReceiver").field("waiting", &self.0.occupied_len()).finish()
    }
}

impl std::fmt::Debug for PacketSender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PacketSender").field("waiting", &self.0.heads.occupied_len()).finish()
    }
}

impl std::fmt::Debug for PacketReceiver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PacketReceiver").field("waiting", &self.0.heads.occupied_len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> IncomingPacket<'_> {
        let (arrival, sequence) = (MediaTime::from_micros(5), payload.len() as u16);
        IncomingPacket { arrival, payload_type: 111, marker: true, ssrc: 1, sequence, timestamp: 3, payload }
    }

    #[test]
    fn packets_are_carried_whole_and_in_order_or_refused() {
        let (mut port, mut stream) = PacketPort::pair();
        let payload: [u8; MOST_INCOMING + 1] = std::array::from_fn(|n| n as u8);
        assert_eq!(port.incoming.push(&packet(&payload)), Err(PortFull), "it is too long");
        // Often enough for the payloads to go round their ring.
        for round in 0..5 {
            let cut = |n: usize| packet(&payload[..(n * 97 + round) % (MOST_INCOMING + 1)]);
            (0..PORT_PACKETS).for_each(|n| assert_eq!(port.incoming.push(&cut(n)), Ok(())));
            assert_eq!(port.incoming.push(&cut(0)), Err(PortFull), "too many wait");
            (0..PORT_PACKETS).for_each(|n| assert_eq!(stream.incoming.pop(), Some(cut(n))));
            assert_eq!(stream.incoming.pop(), None);
        }
    }

    #[test]
    fn as_many_of_the_longest_are_carried() {
        let (mut port, mut stream) = PacketPort::pair();
        let payload = [7; MOST_INCOMING];
        for _ in 0..3 {
            (0..PORT_PACKETS).for_each(|_| assert_eq!(port.incoming.push(&packet(&payload)), Ok(())));
            (0..PORT_PACKETS).for_each(|_| assert_eq!(stream.incoming.pop(), Some(packet(&payload))));
        }
    }
}
