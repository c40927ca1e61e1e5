//! Writes a trace of every kind: `cargo run -p offhook-sim --example traces -- FOLDER SEED`. Equal seeds give equal traces.

use std::error::Error;
use std::path::PathBuf;

use offhook_sim::trace::TraceKind;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(seed), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: traces FOLDER SEED".into());
    };
    let folder = PathBuf::from(folder);
    let seed = seed.parse().map_err(|_| format!("{seed:?} is not a seed: a whole number is wanted"))?;
    std::fs::create_dir_all(&folder)?;
    for kind in TraceKind::ALL {
        std::fs::write(folder.join(kind.name()).with_extension("csv"), kind.generate(seed).to_csv())?;
    }
    Ok(())
}
