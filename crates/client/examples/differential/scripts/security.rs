//! Rules and users, on a broker without an authorizer.

use bytes::Bytes;
use millstream_protocol::messages::alter_user_scram_credentials::{ScramCredentialDeletion, ScramCredentialUpsertion};
use millstream_protocol::messages::create_acls::AclCreation;
use millstream_protocol::messages::delete_acls::DeleteAclsFilter;
use millstream_protocol::messages::describe_user_scram_credentials::UserName;
use millstream_protocol::messages::{
    AlterUserScramCredentialsRequest, CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest,
    DescribeUserScramCredentialsRequest,
};

use crate::side::Side;

pub async fn run(side: &mut Side) {
    acls(side).await;
    users(side).await;
}

const ANY: i8 = 1;

async fn acls(side: &mut Side) {
    let rule = AclCreation {
        resource_type: 2,
        resource_name: "orders".to_owned(),
        resource_pattern_type: 3,
        principal: "User:alice".to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
    };
    side.each("a rule", |_| Some(CreateAclsRequest { creations: vec![rule.clone()] })).await;
    side.each("none", |_| Some(CreateAclsRequest::default())).await;
    let any = DescribeAclsRequest {
        resource_type_filter: ANY,
        pattern_type_filter: ANY,
        operation: ANY,
        permission_type: ANY,
        ..Default::default()
    };
    side.each("all", |_| Some(any.clone())).await;
    let filter = DeleteAclsFilter {
        resource_type_filter: ANY,
        pattern_type_filter: ANY,
        operation: ANY,
        permission_type: ANY,
        ..Default::default()
    };
    side.each("all", |_| Some(DeleteAclsRequest { filters: vec![filter.clone()] })).await;
    side.each("none", |_| Some(DeleteAclsRequest::default())).await;
}

async fn users(side: &mut Side) {
    let put = |name: &str, mechanism, iterations| ScramCredentialUpsertion {
        name: name.to_owned(),
        mechanism,
        iterations,
        salt: Bytes::from_static(b"0123456789abcdef"),
        salted_password: Bytes::from(vec![7; if mechanism == 2 { 64 } else { 32 }]),
    };
    let take = |name: &str, mechanism| ScramCredentialDeletion { name: name.to_owned(), mechanism };
    let alter = |deletions, upsertions| AlterUserScramCredentialsRequest { deletions, upsertions };
    let describe = |names: Option<&[&str]>| DescribeUserScramCredentialsRequest {
        users: names.map(|names| names.iter().map(|name| UserName { name: (*name).to_owned() }).collect()),
    };
    side.newest("none there", &describe(None)).await;
    side.newest("nobody asked for", &describe(Some(&[]))).await;
    side.newest("a stranger", &describe(Some(&["stranger"]))).await;
    for (step, request) in [
        ("a user", alter(vec![], vec![put("alice", 1, 4096)])),
        ("both mechanisms", alter(vec![], vec![put("bob", 1, 4096), put("bob", 2, 8192)])),
        ("few iterations", alter(vec![], vec![put("carol", 1, 4095)])),
        ("many iterations", alter(vec![], vec![put("carol", 1, 16385)])),
        ("mechanism 7", alter(vec![], vec![put("carol", 7, 4096)])),
        ("mechanism 0", alter(vec![], vec![put("carol", 0, 4096)])),
        ("no name", alter(vec![], vec![put("", 1, 4096)])),
        ("one twice", alter(vec![], vec![put("carol", 1, 4096), put("carol", 1, 4096)])),
        ("put and taken", alter(vec![take("carol", 1)], vec![put("carol", 1, 4096)])),
        ("a stranger taken", alter(vec![take("stranger", 1)], vec![])),
        ("a mechanism taken that is not there", alter(vec![take("alice", 2)], vec![])),
        ("mechanism 7 taken", alter(vec![take("alice", 7)], vec![])),
        ("no name taken", alter(vec![take("", 1)], vec![])),
        ("one good, one bad", alter(vec![take("stranger", 1)], vec![put("dave", 1, 4096)])),
        ("none", alter(vec![], vec![])),
    ] {
        side.newest(step, &request).await;
    }
    side.settle_metadata().await;
    side.newest("all", &describe(None)).await;
    side.newest("some", &describe(Some(&["alice", "bob", "stranger"]))).await;
    side.newest("one twice", &describe(Some(&["alice", "alice"]))).await;
    side.newest("no name", &describe(Some(&[""]))).await;
    let all = vec![take("alice", 1), take("bob", 1), take("bob", 2), take("dave", 1)];
    side.newest("all taken", &alter(all, vec![])).await;
}
