//! Test kit of Offhook: virtual clock, network emulator, test sounds and measures.
