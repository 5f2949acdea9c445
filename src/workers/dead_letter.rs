//! Records that could not be processed, put aside with what is known of why.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Task, WorkError};

/// A record that could not be processed.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// The record.
    pub task: &'a Task,
    /// Why not, at the last attempt.
    pub error: &'a WorkError,
    /// Number of the worker, from 0.
    pub worker: usize,
}

/// Where such records go.
pub trait DeadLetters: Send {
    /// Puts one aside. `Ok` is a promise: it is stored, and the record may be committed.
    fn put(&mut self, letter: &DeadLetter<'_>) -> Result<(), WorkError>;
}

/// Shared with whoever has to close it.
impl<D: DeadLetters> DeadLetters for Arc<Mutex<D>> {
    fn put(&mut self, letter: &DeadLetter<'_>) -> Result<(), WorkError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).put(letter)
    }
}

/// A header: key and value.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// The headers of a dead letter: the record's own, then those that tell where it comes from and why, under the names
/// that Kafka Connect gives them (KIP-298, `DeadLetterQueueReporter.populateContextHeaders`), so that its tools read them.
///
/// The connector is the group, the task the worker's number from 0; `stage` is that of a sink's `put`. A key that the
/// record has already is there twice, and the last one counts, as in Kafka 4.3. There is no stack trace.
pub fn headers(letter: &DeadLetter<'_>, group: &str) -> Vec<Header> {
    let task = letter.task;
    let own = task.headers();
    let mut headers: Vec<Header> = own.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
    let mut add = |name: &str, value: String| {
        headers.push((format!("__connect.errors.{name}").into_bytes(), Some(value.into_bytes())));
    };
    add("topic", task.partition.topic.clone());
    add("partition", task.partition.partition.to_string());
    add("offset", task.offset.to_string());
    add("connector.name", group.to_owned());
    add("task.id", letter.worker.to_string());
    add("stage", "TASK_PUT".to_owned());
    add("class.name", "logdir::workers::Worker".to_owned());
    add("exception.class.name", "logdir::workers::WorkError".to_owned());
    add("exception.message", letter.error.to_string());
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::builder::{BatchBuilder, BatchSpec, NewHeader, NewRecord};
    use crate::batch::{Compressor, Decompressor, Frame};
    use crate::types::{LeaderEpoch, Offset, TopicPartition};

    #[test]
    fn the_headers_are_the_records_own_and_connects() {
        let own = [
            NewHeader { key: b"trace", value: Some(b"a1") },
            NewHeader { key: b"__connect.errors.topic", value: Some(b"first") },
            NewHeader { key: b"none", value: None },
        ];
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&NewRecord { key: Some(b"k"), headers: &own, ..NewRecord::default() }).unwrap();
        let mut batch = builder.seal(&mut Compressor::default()).unwrap();
        batch.assign(Offset::new(4711), LeaderEpoch(3));
        let mut decompressor = Decompressor::default();
        let frame = Frame::Batch(batch.view());
        let record = frame.records(&mut decompressor).unwrap().next().unwrap().unwrap();
        let partition = Arc::new(TopicPartition::new("orders", 3));
        let task = Task::of(&partition, &record, LeaderEpoch(3), Vec::new());
        let error = WorkError::new("exit status: 1");
        let headers = headers(&DeadLetter { task: &task, error: &error, worker: 2 }, "billing");
        let text: Vec<String> = headers
            .iter()
            .map(|(key, value)| {
                let value = value.as_ref().map_or("null".into(), |value| String::from_utf8_lossy(value));
                format!("{}={value}", String::from_utf8_lossy(key))
            })
            .collect();
        assert_eq!(
            text,
            [
                "trace=a1",
                "__connect.errors.topic=first",
                "none=null",
                "__connect.errors.topic=orders",
                "__connect.errors.partition=3",
                "__connect.errors.offset=4711",
                "__connect.errors.connector.name=billing",
                "__connect.errors.task.id=2",
                "__connect.errors.stage=TASK_PUT",
                "__connect.errors.class.name=logdir::workers::Worker",
                "__connect.errors.exception.class.name=logdir::workers::WorkError",
                "__connect.errors.exception.message=exit status: 1",
            ]
        );
    }
}
