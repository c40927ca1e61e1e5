//! Makes the two scripts that browsers load out of the modules in `crates/web`: one module and one classic script, each without comments,
//! white space and long local names. The modules themselves are served too, below `/source/`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_minifier::{
    CompressOptions, CompressOptionsKeepNames, MangleOptions, MangleOptionsKeepNames, Minifier,
    MinifierOptions,
};
use oxc_parser::Parser;
use oxc_span::SourceType;

/// In the order in which they need each other.
const MODULES: [&str; 10] =
    ["errors", "frames", "refusals", "call", "link", "signaling", "quality", "media", "push", "offhook"];
const EXPORTS: &str = "export { Sinch as default, Sinch, createSinch, endpoint, ArgumentError, CallDirection, CallEndCause, CallState, \
    ErrorCode, ErrorType, InvalidOperationError, SinchError };";

fn main() -> Result<(), Box<dyn Error>> {
    let web = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../web");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut all = String::new();
    for module in MODULES {
        let path = web.join(module).with_extension("js");
        println!("cargo::rerun-if-changed={}", path.display());
        unbind(&fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?, &mut all);
    }
    fs::write(out.join("offhook.js"), shorten(&format!("{all}{EXPORTS}"), SourceType::mjs())?)?;
    let classic = format!("(() => {{ 'use strict'; {all} globalThis.Sinch = Sinch; }})();");
    fs::write(out.join("sinch-rtc.js"), shorten(&classic, SourceType::cjs())?)?;
    Ok(())
}

/// Appends a module without the lines that bind it to others: `import` statements may have several.
fn unbind(module: &str, all: &mut String) {
    let mut is_import = false;
    for line in module.lines() {
        is_import |= line.starts_with("import ");
        if is_import {
            is_import = !line.ends_with(';');
        } else if !line.starts_with("export {") && !line.starts_with("export default ") {
            all.push_str(line.strip_prefix("export ").unwrap_or(line));
            all.push('\n');
        }
    }
}

fn shorten(script: &str, kind: SourceType) -> Result<String, Box<dyn Error>> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, script, kind).parse();
    if let Some(error) = parsed.errors.first() {
        return Err(format!("the script for browsers cannot be read: {error}").into());
    }
    let mut program = parsed.program;
    // Whoever debugs an application sees the published names of the classes.
    let options = MinifierOptions {
        mangle: Some(MangleOptions {
            keep_names: MangleOptionsKeepNames { class: true, function: false },
            ..MangleOptions::default()
        }),
        compress: Some(CompressOptions {
            keep_names: CompressOptionsKeepNames { class: true, function: false },
            ..CompressOptions::default()
        }),
    };
    let scoping = Minifier::new(options).minify(&allocator, &mut program).scoping;
    let code =
        Codegen::new().with_options(CodegenOptions::minify()).with_scoping(scoping).build(&program).code;
    let version = env::var("CARGO_PKG_VERSION")?;
    Ok(format!("/* Offhook {version}, MIT OR Apache-2.0; as it is written: /source/offhook.js */\n{code}\n"))
}
