//! A cluster, the clients that are opened on it, and what goes wrong with them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::properties::{Properties, Secrets};

/// How long a cluster may take to answer the first time.
const REACH_MAX: Duration = Duration::from_secs(20);
/// How long a request may take.
pub const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Lines of librdkafka's that are kept until somebody shows them.
const LINES_MAX: usize = 100;

/// Why a cluster does not do what is asked of it. No message has a secret in it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ClusterError {
    /// A setting that librdkafka does not take.
    #[error("{0}")]
    Property(String),
    /// No broker answers.
    #[error("no broker of {servers} answers: {reason}")]
    Unreachable {
        /// The addresses that were tried.
        servers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// Somebody else took the transactional id.
    #[error("another instance with the transactional id '{0}' has taken over")]
    Fenced(String),
    /// A transaction has to be ended without its records, and may be tried again.
    #[error("the transaction was aborted: {0}")]
    Aborted(String),
    /// A record that a broker, or librdkafka, does not take.
    #[error("a record is refused: {reason}")]
    Record {
        /// The slot it was sent for.
        slot: usize,
        /// Which one of those that were sent for the slot in this transaction, from 0.
        number: u64,
        /// Why.
        reason: String,
    },
    /// Somebody else's transaction, or a replica that lags, hides the end of a topic.
    #[error(
        "topic '{topic}' is readable up to offset {stable}, and goes on to {high}: a transaction of somebody else is open there, or \
         a replica lags"
    )]
    Unsettled {
        /// The topic, of one partition.
        topic: String,
        /// Where what can be read ends.
        stable: i64,
        /// Where the topic ends.
        high: i64,
    },
    /// Anything else.
    #[error("{what}: {reason}")]
    Failed {
        /// What was asked for.
        what: String,
        /// What came of it.
        reason: String,
    },
}

/// What librdkafka says while it works: its log lines and errors, without secrets.
#[derive(Debug, Clone, Default)]
pub struct Said(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    new: Vec<String>,
    seen: BTreeSet<String>,
    last_error: Option<String>,
    /// An error that trying again does not cure.
    hopeless: Option<String>,
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: String) {
        // Brokers are tried again and again: the same line with other numbers is no news, nor how often it was.
        let what = text.rsplit_once(" (after ").map_or(text.as_str(), |(what, _)| what);
        let same: String = what.chars().filter(|c| !c.is_ascii_digit()).collect();
        let mut lines = self.lock();
        if lines.seen.len() < LINES_MAX && lines.seen.insert(same) {
            lines.new.push(text);
        }
    }

    /// Lines that came since the last call; one that differs only in numbers from an earlier one comes once.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().new)
    }

    fn last_error(&self) -> Option<String> {
        self.lock().last_error.clone()
    }
}

/// Hears what a client of librdkafka says.
#[derive(Debug, Clone)]
pub struct Listener {
    secrets: Arc<Secrets>,
    said: Said,
}

impl Listener {
    /// `text` as it may be shown.
    pub fn redact(&self, text: &str) -> String {
        self.secrets.redact(text)
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // One set of properties serves producers, consumers and admin clients: which of them ignores which is no news.
        if facility == "CONFWARN" {
            return;
        }
        // A coordinator that is not ready yet is waited for.
        if facility == "GETPID" && text.ends_with("retrying") {
            return;
        }
        let text = match text.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
            Some((_, text)) => text,
            None => text,
        };
        let text = self.secrets.redact(text);
        if level as i32 <= RDKafkaLogLevel::Error as i32 {
            self.said.lock().last_error = Some(text.clone());
        }
        self.said.add(format!("librdkafka: {text}"));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let reason = self.secrets.redact(reason);
        let mut lines = self.said.lock();
        match error.rdkafka_error_code() {
            // Told better by the log line before it.
            Some(RDKafkaErrorCode::AllBrokersDown) => return,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                lines.hopeless = Some(reason.clone());
            }
            _ => {}
        }
        lines.last_error = Some(reason);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for Listener {}

/// A consumer that says what it has to say to [`Said`].
pub type Reader = BaseConsumer<Listener>;

/// Where a cluster is, and how its clients are set up.
#[derive(Debug, Clone)]
pub struct Cluster {
    servers: String,
    properties: Properties,
    listener: Listener,
}

impl Cluster {
    /// The cluster with brokers at these addresses. Settings are checked, nobody is spoken to.
    pub fn new(servers: &str, properties: Properties) -> Result<Cluster, ClusterError> {
        let listener = Listener { secrets: Arc::new(properties.secrets()), said: Said::default() };
        let cluster = Cluster { servers: servers.to_owned(), properties, listener };
        match cluster.config(&[]).create_native_config() {
            Ok(_) => Ok(cluster),
            Err(error) => Err(ClusterError::Property(cluster.property_reason(&error))),
        }
    }

    fn property_reason(&self, error: &KafkaError) -> String {
        match error {
            // Its own text has the value in it.
            KafkaError::ClientConfig(_, reason, name, _) if reason.contains(name.as_str()) => {
                self.listener.redact(reason)
            }
            KafkaError::ClientConfig(_, reason, name, _) => format!("'{name}': {}", self.listener.redact(reason)),
            other => self.listener.redact(&other.to_string()),
        }
    }

