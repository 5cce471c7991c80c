//! Logging in: SASL by every mechanism, TLS, certificates of clients.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Server, settings};
use millstream_broker::BrokerConfig;
use millstream_broker::security::certificate::development;
use millstream_broker::security::users::Users;
use millstream_client::{Client, ClientError, ClientOptions, Connection, ConnectionOptions, Login, Security, Tls};
use millstream_log::{Log, LogOptions};
use millstream_protocol::ErrorCode;
use millstream_protocol::messages::alter_user_scram_credentials::{ScramCredentialDeletion, ScramCredentialUpsertion};
use millstream_protocol::messages::describe_user_scram_credentials::UserName;
use millstream_protocol::messages::*;
use millstream_protocol::sasl::scram::{Hash, salted_password};
use millstream_protocol::sasl::{Mechanism, Secret, plain};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SCRAM: Mechanism = Mechanism::Scram(Hash::Sha256);

/// Every mechanism on one listener, and more settings.
fn sasl(more: &[&str]) -> BrokerConfig {
    settings(&[&["listeners=SASL_PLAINTEXT://localhost:0"], more].concat())
}

fn login(mechanism: Mechanism, user: &str, password: &str) -> ConnectionOptions {
    let login = Login { mechanism, user: user.to_owned(), password: Secret::new(password) };
    ConnectionOptions { security: Security { login: Some(login), tls: None }, ..ConnectionOptions::default() }
}

/// How many files of a folder hold these bytes.
fn files_with(dir: &Path, bytes: &[u8]) -> usize {
    let each = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    each.map(|path| match path.is_dir() {
        true => files_with(&path, bytes),
        false => std::fs::read(&path).expect("a file").windows(bytes.len()).any(|window| window == bytes) as usize,
    })
    .sum()
}

