//! ICE, DTLS-SRTP, RTP, RTCP and SDP of Offhook, without I/O.
