//! What cannot be done with topics, as a person is told of it.

use crate::cli::Outcome;
use crate::cli::consume::select::storage_problem;
use crate::cli::recover::{checkpoint_problem, swap_problem};
use crate::cli::ui::Problem;
use crate::storage::adopt::{AdoptError, Refusal};
use crate::storage::create::CreateError;
use crate::storage::fs::StorageErrorKind;
use crate::storage::node::NodeError;
use crate::storage::recovery::LoadError;
use crate::storage::restore::RestoreError;

fn refused(code: &'static str, message: impl Into<String>) -> Problem {
    Problem::new(code, message).outcome(Outcome::Refused)
}

/// A node that nothing can be known of.
pub fn node_problem(error: &NodeError) -> Problem {
    match error {
        NodeError::Storage(error) => storage_problem(error),
        NodeError::Stranger { dir, .. } => Problem::new("refused", error.to_string())
            .path(dir)
            .outcome(Outcome::Refused)
            .hint("name the log directories of one node with -d"),
        NodeError::Metadata(reason) => Problem::new("malformed", error.to_string())
            .path(&reason.path)
            .hint("see what a broker makes of it with: logdir verify --forecast"),
    }
}

/// A topic that cannot be made.
pub fn create_problem(error: &CreateError) -> Problem {
    match error {
        CreateError::Storage(error) => checkpoint_problem(error),
        CreateError::Name { .. } => Problem::usage(error.to_string()),
        CreateError::Collision { .. } => refused("collision", error.to_string()).hint("choose another name"),
        CreateError::Exists { .. } => refused("exists", error.to_string()),
        CreateError::TopicId { found, .. } => {
            refused("topic_id", error.to_string()).hint(format!("leave --topic-id out to use the one it has: {found}"))
        }
        CreateError::Count { found, .. } => {
            refused("exists", error.to_string()).hint(format!("say --partitions {found}, or choose another name"))
        }
        CreateError::NoCount { .. } => Problem::usage(error.to_string()).hint("say it with --partitions N"),
        CreateError::NotHere { .. } => refused("refused", error.to_string()).hint(
            "make it in the log directories of the nodes that hold it; see who does with: kafka-topics.sh --describe",
        ),
        CreateError::Directory { .. } => {
            refused("refused", error.to_string()).hint("name all log directories of the node, with -d or -F")
        }
    }
}