async fn server_with_alice(dir: &Path, config: BrokerConfig) -> Server {
    let (log, _) = Log::open(dir, LogOptions::default()).expect("the log opens");
    let users = Users::offline(&log).expect("a folder without a broker");
    users.set_password("alice", &Secret::new("wonder"), 4096).await.expect("set");
    log.close().expect("the log closes");
    Server::start_with(dir, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_user_is_made_offline_and_logs_in_by_every_mechanism() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = server_with_alice(dir.path(), sasl(&[])).await;
    let address = server.address.to_string();
    for mechanism in Mechanism::ALL {
        let options = ClientOptions { connection: login(mechanism, "alice", "wonder"), ..ClientOptions::default() };
        let client = Client::connect(&address, options).await.expect("the right password");
        assert!(client.cluster_id().is_some());
        let mut told = Vec::new();
        for (user, password) in [("alice", "wrong"), ("nobody", "wonder")] {
            let refused = Connection::open(&address, login(mechanism, user, password)).await;
            let Err(ClientError::Login { reason, .. }) = refused else { panic!("{mechanism} {user}: {refused:?}") };
            told.push(reason);
        }
        assert_eq!(told[0], told[1], "nothing tells who there is");
    }
    server.stop().await;
    let (with_name, with_password) = (files_with(dir.path(), b"alice"), files_with(dir.path(), b"wonder"));
    assert!(
        with_name > 0 && with_password == 0,
        "the name is on disk, the password is not: {with_name} {with_password}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_log_in_nothing_else_is_served() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = server_with_alice(dir.path(), sasl(&[])).await;
    let address = server.address.to_string();
    let silent = || Connection::open_silent(&address, ConnectionOptions::default());
    let refused = silent().await.expect("it listens").call(&MetadataRequest::default()).await;
    assert!(matches!(refused, Err(ClientError::Lost { .. })), "{refused:?}");
    // A step without a handshake, a mechanism that is not there, a frame that is too large.
    let step = SaslAuthenticateRequest { auth_bytes: plain("alice", &Secret::new("wonder")).into() };
    let answer = silent().await.expect("it listens").call(&step).await.expect("an answer");
    assert_eq!(answer.error_code, ErrorCode::IllegalSaslState);
    let connection = silent().await.expect("it listens");
    let answer =
        connection.call_at(&SaslHandshakeRequest { mechanism: "GSSAPI".to_owned() }, 1).await.expect("an answer");
    assert_eq!(answer.error_code, ErrorCode::UnsupportedSaslMechanism);
    assert_eq!(answer.mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
    assert!(connection.call(&ApiVersionsRequest::default()).await.is_err(), "it was closed");
    let large = SaslAuthenticateRequest { auth_bytes: Bytes::from(vec![0; 1 << 20]) };
    assert!(silent().await.expect("it listens").call(&large).await.is_err());
    // On a listener without SASL there is no handshake.
    let other = tempfile::tempdir().expect("a folder");
    let open = Server::start(other.path()).await;
    let connection =
        Connection::open(&open.address.to_string(), ConnectionOptions::default()).await.expect("it listens");
    let answer = connection.call(&SaslHandshakeRequest { mechanism: "PLAIN".to_owned() }).await.expect("an answer");
    assert_eq!(answer.error_code, ErrorCode::IllegalSaslState);
    open.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_handshake_0_the_steps_are_bare_frames() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = server_with_alice(dir.path(), sasl(&[])).await;
    for (password, is_let_in) in [("wonder", true), ("wrong", false)] {
        let mut connection = server.connect().await;
        let answer = connection.call(0, SaslHandshakeRequest { mechanism: "PLAIN".to_owned() }).await;
        assert_eq!(answer.error_code, ErrorCode::None);
        let token = plain("alice", &Secret::new(password));
        let frame = [&(token.len() as u32).to_be_bytes()[..], &token].concat();
        connection.stream.write_all(&frame).await.expect("sent");
        let mut length = [0xff; 4];
        match is_let_in {
            true => {
                connection.stream.read_exact(&mut length).await.expect("an answer");
                assert_eq!(length, [0; 4], "PLAIN's answer is empty");
                assert_eq!(connection.metadata(Some(&[])).await.brokers.len(), 1);
            }
            false => assert!(connection.stream.read_exact(&mut length).await.is_err(), "closed"),
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_unless_the_client_logs_in_once_more_as_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = server_with_alice(dir.path(), sasl(&["connections.max.reauth.ms=400"])).await;
    server.broker.users().set_password("bob", &Secret::new("builder"), 4096).await.expect("set");
    let address = server.address.to_string();
    let plainly = async |connection: &Connection, user: &str, password: &str| {
        let handshake = SaslHandshakeRequest { mechanism: "PLAIN".to_owned() };
        assert_eq!(connection.call_at(&handshake, 1).await?.error_code, ErrorCode::None);
        connection.call(&SaslAuthenticateRequest { auth_bytes: plain(user, &Secret::new(password)).into() }).await
    };
    let connection = Connection::open_silent(&address, ConnectionOptions::default()).await.expect("it listens");
    for _ in 0..3 {
        let answer = plainly(&connection, "alice", "wonder").await.expect("an answer");
        assert_eq!((answer.error_code, answer.session_lifetime_ms), (ErrorCode::None, 400));
        tokio::time::sleep(Duration::from_millis(250)).await;
        connection.call(&MetadataRequest::default()).await.expect("still in");
    }
    let answer = plainly(&connection, "bob", "builder").await.expect("an answer");
    assert_eq!(answer.error_code, ErrorCode::SaslAuthenticationFailed, "another user");
    let connection = Connection::open_silent(&address, ConnectionOptions::default()).await.expect("it listens");
    plainly(&connection, "alice", "wonder").await.expect("an answer");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert!(connection.call(&MetadataRequest::default()).await.is_err(), "the session is over");
    // Our client takes a new connection in time.
    let options = ClientOptions { connection: login(SCRAM, "alice", "wonder"), ..ClientOptions::default() };
    let client = Client::connect(&address, options).await.expect("let in");
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.metadata(None).await.expect("still in");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_waits_and_others_do_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = server_with_alice(dir.path(), sasl(&["connection.failed.authentication.delay.ms=0"])).await;
    server.broker.users().set_password("bob", &Secret::new("builder"), 4096).await.expect("set");
    let address = server.address.to_string();
    let begin = Instant::now();
    for _ in 0..4 {
        assert!(Connection::open(&address, login(Mechanism::Plain, "alice", "guess")).await.is_err());
    }
    assert!(begin.elapsed() >= Duration::from_millis(700), "100, 200 and 400 ms");
    let guessing = tokio::spawn({
        let address = address.clone();
        async move { Connection::open(&address, login(SCRAM, "alice", "guess")).await.is_err() }
    });
    let begin = Instant::now();
    Connection::open(&address, login(SCRAM, "bob", "builder")).await.expect("let in");
    assert!(begin.elapsed() < Duration::from_millis(700), "{:?}", begin.elapsed());
    assert!(guessing.await.expect("it ends"));
    assert!(server.broker.metrics_text().contains("millstream_failed_logins_total 5\n"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_set_described_and_removed_by_requests() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = server_with_alice(dir.path(), sasl(&[])).await;
    let address = server.address.to_string();
    let admin = Connection::open(&address, login(SCRAM, "alice", "wonder")).await.expect("let in");
    let upsert = |name: &str, iterations: i32, salt: &'static [u8]| ScramCredentialUpsertion {
        name: name.to_owned(),
        mechanism: Hash::Sha512.code(),
        iterations,
        salt: Bytes::from_static(salt),
        salted_password: salted_password(Hash::Sha512, &Secret::new("builder"), salt, 4096).into(),
    };
    let delete = |name: &str| ScramCredentialDeletion { name: name.to_owned(), mechanism: Hash::Sha512.code() };
    let request = AlterUserScramCredentialsRequest {
        upsertions: vec![
            upsert("bob", 4096, b"0123456789"),
            upsert("weak", 4095, b"0123456789"),
            upsert("salt", 4096, b"0"),
            upsert("twice", 4096, b"0"),
            upsert("twice", 4096, b"1"),
        ],
        deletions: vec![delete("nobody")],
    };
    let answer = admin.call(&request).await.expect("an answer");
    let codes: Vec<_> = answer.results.iter().map(|one| (one.user.as_str(), one.error_code)).collect();
    let weak = ErrorCode::UnacceptableCredential;
    assert_eq!(
        codes,
        [
            ("bob", ErrorCode::None),
            ("nobody", ErrorCode::ResourceNotFound),
            ("salt", ErrorCode::None),
            ("twice", ErrorCode::DuplicateResource),
            ("weak", weak)
        ]
    );
    for mechanism in [Mechanism::Plain, Mechanism::Scram(Hash::Sha512)] {
        Connection::open(&address, login(mechanism, "bob", "builder")).await.expect("let in");
    }
    assert!(Connection::open(&address, login(SCRAM, "bob", "builder")).await.is_err(), "no such credential");
    let describe = async |users: Option<&[&str]>| {
        let users = users.map(|all| all.iter().map(|name| UserName { name: name.to_string() }).collect());
        admin.call(&DescribeUserScramCredentialsRequest { users }).await.expect("an answer").results
    };
    let results = describe(None).await;
    let found: Vec<_> = results.iter().map(|one| (one.user.as_str(), one.credential_infos.len())).collect();
    assert_eq!(found, [("alice", 2), ("bob", 1), ("salt", 1)]);
    Connection::open(&address, login(Mechanism::Scram(Hash::Sha512), "salt", "builder")).await.expect("let in");
    let codes: Vec<_> = describe(Some(&["bob", "x", "x"])).await.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::DuplicateResource]);
    let remove = AlterUserScramCredentialsRequest { deletions: vec![delete("bob")], upsertions: vec![] };
    assert_eq!(admin.call(&remove).await.expect("an answer").results[0].error_code, ErrorCode::None);
    assert!(Connection::open(&address, login(Mechanism::Plain, "bob", "builder")).await.is_err());
    server.stop().await;
    let server = Server::start_with(dir.path(), sasl(&[])).await;
    assert_eq!(server.broker.users().list().len(), 2, "and so it is after a restart");
    server.stop().await;
}

fn tls(dir: &Path, protocol: &str, more: &[&str]) -> BrokerConfig {
    let own = [
        format!("listeners={protocol}://localhost:0"),
        format!("ssl.keystore.location={}", dir.join("server.pem").display()),
        format!("ssl.truststore.location={}", dir.join("ca.pem").display()),
    ];
    settings(&[&own.each_ref().map(String::as_str)[..], more].concat())
}

fn trusting(dir: &Path, shows: bool) -> ConnectionOptions {
    let own = dir.join("client.pem");
    let tls = Tls::new(Some(&dir.join("ca.pem")), shows.then_some((&*own, &*own))).expect("good files");
    ConnectionOptions { security: Security { tls: Some(tls), login: None }, ..ConnectionOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_carries_large_and_pipelined_requests_with_and_without_sasl() {
    let dir = tempfile::tempdir().expect("a folder");
    let certificates = tempfile::tempdir().expect("a folder");
    development(certificates.path(), &["broker.example".to_owned()], Some("client")).expect("made");
    for name in ["server.pem", "client.pem"] {
        let about = std::fs::metadata(certificates.path().join(name)).expect("it is there");
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777, 0o600);
    }
    let config = tls(certificates.path(), "SASL_SSL", &["sasl.enabled.mechanisms=SCRAM-SHA-256"]);
    let server = Server::start_with(dir.path(), config).await;
    server.broker.users().set_password("alice", &Secret::new("wonder"), 4096).await.expect("set");
    for host in ["127.0.0.1", "localhost"] {
        let address = format!("{host}:{}", server.address.port());
        let mut connection = trusting(certificates.path(), false);
        connection.security.login = login(SCRAM, "alice", "wonder").security.login;
        let options = ClientOptions { connection, auto_create_topics: true, ..ClientOptions::default() };
        let client = Client::connect(&address, options).await.expect("let in");
        let value = "x".repeat(300_000);
        let sent =
            futures::future::join_all((0..20).map(|_| client.produce(host, 0, common::batch(&[&value]), -1))).await;
        let mut offsets: Vec<i64> = sent.into_iter().map(|offset| offset.expect("taken")).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (0..20).collect::<Vec<_>>());
        let leader = client.leader(host, 0).await.expect("known");
        let answer = leader.call_at(&common::fetch_request(host, 3, 1000), 11).await.expect("an answer");
        let records = answer.responses[0].partitions[0].records.clone().expect("records");
        assert_eq!(common::values(&records)[0], (3, value.clone()));
    }
    // A client that does not trust the authority, one that speaks plainly, one that says nothing.
    let others = tempfile::tempdir().expect("a folder");
    development(others.path(), &[], Some("client")).expect("made");
    let address = server.address.to_string();
    let refused = Connection::open(&address, trusting(others.path(), false)).await;
    assert!(matches!(refused, Err(ClientError::Tls { .. })), "{refused:?}");
    assert!(Connection::open(&address, ConnectionOptions::default()).await.is_err());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_certificate_is_asked_for_and_new_files_hold_without_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let certificates = tempfile::tempdir().expect("a folder");
    development(certificates.path(), &[], Some("client")).expect("made");
    let config = tls(certificates.path(), "SSL", &["ssl.client.auth=required"]);
    let server = Server::start_with(dir.path(), config).await;
    let address = server.address.to_string();
    let old = trusting(certificates.path(), true);
    Connection::open(&address, old.clone()).await.expect("let in");
    assert!(Connection::open(&address, trusting(certificates.path(), false)).await.is_err(), "without one");
    development(certificates.path(), &[], Some("client")).expect("made anew");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    Connection::open(&address, trusting(certificates.path(), true)).await.expect("the new authority holds");
    assert!(Connection::open(&address, old).await.is_err(), "the old one does not");
    std::fs::write(certificates.path().join("server.pem"), "nonsense").expect("written");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let admin = Connection::open(&address, trusting(certificates.path(), true)).await;
    let admin = admin.expect("what cannot be read changes nothing");
    // Who names the file as it is named already has it read at once, and hears of what is wrong with it.
    let request = IncrementalAlterConfigsRequest {
        resources: vec![incremental_alter_configs::AlterConfigsResource {
            resource_type: 4,
            resource_name: "1".into(),
            configs: vec![incremental_alter_configs::AlterableConfig {
                name: "ssl.keystore.location".into(),
                config_operation: 0,
                value: Some(certificates.path().join("server.pem").display().to_string()),
            }],
        }],
        validate_only: false,
    };
    let refused = admin.call(&request).await.expect("an answer");
    assert_eq!(refused.responses[0].error_code, ErrorCode::InvalidRequest);
    development(certificates.path(), &[], Some("client")).expect("made anew");
    let taken = admin.call(&request).await.expect("an answer");
    assert_eq!(taken.responses[0].error_code, ErrorCode::None);
    Connection::open(&address, trusting(certificates.path(), true)).await.expect("the new ones hold at once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_tls_handshake_keeps_its_place_until_the_delay_is_over() {
    const DELAY: Duration = Duration::from_millis(800);
    let dir = tempfile::tempdir().expect("a folder");
    let (certificates, others) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    development(certificates.path(), &[], Some("client")).expect("made");
    development(others.path(), &[], Some("client")).expect("made");
    let delay = format!("connection.failed.authentication.delay.ms={}", DELAY.as_millis());
    let more = ["ssl.client.auth=required", "max.connections.per.ip=1", &delay];
    let server = Server::start_with(dir.path(), tls(certificates.path(), "SSL", &more)).await;
    let address = server.address.to_string();
    // Somebody who speaks plainly.
    let begin = Instant::now();
    let mut first = server.connect().await;
    first.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    tokio::time::sleep(DELAY / 4).await;
    let mut second = server.connect().await;
    assert!(second.stream.read_exact(&mut [0]).await.is_err() && begin.elapsed() < DELAY, "the place is taken");
    let _ = first.stream.read_to_end(&mut Vec::new()).await;
    assert!(begin.elapsed() >= DELAY, "{:?}", begin.elapsed());
    // A certificate of another authority, which the client learns of by its first request.
    let begin = Instant::now();
    let own = others.path().join("client.pem");
    let stranger = Tls::new(Some(&certificates.path().join("ca.pem")), Some((&*own, &*own))).expect("good files");
    let security = Security { tls: Some(stranger), login: None };
    let stranger = ConnectionOptions { security, ..ConnectionOptions::default() };
    let let_in = async || {
        while Connection::open(&address, trusting(certificates.path(), true)).await.is_err() {
            assert!(begin.elapsed() < 10 * DELAY, "nobody comes in any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let_in().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begin = Instant::now();
    assert!(Connection::open(&address, stranger).await.is_err());
    let_in().await;
    assert!(begin.elapsed() >= DELAY / 2, "its place was kept: {:?}", begin.elapsed());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_clients_log_in_no_certificate_is_asked_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let certificates = tempfile::tempdir().expect("a folder");
    development(certificates.path(), &[], Some("client")).expect("made");
    let config = tls(certificates.path(), "SASL_SSL", &["ssl.client.auth=required"]);
    let server = Server::start_with(dir.path(), config).await;
    server.broker.users().set_password("alice", &Secret::new("wonder"), 4096).await.expect("set");
    for shows in [false, true] {
        let mut options = trusting(certificates.path(), shows);
        options.security.login = login(SCRAM, "alice", "wonder").security.login;
        Connection::open(&server.address.to_string(), options).await.expect("let in by the password alone");
    }
    server.stop().await;
}
