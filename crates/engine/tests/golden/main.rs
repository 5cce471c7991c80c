//! Golden pipelines: every `tests/pipelines/NAME.sql` is run over `NAME.in` and must give `NAME.out`: straight, with a stop and a restore after
//! every commit, and killed at every commit. `tests/pipelines/README.md` says what the files hold.
//!
//! `MILLSTREAM_BLESS=1` writes what comes out instead of comparing; `MILLSTREAM_GOLDEN=NAME` runs only cases whose name holds NAME.

#![allow(clippy::unwrap_used)]

mod case;
mod run;

use std::path::{Path, PathBuf};

use case::Case;
use run::{Break, Outcome};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pipelines")
}

fn names() -> Vec<String> {
    let only = std::env::var("MILLSTREAM_GOLDEN").unwrap_or_default();
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let sql = files.filter(|path| path.extension().is_some_and(|extension| extension == "sql"));
    let mut names: Vec<String> = sql.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.retain(|name| name.contains(&only));
    names.sort();
    names
}

#[tokio::test]
async fn pipelines_give_what_they_should_however_they_are_stopped() {
    let names = names();
    assert!(!names.is_empty(), "no case in {}", folder().display());
    let mut failures = Vec::new();
    for name in &names {
        if let Err(failure) = check(name).await {
            failures.push(format!("== {name}\n{failure}"));
        }
    }
    assert!(failures.is_empty(), "{} of {} cases\n{}", failures.len(), names.len(), failures.join("\n"));
}

async fn check(name: &str) -> Result<(), String> {
    let case = Case::load(&folder(), name)?;
    let straight = run::run(&case, Break::Never).await?;
    let path = folder().join(format!("{name}.out"));
    let got = straight.to_string();
    if std::env::var_os("MILLSTREAM_BLESS").is_some() {
        std::fs::write(&path, &got).map_err(|error| error.to_string())?;
    } else {
        let expected = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        same(&expected, &got)?;
    }
    let mut breaks = vec![Break::Stops];
    for commits in 0..straight.commits {
        breaks.extend([false, true].map(|after_writing| Break::Kill { commits, after_writing }));
    }
    for how in breaks {
        let broken: Outcome = run::run(&case, how).await.map_err(|error| format!("{how:?}: {error}"))?;
        same(&got, &broken.to_string()).map_err(|difference| format!("{how:?}: {difference}"))?;
    }
    Ok(())
}

/// The lines in which two texts differ.
fn same(expected: &str, got: &str) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    let only = |one: &str, other: &str, sign: &str| -> Vec<String> {
        let mut rest: Vec<&str> = other.lines().collect();
        let mut missing = Vec::new();
        for line in one.lines() {
            match rest.iter().position(|other| *other == line) {
                Some(place) => drop(rest.remove(place)),
                None => missing.push(format!("  {sign} {line}")),
            }
        }
        missing
    };
    let mut lines = only(expected, got, "expected");
    lines.extend(only(got, expected, "got     "));
    if lines.is_empty() {
        lines.push(format!("  the same lines in another order:\n{got}"));
    }
    Err(lines.join("\n"))
}
