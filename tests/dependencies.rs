//! Every crate that a manifest names has its line in docs/DEPENDENCIES.md: what for, why this one.

use std::path::Path;

#[test]
fn every_dependency_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("it is part of the repository");
    let explained = read("docs/DEPENDENCIES.md");
    let manifest = read("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next());
    let names = section.expect("the workspace pins its dependencies").lines().filter_map(|line| {
        let (name, _) = line.split_once('=')?;
        let name = name.trim();
        (!name.starts_with('#') && !name.starts_with("offhook")).then_some(name)
    });
    let missing: Vec<&str> = names.filter(|name| !explained.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "no line in docs/DEPENDENCIES.md for {missing:?}");
}
