//! AlterUserScramCredentials: sets and removes users' credentials. Each user's changes are made or refused together: unlike Kafka, which takes but
//! one of a user, a request may change both mechanisms, so that a new password holds for both or for none.

use std::collections::{BTreeMap, BTreeSet};

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsResult, ScramCredentialUpsertion,
};
use millstream_protocol::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};
use millstream_protocol::sasl::scram::{Credential, Hash};

use super::{Access, Api, Context, words};
use crate::security::acl::{Operation, Resource};
use crate::security::users::{Change, Users, check_iterations, check_name};

/// Most bytes of a salt that a client may choose.
const SALT_BYTES_MAX: usize = 256;

pub(crate) struct AlterUserScramCredentials;

type Refusal = (ErrorCode, String);

impl Api for AlterUserScramCredentials {
    type Request = AlterUserScramCredentialsRequest;

    const ACCESS: Access<AlterUserScramCredentialsRequest> =
        Access::One { operation: Operation::Alter, of: |_| Resource::CLUSTER, denied: refused_all };

    async fn handle(context: Context, request: AlterUserScramCredentialsRequest) -> AlterUserScramCredentialsResponse {
        let users = &context.broker.security.users;
        let mut by_user: BTreeMap<String, Vec<Result<Change, Refusal>>> = BTreeMap::new();
        for one in request.deletions {
            let name = one.name.clone();
            by_user.entry(name).or_default().push(deletion(users, one.name, one.mechanism));
        }
        for one in request.upsertions {
            by_user.entry(one.name.clone()).or_default().push(upsertion(one));
        }
        let mut results = Vec::new();
        for (user, changes) in by_user {
            let done = match together(changes) {
                Ok(changes) => {
                    users.alter(changes).await.map_err(|error| (error.code(), words(&error).unwrap_or_default()))
                }
                Err(refusal) => Err(refusal),
            };
            let (error_code, error_message) = match done {
                Ok(()) => (ErrorCode::None, None),
                Err((code, words)) => (code, Some(words)),
            };
            results.push(AlterUserScramCredentialsResult { user, error_code, error_message });
        }
        AlterUserScramCredentialsResponse { results, ..AlterUserScramCredentialsResponse::default() }
    }
}

fn refused_all(request: AlterUserScramCredentialsRequest) -> AlterUserScramCredentialsResponse {
    let deleted = request.deletions.into_iter().map(|one| one.name);
    let users: BTreeSet<String> = deleted.chain(request.upsertions.into_iter().map(|one| one.name)).collect();
    let results = users.into_iter().map(|user| AlterUserScramCredentialsResult {
        user,
        error_code: ErrorCode::ClusterAuthorizationFailed,
        error_message: None,
    });
    AlterUserScramCredentialsResponse { results: results.collect(), ..AlterUserScramCredentialsResponse::default() }
}

fn together(changes: Vec<Result<Change, Refusal>>) -> Result<Vec<Change>, Refusal> {
    let changes = changes.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    match changes.iter().all(|(_, hash, _)| seen.insert(*hash)) {
        true => Ok(changes),
        false => Err((ErrorCode::DuplicateResource, "a mechanism stands more than once for this user".to_string())),
    }
}

fn hash(code: i8) -> Result<Hash, Refusal> {
    let unknown = || (ErrorCode::UnsupportedSaslMechanism, format!("there is no SCRAM mechanism {code}"));
    Hash::from_code(code).ok_or_else(unknown)
}

fn deletion(users: &Users, name: String, mechanism: i8) -> Result<Change, Refusal> {
    let hash = hash(mechanism)?;
    match users.get(&name, hash) {
        Some(_) => Ok((name, hash, None)),
        None => Err((ErrorCode::ResourceNotFound, format!("user {name:?} has no credential of {}", hash.mechanism()))),
    }
}

fn upsertion(asked: ScramCredentialUpsertion) -> Result<Change, Refusal> {
    let unacceptable = |why: String| (ErrorCode::UnacceptableCredential, why);
    let hash = hash(asked.mechanism)?;
    check_name(&asked.name).map_err(|error| unacceptable(error.to_string()))?;
    let iterations = u32::try_from(asked.iterations).unwrap_or(0);
    check_iterations(iterations).map_err(|error| unacceptable(error.to_string()))?;
    if asked.salt.len() > SALT_BYTES_MAX {
        let why = format!("a salt of {} bytes: at most {SALT_BYTES_MAX} are allowed", asked.salt.len());
        return Err(unacceptable(why));
    }
    if asked.salted_password.len() != hash.bytes() {
        let why = format!("the salted password of {} has {} bytes", hash.mechanism(), hash.bytes());
        return Err(unacceptable(why));
    }
    let credential = Credential::from_salted(hash, &asked.salted_password, asked.salt.to_vec(), iterations);
    Ok((asked.name, hash, Some(credential)))
}