/// A partition that is not adopted.
pub fn adopt_problem(error: &AdoptError) -> Problem {
    let text = error.to_string();
    match error {
        AdoptError::Storage(error) => storage_problem(error),
        AdoptError::Node(error) => node_problem(error),
        AdoptError::NotAPartition { .. } => Problem::new("wrong_kind", text).hint("name a directory that holds .log files"),
        AdoptError::Name { .. } => {
            Problem::new("bad_name", text).hint("say what it holds with: --as TOPIC-PARTITION")
        }
        AdoptError::NotALogDir { path } => Problem::new("wrong_kind", text).hint(format!(
            "--to names a log directory of a broker; format it with: kafka-storage.sh format ({})",
            path.display()
        )),
        AdoptError::Same { .. } => refused("exists", text).hint("name the log directory of another cluster with --to"),
        AdoptError::Metadata => {
            refused("refused", text).hint("read it with: logdir dump-segment; a cluster's metadata moves into no other cluster")
        }
        AdoptError::Refused { refusals } => {
            let code = match refusals.as_slice() {
                [Refusal::HasRecords { .. }] => "exists",
                _ => "refused",
            };
            let hints: Vec<String> = refusals.iter().map(way_past).collect();
            refused(code, text).hint(hints.join("; and "))
        }
        AdoptError::NoSpace { .. } => Problem::new("no_space", text)
            .outcome(Outcome::Refused)
            .hint("make room, adopt fewer at once, or --move what is on the same file system: sealed logs then take no room"),
        AdoptError::UnknownTopic { topic, partitions, .. } => refused("not_found", text).hint(format!(
            "create it in the cluster first, then stop the broker and run this again: kafka-topics.sh \
             --bootstrap-server HOST:9092 --create --topic {topic} --partitions {partitions} --replication-factor 1"
        )),
        AdoptError::NoPartition { partition, .. } => refused("not_found", text).hint(format!(
            "add partitions in the cluster, then stop the broker and run this again: kafka-topics.sh --bootstrap-server \
             HOST:9092 --alter --topic {} --partitions {}",
            partition.topic,
            partition.partition.saturating_add(1)
        )),
        AdoptError::OtherNode { .. } => {
            refused("refused", text).hint("adopt it on that node, or move the partition here first: kafka-reassign-partitions.sh")
        }
        AdoptError::OtherDirectory { path, .. } => refused("refused", text).hint(match path {
            Some(path) => format!("say --to {}", path.display()),
            None => "find the directory whose meta.properties has this directory.id, and say it with --to".to_owned(),
        }),
        AdoptError::InOtherDirectory { path, .. } => {
            refused("duplicate", text).hint(format!("a broker does not start with two; say --to {}", path.display()))
        }
        AdoptError::TopicId { found, .. } => {
            refused("topic_id", text).hint(format!("leave --topic-id out, or say --topic-id {found}"))
        }
        AdoptError::NoTopicId { topic, .. } => refused("topic_id", text).hint(format!(
            "name the log directory with __cluster_metadata-0 with -d too; or say --topic-id, as the cluster has it: \
             kafka-topics.sh --bootstrap-server HOST:9092 --describe --topic {topic}"
        )),
        AdoptError::Load(error) => load_problem(error),
        AdoptError::Damaged { source_dir, .. } => refused("would_lose", text).hint(format!(
            "recover it first, and adopt the result: logdir recover {} --mode salvage --to DIR --execute",
            source_dir.display()
        )),
        AdoptError::Unfinished { path } => refused("malformed", text).hint(format!(
            "finish it as a broker does, and adopt the result: logdir recover {} --to DIR --execute",
            path.parent().unwrap_or(path).display()
        )),
        AdoptError::NothingToAdopt { live, .. } => refused("refused", text)
            .hint(format!("to empty {} delete its topic, and make it again", live.display())),
        AdoptError::AdoptedBefore { .. } => refused("refused", text)
            .hint("what is there may hold more than the source does; adopt it under another name to compare: --as NAME-N"),
        AdoptError::Restore(error) => restore_problem(error),
        AdoptError::Swap(error) => swap_problem(error),
    }
}

/// What goes past a refusal.
fn way_past(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Internal { .. } => {
            "groups and transactions of another cluster are of no use here; if you know better, --force".to_owned()
        }
        Refusal::Replicated { replicas, .. } => format!(
            "reduce it to one replica first with kafka-reassign-partitions.sh and add the others afterwards; or stop all \
             of {replicas:?}, adopt the same directory on each with --force, and start them"
        ),
        Refusal::HasRecords { path } => format!(
            "see what is in it with: logdir consume {}; --replace puts it aside under a -delete name, which a broker removes",
            path.display()
        ),
        Refusal::Open { .. } => "--abort-open ends them with abort markers, so that their records are dropped; \
                                 --keep-open leaves them open, and consumers with read_committed wait until \
                                 kafka-transactions.sh abort ends them"
            .to_owned(),
    }
}

/// A source that a broker would not open.
fn load_problem(error: &LoadError) -> Problem {
    let salvage = |path: &std::path::Path| {
        format!(
            "recover it first, and adopt the result: logdir recover {} --mode salvage --to DIR --execute",
            path.parent().unwrap_or(path).display()
        )
    };
    let malformed = Problem::new("malformed", error.to_string());
    match error {
        // Not there, or not to be read: no recovery makes it so.
        LoadError::Storage(error) if matches!(error.kind, StorageErrorKind::Io(_)) => storage_problem(error),
        LoadError::Storage(error) => storage_problem(error).hint(salvage(&error.path)),
        LoadError::Name { .. } => malformed.hint("no broker gives a file such a name: move it out of the directory"),
        LoadError::Overflow { path, .. } => malformed.hint(format!(
            "have a broker of its own cluster split it; or, if the file's name is wrong, {}",
            salvage(path)
        )),
        LoadError::Corrupt { path, .. } | LoadError::Index { path, .. } | LoadError::Producer { path, .. } => {
            malformed.hint(salvage(path))
        }
    }
}

fn restore_problem(error: &RestoreError) -> Problem {
    match error {
        RestoreError::Storage(error) => storage_problem(error),
        RestoreError::Load(error) => load_problem(error),
        _ => Problem::new("error", error.to_string())
            .hint("the source is as it was; if it was not changed meanwhile, please report this"),
    }
}
