//! What happens to sound in Offhook: real-time safe, without threads, clocks or I/O.
