//! In what order `run` does things: a flow after the tables and views that it reads, the files of a table after the flows that fill it, a
//! view after what it is computed from.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use millstream_sql::{Relation, RelationKind, TableKind, relations_of};

use crate::graph::Graph;

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// These flows, side by side.
    Flows(Vec<String>),
    /// The files of this streaming table.
    Files(String),
    /// This materialized view.
    View(String),
}

/// A flow or a view, with the tables and views that it reads.
#[derive(Debug, Clone)]
struct Node {
    name: String,
    /// The table it fills; a view's own name.
    target: String,
    reads: BTreeSet<String>,
}

/// What a run has still to do.
#[derive(Debug, Clone)]
pub struct Left {
    flows: Vec<Node>,
    files: Vec<String>,
    views: Vec<Node>,
}

impl Left {
    /// Everything that `graph` is to do. An error names what can never be done.
    pub fn of(graph: &Graph) -> Result<Self> {
        let flows = graph.flows().map(|flow| Node {
            name: flow.name.clone(),
            target: flow.target.clone(),
            reads: tables(&relations_of(&flow.plan)),
        });
        let views = graph.views().filter_map(|view| match &view.kind {
            TableKind::Materialized(plan) => {
                Some(Node { name: view.name.clone(), target: view.name.clone(), reads: tables(&relations_of(plan)) })
            }
            TableKind::Streaming => None,
        });
        let left = Self {
            flows: flows.collect(),
            files: graph.tables().map(|table| table.name.clone()).collect(),
            views: views.collect(),
        };
        left.needs_nothing_that_is_not_there(graph)?;
        let mut rest = left.clone();
        while rest.next().is_some() {}
        let stuck = rest.flows.iter().chain(&rest.views).map(|node| node.name.as_str()).collect::<Vec<_>>();
        if !stuck.is_empty() {
            bail!("these wait for each other: {}", stuck.join(", "));
        }
        Ok(left)
    }

    /// A view that is read, but is not part of this run, must have been computed before.
    fn needs_nothing_that_is_not_there(&self, graph: &Graph) -> Result<()> {
        let statics = graph.statics();
        for flow in graph.flows() {
            for relation in relations_of(&flow.plan) {
                let RelationKind::Table(table) = &relation.kind else { continue };
                let here = self.views.iter().any(|view| view.name == *table);
                if !relation.streaming && !here && statics.version(&relation)?.is_none() {
                    bail!(
                        "flow {} joins {table}, which was never computed: refresh it too (--refresh {table})",
                        flow.name
                    );
                }
            }
        }
        Ok(())
    }

    /// What can be done now; it counts as done from then on.
    pub fn next(&mut self) -> Option<Step> {
        let ready = |node: &Node| !node.reads.iter().any(|read| *read != node.target && self.pending(read));
        if let Some(at) = self.views.iter().position(ready) {
            return Some(Step::View(self.views.remove(at).name));
        }
        if let Some(at) = self.files.iter().position(|table| !self.flows.iter().any(|flow| flow.target == *table)) {
            return Some(Step::Files(self.files.remove(at)));
        }
        let round: Vec<String> = self.flows.iter().filter(|flow| ready(flow)).map(|flow| flow.name.clone()).collect();
        self.flows.retain(|flow| !round.contains(&flow.name));
        (!round.is_empty()).then_some(Step::Flows(round))
    }

    /// Tables whose files were not written yet.
    pub fn files(self) -> Vec<String> {
        self.files
    }

    fn pending(&self, table: &str) -> bool {
        self.flows.iter().any(|flow| flow.target == table)
            || self.files.iter().any(|name| name == table)
            || self.views.iter().any(|view| view.name == table)
    }
}

fn tables(relations: &[Relation]) -> BTreeSet<String> {
    let names = relations.iter().filter_map(|relation| match &relation.kind {
        RelationKind::Table(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, target: &str, reads: &[&str]) -> Node {
        Node { name: name.into(), target: target.into(), reads: reads.iter().map(|read| (*read).to_owned()).collect() }
    }

    fn steps(mut left: Left) -> Vec<String> {
        let mut steps = Vec::new();
        while let Some(step) = left.next() {
            steps.push(match step {
                Step::Flows(names) => names.join("+"),
                Step::Files(name) => format!("files {name}"),
                Step::View(name) => format!("view {name}"),
            });
        }
        steps
    }

    #[test]
    fn what_is_read_comes_before_what_reads_it() {
        let left = Left {
            flows: vec![
                node("enriched", "enriched", &["stations", "events"]),
                node("events", "events", &[]),
                node("more", "events", &[]),
            ],
            files: vec!["enriched".into(), "events".into()],
            views: vec![node("busiest", "busiest", &["enriched"]), node("stations", "stations", &[])],
        };
        let expected = ["view stations", "events+more", "files events", "enriched", "files enriched", "view busiest"];
        assert_eq!(steps(left), expected);
    }

    #[test]
    fn a_table_may_read_itself_but_two_may_not_wait_for_each_other() {
        let alone = Left { flows: vec![node("a", "a", &["a"])], files: vec!["a".into()], views: vec![] };
        assert_eq!(steps(alone), ["a", "files a"]);
        let both = [node("a", "a", &["b"]), node("b", "b", &["a"])];
        let stuck = Left { flows: both.to_vec(), files: vec!["a".into(), "b".into()], views: vec![] };
        assert!(steps(stuck).is_empty());
    }
}
