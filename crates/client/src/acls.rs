//! What is asked of a cluster about rules of who may do what.

use millstream_protocol::ErrorCode;
use millstream_protocol::acl::{ANY_CODE, Kind, MATCH_CODE, Operation, Pattern, Permission};
use millstream_protocol::messages::{
    CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest, create_acls, delete_acls,
};

use crate::error::accepted;
use crate::{Client, ClientError};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// Kind of thing.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How the name is meant.
    pub pattern: Pattern,
    /// `User:NAME`, or `User:*` for everybody.
    pub principal: String,
    /// Which way the rule goes.
    pub permission: Permission,
    /// What is done.
    pub operation: Operation,
    /// An address, or `*`.
    pub host: String,
}

/// Which rules are meant; `None`: any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AclFilter {
    /// Kind of thing.
    pub kind: Option<Kind>,
    /// Name.
    pub name: Option<String>,
    /// How the name is meant.
    pub pattern: AclPattern,
    /// `KIND:NAME`.
    pub principal: Option<String>,
    /// Which way the rule goes.
    pub permission: Option<Permission>,
    /// What is done.
    pub operation: Option<Operation>,
    /// Address.
    pub host: Option<String>,
}

/// How a filter's name is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AclPattern {
    /// The rule's own name, of any pattern.
    #[default]
    Any,
    /// Every rule that covers the name.
    Match,
    /// The rule's own name, of this pattern.
    Only(Pattern),
}

impl AclFilter {
    fn encoded(&self) -> delete_acls::DeleteAclsFilter {
        delete_acls::DeleteAclsFilter {
            resource_type_filter: self.kind.map_or(ANY_CODE, Kind::code),
            resource_name_filter: self.name.clone(),
            pattern_type_filter: match self.pattern {
                AclPattern::Any => ANY_CODE,
                AclPattern::Match => MATCH_CODE,
                AclPattern::Only(pattern) => pattern.code(),
            },
            principal_filter: self.principal.clone(),
            host_filter: self.host.clone(),
            operation: self.operation.map_or(ANY_CODE, Operation::code),
            permission_type: self.permission.map_or(ANY_CODE, Permission::code),
        }
    }
}

impl Client {
    /// The rules that fit, sorted.
    pub async fn acls(&self, filter: &AclFilter) -> Result<Vec<Acl>, ClientError> {
        let filter = filter.encoded();
        let request = DescribeAclsRequest {
            resource_type_filter: filter.resource_type_filter,
            resource_name_filter: filter.resource_name_filter,
            pattern_type_filter: filter.pattern_type_filter,
            principal_filter: filter.principal_filter,
            host_filter: filter.host_filter,
            operation: filter.operation,
            permission_type: filter.permission_type,
        };
        let answer = self.controller().await?.call(&request).await?;
        accepted(answer.error_code, answer.error_message.as_deref(), || "list rules".to_owned())?;
        let mut found = Vec::new();
        for resource in answer.resources {
            for acl in resource.acls {
                let (kind, pattern) = (resource.resource_type, resource.pattern_type);
                found.push(decoded(
                    [kind, pattern, acl.permission_type, acl.operation],
                    resource.resource_name.clone(),
                    acl.principal,
                    acl.host,
                )?);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Makes rules; those that are there already stay. The first refusal is the error.
    pub async fn create_acls(&self, acls: &[Acl]) -> Result<(), ClientError> {
        let creation = |acl: &Acl| create_acls::AclCreation {
            resource_type: acl.kind.code(),
            resource_name: acl.name.clone(),
            resource_pattern_type: acl.pattern.code(),
            principal: acl.principal.clone(),
            host: acl.host.clone(),
            operation: acl.operation.code(),
            permission_type: acl.permission.code(),
        };
        let request = CreateAclsRequest { creations: acls.iter().map(creation).collect() };
        let answer = self.controller().await?.call(&request).await?;
        answer.results.iter().zip(acls).try_for_each(|(result, acl)| {
            let what = || format!("rule about {} {}", acl.kind.name(), acl.name);
            accepted(result.error_code, result.error_message.as_deref(), what)
        })
    }

    /// Takes away the rules that fit any of the filters, and gives them, sorted. The first refusal is the error.
    pub async fn delete_acls(&self, filters: &[AclFilter]) -> Result<Vec<Acl>, ClientError> {
        let request = DeleteAclsRequest { filters: filters.iter().map(AclFilter::encoded).collect() };
        let answer = self.controller().await?.call(&request).await?;
        let what = || "delete rules".to_owned();
        let mut gone = Vec::new();
        for result in answer.filter_results {
            accepted(result.error_code, result.error_message.as_deref(), what)?;
            for acl in result.matching_acls {
                accepted(acl.error_code, acl.error_message.as_deref(), what)?;
                let codes = [acl.resource_type, acl.pattern_type, acl.permission_type, acl.operation];
                gone.push(decoded(codes, acl.resource_name, acl.principal, acl.host)?);
            }
        }
        gone.sort();
        gone.dedup();
        Ok(gone)
    }
}

/// A rule as a broker names it. One of a kind that is not known here is an error: to leave it out would hide who may do what.
fn decoded(
    [kind, pattern, permission, operation]: [i8; 4],
    name: String,
    principal: String,
    host: String,
) -> Result<Acl, ClientError> {
    let unknown = |what: &str, code: i8| ClientError::Broker {
        what: format!("rule of {principal} about {name}"),
        code: ErrorCode::UnknownServerError,
        message: Some(format!("its {what} {code} is not known here")),
    };
    Ok(Acl {
        kind: Kind::from_code(kind).ok_or_else(|| unknown("resource type", kind))?,
        pattern: Pattern::from_code(pattern).ok_or_else(|| unknown("pattern type", pattern))?,
        permission: Permission::from_code(permission).ok_or_else(|| unknown("permission", permission))?,
        operation: Operation::from_code(operation).ok_or_else(|| unknown("operation", operation))?,
        name,
        principal,
        host,
    })
}
