//! Packets between the media thread and the thread that owns the network.

use offhook_media_core::feedback::NetworkReport;
use offhook_media_core::recv::IncomingPacket;
use offhook_media_core::send::OutgoingPacket;
use offhook_media_core::units::MediaTime;
use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use thiserror::Error;

/// Most payload bytes of a packet that is taken in.
pub const MOST_INCOMING: usize = 1500;
/// Packets that wait in either direction: more than half a second at 10 ms.
const PORT_PACKETS: usize = 64;
/// Reports that wait in either direction: two seconds of them.
const PORT_REPORTS: usize = 8;

/// An RTP packet off the network, decrypted and parsed. Plain data, so that a ring can carry it.
#[derive(Clone, Copy)]
pub struct IncomingRtp {
    arrival: MediaTime,
    payload_type: u8,
    marker: bool,
    sequence: u16,
    ssrc: u32,
    timestamp: u32,
    len: u16,
    bytes: [u8; MOST_INCOMING],
}

impl IncomingRtp {
    /// Copies a packet; `None` when its payload is longer than [`MOST_INCOMING`].
    pub fn new(packet: &IncomingPacket<'_>) -> Option<Self> {
        let mut bytes = [0; MOST_INCOMING];
        bytes.get_mut(..packet.payload.len())?.copy_from_slice(packet.payload);
        Some(Self {
            arrival: packet.arrival,
            payload_type: packet.payload_type,
            marker: packet.marker,
            sequence: packet.sequence,
            ssrc: packet.ssrc,
            timestamp: packet.timestamp,
            len: packet.payload.len() as u16,
            bytes,
        })
    }

    /// The packet as the receive path takes it.
    pub fn as_packet(&self) -> IncomingPacket<'_> {
        IncomingPacket {
            arrival: self.arrival,
            payload_type: self.payload_type,
            marker: self.marker,
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: self.timestamp,
            payload: &self.bytes[..usize::from(self.len)],
        }
    }
}

impl std::fmt::Debug for IncomingRtp {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("IncomingRtp")
            .field("arrival", &self.arrival)
            .field("payload_type", &self.payload_type)
            .field("sequence", &self.sequence)
            .field("timestamp", &self.timestamp)
            .field("len", &self.len)
            .finish_non_exhaustive()
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
        let (outgoing, to_network) = HeapRb::new(PORT_PACKETS).split();
        let (from_network, incoming) = HeapRb::new(PORT_PACKETS).split();
        let (reports, to_far_end) = HeapRb::new(PORT_REPORTS).split();
        let (from_far_end, feedback) = HeapRb::new(PORT_REPORTS).split();
        let port = Self {
            incoming: PacketSender(from_network),
            outgoing: PacketReceiver(to_network),
            reports: ReportReceiver(to_far_end),
            feedback: ReportSender(from_far_end),
        };
        (port, StreamPort { outgoing, incoming, reports, feedback })
    }
}

/// The media thread's side of a [`PacketPort`].
pub(crate) struct StreamPort {
    pub(crate) outgoing: HeapProd<OutgoingPacket>,
    pub(crate) incoming: HeapCons<IncomingRtp>,
    pub(crate) reports: HeapProd<NetworkReport>,
    pub(crate) feedback: HeapCons<NetworkReport>,
}

/// The packet was not taken: the media thread is more than half a second behind, or the stream is closed. Drop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the stream takes no packet now")]
pub struct PortFull;

/// Takes packets off the network. For any one thread; never blocks.
pub struct PacketSender(HeapProd<IncomingRtp>);

impl PacketSender {
    /// Hands a packet to the media thread, which takes it at its next tick.
    ///
    /// # Errors
    /// [`PortFull`]; also for a payload longer than [`MOST_INCOMING`].
    pub fn push(&mut self, packet: &IncomingPacket<'_>) -> Result<(), PortFull> {
        let packet = IncomingRtp::new(packet).ok_or(PortFull)?;
        self.0.try_push(packet).map_err(|_| PortFull)
    }

    /// Whether the stream is gone.
    pub fn is_closed(&self) -> bool {
        !self.0.read_is_held()
    }
}

/// Gives packets for the network. For any one thread; never blocks.
pub struct PacketReceiver(HeapCons<OutgoingPacket>);

impl PacketReceiver {
    /// The next packet to send.
    pub fn pop(&mut self) -> Option<OutgoingPacket> {
        self.0.try_pop()
    }

    /// Whether the stream is gone; packets may still wait.
    pub fn is_closed(&self) -> bool {
        !self.0.write_is_held()
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
        formatter.debug_struct("PacketSender").field("waiting", &self.0.occupied_len()).finish()
    }
}

impl std::fmt::Debug for PacketReceiver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PacketReceiver").field("waiting", &self.0.occupied_len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_carried_whole_or_refused() {
        let payload = [7; MOST_INCOMING + 1];
        let packet = IncomingPacket {
            arrival: MediaTime::from_micros(5),
            payload_type: 111,
            marker: true,
            ssrc: 1,
            sequence: 2,
            timestamp: 3,
            payload: &payload[..MOST_INCOMING],
        };
        assert_eq!(IncomingRtp::new(&packet).unwrap().as_packet(), packet);
        assert!(IncomingRtp::new(&IncomingPacket { payload: &payload, ..packet }).is_none());
    }
}
