//! Every committed input of the receive path's fuzz targets, once.

#![expect(clippy::disallowed_methods, reason = "the corpus is files")]

use std::path::Path;

use offhook_media_core::fuzzing;

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a readable folder").path();
        body(&std::fs::read(path).expect("a readable file"));
        inputs += 1;
    }
    assert!(inputs >= 3, "{} holds {inputs} inputs", folder.display());
}

#[test]
fn jitter_operations() {
    replay("jitter_ops", fuzzing::jitter_ops);
}

#[test]
fn received_packets() {
    replay("receive_packet", fuzzing::receive_packet);
}
