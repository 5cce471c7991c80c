//! ListTransactions: transactional ids, by state, producer, age and name.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::list_transactions::TransactionState;
use millstream_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use regex::Regex;

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};
use crate::transactions::State;

/// States that Kafka knows and that nothing is in here.
const STATES_ELSEWHERE: [&str; 4] = ["PrepareCommit", "PrepareAbort", "Dead", "PrepareEpochFence"];
const STATES: [State; 4] = [State::Empty, State::Ongoing, State::CompleteCommit, State::CompleteAbort];

pub(crate) struct ListTransactions;

impl Api for ListTransactions {
    type Request = ListTransactionsRequest;

    const ACCESS: Access<ListTransactionsRequest> = Access::Each;

    async fn handle(context: Context, request: ListTransactionsRequest) -> ListTransactionsResponse {
        let pattern = request.transactional_id_pattern.filter(|pattern| !pattern.is_empty());
        // The whole name has to match.
        let pattern = match pattern.map(|pattern| Regex::new(&format!("^(?:{pattern})$"))).transpose() {
            Ok(pattern) => pattern,
            Err(_) => {
                let error_code = ErrorCode::InvalidRegularExpression;
                return ListTransactionsResponse { error_code, ..ListTransactionsResponse::default() };
            }
        };
        let (known, unknown_state_filters): (Vec<String>, Vec<String>) =
            request.state_filters.into_iter().partition(|name| {
                STATES.iter().any(|state| state.name() == name) || STATES_ELSEWHERE.contains(&name.as_str())
            });
        // Only states that do not exist were asked for: nothing is in them.
        let nothing = known.is_empty() && !unknown_state_filters.is_empty();
        let now_ms = context.broker.config.clock.now_ms();
        let all = context.broker.transactions.list().into_iter().filter(|there| {
            let ids = &request.producer_id_filters;
            !nothing
                && context.could(Operation::Describe, Resource::transactional_id(&there.id))
                && (known.is_empty() || known.iter().any(|name| name == there.state.name()))
                && (ids.is_empty() || ids.contains(&there.producer_id))
                && (request.duration_filter < 0 || {
                    let open = there.state == State::Ongoing;
                    open && now_ms.saturating_sub(there.started_ms) > request.duration_filter
                })
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(&there.id))
        });
        let transaction_states = all.map(|there| TransactionState {
            transactional_id: there.id,
            producer_id: there.producer_id,
            transaction_state: there.state.name().to_string(),
        });
        ListTransactionsResponse {
            unknown_state_filters,
            transaction_states: transaction_states.collect(),
            ..ListTransactionsResponse::default()
        }
    }
}
