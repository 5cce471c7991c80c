//! The same requests to two brokers, ours and a real Apache Kafka, and what differs in their answers, field by field.
//!
//! ```text
//! differential OURS KAFKA ACCEPTED.md [AREA …]
//! ```
//!
//! Addresses are `host:port`. [`scripts`] says what is asked, [`normal`] what must differ, ACCEPTED.md what may. Ends with 1 if anything else
//! differs, or if a difference that is accepted is none any more (only looked at when all areas are run).

mod accepted;
mod compare;
mod fields;
mod normal;
mod scripts;
mod side;

use std::process::ExitCode;
use std::time::Instant;

use accepted::Accepted;
use side::{Side, Versions};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ours, theirs, accepted, areas @ ..] = arguments.as_slice() else {
        return Err("usage: differential OURS KAFKA ACCEPTED.md [AREA …]".into());
    };
    let mut accepted = Accepted::parse(&std::fs::read_to_string(accepted)?)?;
    let (mut ours, mut theirs) = (Side::new(ours), Side::new(theirs));
    let (our_versions, their_versions) = (ours.advertised().await?, theirs.advertised().await?);
    let common = common(&our_versions, &their_versions);
    (ours.common, theirs.common) = (common.clone(), common);
    for (area, script) in scripts::ALL {
        if !areas.is_empty() && !areas.iter().any(|wanted| wanted == area) {
            continue;
        }
        ours.begin(area);
        theirs.begin(area);
        let (before, start) = (ours.answers.len(), Instant::now());
        tokio::join!(script(&mut ours), script(&mut theirs));
        eprintln!("{area}: {} cases in {:.1} s", ours.answers.len() - before, start.elapsed().as_secs_f32());
    }
    let mut differences = compare::advertised(&our_versions, &their_versions);
    differences.extend(compare::answers(&ours.answers, &theirs.answers));
    let (meant, wrong): (Vec<_>, Vec<_>) = differences.into_iter().partition(|one| accepted.accepts(one));
    for one in &wrong {
        println!(
            "{} v{}, {}: {}\n    ours    {}\n    Kafka's {}",
            one.api,
            list(&one.versions),
            one.step,
            one.field,
            one.ours,
            one.theirs
        );
    }
    let stale = if areas.is_empty() { accepted.stale() } else { Vec::new() };
    for (line, row) in &stale {
        println!("line {line} of the accepted differences fits nothing any more: {row}");
    }
    let untried = untried(&ours);
    if areas.is_empty() && !untried.is_empty() {
        println!("never asked: {}", untried.join(", "));
    }
    println!(
        "{} cases (API, version, step), {} differences, {} accepted by {} rows",
        ours.answers.len(),
        wrong.len(),
        meant.len(),
        accepted.len()
    );
    let is_clean = wrong.is_empty() && stale.is_empty() && (!areas.is_empty() || untried.is_empty());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Versions that both have.
fn common(ours: &Versions, theirs: &Versions) -> Versions {
    let both = ours.iter().filter_map(|(key, (first, last))| {
        let (their_first, their_last) = theirs.get(key)?;
        Some((*key, (*first.max(their_first), *last.min(their_last))))
    });
    both.collect()
}

/// APIs and versions that both advertise and no script asks for.
fn untried(side: &Side) -> Vec<String> {
    let mut found = Vec::new();
    for api in millstream_protocol::messages::APIS {
        let Some((first, last)) = side.common.get(&api.key.code()) else { continue };
        for version in api.versions().filter(|version| (first..=last).contains(&version)) {
            let is_asked = |answer: &&side::Answer| answer.api == api.key.name() && answer.version == version;
            if !side.answers.iter().any(|answer| is_asked(&answer)) {
                found.push(format!("{} v{version}", api.key.name()));
            }
        }
    }
    found
}

/// `[0, 1, 2, 5]` as `0-2,5`.
fn list(versions: &[i16]) -> String {
    let mut ranges: Vec<(i16, i16)> = Vec::new();
    for version in versions {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 >= *version => *last = *version,
            _ => ranges.push((*version, *version)),
        }
    }
    let show = |(first, last): &(i16, i16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(show).collect::<Vec<_>>().join(",")
}
