//! What a browser's voice call would say: session descriptions and candidates of the usual size. No media is behind them.

use std::fmt::Write as _;

use offhook_signaling::message::Candidate;

/// Host, reflexive and relayed, each with one more address, and the end.
pub(super) const CANDIDATES: usize = 5;

const HEAD: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    a=extmap-allow-mixed\r\na=msid-semantic: WMS 7a0b7a4b-6a2f-4a7e-9c2c-0f3f2f0f2c61\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 106 105 13 110 112 113 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n";
const TAIL: &str = "a=ice-options:trickle\r\n\
    a=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\n\
    a=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n\
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendrecv\r\n\
    a=msid:7a0b7a4b-6a2f-4a7e-9c2c-0f3f2f0f2c61 2f0b4f4d-1d3d-4a0e-8f3c-5a6b7c8d9e0f\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
    a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
    a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:106 CN/32000\r\na=rtpmap:105 CN/16000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\na=rtpmap:112 telephone-event/32000\r\n\
    a=rtpmap:113 telephone-event/16000\r\na=rtpmap:126 telephone-event/8000\r\n\
    a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6\r\n\
    a=ssrc:3570614608 mslabel:7a0b7a4b-6a2f-4a7e-9c2c-0f3f2f0f2c61\r\na=ssrc:3570614608 label:2f0b4f4d-1d3d-4a0e-8f3c-5a6b7c8d9e0f\r\n\
    a=ssrc:3570614608 msid:7a0b7a4b-6a2f-4a7e-9c2c-0f3f2f0f2c61 2f0b4f4d-1d3d-4a0e-8f3c-5a6b7c8d9e0f\r\n";

/// An offer or an answer.
pub(super) fn description(is_offer: bool) -> String {
    let role = if is_offer { "actpass" } else { "active" };
    format!("{HEAD}a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlIp\r\n{TAIL}a=setup:{role}\r\n")
}

/// The candidates of one side, the last of them the end.
pub(super) fn candidates() -> impl Iterator<Item = Candidate> {
    (0..CANDIDATES).map(|index| {
        let end = index + 1 == CANDIDATES;
        let mut candidate = String::new();
        if !end {
            let kind = ["host", "srflx raddr 192.0.2.7 rport 50000", "relay raddr 198.51.100.7 rport 50000"];
            // Writing to a string cannot fail.
            let _ = write!(
                candidate,
                "candidate:{} 1 udp {} 192.0.2.{} {} typ {} generation 0 ufrag 4ZcD network-cost 999",
                842_163_049 + index,
                2_122_260_223 - 1000 * index,
                7 + index,
                50_000 + index,
                kind[index % kind.len()]
            );
        }
        Candidate { candidate, mid: "0".to_owned(), ufrag: "4ZcD".to_owned(), end }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_a_browser() {
        for is_offer in [true, false] {
            let size = description(is_offer).len();
            assert!((1400..2200).contains(&size), "{size}");
        }
        let all: Vec<_> = candidates().collect();
        assert!(all[..CANDIDATES - 1].iter().all(|candidate| (80..200).contains(&candidate.candidate.len())));
        assert!(all.iter().enumerate().all(|(index, one)| !all[..index].contains(one)), "no two are alike");
        assert!(all[CANDIDATES - 1].end);
    }
}
