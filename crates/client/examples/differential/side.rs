//! One of the two brokers: what it was asked and what it answered.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millstream_client::{ClientError, Connection, ConnectionOptions};
use millstream_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_protocol::messages::metadata::MetadataRequestTopic;
use millstream_protocol::messages::{
    ApiVersionsRequest, DescribeGroupsRequest, DescribeTransactionsRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ListOffsetsRequest, Message, MetadataRequest, Request,
};
use millstream_protocol::{ApiKey, ErrorCode};
use uuid::Uuid;

use crate::fields::fields;
use crate::normal::normal;

/// The id of no topic.
pub const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// First and last version of each API.
pub type Versions = BTreeMap<i16, (i16, i16)>;

/// What a broker answered to one request.
pub struct Answer {
    /// The API, or its number.
    pub api: String,
    pub version: i16,
    pub step: String,
    /// Path and value.
    pub fields: Vec<(String, String)>,
}

pub struct Side {
    address: String,
    connection: Option<Connection>,
    /// What both sides advertise.
    pub common: Versions,
    area: &'static str,
    labels: Vec<(String, String)>,
    now_ms: i64,
    metadata_delay: Duration,
    pub answers: Vec<Answer>,
}

impl Side {
    pub fn new(address: &str) -> Side {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64;
        Side {
            address: address.to_owned(),
            connection: None,
            common: Versions::new(),
            area: "",
            labels: Vec::new(),
            now_ms,
            metadata_delay: Duration::from_millis(20),
            answers: Vec::new(),
        }
    }

