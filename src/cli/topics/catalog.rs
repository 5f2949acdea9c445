//! What `topics list` and `topics describe` look at: topics as their directories show them, beside what the cluster's
//! metadata knows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::batch::compression::MAX_BATCH_BYTES;
use crate::cli::Outcome;
use crate::cli::args::{GlobalArgs, TopicArg};
use crate::cli::consume::select::topic_not_found;
use crate::cli::log_dirs::{Job, Opened, open_dirs, survey_all};
use crate::cli::ui::{Problem, Ui};
use crate::schema::image::{MetadataImage, Topic};
use crate::storage::forecast::METADATA_DIR;
use crate::storage::inventory::partition::TopicId;
use crate::storage::inventory::{Depth, LogDirs, PartitionFacts};
use crate::storage::names::DirKind;
use crate::storage::verify::Grade;
use crate::types::{Uuid, is_internal_topic};

/// Which topics, and where.
#[derive(clap::Args, Debug, Clone)]
pub struct Which {
    /// Topics
    #[arg(value_name = "TOPIC")]
    names: Vec<String>,
    /// Topic; re:PATTERN for several (repeatable)
    #[arg(short, long, value_name = "TOPIC", value_parser = TopicArg::parse)]
    topic: Vec<TopicArg>,
    /// Leave internal topics (__*) out
    #[arg(long, alias = "exclude-internal-topics")]
    exclude_internal: bool,
    /// Leave the head off tables
    #[arg(long, hide_short_help = true)]
    pub no_header: bool,
}

impl Which {
    fn holds(&self, topic: &str) -> bool {
        let named = self.names.iter().any(|name| name == topic) || self.topic.iter().any(|arg| arg.matches(topic));
        (named || self.is_all()) && !(self.exclude_internal && is_internal_topic(topic))
    }

    /// Whether no topic is named.
    pub fn is_all(&self) -> bool {
        self.names.is_empty() && self.topic.is_empty()
    }

    fn outright(&self) -> impl Iterator<Item = &String> {
        let of_args = self.topic.iter().flat_map(|arg| match arg {
            TopicArg::Names(names) => names.as_slice(),
            TopicArg::Pattern(_) => &[],
        });
        self.names.iter().chain(of_args)
    }
}

/// A topic.
#[derive(Debug, Default)]
pub struct Entry<'i> {
    /// What the cluster's metadata says of it.
    pub known: Option<&'i Topic>,
    /// Its partitions in use, each with the replicas that are here.
    pub partitions: BTreeMap<i32, Vec<PartitionFacts>>,
}

impl Entry<'_> {
    /// Its id: the cluster's, else that of the directories.
    pub fn topic_id(&self) -> Option<Uuid> {
        let of_dirs = || {
            self.replicas().find_map(|facts| match facts.topic_id {
                TopicId::Known(id) => Some(id),
                _ => None,
            })
        };
        self.known.map(|topic| topic.topic_id).or_else(of_dirs)
    }

    /// All replicas that are here.
    pub fn replicas(&self) -> impl Iterator<Item = &PartitionFacts> {
        self.partitions.values().flatten()
    }

    /// Numbers of its partitions, of the metadata and of directories.
    pub fn numbers(&self) -> BTreeSet<i32> {
        let known = self.known.iter().flat_map(|topic| topic.partitions.keys());
        known.chain(self.partitions.keys()).copied().collect()
    }
}

/// Looks at the topics that are meant, and hands them over with the cluster's metadata.
pub fn with_topics(
    which: &Which,
    global: &GlobalArgs,
    ui: &mut Ui,
    show: impl FnOnce(&BTreeMap<String, Entry<'_>>, &Context<'_>, &mut Ui) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let Opened { dirs, readable, mut outcome, .. } = open_dirs(&[], global, ui)?;
    let image = (0..dirs.facts().len()).find_map(|number| dirs.image(number));
    let here: Vec<_> = dirs.partitions().filter(|(_, name, _)| name.kind == DirKind::Live).collect();
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for (log_dir, name, path) in &here {
        if which.holds(&name.topic_partition.topic) {
            jobs.push(Job { log_dir: *log_dir, name, path });
        }
    }
    jobs.sort_by(|a, b| (&a.name.topic_partition, a.log_dir).cmp(&(&b.name.topic_partition, b.log_dir)));
    let (found, failed) = survey_all(&jobs, &dirs, Depth::Index, MAX_BATCH_BYTES, global, ui)?;
    if failed {
        outcome |= Outcome::Failed;
    }
    // What is said of topics is said beside what keeps it from being all.
    let of_dirs = dirs.findings().flat_map(|findings| findings.told());
    let of_metadata = of_dirs.filter(|finding| finding.path.components().any(|part| part.as_os_str() == METADATA_DIR));
    for finding in of_metadata.chain(found.iter().flat_map(|facts| &facts.findings)) {
        if finding.grade > Grade::Slows {
            outcome |= Outcome::Findings;
            ui.warning(Problem::new(finding.fault.code(), finding.message.clone()).path(&finding.path));
        }
    }
    let mut topics: BTreeMap<String, Entry<'_>> = BTreeMap::new();
    for topic in image.iter().flat_map(|image| image.topics()).filter(|topic| which.holds(&topic.name)) {
        topics.entry(topic.name.clone()).or_default().known = Some(topic);
    }
    for facts in found {
        let partition = facts.name.topic_partition.clone();
        topics.entry(partition.topic).or_default().partitions.entry(partition.partition).or_default().push(facts);
    }
    missing(which, &topics, &here.iter().map(|(_, name, _)| name.topic_partition.topic.as_str()).collect(), &readable)?;
    show(&topics, &Context { image, dirs: &dirs }, ui)?;
    Ok(outcome)
}

/// What the topics are looked at beside.
pub struct Context<'i> {
    /// The cluster's metadata.
    pub image: Option<&'i MetadataImage>,
    /// The log directories.
    pub dirs: &'i LogDirs,
}

fn missing(
    which: &Which,
    topics: &BTreeMap<String, Entry<'_>>,
    here: &BTreeSet<&str>,
    places: &[PathBuf],
) -> anyhow::Result<()> {
    let names: BTreeSet<&str> = here.iter().copied().chain(topics.keys().map(String::as_str)).collect();
    if let Some(name) = which.outright().find(|name| !names.contains(name.as_str())) {
        return Err(topic_not_found(name, &names, places).into());
    }
    if topics.is_empty() && !which.is_all() {
        return Err(Problem::new("not_found", "no topic matches").hint("see all with: logdir topics list").into());
    }
    Ok(())
}
