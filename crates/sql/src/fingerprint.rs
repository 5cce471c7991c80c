//! What decides whether old state still fits a query.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use crate::pipeline::{Relation, RelationKind};

/// Options of a Kafka relation that say which rows it gives; addresses, limits and starting points do not.
const IDENTITY: &[&str] = &["subscribe", "subscribepattern", "assign", "includeheaders"];

/// A hash of a plan with its types and sources, as hexadecimal digits. It stays the same over versions of Millstream that plan alike;
/// blanks, comments and names of views do not matter to it. Takes the plan as written, before optimisation.
pub(crate) fn fingerprint(plan: &LogicalPlan) -> String {
    let mut hash = Fnv::default();
    hash.add(&plan.display_indent_schema().to_string());
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(relation) = scan.source.downcast_ref::<Relation>()
        {
            hash.add(&relation.name);
            match &relation.kind {
                RelationKind::Kafka(options) => {
                    for (key, value) in options.iter().filter(|(key, _)| IDENTITY.contains(&key.as_str())) {
                        hash.add(key.as_str());
                        hash.add(value.as_str());
                    }
                }
                RelationKind::Files { format, location, options } => {
                    hash.add(&format!("{format:?}"));
                    hash.add(location);
                    options.iter().for_each(|(key, value)| hash.add(&format!("{key}={value}")));
                }
                RelationKind::Table(name) => hash.add(name),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.expect("nothing fails here");
    format!("{:032x}", hash.0)
}

/// FNV-1a over 128 bits: a fingerprint has to be the same in every build, and nobody attacks it.
struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    /// Adds a text and its end.
    fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}
