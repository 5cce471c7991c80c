//! What is wrong beside the queries, found before anything runs: values of settings, topics and feeds.

use std::collections::BTreeSet;
use std::path::Path;

use millstream_broker::configs::topic;
use millstream_connectors::feeds::{FeedSpec, check_feed, nearest};
use millstream_connectors::file_sink::FileConfig;
use millstream_connectors::kafka::KafkaOptions;
use millstream_connectors::table_log::Delivery;
use millstream_engine::{CompileOptions, compile};
use millstream_functions::Session;
use millstream_sql::{Origin, RelationKind, Report, Table, relations_of, topic_fault};

use super::yaml::{CLASS, line_of};
use super::{Loaded, Settings};

/// What a problem quotes is looked for so far below the setting that it names.
const QUOTED_WITHIN_LINES: usize = 40;

/// Everything that keeps the project from running. `yaml` is the text of `millstream.yml`.
pub fn errors(project: &Loaded, yaml: &str) -> Vec<Report> {
    let mut reports: Vec<Report> = [configuration(project), tables(project), flows(project)].concat();
    reports.extend(settings(project, yaml));
    reports
}

/// A report of one line of a file of the project.
fn at(project: &Loaded, place: &Origin, word: &str, message: String, help: Option<&str>) -> Report {
    let text = std::fs::read_to_string(project.dir.join(&place.file)).unwrap_or_default();
    let mut report = Report::of_file(&place.file, &text);
    report.line(place.line, word, CLASS, message, help.map(str::to_owned));
    report
}

/// A report of a key of `configuration`.
fn setting(project: &Loaded, key: &str, message: String, help: &str) -> Report {
    let nowhere = Origin { file: "spark-pipeline.yml".into(), line: 1 };
    let place = project.pipeline.settings_at.get(key).unwrap_or(&nowhere);
    at(project, place, key, message, Some(help))
}

fn configuration(project: &Loaded) -> Vec<Report> {
    let mut reports = Vec::new();
    let pipeline = &project.pipeline;
    for key in ["millstream.idle", "millstream.trigger"] {
        if let Err(error) = project.duration_us(key, 0) {
            reports.push(setting(project, key, error.to_string(), "write it as '10 seconds'"));
        }
    }
    if let Some(what) =
        pipeline.configuration.get("millstream.on.error").filter(|w| !["fail", "dead-letters"].contains(&w.as_str()))
    {
        let message = format!("millstream.on.error = '{what}' is not one of fail and dead-letters");
        reports.push(setting(project, "millstream.on.error", message, "fail, or leave it out for dead letters"));
    }
    let key = "millstream.dead.letters";
    if let Some((topic, fault)) = pipeline.configuration.get(key).and_then(|topic| Some((topic, topic_fault(topic)?))) {
        let message = format!("`{topic}` is no name of a topic: {fault}");
        reports.push(setting(project, key, message, "a name such as visits.dead-letters"));
    }
    reports
}

fn tables(project: &Loaded) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut told = BTreeSet::new();
    for table in &project.pipeline.tables {
        if let Err(error) = FileConfig::of(table, &project.pipeline.configuration, &project.lake()) {
            // The problem begins with the name of the setting, if it is one's.
            let key = error.problem.split(' ').next().unwrap_or_default();
            let place = match place_in(table, key) {
                Some(place) => place,
                None => project.pipeline.settings_at.get(key).unwrap_or(&table.origin).clone(),
            };
            // What the whole pipeline is given is wrong once.
            if told.insert((place.file.clone(), place.line)) {
                reports.push(at(project, &place, key, error.problem.clone(), Some(&error.remedy)));
            }
        }
        if let Err(error) = Delivery::of(&table.name, &table.schema, &table.properties, &Session::default()) {
            let key = "millstream.topic";
            let place = place_in(table, key).unwrap_or_else(|| table.origin.clone());
            reports.push(at(project, &place, key, error.to_string(), None));
        }
    }
    reports
}

/// Where a property stands in a table's statement.
fn place_in(table: &Table, property: &str) -> Option<Origin> {
    let at = table.sql.find(property).filter(|_| table.properties.contains_key(property))?;
    let line = table.origin.line + table.sql[..at].matches('\n').count();
    Some(Origin { file: table.origin.file.clone(), line })
}

fn flows(project: &Loaded) -> Vec<Report> {
    let mut reports = Vec::new();
    for flow in &project.pipeline.flows {
        let mut wrong = |problem: String| {
            reports.push(at(project, &flow.origin, "", format!("flow {}: {problem}", flow.name), None))
        };
        if let Err(error) = compile(flow, CompileOptions::default()) {
            wrong(error.to_string());
        }
        for relation in relations_of(&flow.plan) {
            if let RelationKind::Kafka(options) = &relation.kind
                && let Err(error) = KafkaOptions::parse(options)
            {
                wrong(error.to_string());
            }
        }
    }
    reports
}

