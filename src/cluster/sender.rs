//! Records to partitions, in transactions, and at which offsets they arrived.
//!
//! One producer for all partitions. librdkafka batches, compresses and sends on its own threads, and another one takes its
//! reports in; whoever sends waits only where the queue is full. Records of one partition arrive in the order in which they
//! were sent, so a report carries no more than which partition it is of and the record's number there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::client::{Cluster, ClusterError, Listener, REQUEST_MAX};
use super::runs::{Run, push};

/// Bits of a report that number the record; the others say which slot it is of.
const NUMBER_BITS: u32 = 40;
const _: () = assert!(usize::BITS == 64, "a report's slot and number are in one pointer");

/// Most slots there can be.
pub const SLOTS_MAX: usize = (1 << (usize::BITS - NUMBER_BITS)) - 1;
/// The slot of records whose offsets nobody asks for.
const UNASKED: usize = SLOTS_MAX;

/// How long a transaction's records may take to arrive, and its end to be written.
const ARRIVE_MAX: Duration = Duration::from_secs(120);
const FULL_WAIT: Duration = Duration::from_millis(1);

/// A record to be sent. Headers are made anew for every try, since librdkafka takes them.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// `None` for null.
    pub key: Option<&'a [u8]>,
    /// `None` for null.
    pub value: Option<&'a [u8]>,
    /// `None` for now.
    pub timestamp_ms: Option<i64>,
}

/// What has arrived.
#[derive(Default)]
struct Reports {
    slots: Mutex<Slots>,
    /// Reports taken in.
    reported: AtomicU64,
    has_failed: AtomicBool,
}

#[derive(Default)]
struct Slots {
    arrived: Vec<Vec<Run>>,
    counts: Vec<u64>,
    failure: Option<Failure>,
}

#[derive(Clone)]
struct Failure {
    slot: usize,
    number: u64,
    code: Option<RDKafkaErrorCode>,
    reason: String,
}

impl Reports {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, slot: usize, number: u64, result: Result<i64, (Option<RDKafkaErrorCode>, String)>) {
        let mut slots = self.lock();
        let failure = match result {
            Ok(_) if slot == UNASKED => None,
            Ok(offset) => match slots.counts.get_mut(slot) {
                // A broker that has seen the batch before does not always say where it stands.
                Some(count) if *count == number && offset >= 0 => {
                    *count += 1;
                    push(&mut slots.arrived[slot], offset);
                    None
                }
                _ => Some((None, "the broker does not say where it stands".to_owned())),
            },
            Err(failure) => Some(failure),
        };
        if let Some((code, reason)) = failure
            && slots.failure.is_none()
        {
            slots.failure = Some(Failure { slot, number, code, reason });
            self.has_failed.store(true, Ordering::Release);
        }
        drop(slots);
        self.reported.fetch_add(1, Ordering::Release);
    }
}

/// Takes in reports, and what else librdkafka says.
struct Delivery {
    listener: Listener,
    reports: Arc<Reports>,
}

impl ClientContext for Delivery {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.listener.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.error(error, reason);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Delivery {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, report: usize) {
        let (slot, number) = (report >> NUMBER_BITS, report as u64 & ((1 << NUMBER_BITS) - 1));
        let arrived = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err((error.rdkafka_error_code(), self.listener.redact(&error.to_string()))),
        };
        self.reports.take_in(slot, number, arrived);
    }
}

/// How records are sent.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Name of the codec, where the user's settings name none.
    pub codec: &'static str,
    /// Largest batch, uncompressed: as much as every topic takes.
    pub batch_bytes: u64,
}

/// Sends records in transactions.
pub struct Sender {
    producer: ThreadedProducer<Delivery>,
    reports: Arc<Reports>,
    transactional_id: String,
    listener: Listener,
    sent: u64,
    counts: Vec<u64>,
    /// A transaction is open.
    is_open: bool,
}

