//! The four layers of ARCHITECTURE.md are crate borders: a lower layer never depends on a higher one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each crate may depend on inside the workspace, in normal (not dev) dependencies.
const ALLOWED: &[(&str, &[&str])] = &[
    ("offhook-signaling", &[]),
    ("offhook-media-core", &[]),
    ("offhook-transport", &[]),
    ("offhook-sim", &["offhook-media-core", "offhook-signaling", "offhook-transport"]),
    ("offhook-media", &["offhook-media-core"]),
    ("offhook-echo", &["offhook-transport"]),
    ("offhook-server", &["offhook-echo", "offhook-signaling"]),
    ("offhook-client", &["offhook-media", "offhook-media-core", "offhook-signaling", "offhook-transport"]),
    ("offhook", &["offhook-client"]),
    (
        "offhook-cli",
        &[
            "offhook",
            "offhook-client",
            "offhook-media",
            "offhook-media-core",
            "offhook-server",
            "offhook-signaling",
            "offhook-sim",
        ],
    ),
];

/// Crates that may neither open a socket nor run an executor: no such dependency may stand in their manifests.
const SANS_IO: &[&str] = &["offhook-signaling", "offhook-media-core", "offhook-transport", "offhook-echo"];
const IO_CRATES: &[&str] = &["tokio", "mio", "socket2", "axum", "hyper", "cpal", "rusqlite"];

fn normal_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().expect("name").to_owned());
            (package["name"].as_str().expect("name").to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn every_crate_depends_only_on_the_layers_below_it() {
    let packages = normal_dependencies();
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    for (package, dependencies) in &packages {
        let may = allowed
            .get(package.as_str())
            .unwrap_or_else(|| panic!("{package} has no layer yet: add it here"));
        for dependency in dependencies.iter().filter(|name| packages.contains_key(*name)) {
            assert!(may.contains(&dependency.as_str()), "{package} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_pure_layer_has_no_io_crate_in_its_manifests() {
    let packages = normal_dependencies();
    for package in SANS_IO {
        for crate_name in IO_CRATES {
            assert!(!packages[*package].contains(*crate_name), "{package} must not depend on {crate_name}");
        }
    }
}
