//! A stream joined with a static table.

use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::logical_expr::{Expr, Join, JoinType};

use super::lower::{Chain, Lowering, human};
use super::{has_stream, nullable};
use crate::error::EngineError;
use crate::ops::{JoinKind, JoinOp, Op, StaticSide};
use crate::stats::StepKind;

impl Lowering {
    pub(super) fn join(&mut self, join: &Join) -> Result<Vec<Chain>, EngineError> {
        let stream_is_left = match (has_stream(&join.left), has_stream(&join.right)) {
            (true, false) => true,
            (false, true) => false,
            _ => {
                return Err(EngineError::unsupported(
                    "a JOIN of two streams",
                    "let one side be a static table or a MATERIALIZED VIEW, read without STREAM",
                ));
            }
        };
        let kind = match (join.join_type, stream_is_left) {
            (JoinType::Inner, _) => JoinKind::Inner,
            (JoinType::Left, true) | (JoinType::Right, false) => JoinKind::Outer,
            (JoinType::LeftSemi, true) | (JoinType::RightSemi, false) => JoinKind::Semi,
            (JoinType::LeftAnti, true) | (JoinType::RightAnti, false) => JoinKind::Anti { null_aware: join.null_aware },
            (other, _) => {
                let what = format!("a {other} JOIN that keeps rows of the static side");
                return Err(EngineError::unsupported(
                    what,
                    "keep the stream's rows: put the stream on the side that is kept",
                ));
            }
        };
        let (stream, fixed) = if stream_is_left { (&join.left, &join.right) } else { (&join.right, &join.left) };
        let chains = self.lower(stream)?;
        let mut keys = Vec::with_capacity(join.on.len());
        let mut static_keys: Vec<Expr> = Vec::with_capacity(join.on.len());
        for (left, right) in &join.on {
            let (of_stream, of_static) = if stream_is_left { (left, right) } else { (right, left) };
            keys.push(self.planner.expr(of_stream, stream.schema())?);
            static_keys.push(of_static.clone());
        }
        let both = join.left.schema().join(join.right.schema())?;
        let filter = join.filter.as_ref().map(|filter| self.planner.expr(filter, &both)).transpose()?;
        let physical_keys = static_keys.iter().map(|key| self.planner.expr(key, fixed.schema()));
        let physical_keys = physical_keys.collect::<Result<Vec<_>, _>>()?;
        let side = Arc::new(StaticSide::new(fixed.as_ref().clone(), physical_keys));
        self.statics.push(Arc::clone(&side));
        let op = JoinOp {
            kind,
            stream_is_left,
            keys,
            side,
            filter,
            both: nullable(&both),
            schema: nullable(&join.schema),
            null_equals_null: join.null_equality == NullEquality::NullEqualsNull,
        };
        let label = join.on.iter().map(|(left, right)| format!("{} = {}", human(left), human(right)));
        let label = label.collect::<Vec<_>>().join(" AND ");
        Ok(self.push(chains, StepKind::Join, &label, Op::Join(op)))
    }
}
