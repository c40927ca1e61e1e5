//! Client start, the token flow and call events of Offhook, without I/O and without a clock.
