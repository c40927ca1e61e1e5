//! Threads, devices, rings and audio elements of Offhook.
