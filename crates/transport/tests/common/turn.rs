//! A TURN server in virtual time: `turn-server-proto` for the protocol, this for its sockets and the framing of its connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_transport::Carrier;
use turn_server_proto::api::{DelayedMessageOrChannelSend, TurnServerApi, TurnServerPollRet};
use turn_server_proto::server::TurnServer;
use turn_server_proto::stun::Instant as ServerInstant;
use turn_server_proto::stun::agent::Transmit;
use turn_server_proto::types::TransportType;
use turn_server_proto::types::transmit::TransmitBuild;

use super::{Datagram, address};

pub(crate) const TURN_SERVER: &str = "127.0.0.9:3478";
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "s3cret";

pub(crate) struct TurnNode {
    start: Instant,
    /// One for datagrams, one for connections.
    servers: [TurnServer; 2],
    /// Bytes of connections that make no whole frame yet, by client.
    streams: Vec<(SocketAddr, Vec<u8>)>,
    pub(crate) relayed: Vec<SocketAddr>,
    /// Datagrams that came in for relayed addresses, and frames of channel data from clients.
    pub(crate) relayed_in: usize,
    pub(crate) channel_frames: usize,
}

impl TurnNode {
    pub(crate) fn new(start: Instant) -> Self {
        let server = |transport| {
            let mut server = TurnServer::new(transport, address(TURN_SERVER), "offhook".to_owned());
            server.add_user(USER.to_owned(), PASSWORD.to_owned());
            server
        };
        Self {
            start,
            servers: [server(TransportType::Udp), server(TransportType::Tcp)],
            streams: Vec::new(),
            relayed: Vec::new(),
            relayed_in: 0,
            channel_frames: 0,
        }
    }

    pub(crate) fn listens(&self, destination: SocketAddr) -> bool {
        destination == address(TURN_SERVER) || self.relayed.contains(&destination)
    }

    /// Takes what arrived; what it sends is put into `out`, to be delivered like everything else.
    pub(crate) fn receive(&mut self, now: Instant, datagram: &Datagram, out: &mut Vec<Datagram>) {
        let Datagram { source, destination, carrier, .. } = *datagram;
        self.relayed_in += usize::from(self.relayed.contains(&destination));
        let frames = match carrier {
            Carrier::Udp => vec![datagram.contents.clone()],
            Carrier::Tcp => self.frames(source, &datagram.contents),
        };
        for frame in frames {
            self.channel_frames +=
                usize::from(destination == address(TURN_SERVER) && (64..=79).contains(&frame[0]));
            let transport = transport_of(carrier);
            // A peer's datagram may be for an address that was asked for over a connection.
            for which in [0, 1] {
                if destination == address(TURN_SERVER) && which != usize::from(carrier == Carrier::Tcp) {
                    continue;
                }
                let at = self.clock(now);
                let incoming = Transmit::new(frame.as_slice(), transport, source, destination);
                let sent = self.servers[which].recv(incoming, at);
                let sent = sent.map(built);
                out.extend(sent.map(|sent| self.datagram(now, sent)));
            }
        }
        self.turn(now, out);
    }

    /// Does what is due.
    pub(crate) fn turn(&mut self, now: Instant, out: &mut Vec<Datagram>) {
        let at = self.clock(now);
        for which in [0, 1] {
            for _ in 0..100 {
                match self.servers[which].poll(at) {
                    TurnServerPollRet::AllocateSocket {
                        transport,
                        listen_addr,
                        client_addr,
                        allocation_transport,
                        family,
                    } => {
                        let relayed = SocketAddr::new(listen_addr.ip(), 50_000 + self.relayed.len() as u16);
                        self.relayed.push(relayed);
                        self.servers[which].allocated_socket(
                            transport,
                            listen_addr,
                            client_addr,
                            allocation_transport,
                            family,
                            Ok(relayed),
                            at,
                        );
                    }
                    _ => break,
                }
            }
            while let Some(sent) = self.servers[which].poll_transmit(at) {
                out.push(self.datagram(now, sent));
            }
        }
    }

    fn clock(&self, now: Instant) -> ServerInstant {
        ServerInstant::ZERO + Duration::from_secs(3600) + (now - self.start)
    }

    fn datagram(&self, now: Instant, sent: Transmit<Vec<u8>>) -> Datagram {
        let Transmit { mut data, transport, from, to } = sent;
        let carrier = if transport == TransportType::Tcp { Carrier::Tcp } else { Carrier::Udp };
        if carrier == Carrier::Tcp {
            data.resize(data.len().next_multiple_of(4), 0);
        }
        Datagram { due: now, carrier, source: from, destination: to, contents: data }
    }

    /// Whole frames of a client's connection, without the padding that the library does not know.
    fn frames(&mut self, client: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        let place = self.streams.iter().position(|(known, _)| *known == client).unwrap_or_else(|| {
            self.streams.push((client, Vec::new()));
            self.streams.len() - 1
        });
        let stream = &mut self.streams[place].1;
        stream.extend_from_slice(bytes);
        let mut frames = Vec::new();
        while let Some([first, _, high, low]) = stream.first_chunk::<4>().copied() {
            let length = usize::from(u16::from_be_bytes([high, low])) + if first < 4 { 20 } else { 4 };
            if stream.len() < length.next_multiple_of(4) {
                break;
            }
            let frame: Vec<u8> = stream.drain(..length.next_multiple_of(4)).collect();
            frames.push(frame[..length].to_vec());
        }
        frames
    }
}

fn built(sent: TransmitBuild<DelayedMessageOrChannelSend<&[u8]>>) -> Transmit<Vec<u8>> {
    sent.build()
}

fn transport_of(carrier: Carrier) -> TransportType {
    match carrier {
        Carrier::Udp => TransportType::Udp,
        Carrier::Tcp => TransportType::Tcp,
    }
}