/// What stands in `millstream.yml`.
fn settings(project: &Loaded, yaml: &str) -> Option<Report> {
    let mut report = Report::of_file(Settings::FILE, yaml);
    let line = |path: &[&str]| line_of(yaml, path).0;
    for (name, spec) in &project.settings.topics {
        if let Some(fault) = topic_fault(name) {
            let message = format!("`{name}` is no name of a topic: {fault}");
            report.line(line(&["topics", name]), name, CLASS, message, None);
        }
        if spec.partitions < 0 {
            let message = format!("topic {name}: {} is no number of partitions", spec.partitions);
            let help = "at least 1; without it the topic has as many as the broker's num.partitions".to_owned();
            report.line(line(&["topics", name, "partitions"]), "partitions", CLASS, message, Some(help));
        }
        for (key, value) in spec.spec().configs {
            if let Err(problem) = topic::check(&key, &value) {
                let message = format!("topic {name}: {problem}");
                report.line(line(&["topics", name, "configs", &key]), &key, CLASS, message, None);
            }
        }
    }
    for (name, feed) in &project.settings.feeds {
        if let Some(fault) = topic_fault(&feed.topic) {
            let message = format!("feed {name}: `{}` is no name of a topic: {fault}", feed.topic);
            report.line(line(&["feeds", name, "topic"]), "topic", CLASS, message, None);
        }
        // A file that is not there may come yet: the feed waits for it.
        if missing_file(feed, &project.dir).is_none()
            && let Err(error) = check_feed(name, feed, &project.dir)
        {
            let (line, word) = place_in_feed(yaml, name, &error.problem);
            report.line(line, &word, CLASS, error.to_string(), None);
        }
    }
    report.diagnostics.sort_by_key(|diagnostic| diagnostic.span);
    (!report.diagnostics.is_empty()).then_some(report)
}

/// The line of a feed that a problem is about, and the word in it. Problems begin with the setting's name (`clock.start: …`, `field page: …`).
fn place_in_feed(yaml: &str, feed: &str, problem: &str) -> (usize, String) {
    let head = problem.split(':').next().unwrap_or_default();
    let keys: Vec<&str> = match head.strip_prefix("field ") {
        Some(field) => vec!["fields", field.trim_matches('`')],
        None => head.split('.').collect(),
    };
    let below = |parts: &[&str]| line_of(yaml, &[&["feeds", feed][..], parts].concat());
    let found = [vec![], vec!["generate"], vec!["replay"]]
        .iter()
        .map(|parent| {
            let (line, depth) = below(&[parent.as_slice(), &keys].concat());
            (depth.saturating_sub(2 + parent.len()), line, depth)
        })
        .max_by_key(|(known, ..)| *known)
        .filter(|(known, ..)| *known > 0);
    let (line, word) = match found {
        Some((known, line, _)) => (line, keys[known - 1]),
        None => (below(&[]).0, feed),
    };
    // What the problem quotes may stand further below.
    let quoted = problem.split(['`', '\'']).nth(1).filter(|quoted| !quoted.is_empty());
    let mut behind = yaml.lines().enumerate().skip(line - 1).take(QUOTED_WITHIN_LINES);
    match quoted.and_then(|quoted| Some((behind.find(|(_, text)| text.contains(quoted))?.0 + 1, quoted))) {
        Some((line, quoted)) => (line, quoted.to_owned()),
        None => (line, word.to_owned()),
    }
}

/// The file that a feed would replay, if it is not there.
fn missing_file<'a>(feed: &'a FeedSpec, base: &Path) -> Option<&'a str> {
    let replay = feed.replay.as_ref()?;
    (!base.join(&replay.file).exists()).then_some(&replay.file)
}

/// What runs, but hardly as it was meant: feeds without their file, and those whose topic no query reads.
pub fn warnings(project: &Loaded, yaml: &str) -> Vec<Report> {
    let pipeline = &project.pipeline;
    let mut read: BTreeSet<String> = BTreeSet::new();
    for relation in pipeline.flows.iter().flat_map(|flow| relations_of(&flow.plan)) {
        if let RelationKind::Kafka(options) = &relation.kind {
            // Patterns read what will be there.
            let Some(topics) = options.get("subscribe") else { return Vec::new() };
            read.extend(topics.split(',').map(|topic| topic.trim().to_owned()));
        }
    }
    let mut report = Report::of_file(Settings::FILE, yaml);
    for (name, feed) in &project.settings.feeds {
        if let Some(file) = missing_file(feed, &project.dir) {
            let message = format!("feed {name}: there is no file `{file}` yet; the feed begins when it comes");
            report.line(line_of(yaml, &["feeds", name, "replay", "file"]).0, file, CLASS, message, None);
            report.diagnostics.last_mut().expect("it was just added").warning = true;
        }
    }
    if read.is_empty() {
        return vec![report];
    }
    for (name, feed) in project.settings.feeds.iter().filter(|(_, feed)| !read.contains(&feed.topic)) {
        let message = format!("feed {name} writes into `{}`, which no query reads", feed.topic);
        let topics = read.iter().map(|topic| format!("`{topic}`")).collect::<Vec<_>>().join(", ");
        let help = match nearest(&feed.topic, read.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? A query reads that"),
            None => format!("queries read {topics}"),
        };
        let line = line_of(yaml, &["feeds", name, "topic"]).0;
        report.line(line, &feed.topic, CLASS, message, Some(help));
        report.diagnostics.last_mut().expect("it was just added").warning = true;
    }
    vec![report]
}