    /// The addresses that were given.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// The user's settings.
    pub const fn properties(&self) -> &Properties {
        &self.properties
    }

    /// What the clients say.
    pub const fn said(&self) -> &Said {
        &self.listener.said
    }

    /// Who hears them.
    pub const fn listener(&self) -> &Listener {
        &self.listener
    }

    fn config(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "logdir");
        for (name, value) in self.properties.iter() {
            config.set(name, value);
        }
        for (name, value) in ours {
            config.set(*name, *value);
        }
        config.set("bootstrap.servers", &self.servers);
        let level = if self.properties.has("debug") { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Warning };
        config.set_log_level(level);
        config
    }

    /// A client with these settings beside the user's.
    pub fn client<C, T>(&self, ours: &[(&str, &str)], context: C) -> Result<T, ClusterError>
    where
        C: ClientContext,
        T: FromClientConfigAndContext<C>,
    {
        let created = self.config(ours).create_with_context(context);
        created.map_err(|error| ClusterError::Property(self.property_reason(&error)))
    }

    /// A consumer in `group` that commits only what it is told to, and sees committed records only.
    pub fn reader(&self, group: &str) -> Result<Reader, ClusterError> {
        self.reader_with(group, &[("isolation.level", "read_committed")])
    }

    /// The same with these settings instead of its own, or beside them; `isolation.level` has to be one of them.
    pub fn reader_with(&self, group: &str, more: &[(&str, &str)]) -> Result<Reader, ClusterError> {
        let mut ours = vec![
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            ("enable.partition.eof", "true"),
            ("allow.auto.create.topics", "false"),
        ];
        // The end of a topic is told when a fetch has waited in vain.
        if !self.properties.has("fetch.wait.max.ms") {
            ours.push(("fetch.wait.max.ms", "50"));
        }
        ours.extend_from_slice(more);
        self.client(&ours, self.listener.clone())
    }

    /// All topics of the cluster, as soon as a broker answers; gives up after some twenty seconds.
    pub fn reach(&self, reader: &Reader) -> Result<Metadata, ClusterError> {
        let started = Instant::now();
        loop {
            let asked = reader.fetch_metadata(None, Duration::from_secs(2));
            // Log lines and errors are events of the consumer's queue.
            serve(reader);
            let error = match asked {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            let hopeless = self.said().lock().hopeless.clone();
            if hopeless.is_none() && started.elapsed() < REACH_MAX {
                std::thread::sleep(Duration::from_millis(200));
                continue;
            }
            // The reason is in the error now.
            drop(self.said().take());
            let reason = hopeless.or_else(|| self.said().last_error());
            let reason = reason.unwrap_or_else(|| self.listener.redact(&error.to_string()));
            return Err(ClusterError::Unreachable { servers: self.servers.clone(), reason });
        }
    }

    /// Nothing has come from it for so long that waiting ends.
    pub fn silent(&self, silence: Duration) -> ClusterError {
        let last = self.said().last_error().map_or_else(String::new, |error| format!("; {error}"));
        let reason = format!("nothing came for {} s{last}", silence.as_secs());
        ClusterError::Unreachable { servers: self.servers.clone(), reason }
    }

    /// An error of a request.
    pub fn failed(&self, what: &str, error: &KafkaError) -> ClusterError {
        let reason = match error.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => error.to_string(),
        };
        ClusterError::Failed { what: what.to_owned(), reason: self.listener.redact(&reason) }
    }
}

/// Lets a consumer without an assignment say what it has to say.
pub fn serve(reader: &Reader) {
    for _ in 0..20 {
        if reader.poll(Duration::ZERO).is_none() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(properties: &[&str]) -> Result<Cluster, ClusterError> {
        let mut all = Properties::default();
        properties.iter().for_each(|property| all.add(property).unwrap());
        Cluster::new("127.0.0.1:1", all)
    }

    #[test]
    fn settings_are_checked_before_anybody_is_spoken_to() {
        assert!(cluster(&["linger.ms=7", "client.id=me"]).is_ok());
        for (property, expected) in
            [("no.such.thing=x", "no.such.thing"), ("linger.ms=soon", "linger.ms"), ("debug=nonsense", "debug")]
        {
            let error = cluster(&[property]).unwrap_err();
            assert!(matches!(&error, ClusterError::Property(text) if text.contains(expected)), "{property}: {error}");
        }
        let error = cluster(&["sasl.password=hunter2", "linger.ms=hunter2"]).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn lines_come_once_and_without_secrets() {
        let cluster = cluster(&["sasl.password=hunter2"]).unwrap();
        let listener = cluster.listener().clone();
        for port in 1..4 {
            listener.log(RDKafkaLogLevel::Error, "FAIL", &format!("[thrd:x]: host:{port}: password hunter2 refused"));
        }
        listener.log(
            RDKafkaLogLevel::Error,
            "FAIL",
            "[thrd:x]: host:4: password hunter2 refused (after 3ms, 1 suppressed)",
        );
        listener.log(RDKafkaLogLevel::Warning, "CONFWARN", "[thrd:app]: linger.ms is a producer property");
        assert_eq!(cluster.said().take(), ["librdkafka: host:1: password [redacted] refused"]);
        assert!(cluster.said().take().is_empty());
        assert!(!format!("{cluster:?}").contains("hunter2"));
    }
}