    /// What this broker advertises.
    pub async fn advertised(&mut self) -> Result<Versions, ClientError> {
        let newest = *ApiVersionsRequest::VERSIONS.end();
        let request = ApiVersionsRequest {
            client_software_name: "differential".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let answer = self.connection().await?.call_at(&request, newest).await?;
        Ok(answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
    }

    /// Begins an area: names of topics and groups are its own.
    pub fn begin(&mut self, area: &'static str) {
        self.area = area;
        self.connection = None;
        self.labels.clear();
    }

    async fn connection(&mut self) -> Result<Connection, ClientError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let options = ConnectionOptions {
            client_id: "differential".to_owned(),
            request_timeout: Duration::from_secs(5),
            ..Default::default()
        };
        let connection = Connection::open_silent(&self.address, options).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Leaves the connection: the next request goes over a new one.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Now, in ms since 1970: the same for the whole run.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Versions of an API that both brokers advertise and we have a schema of.
    pub fn versions<R: Request>(&self) -> Vec<i16> {
        let (first, last) = self.common.get(&R::KEY.code()).copied().unwrap_or((0, -1));
        R::VERSIONS.filter(|version| (first..=last).contains(version)).collect()
    }

    /// A name of this area and version, shown without them.
    pub fn name(&mut self, name: &str, version: i16) -> String {
        let full = format!("{}-{name}-v{version}", self.area);
        self.label(&full, name);
        full
    }

    /// Shows `label` where `text` stands in an answer.
    pub fn label(&mut self, text: &str, label: &str) {
        // No id is no name of anything.
        if !text.starts_with('-') && !self.labels.iter().any(|(known, _)| known == text) {
            self.labels.push((text.to_owned(), label.to_owned()));
            self.labels.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
    }

    /// Shows the topic's id as that of `name`.
    pub fn label_id(&mut self, id: Uuid, name: &str) {
        if !id.is_nil() {
            self.label(&id.to_string(), &format!("id of {name}"));
        }
    }

    /// Waits until the broker knows the topic and leads its partitions: Kafka's controller answers before its broker has heard of it.
    pub async fn settle(&mut self, topic: &str) {
        let named = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
        let metadata =
            MetadataRequest { topics: Some(vec![named]), allow_auto_topic_creation: false, ..Default::default() };
        for _ in 0..500 {
            let Ok(connection) = self.connection().await else { return };
            let Ok(answer) = connection.call_at(&metadata, 12).await else { return };
            let found = answer.topics.first().filter(|topic| topic.error_code.is_ok());
            let partitions: Vec<i32> =
                found.iter().flat_map(|topic| &topic.partitions).map(|one| one.partition_index).collect();
            let partitions = partitions.into_iter().map(|partition_index| ListOffsetsPartition {
                partition_index,
                timestamp: -1,
                ..Default::default()
            });
            let offsets = ListOffsetsRequest {
                replica_id: -1,
                topics: vec![ListOffsetsTopic { name: topic.to_owned(), partitions: partitions.collect() }],
                ..Default::default()
            };
            let Ok(answer) = connection.call_at(&offsets, 7).await else { return };
            let mut led = answer.topics.iter().flat_map(|topic| &topic.partitions);
            if found.is_some() && led.all(|one| one.error_code.is_ok()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until groups and transactions have coordinators: Kafka makes their topics when somebody asks for the first time, and loads
    /// each of their partitions.
    pub async fn settle_coordinators(&mut self) {
        let names: Vec<String> = (0..200).map(|number| format!("probe-{number}")).collect();
        for key_type in [0, 1] {
            let find =
                FindCoordinatorRequest { key_type, coordinator_keys: vec![names[0].clone()], ..Default::default() };
            self.until(&find, 4, |answer| answer.coordinators.iter().all(|one| one.error_code.is_ok())).await;
        }
        let init = InitProducerIdRequest { transaction_timeout_ms: 1000, ..Default::default() };
        self.until(&init, 4, |answer| answer.error_code.is_ok()).await;
        let is_there =
            |code: ErrorCode| !matches!(code, ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress);
        let groups = DescribeGroupsRequest { groups: names.clone(), include_authorized_operations: false };
        self.until(&groups, 5, |answer| answer.groups.iter().all(|group| is_there(group.error_code))).await;
        let transactions = DescribeTransactionsRequest { transactional_ids: names };
        self.until(&transactions, 0, |answer| answer.transaction_states.iter().all(|one| is_there(one.error_code)))
            .await;
    }

    /// Asks, without noting it, until the answer is such a one, ten seconds at most.
    async fn until<R: Request>(&mut self, request: &R, version: i16, is_it: impl Fn(&R::Response) -> bool) {
        for _ in 0..500 {
            let Ok(connection) = self.connection().await else { return };
            let Ok(answer) = connection.call_at(request, version).await else { return };
            if is_it(&answer) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a transaction has ended: Kafka answers EndTxn before the markers are written.
    pub async fn settle_transaction(&mut self, transactional_id: &str) {
        let request = DescribeTransactionsRequest { transactional_ids: vec![transactional_id.to_owned()] };
        let has_ended = |state: &str| !state.starts_with("Prepare");
        self.until(&request, 0, |answer| answer.transaction_states.iter().all(|one| has_ended(&one.transaction_state)))
            .await;
    }

    /// Waits until the broker has heard what the controller decided last.
    pub async fn settle_metadata(&mut self) {
        tokio::time::sleep(self.metadata_delay).await;
    }

    /// One request in every version; `None` = that version cannot say it.
    pub async fn each<R: Request>(&mut self, step: &str, request: impl Fn(i16) -> Option<R>) {
        for version in self.versions::<R>() {
            if let Some(request) = request(version) {
                self.call(step, version, &request).await;
            }
        }
    }

    /// One request in the newest version.
    pub async fn newest<R: Request>(&mut self, step: &str, request: &R) -> Option<R::Response> {
        let version = self.versions::<R>().last().copied()?;
        self.call(step, version, request).await
    }

    /// One request; the answer is noted, and given if there was one.
    pub async fn call<R: Request>(&mut self, step: &str, version: i16, request: &R) -> Option<R::Response> {
        self.call_as(step, version, request, |answer| answer.clone()).await
    }

    /// As [`Side::call`], noting of the answer what `shown` makes of it.
    pub async fn call_as<R: Request, S: std::fmt::Debug>(
        &mut self,
        step: &str,
        version: i16,
        request: &R,
        shown: impl FnOnce(&R::Response) -> S,
    ) -> Option<R::Response> {
        let answer = match self.connection().await {
            Ok(connection) => connection.call_at(request, version).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => {
                let shown = shown(&answer);
                self.note(R::KEY.name(), version, step, &shown);
                Some(answer)
            }
            Err(error) => {
                self.note_failure(R::KEY.name(), version, step, &error);
                None
            }
        }
    }

    /// Any bytes as a request of any API in any version: only what becomes of the connection is compared, and the answer's length.
    pub async fn raw(&mut self, step: &str, api: i16, version: i16, flexible: bool, body: &[u8]) -> Option<Bytes> {
        let answer = match self.connection().await {
            Ok(connection) => connection.call_raw(api, version, flexible, body).await,
            Err(error) => Err(error),
        };
        let name = ApiKey::from_code(api).map_or_else(|| api.to_string(), |key| key.name().to_owned());
        match answer {
            Ok(frame) => {
                // Behind the correlation id.
                self.note(&name, version, step, &frame.slice(4..));
                Some(frame)
            }
            Err(error) => {
                self.note_failure(&name, version, step, &error);
                None
            }
        }
    }

    fn note_failure(&mut self, api: &str, version: i16, step: &str, error: &ClientError) {
        self.connection = None;
        let what = match error {
            ClientError::Lost { .. } => "the connection is closed".to_owned(),
            ClientError::Timeout { .. } => "no answer".to_owned(),
            error => error.to_string().replace(&self.address, "ADDRESS"),
        };
        self.push(api, version, step, vec![("(answer)".to_owned(), what)]);
    }

    fn note(&mut self, api: &str, version: i16, step: &str, answer: &impl std::fmt::Debug) {
        let comparable = |field: &str, mut value: String| {
            for (text, label) in &self.labels {
                // A number is an id only where ids stand.
                let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
                if is_number && value == *text && field.ends_with("producer_id") {
                    value = label.clone();
                } else if !is_number && value.contains(text) {
                    value = value.replace(text, label);
                }
            }
            let labelled = self.labels.iter().any(|(_, label)| value == *label || value.trim_matches('"') == label);
            if labelled { value } else { normal(api, field, value, self.now_ms) }
        };
        let fields = fields(answer, &comparable);
        self.push(api, version, step, fields);
    }

    fn push(&mut self, api: &str, version: i16, step: &str, fields: Vec<(String, String)>) {
        let step = format!("{}: {step}", self.area);
        self.answers.push(Answer { api: api.to_owned(), version, step, fields });
    }
}
