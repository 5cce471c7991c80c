//! A message as a list of fields, each with its path: `topics["orders"].partitions[0].error_code`. Read from what `{:#?}` prints, so that no
//! message needs a second description of its fields.

use std::fmt::Debug;
use std::iter::Peekable;
use std::str::Lines;

/// Fields by which an element of a list is known, wherever it stands in the list.
const IDENTITIES: &[&str] = &[
    "name",
    "topic",
    "topic_name",
    "topic_id",
    "partition_index",
    "partition",
    "index",
    "partition_id",
    "group_id",
    "resource_name",
    "api_key",
    "transactional_id",
    "user",
    "key",
    "feature",
    "entity_name",
];

enum Node {
    Leaf(String),
    Struct(Vec<(String, Node)>),
    List(Vec<Node>),
}

/// The fields of `message`, in the order of its schema.
pub fn fields(message: &impl Debug, normal: &dyn Fn(&str, String) -> String) -> Vec<(String, String)> {
    let text = format!("{message:#?}");
    let mut lines = text.lines().peekable();
    let first = lines.next().unwrap_or_default();
    let node = parse(first, &mut lines);
    let mut found = Vec::new();
    flatten(&node, "", "", normal, &mut found);
    found
}

fn parse(text: &str, lines: &mut Peekable<Lines<'_>>) -> Node {
    let text = text.trim();
    if text.ends_with('{') {
        let mut fields = Vec::new();
        while let Some(line) = until(lines, '}') {
            let (name, value) = line.trim().split_once(": ").unwrap_or(("?", line));
            fields.push((name.to_owned(), parse(value, lines)));
        }
        return Node::Struct(fields);
    }
    if text == "[" {
        let mut items = Vec::new();
        while let Some(line) = until(lines, ']') {
            items.push(parse(line, lines));
        }
        return Node::List(items);
    }
    if let Some(name) = text.strip_suffix('(') {
        let mut inner = None;
        while let Some(line) = until(lines, ')') {
            inner = Some(parse(line, lines));
        }
        return match inner {
            Some(Node::Leaf(value)) if name != "Some" => Node::Leaf(format!("{name}({value})")),
            Some(node) => node,
            None => Node::Leaf(name.to_owned()),
        };
    }
    match text.trim_end_matches(',') {
        "[]" => Node::List(Vec::new()),
        value => Node::Leaf(value.to_owned()),
    }
}

/// The next line, unless it is the closing one, which is passed over.
fn until<'a>(lines: &mut Peekable<Lines<'a>>, close: char) -> Option<&'a str> {
    let line = lines.next()?;
    let is_close = line.trim().trim_end_matches(',').chars().eq([close]);
    (!is_close).then_some(line)
}

fn flatten(
    node: &Node,
    path: &str,
    name: &str,
    normal: &dyn Fn(&str, String) -> String,
    found: &mut Vec<(String, String)>,
) {
    match node {
        Node::Leaf(value) => found.push((path.to_owned(), normal(name, value.clone()))),
        Node::Struct(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(value, &path, name, normal, found);
            }
        }
        Node::List(items) => {
            let is_keyed = !items.is_empty() && items.iter().all(|item| identity(item, normal).is_some());
            if !is_keyed {
                found.push((format!("{path}.len"), items.len().to_string()));
            }
            let mut seen = Vec::new();
            for (number, item) in items.iter().enumerate() {
                let identity = identity(item, normal).unwrap_or_else(|| number.to_string());
                let again = seen.iter().filter(|other| **other == identity).count();
                let path = match again {
                    0 => format!("{path}[{identity}]"),
                    _ => format!("{path}[{identity} #{}]", again + 1),
                };
                seen.push(identity);
                flatten(item, &path, name, normal, found);
            }
        }
    }
}

fn identity(item: &Node, normal: &dyn Fn(&str, String) -> String) -> Option<String> {
    let Node::Struct(fields) = item else { return None };
    IDENTITIES.iter().find_map(|wanted| {
        let (name, value) = fields.iter().find(|(name, _)| name == wanted)?;
        match value {
            Node::Leaf(value) if !matches!(value.as_str(), "\"\"" | "None" | crate::side::NIL) => {
                Some(normal(name, value.clone()))
            }
            _ => None,
        }
    })
}
