"""One end of a call by aiortc, an independent WebRTC implementation, for tests/aiortc.rs.

    peer.py offer|answer SECONDS

Descriptions go over standard input and output, one JSON object a line. The peer speaks a tone of 880 Hz for SECONDS from the
moment it is connected, then prints what it heard and what its statistics say, and ends.
"""

import asyncio
import fractions
import json
import sys

import aioice.ice
import numpy
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

RATE = 48_000
FRAME = 960
SPOKEN_HZ = 880

# The call stays on the machine, whatever its interfaces are.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


class Tone(MediaStreamTrack):
    """A frame every 20 ms."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.frames = 0
        self.start = None

    async def recv(self):
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        self.start = self.start or now
        await asyncio.sleep(max(0, self.start + self.frames * FRAME / RATE - now))
        places = numpy.arange(FRAME) + self.frames * FRAME
        samples = 12_000 * numpy.sin(2 * numpy.pi * SPOKEN_HZ * places / RATE)
        frame = AudioFrame.from_ndarray(samples.astype(numpy.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self.frames * FRAME
        frame.time_base = fractions.Fraction(1, RATE)
        self.frames += 1
        return frame


async def listen(track, heard):
    try:
        while True:
            frame = await track.recv()
            channels = len(frame.layout.channels)
            heard.append(frame.to_ndarray().reshape(-1)[::channels])
    except MediaStreamError:
        pass


def loudest(heard):
    """Frequency and amplitude of the loudest tone, without the first quarter."""
    samples = numpy.concatenate(heard).astype(float) if heard else numpy.zeros(0)
    samples = samples[len(samples) // 4 :]
    if len(samples) < RATE // 2:
        return 0, 0
    window = numpy.hanning(len(samples))
    spectrum = abs(numpy.fft.rfft(samples * window))
    place = int(spectrum.argmax())
    return place * RATE / len(samples), 2 * spectrum[place] / window.sum()


async def statistics(connection):
    report = {}
    for part in (await connection.getStats()).values():
        if part.type == "remote-inbound-rtp":
            report["remote_lost"] = part.packetsLost
            report["rtt_ms"] = None if part.roundTripTime is None else 1000 * part.roundTripTime
        elif part.type == "inbound-rtp":
            report["received"] = part.packetsReceived
            report["lost"] = part.packetsLost
        elif part.type == "outbound-rtp":
            report["sent"] = part.packetsSent
    return report


def say(**message):
    print(json.dumps(message), flush=True)


async def read():
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return json.loads(line)


async def negotiate(connection, part):
    if part == "offer":
        await connection.setLocalDescription(await connection.createOffer())
        say(sdp=connection.localDescription.sdp)
        await connection.setRemoteDescription(RTCSessionDescription((await read())["sdp"], "answer"))
    else:
        await connection.setRemoteDescription(RTCSessionDescription((await read())["sdp"], "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        say(sdp=connection.localDescription.sdp)


async def main(part, seconds):
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connected = asyncio.Event()
    heard, listeners = [], []

    @connection.on("connectionstatechange")
    def changed():
        if connection.connectionState == "connected":
            connected.set()

    @connection.on("track")
    def track(track):
        listeners.append(asyncio.ensure_future(listen(track, heard)))

    connection.addTrack(Tone())
    await negotiate(connection, part)
    await asyncio.wait_for(connected.wait(), 20)
    await asyncio.sleep(seconds)
    report = await statistics(connection)
    report["hertz"], report["amplitude"] = loudest(heard)
    say(report=report)
    await asyncio.wait_for(connection.close(), 5)


asyncio.run(asyncio.wait_for(main(sys.argv[1], float(sys.argv[2])), 40))
