//! Body of the fuzz target of what a server says its metrics are. The target takes these two files in by their paths: a command has no library.

use super::sample::Sample;

/// Any answer is read, shown and compared with itself.
pub(crate) fn metrics_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let sample = Sample::parse(text);
    let ever = sample.quantile(&Sample::default(), "x", 0.5);
    assert!(ever.is_none_or(|value| value.is_finite()), "{ever:?}");
    let _ = (
        sample.snapshot(Vec::new()),
        sample.version(),
        sample.has("x"),
        sample.value("x"),
        sample.sum("x", "le"),
    );
    // Nothing came since.
    assert_eq!(sample.quantile(&sample, "x", 0.99), None);
}
