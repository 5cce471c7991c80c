//! The differences between two brokers' answers.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::side::{Answer, Versions};
use millstream_protocol::ApiKey;

/// What is there on one side only.
const ABSENT: &str = "(absent)";

/// One difference, in one version or several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    pub api: String,
    pub step: String,
    pub field: String,
    pub ours: String,
    pub theirs: String,
    pub versions: Vec<i16>,
}

/// Differences between answers to the same requests.
pub fn answers(ours: &[Answer], theirs: &[Answer]) -> Vec<Difference> {
    let (ours, theirs) = (keyed(ours), keyed(theirs));
    let mut found: BTreeMap<(String, String, String, String, String), Vec<i16>> = BTreeMap::new();
    let mut keys: Vec<_> = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))).collect();
    keys.sort();
    let asked = BTreeMap::from([("(asked)", "yes")]);
    for key in keys {
        let (api, step, version, _) = key;
        let mut add = |field: &str, ours: &str, theirs: &str| {
            let what = (api.to_string(), step.to_string(), field.to_owned(), ours.to_owned(), theirs.to_owned());
            found.entry(what).or_default().push(*version);
        };
        let (mine, other) = match (ours.get(key), theirs.get(key)) {
            (Some(mine), Some(other)) => (by_path(mine), by_path(other)),
            (mine, _) if mine.is_some() => (asked.clone(), BTreeMap::new()),
            _ => (BTreeMap::new(), asked.clone()),
        };
        let paths = mine.keys().chain(other.keys().filter(|path| !mine.contains_key(*path)));
        // One line for an element that only one side has, not one a field; and where there is another error, that one alone.
        let failed = differing_errors(&mine, &other);
        let is_due = |path: &str| failed.iter().any(|parent| path.starts_with(parent) && !path.ends_with("error_code"));
        let lacking = |path: &str| lacks(path, &mine) || lacks(path, &other) || is_due(path);
        for path in paths {
            let value =
                |side: &BTreeMap<&str, &str>| side.get(path).map_or(ABSENT.to_owned(), |value| value.to_string());
            let (mine, other) = (value(&mine), value(&other));
            if mine != other && !lacking(path) {
                add(path, &mine, &other);
            }
        }
        for (element, is_ours) in elements_of_one_side(&mine, &other) {
            if is_due(&element) {
                continue;
            }
            match is_ours {
                true => add(&element, "there", ABSENT),
                false => add(&element, ABSENT, "there"),
            }
        }
    }
    let all = found.into_iter();
    all.map(|((api, step, field, ours, theirs), versions)| Difference { api, step, field, ours, theirs, versions })
        .collect()
}

/// Where error codes differ: the paths of what they are fields of.
fn differing_errors<'a>(ours: &BTreeMap<&'a str, &'a str>, theirs: &BTreeMap<&'a str, &'a str>) -> Vec<&'a str> {
    let codes = ours.iter().filter(|(path, code)| theirs.get(*path).is_some_and(|other| other != *code));
    codes.filter_map(|(path, _)| path.strip_suffix("error_code")).collect()
}

type Key<'a> = (&'a str, &'a str, i16, usize);

/// A step may be asked several times in one version.
fn keyed(answers: &[Answer]) -> BTreeMap<Key<'_>, &Answer> {
    let mut map = BTreeMap::new();
    for answer in answers {
        let mut again = 0;
        while map.contains_key(&(answer.api.as_str(), answer.step.as_str(), answer.version, again)) {
            again += 1;
        }
        map.insert((answer.api.as_str(), answer.step.as_str(), answer.version, again), answer);
    }
    map
}

fn by_path(answer: &Answer) -> BTreeMap<&str, &str> {
    answer.fields.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect()
}

/// The elements of lists that a path goes through: `a[x].b[y].c` → `a[x]`, `a[x].b[y]`.
fn elements(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices("].").map(|(at, _)| &path[..=at])
}

fn lacks(path: &str, side: &BTreeMap<&str, &str>) -> bool {
    elements(path).any(|element| !has(element, side))
}

fn has(element: &str, side: &BTreeMap<&str, &str>) -> bool {
    side.range::<str, _>((Bound::Included(element), Bound::Unbounded))
        .next()
        .is_some_and(|(path, _)| path.starts_with(element))
}

fn elements_of_one_side(ours: &BTreeMap<&str, &str>, theirs: &BTreeMap<&str, &str>) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for (side, other, is_ours) in [(ours, theirs, true), (theirs, ours, false)] {
        for path in side.keys() {
            let first = elements(path).find(|element| !has(element, other));
            if let Some(element) = first
                && !found.iter().any(|(known, _)| known == element)
            {
                found.push((element.to_owned(), is_ours));
            }
        }
    }
    found
}

/// Differences between what is advertised.
pub fn advertised(ours: &Versions, theirs: &Versions) -> Vec<Difference> {
    let mut keys: Vec<i16> = ours.keys().chain(theirs.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let show = |versions: Option<&(i16, i16)>| match versions {
        Some((first, last)) => format!("{first}-{last}"),
        None => ABSENT.to_owned(),
    };
    let rows = keys.into_iter().filter(|key| ours.get(key) != theirs.get(key)).map(|key| Difference {
        api: ApiKey::from_code(key).map_or_else(|| key.to_string(), |api| api.name().to_owned()),
        step: "advertised".to_owned(),
        field: "versions".to_owned(),
        ours: show(ours.get(&key)),
        theirs: show(theirs.get(&key)),
        versions: Vec::new(),
    });
    rows.collect()
}
