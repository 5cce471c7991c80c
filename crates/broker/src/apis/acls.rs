//! DescribeAcls, CreateAcls, DeleteAcls: the rules of who may do what. They speak the same language, so they stand in one file.

use std::collections::BTreeMap;

use millstream_protocol::ErrorCode;
use millstream_protocol::acl::{ANY_CODE, MATCH_CODE};
use millstream_protocol::messages::create_acls::{AclCreation, AclCreationResult};
use millstream_protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use millstream_protocol::messages::describe_acls::{AclDescription, DescribeAclsResource};
use millstream_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};

use super::{Access, Api, Context, words};
use crate::security::Principal;
use crate::security::acl::{
    ANY, Acl, CLUSTER_NAME, Filter, Kind, Operation, Pattern, PatternFilter, Permission, Resource,
};

/// Longest name of a rule.
const NAME_BYTES_MAX: usize = 1024;

const OFF: &str = "there is no authorizer: authorizer.class.name switches it on";

type Refusal = (ErrorCode, String);

fn invalid(why: impl Into<String>) -> Refusal {
    (ErrorCode::InvalidRequest, why.into())
}

pub(crate) struct DescribeAcls;

impl Api for DescribeAcls {
    type Request = DescribeAclsRequest;

    const ACCESS: Access<DescribeAclsRequest> = Access::One {
        operation: Operation::Describe,
        of: |_| Resource::CLUSTER,
        denied: |_| DescribeAclsResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..DescribeAclsResponse::default()
        },
    };

    async fn handle(context: Context, request: DescribeAclsRequest) -> DescribeAclsResponse {
        let asked = DeleteAclsFilter {
            resource_type_filter: request.resource_type_filter,
            resource_name_filter: request.resource_name_filter,
            pattern_type_filter: request.pattern_type_filter,
            principal_filter: request.principal_filter,
            host_filter: request.host_filter,
            operation: request.operation,
            permission_type: request.permission_type,
        };
        let authorizer = &context.broker.security.authorizer;
        let found = match filter(asked) {
            _ if !authorizer.is_on() => Err((ErrorCode::SecurityDisabled, OFF.to_string())),
            Ok(filter) => Ok(authorizer.find(&filter)),
            Err(refusal) => Err(refusal),
        };
        let found = match found {
            Ok(found) => found,
            Err((error_code, words)) => {
                let error_message = Some(words);
                return DescribeAclsResponse { error_code, error_message, ..DescribeAclsResponse::default() };
            }
        };
        let mut resources: BTreeMap<(Kind, Pattern, String), Vec<AclDescription>> = BTreeMap::new();
        for acl in found {
            resources.entry((acl.kind, acl.pattern, acl.name)).or_default().push(AclDescription {
                principal: acl.principal,
                host: acl.host,
                operation: acl.operation.code(),
                permission_type: acl.permission.code(),
            });
        }
        let resources = resources.into_iter().map(|((kind, pattern, resource_name), acls)| DescribeAclsResource {
            resource_type: kind.code(),
            resource_name,
            pattern_type: pattern.code(),
            acls,
        });
        DescribeAclsResponse { resources: resources.collect(), ..DescribeAclsResponse::default() }
    }
}

pub(crate) struct CreateAcls;

impl Api for CreateAcls {
    type Request = CreateAclsRequest;

    const ACCESS: Access<CreateAclsRequest> = Access::One {
        operation: Operation::Alter,
        of: |_| Resource::CLUSTER,
        denied: |request| CreateAclsResponse {
            results: created(request.creations.len(), ErrorCode::ClusterAuthorizationFailed, None),
            ..CreateAclsResponse::default()
        },
    };

    async fn handle(context: Context, request: CreateAclsRequest) -> CreateAclsResponse {
        let authorizer = &context.broker.security.authorizer;
        let count = request.creations.len();
        if !authorizer.is_on() {
            let results = created(count, ErrorCode::SecurityDisabled, Some(OFF.to_string()));
            return CreateAclsResponse { results, ..CreateAclsResponse::default() };
        }
        let checked: Vec<Result<Acl, Refusal>> = request.creations.into_iter().map(rule).collect();
        let good = checked.iter().filter_map(|one| one.as_ref().ok().cloned()).collect();
        let added = authorizer.add(good).await.map_err(|error| (error.code(), words(&error).unwrap_or_default()));
        let result = |one: Result<Acl, Refusal>| match one.and(added.clone()) {
            Ok(()) => AclCreationResult::default(),
            Err((error_code, words)) => AclCreationResult { error_code, error_message: Some(words) },
        };
        CreateAclsResponse { results: checked.into_iter().map(result).collect(), ..CreateAclsResponse::default() }
    }
}

fn created(count: usize, error_code: ErrorCode, error_message: Option<String>) -> Vec<AclCreationResult> {
    vec![AclCreationResult { error_code, error_message }; count]
}

pub(crate) struct DeleteAcls;

impl Api for DeleteAcls {
    type Request = DeleteAclsRequest;

