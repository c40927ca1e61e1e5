//! Every committed input of the fuzz targets on payload formats, once.

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
fn opus_framing() {
    replay("opus_toc", fuzzing::opus_toc);
}

#[test]
fn opus_packets() {
    replay("opus_decode", fuzzing::opus_decode);
}

#[test]
fn redundant_audio() {
    replay("red", fuzzing::red);
}

#[test]
fn telephone_events() {
    replay("telephone_event", fuzzing::telephone_event);
}
