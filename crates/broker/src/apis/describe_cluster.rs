//! DescribeCluster: one node.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_cluster::DescribeClusterBroker;
use millstream_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::{Access, Api, Context, operations};

/// A client that asks for brokers; controllers have an address of their own, which a single node has not.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) struct DescribeCluster;

impl Api for DescribeCluster {
    type Request = DescribeClusterRequest;

    const ACCESS: Access<DescribeClusterRequest> = Access::Each;

    async fn handle(context: Context, request: DescribeClusterRequest) -> DescribeClusterResponse {
        if request.endpoint_type != BROKERS {
            let (error_code, why) = match request.endpoint_type {
                CONTROLLERS => {
                    (ErrorCode::MismatchedEndpointType, "this is a broker's address: ask with --bootstrap-server")
                }
                _ => (ErrorCode::UnsupportedEndpointType, "endpoints are brokers (1) or controllers (2)"),
            };
            return DescribeClusterResponse {
                error_code,
                error_message: Some(why.to_string()),
                endpoint_type: BROKERS,
                ..DescribeClusterResponse::default()
            };
        }
        let (host, port) = context.address();
        let node_id = context.broker.config.node_id;
        DescribeClusterResponse {
            endpoint_type: BROKERS,
            cluster_id: context.broker.log.cluster_id().to_string(),
            controller_id: node_id,
            brokers: vec![DescribeClusterBroker {
                broker_id: node_id,
                host,
                port: i32::from(port),
                rack: context.broker.config.rack(),
                ..DescribeClusterBroker::default()
            }],
            cluster_authorized_operations: operations::of_cluster(
                &context,
                request.include_cluster_authorized_operations,
            ),
            ..DescribeClusterResponse::default()
        }
    }
}