    const ACCESS: Access<DeleteAclsRequest> = Access::One {
        operation: Operation::Alter,
        of: |_| Resource::CLUSTER,
        denied: |request| DeleteAclsResponse {
            filter_results: vec![not_deleted(ErrorCode::ClusterAuthorizationFailed, None); request.filters.len()],
            ..DeleteAclsResponse::default()
        },
    };

    async fn handle(context: Context, request: DeleteAclsRequest) -> DeleteAclsResponse {
        let authorizer = &context.broker.security.authorizer;
        let count = request.filters.len();
        if !authorizer.is_on() {
            let filter_results = vec![not_deleted(ErrorCode::SecurityDisabled, Some(OFF.to_string())); count];
            return DeleteAclsResponse { filter_results, ..DeleteAclsResponse::default() };
        }
        let filters: Vec<Result<Filter, Refusal>> = request.filters.into_iter().map(filter).collect();
        let good: Vec<Filter> = filters.iter().filter_map(|one| one.as_ref().ok().cloned()).collect();
        let removed = authorizer.remove(&good).await;
        let removed = removed.map_err(|error| (error.code(), words(&error).unwrap_or_default()));
        let mut removed = removed.map(Vec::into_iter);
        let mut results = Vec::new();
        for one in filters {
            let found = match (&one, &mut removed) {
                (Err(refusal), _) => Err(refusal.clone()),
                (Ok(_), Err(refusal)) => Err(refusal.clone()),
                (Ok(_), Ok(removed)) => Ok(removed.next().unwrap_or_default()),
            };
            results.push(match found {
                Ok(acls) => DeleteAclsFilterResult {
                    matching_acls: acls.into_iter().map(matching).collect(),
                    ..DeleteAclsFilterResult::default()
                },
                Err((code, words)) => not_deleted(code, Some(words)),
            });
        }
        DeleteAclsResponse { filter_results: results, ..DeleteAclsResponse::default() }
    }
}

fn not_deleted(error_code: ErrorCode, error_message: Option<String>) -> DeleteAclsFilterResult {
    DeleteAclsFilterResult { error_code, error_message, matching_acls: Vec::new() }
}

fn matching(acl: Acl) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        error_code: ErrorCode::None,
        error_message: None,
        resource_type: acl.kind.code(),
        resource_name: acl.name,
        pattern_type: acl.pattern.code(),
        principal: acl.principal,
        host: acl.host,
        operation: acl.operation.code(),
        permission_type: acl.permission.code(),
    }
}

fn rule(asked: AclCreation) -> Result<Acl, Refusal> {
    let unknown = |what: &str, code: i8| invalid(format!("there is no {what} {code} of a rule"));
    let acl = Acl {
        kind: Kind::from_code(asked.resource_type).ok_or_else(|| unknown("resource type", asked.resource_type))?,
        pattern: Pattern::from_code(asked.resource_pattern_type)
            .ok_or_else(|| unknown("pattern type", asked.resource_pattern_type))?,
        name: asked.resource_name,
        principal: asked.principal,
        host: asked.host,
        operation: Operation::from_code(asked.operation).ok_or_else(|| unknown("operation", asked.operation))?,
        permission: Permission::from_code(asked.permission_type)
            .ok_or_else(|| unknown("permission type", asked.permission_type))?,
    };
    let longest = acl.name.len().max(acl.principal.len()).max(acl.host.len());
    if acl.name.is_empty() || longest > NAME_BYTES_MAX {
        return Err(invalid("a rule's resource name is empty, or one of its texts is too long"));
    }
    if acl.kind == Kind::Cluster && acl.name != CLUSTER_NAME {
        return Err(invalid(format!("the only name of a cluster is {CLUSTER_NAME}")));
    }
    if Principal::parse(&acl.principal).is_none() {
        return Err(invalid(format!("{:?} is not KIND:NAME, as in User:alice", acl.principal)));
    }
    if acl.host != ANY && acl.host.parse::<std::net::IpAddr>().is_err() {
        return Err(invalid(format!("host {:?} is neither an address nor *", acl.host)));
    }
    Ok(acl)
}

fn filter(asked: DeleteAclsFilter) -> Result<Filter, Refusal> {
    fn any_or<T>(what: &str, code: i8, from_code: fn(i8) -> Option<T>) -> Result<Option<T>, Refusal> {
        match code {
            ANY_CODE => Ok(None),
            _ => from_code(code).map(Some).ok_or_else(|| invalid(format!("there is no {what} {code} of a filter"))),
        }
    }
    Ok(Filter {
        kind: any_or("resource type", asked.resource_type_filter, Kind::from_code)?,
        name: asked.resource_name_filter,
        pattern: match asked.pattern_type_filter {
            MATCH_CODE => PatternFilter::Match,
            code => any_or("pattern type", code, Pattern::from_code)?.map_or(PatternFilter::Any, PatternFilter::Only),
        },
        principal: asked.principal_filter,
        host: asked.host_filter,
        operation: any_or("operation", asked.operation, Operation::from_code)?,
        permission: any_or("permission type", asked.permission_type, Permission::from_code)?,
    })
}
