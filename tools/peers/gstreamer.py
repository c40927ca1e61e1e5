#!/usr/bin/python3
"""GStreamer's receiver on packets and traces: rtpjitterbuffer, rtpopusdepay, opusdec with concealment and FEC.

Usage: gstreamer.py OUT_FOLDER PACKETS:TRACE.csv ...     OUT_FOLDER/NAME.wav for every trace, all at the same time, in real time
PACKETS is a file of Opus packets of 20 ms: length (16 bit, little endian), payload.

Sample 0 of what is heard is the instant at which sample 0 of the speech was captured; a packet leaves when its last sample was
captured. Sound is heard when a sink that keeps the pipeline's clock plays it: at its time stamp plus the latency the pipeline asks
for. What reaches the sink after that is not heard, and where nothing is to be played there is silence, as with an audio sink.
"""
import array
import json
import multiprocessing
import pathlib
import struct
import sys
import time
import wave

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402, F401 (GstApp gives appsrc and appsink their methods)

RATE = 48_000
PACKET_MS = 20
PATIENCE_MS = 2000
JITTER_BUFFER_MS = 60
PIPELINE = f"""
appsrc name=network is-live=true format=time caps=application/x-rtp,media=audio,encoding-name=OPUS,clock-rate={RATE},payload=111
! rtpjitterbuffer latency={JITTER_BUFFER_MS} do-lost=true ! rtpopusdepay ! opusdec plc=true use-inband-fec=true
! audioconvert ! audio/x-raw,format=S16LE,rate={RATE},channels=1,layout=interleaved
! appsink name=speaker sync=false emit-signals=true max-buffers=0
"""


def read_packets(path):
    data, packets = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<H", data)
        packets.append(data[2:2 + length])
        data = data[2 + length:]
    return packets


def read_arrivals(path, packets):
    """(milliseconds, k) of every packet that arrives, in order."""
    rows = [row.split(",") for row in path.read_text().splitlines()[1:]][:len(packets)]
    arrivals = [((int(k) + 1) * PACKET_MS + max(float(arrival) - float(sent), 0), int(k))
                for k, sent, arrival in rows if arrival != "lost"]
    return sorted(arrivals)


def rtp(k, payload):
    marker = 0x80 if k == 0 else 0
    return struct.pack(">BBHII", 0x80, marker | 111, k & 0xFFFF, k * PACKET_MS * RATE // 1000, 1) + payload


class Call:
    """One pipeline and what is heard of it."""

    def __init__(self, packets, arrivals):
        self.packets, self.arrivals = packets, arrivals
        self.sound = array.array("h", bytes(2 * (len(packets) * PACKET_MS + PATIENCE_MS) * RATE // 1000))
        self.late_ms, self.worst_wake_up_ms, self.latency = 0.0, 0.0, None
        self.pipeline = Gst.parse_launch(PIPELINE)
        self.network = self.pipeline.get_by_name("network")
        self.speaker = self.pipeline.get_by_name("speaker")
        self.speaker.connect("new-sample", self.play)

    def run(self):
        """Takes as long as the speech."""
        self.clock = Gst.SystemClock.obtain()
        self.begin = self.clock.get_time() + 500 * Gst.MSECOND
        self.pipeline.use_clock(self.clock)
        self.pipeline.set_start_time(Gst.CLOCK_TIME_NONE)
        self.pipeline.set_base_time(self.begin)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.send()
        self.wait(len(self.packets) * PACKET_MS + PATIENCE_MS)
        message = self.pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        self.pipeline.set_state(Gst.State.NULL)
        if message:
            raise RuntimeError(message.parse_error()[0].message)

    def wait(self, milliseconds):
        """Until that time since the begin; returns how late it is."""
        until = self.begin + int(milliseconds * 1e6)
        time.sleep(max(until - self.clock.get_time(), 0) / 1e9)
        return (self.clock.get_time() - until) / 1e6

    def send(self):
        for arrival_ms, k in self.arrivals:
            self.worst_wake_up_ms = max(self.worst_wake_up_ms, self.wait(arrival_ms))
            packet = Gst.Buffer.new_wrapped(rtp(k, self.packets[k]))
            packet.pts = packet.dts = int(arrival_ms * 1e6)
            self.network.push_buffer(packet)

    def play(self, speaker):
        """Called by the pipeline's thread for every piece of sound."""
        sample = speaker.pull_sample()
        now = self.clock.get_time() - self.begin
        if self.latency is None:
            query = Gst.Query.new_latency()
            # The sink itself does not keep the clock, so it is asked what those before it need.
            if not speaker.get_static_pad("sink").peer_query(query):
                raise RuntimeError("the pipeline tells no latency")
            self.latency = query.parse_latency()[1]
        piece = sample.get_buffer()
        due = sample.get_segment().to_running_time(Gst.Format.TIME, piece.pts) + self.latency
        samples = array.array("h", piece.extract_dup(0, piece.get_size()))
        first = round(due * RATE / 1e9)
        late = max(round((now - due) * RATE / 1e9), 0)
        self.late_ms += min(late, len(samples)) * 1000 / RATE
        end = min(first + len(samples), len(self.sound))
        if first + late < end:
            self.sound[first + late:end] = samples[late:end - first]
        return Gst.FlowReturn.OK

    def save(self, path):
        with wave.open(str(path.with_suffix(".wav")), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(self.sound.tobytes())
        figures = {
            "payload_bps": sum(map(len, self.packets)) * 8000 / (PACKET_MS * len(self.packets)),
            "latency_ms": None if self.latency is None else self.latency / 1e6,
            "late_ms": self.late_ms,
            "worst_wake_up_ms": self.worst_wake_up_ms,
        }
        path.with_suffix(".json").write_text(json.dumps(figures))


def call(folder, argument):
    Gst.init(None)
    packets, trace = map(pathlib.Path, argument.split(":"))
    packets = read_packets(packets)
    one = Call(packets, read_arrivals(trace, packets))
    one.run()
    one.save(folder / trace.stem)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    # A process each: in one, the calls would wait for Python's lock.
    calls = [multiprocessing.Process(target=call, args=(pathlib.Path(sys.argv[1]), argument)) for argument in sys.argv[2:]]
    for one in calls:
        one.start()
    for one in calls:
        one.join()
    sys.exit(any(one.exitcode for one in calls))


if __name__ == "__main__":
    main()
