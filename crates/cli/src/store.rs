//! `offhook store`: moves what a server keeps.

use std::path::Path;
use std::process::ExitCode;

use offhook_server::{CopiedTable, CopyError, StoreKeySource, copy_store};
use serde::Serialize;

use crate::app::store_advice;
use crate::args::store::{CopyArguments, StoreAction, StoreArguments, url};
use crate::failure::Failure;
use crate::terminal;

/// Between two lines that say how far it is.
const TOLD_EVERY: u64 = 100_000;

/// Runs one action and prints what it did.
pub(crate) async fn run(arguments: &StoreArguments) -> Result<ExitCode, Failure> {
    match &arguments.action {
        StoreAction::Copy(arguments) => copy(arguments).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn copy(arguments: &CopyArguments) -> Result<(), Failure> {
    let CopyArguments { from, to, key, json } = arguments;
    let to = url(to)?;
    let given = key.source()?;
    let mut told = 0;
    let progress = |table: &CopiedTable| {
        if !json && table.rows / TOLD_EVERY > told {
            told = table.rows / TOLD_EVERY;
            terminal::say(&format!("{}: {} so far", table.table, table.rows));
        }
    };
    let source = source_key(from, &given);
    let copied = copy_store(from, &source, (&to, given), progress).await.map_err(|error| failed(&error))?;
    if *json {
        terminal::print_json(&Copied { tables: copied });
        return Ok(());
    }
    let width = copied.iter().map(|table| table.table.len()).max().unwrap_or(0);
    for CopiedTable { table, rows } in copied {
        terminal::print(&format!("{table:width$}  {rows}"));
    }
    Ok(())
}

/// A folder with a key of its own was made with that one; else the key that is given for the copy opens it, too.
fn source_key(folder: &Path, given: &StoreKeySource) -> StoreKeySource {
    let has_own = folder.join("offhook.key").exists();
    if has_own { StoreKeySource::DataFolder } else { given.clone() }
}

fn failed(error: &CopyError) -> Failure {
    let what = error.to_string();
    match error {
        CopyError::NoSource(_) => {
            Failure::usage(what).advice("give the folder that `offhook serve --data` uses with --from")
        }
        CopyError::Source(of) | CopyError::Target(of) => Failure::failed(what).advice(store_advice(of)),
        CopyError::NotEmpty { .. } => Failure::failed(what)
            .advice("make another database (createdb), or drop this one and make it anew"),
        CopyError::Sealed(_) => Failure::failed(what).advice("restore the store from a backup"),
    }
}

#[derive(Debug, Serialize)]
struct Copied {
    tables: Vec<CopiedTable>,
}
