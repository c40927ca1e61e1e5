//! The Offhook client: rings, answers, talks, over tokio.