impl Sender {
    /// Sets up a producer for so many slots. Nobody is spoken to before [`Sender::init`].
    pub fn open(
        cluster: &Cluster,
        transactional_id: &str,
        slots: usize,
        tuning: &Tuning,
    ) -> Result<Sender, ClusterError> {
        if slots >= SLOTS_MAX {
            let reason = format!("{slots} partitions, at most {SLOTS_MAX} at once");
            return Err(ClusterError::Failed { what: "mirroring".to_owned(), reason });
        }
        let batch_bytes = tuning.batch_bytes.to_string();
        let mut ours = vec![
            ("enable.idempotence", "true"),
            ("transactional.id", transactional_id),
            ("acks", "all"),
            ("allow.auto.create.topics", "false"),
        ];
        // Each of these the user may set otherwise.
        let codec_named = cluster.properties().has("compression.codec") || cluster.properties().has("compression.type");
        if !codec_named {
            ours.push(("compression.codec", tuning.codec));
        }
        for (name, value) in [
            // A message takes some 200 bytes beside its own, which the queue's size does not count.
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "32768"),
            ("linger.ms", "5"),
            ("batch.num.messages", "100000"),
            ("batch.size", batch_bytes.as_str()),
            ("message.max.bytes", "1000000000"),
        ] {
            if !cluster.properties().has(name) {
                ours.push((name, value));
            }
        }
        let reports = Arc::new(Reports::default());
        let listener = cluster.listener().clone();
        let context = Delivery { listener: listener.clone(), reports: Arc::clone(&reports) };
        let producer = cluster.client(&ours, context)?;
        let transactional_id = transactional_id.to_owned();
        let counts = vec![0; slots];
        Ok(Sender { producer, reports, transactional_id, listener, sent: 0, counts, is_open: false })
    }

    /// Takes the transactional id: whoever has it is fenced, and a transaction that was left open is ended.
    pub fn init(&self) -> Result<(), ClusterError> {
        self.producer.init_transactions(REQUEST_MAX).map_err(|error| self.error("taking the transactional id", &error))
    }

    /// Starts a transaction.
    pub fn begin(&mut self) -> Result<(), ClusterError> {
        self.forget();
        self.producer.begin_transaction().map_err(|error| self.error("starting a transaction", &error))?;
        self.is_open = true;
        Ok(())
    }

    fn forget(&mut self) {
        self.counts.iter_mut().for_each(|count| *count = 0);
        self.sent = 0;
        let slots = self.counts.len();
        *self.reports.lock() = Slots { arrived: vec![Vec::new(); slots], counts: vec![0; slots], failure: None };
        self.reports.reported.store(0, Ordering::Release);
        self.reports.has_failed.store(false, Ordering::Release);
    }

    /// Sends a record of a slot's partition. Waits while the queue is full.
    pub fn send<'h>(
        &mut self,
        slot: usize,
        (topic, partition): (&str, i32),
        record: &Outgoing<'_>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Result<(), ClusterError> {
        let number = self.counts.get(slot).copied().unwrap_or(0);
        self.enqueue(slot, number, (topic, partition), record, headers)?;
        if let Some(count) = self.counts.get_mut(slot) {
            *count += 1;
        }
        Ok(())
    }

    /// Sends a record whose offset nobody asks for.
    pub fn send_aside<'h>(
        &mut self,
        to: (&str, i32),
        record: &Outgoing<'_>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Result<(), ClusterError> {
        self.enqueue(UNASKED, 0, to, record, headers)
    }

    #[inline]
    fn enqueue<'h>(
        &mut self,
        slot: usize,
        number: u64,
        (topic, partition): (&str, i32),
        record: &Outgoing<'_>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Result<(), ClusterError> {
        #[expect(clippy::cast_possible_truncation, reason = "a pointer has 64 bits, see above")]
        let report = (slot << NUMBER_BITS) | (number as usize & ((1 << NUMBER_BITS) - 1));
        let mut message: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, report);
        message.partition = Some(partition);
        message.key = record.key;
        message.payload = record.value;
        message.timestamp = record.timestamp_ms;
        let mut headers = headers.peekable();
        if headers.peek().is_some() {
            let all = headers.fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value }));
            message.headers = Some(all);
        }
        let mut waits_since = None;
        loop {
            if self.reports.has_failed.load(Ordering::Acquire) {
                return Err(self.failure());
            }
            let (error, back) = match self.producer.send(message) {
                Ok(()) => break,
                Err(refused) => refused,
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.record_error(slot, number, &error));
            }
            message = back;
            let since = *waits_since.get_or_insert_with(Instant::now);
            let is_idle = self.reports.reported.load(Ordering::Acquire) == self.sent;
            if is_idle && since.elapsed() > Duration::from_secs(1) {
                let reason = "it is larger than the queue; see queue.buffering.max.kbytes".to_owned();
                return Err(ClusterError::Record { slot, number, reason });
            }
            if since.elapsed() > ARRIVE_MAX {
                return Err(ClusterError::Aborted("no record arrives".to_owned()));
            }
            std::thread::sleep(FULL_WAIT);
        }
        self.sent += 1;
        Ok(())
    }

    /// Waits until everything that was sent has arrived.
    pub fn settle(&mut self) -> Result<(), ClusterError> {
        let started = Instant::now();
        while self.reports.reported.load(Ordering::Acquire) < self.sent {
            if self.reports.has_failed.load(Ordering::Acquire) {
                return Err(self.failure());
            }
            if started.elapsed() > ARRIVE_MAX {
                return Err(ClusterError::Aborted("not all records arrived".to_owned()));
            }
            std::thread::sleep(FULL_WAIT);
        }
        if self.reports.has_failed.load(Ordering::Acquire) { Err(self.failure()) } else { Ok(()) }
    }

    /// Where the records of a slot arrived, in the order sent, once [`Sender::settle`] is through.
    pub fn take_arrived(&mut self, slot: usize) -> Vec<Run> {
        self.reports.lock().arrived.get_mut(slot).map(std::mem::take).unwrap_or_default()
    }

    /// Ends the transaction: what was sent in it can be read from now on.
    pub fn commit(&mut self) -> Result<(), ClusterError> {
        let started = Instant::now();
        loop {
            match self.producer.commit_transaction(REQUEST_MAX) {
                Ok(()) => {
                    self.is_open = false;
                    return Ok(());
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() && started.elapsed() < ARRIVE_MAX => {}
                Err(error) => return Err(self.error("committing the transaction", &error)),
            }
        }
    }

    /// Ends the transaction without its records.
    pub fn abort(&mut self) -> Result<(), ClusterError> {
        if !self.is_open {
            return Ok(());
        }
        let started = Instant::now();
        loop {
            match self.producer.abort_transaction(REQUEST_MAX) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_retriable() && started.elapsed() < ARRIVE_MAX => {}
                Err(error) => return Err(self.error("aborting the transaction", &error)),
            }
        }
        self.is_open = false;
        // Every record gets its report, also one that was thrown away; none may be taken for one of the next transaction.
        let started = Instant::now();
        while self.reports.reported.load(Ordering::Acquire) < self.sent {
            if started.elapsed() > ARRIVE_MAX {
                let reason = "reports are missing".to_owned();
                return Err(ClusterError::Failed { what: "aborting the transaction".to_owned(), reason });
            }
            std::thread::sleep(FULL_WAIT);
        }
        self.forget();
        Ok(())
    }

    fn failure(&self) -> ClusterError {
        if let Some(fatal) = self.fatal() {
            return fatal;
        }
        let Some(Failure { slot, number, code, reason }) = self.reports.lock().failure.clone() else {
            return ClusterError::Aborted("a record did not arrive".to_owned());
        };
        use RDKafkaErrorCode as Code;
        match code {
            Some(
                Code::MessageSizeTooLarge
                | Code::InvalidMessage
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                | Code::TopicAuthorizationFailed
                | Code::PolicyViolation
                | Code::InvalidMessageSize,
            ) if slot != UNASKED => ClusterError::Record { slot, number, reason },
            _ => ClusterError::Aborted(reason),
        }
    }

    fn fatal(&self) -> Option<ClusterError> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(self.of_code(code, "sending", &reason))
    }

    fn of_code(&self, code: RDKafkaErrorCode, what: &str, reason: &str) -> ClusterError {
        use RDKafkaErrorCode as Code;
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
                ClusterError::Fenced(self.transactional_id.clone())
            }
            _ => ClusterError::Failed { what: what.to_owned(), reason: self.listener.redact(reason) },
        }
    }

    fn record_error(&self, slot: usize, number: u64, error: &KafkaError) -> ClusterError {
        if let Some(fatal) = self.fatal() {
            return fatal;
        }
        match error.rdkafka_error_code() {
            // Sending is refused because the transaction is to be aborted already.
            Some(RDKafkaErrorCode::State) => self.failure(),
            _ => ClusterError::Record { slot, number, reason: self.listener.redact(&error.to_string()) },
        }
    }

    fn error(&self, what: &str, error: &KafkaError) -> ClusterError {
        if let Some(fatal) = self.fatal() {
            return fatal;
        }
        let KafkaError::Transaction(inner) = error else {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            return self.of_code(code, what, &error.to_string());
        };
        let (code, reason) = (inner.code(), RDKafkaError::string(inner));
        if inner.txn_requires_abort() {
            return ClusterError::Aborted(self.listener.redact(&reason));
        }
        self.of_code(code, what, &reason)
    }
}
