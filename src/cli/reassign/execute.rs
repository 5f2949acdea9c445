//! `reassign execute`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::moving::{self, MovingArgs, Rows};
use super::sources::{self, as_broker_names, read_json, shown};
use super::verify::name_as_found;
use crate::cli::args::GlobalArgs;
use crate::cli::consume::select::storage_problem;
use crate::cli::json_row::JsonRow;
use crate::cli::recover::say_holders;
use crate::cli::size::SizeStyle;
use crate::cli::ui::{Problem, Settings, Ui};
use crate::cli::{Outcome, man};
use crate::reassign::offline::{self, Listed, Name, Obstacle, Offline, Place, Replica, Site, Step};
use crate::reassign::plan_json::{PlannedPartition, parse_plan, write_plan};
use crate::storage::fs::{StorageError, replace_atomic};
use crate::storage::inventory::LogDirs;
use crate::storage::moves::{self, Act, Job};
use crate::storage::names::DirKind;
use crate::storage::partition::{Checkpoints, Partition};
use crate::storage::partition_metadata;
use crate::storage::replicas::Reach;
use crate::storage::{cluster_metadata, create};
use crate::types::TopicPartition;

/// Move the directories of partitions to where a plan wants them, while their brokers are stopped
///
/// Between the log directories of a broker; to another broker, when the controllers have that in the replica list; and away,
/// when they have not. A directory is copied, read back and checked before the original goes; on one file system it only
/// gets another name. What the checkpoints say of it goes with it. A run that was interrupted is finished by resume or taken
/// back by rollback. What only a running controller can do is told. Exits 1 while something of the plan is not done.
#[derive(clap::Args, Debug, Clone)]
#[command(before_long_help = man::examples("reassign execute"))]
pub struct ExecuteArgs {
    /// The plan, as generate or kafka-reassign-partitions.sh --generate prints it (-: stdin)
    #[arg(long, value_name = "FILE")]
    reassignment_json_file: PathBuf,
    /// Write what only a running controller can do to this file, for kafka-reassign-partitions.sh --execute
    #[arg(long, value_name = "FILE")]
    controller_json_file: Option<PathBuf>,
    #[command(flatten)]
    moving: MovingArgs,
    /// Go past what stands in the way, where the message says that it can be; move damaged logs as they are
    #[arg(long)]
    force: bool,
}

/// What is to be done, and what is not.
struct Decided {
    jobs: Vec<Job>,
    offline: Offline,
    outcome: Outcome,
}

/// Decides, and does it.
pub fn run(args: &ExecuteArgs, global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Outcome> {
    let mut rows = Rows::new(&args.moving, global, ui)?;
    let file = &args.reassignment_json_file;
    let malformed = |error: &dyn std::fmt::Display| Problem::new("malformed", error.to_string()).path(shown(file));
    let plan = parse_plan(&read_json(file)?).map_err(|error| malformed(&error))?;
    let found = moving::journals(global)?;
    match moving::refuse_interrupted(&found) {
        // What is planned then is not what there is.
        Err(problem) if args.moving.dry_run => ui.warning(Problem::of(&problem)),
        refused => refused?,
    }
    let mut locks = Vec::new();
    let decided = if args.moving.dry_run {
        let decided = decide(args, &plan, global, ui)?;
        say_holders(&moving::touched(&decided.jobs).into_iter().collect::<Vec<_>>(), ui)?;
        decided
    } else {
        // Under the locks nothing changes any more: what is done is decided, and told, then.
        let mut unheard = Ui::on(Settings::default(), Box::new(std::io::sink()), Box::new(std::io::sink()));
        let held = moving::touched(&decide(args, &plan, global, &mut unheard)?.jobs);
        locks = moving::lock(&held, ui)?;
        // Another run may have begun before the locks were had.
        let found = moving::journals(global)?;
        moving::refuse_interrupted(&found)?;
        moving::clear_stale(&found, &locks)?;
        let mut decided = decide(args, &plan, global, ui)?;
        let is_held = |job: &Job| held.contains(&job.from) && held.contains(&job.to);
        let left: BTreeSet<TopicPartition> =
            decided.jobs.iter().filter(|job| !is_held(job)).map(Job::partition).collect();
        decided.jobs.retain(|job| !left.contains(&job.partition()));
        decided
    };
    let Decided { jobs, offline, mut outcome } = decided;
    tell_obstacles(&offline, &rows, ui);
    if !offline.obstacles.is_empty() {
        outcome |= Outcome::Findings;
    }
    for_controllers(args, &offline, ui)?;
    let planned = jobs.len();
    let bytes: u64 = jobs.iter().map(Job::bytes).sum();
    if args.moving.dry_run {
        jobs.iter().for_each(|job| rows.job(job, "planned", ui));
        let mut text = format!("{planned} to do, {} to be copied", SizeStyle::Human.text(bytes));
        if let Some(rate) = args.moving.options(global, false).throttle {
            text.push_str(&format!(", {} s at the throttle", bytes.div_ceil(rate)));
        }
        ui.note(&format!("{text}; nothing written"));
        if let Err(error) = moves::check_room(&jobs) {
            let problem = moving::move_problem(&error);
            outcome |= problem.ends_with();
            ui.error(problem);
        }
    } else if planned == 0 {
        let why = if outcome == Outcome::Done { "nothing to do" } else { "nothing that can be done here" };
        ui.note(why);
    } else {
        let journal = moves::begin(jobs, None, args.moving.options(global, false).throttle)
            .map_err(|error| moving::move_problem(&error))?;
        outcome |= moving::carry_out(journal, &args.moving.options(global, args.force), &mut rows, ui)?;
        moving::forget_older(global)?;
    }
    if rows.is_json() {
        JsonRow::new("summary")
            .field("moves", planned)
            .field("size_bytes", bytes)
            .field("obstacles", offline.obstacles.len())
            .field("for_controllers", offline.for_controllers.len())
            .field("executed", !args.moving.dry_run && planned > 0)
            .write(ui.out().buffer());
    }
    drop(locks);
    Ok(outcome)
}

fn decide(args: &ExecuteArgs, plan: &[PlannedPartition], global: &GlobalArgs, ui: &mut Ui) -> anyhow::Result<Decided> {
    let found = sources::look_into_dirs(global, ui)?;
    let mut plan = plan.to_vec();
    name_as_found(&mut plan, &found.dirs);
    refuse_damaged(&found.dirs)?;
    let site = site(&plan, &found.dirs, ui)?;
    let offline = offline::offline(&plan, &site, args.force);
    let dirs: Vec<PathBuf> = found.dirs.facts().iter().map(|facts| facts.path.clone()).collect();
    let (mut jobs, mut outcome) = (Vec::with_capacity(offline.steps.len()), found.outcome);
    let mut refused = BTreeSet::new();
    for ((topic, number), step) in &offline.steps {
        let partition = TopicPartition::new(topic.clone(), *number);
        // Where one of its replicas cannot be made, none goes.
        if refused.contains(&partition) {
            continue;
        }
        let (Step::Move { from, .. } | Step::Copy { from, .. } | Step::Drop { at: from, .. }) = step;
        let at = |number: &usize| dirs.get(*number).cloned().unwrap_or_default();
        let from = at(from);
        let id = create::unique_id(&from).map_err(|error| storage_problem(&error))?;
        let job = match step {
            Step::Move { to, .. } => Job::new(id, &partition, Act::Move, &from, Some(&at(to))),
            Step::Copy { to, replaces: true, .. } => Job::replacing(id, &partition, &from, &at(to)),
            Step::Copy { to, .. } => Job::new(id, &partition, Act::Copy, &from, Some(&at(to))),
            Step::Drop { keeps, .. } => Job::dropping(id, &partition, &from, keeps.iter().map(at)),
        };
        match job {
            Ok(job) => jobs.push(job),
            Err(error) => {
                let problem = moving::move_problem(&error);
                outcome |= problem.ends_with();
                ui.error(problem);
                refused.insert(partition);
            }
        }
    }
    Ok(Decided { jobs, offline, outcome })
}

/// Who holds a partition is not decided by metadata behind whose damage something else may stand.
fn refuse_damaged(dirs: &LogDirs) -> anyhow::Result<()> {
    let choice = cluster_metadata::choose(dirs.facts().iter().map(|facts| facts.path.as_path()));
    if choice.believed.is_none_or(|believed| !believed.is_damaged) {
        return Ok(());
    }
    let Some(problem) = choice.problems.into_iter().next() else { return Ok(()) };
    Err(Problem::new("malformed", format!("the cluster's metadata is damaged: {}", problem.reason))
        .path(&problem.reason.path)
        .hint("name the log directories of a node whose metadata log is sound, with -d")
        .into())
}

/// What is known of the partitions of the plan.
fn site(plan: &[PlannedPartition], dirs: &LogDirs, ui: &mut Ui) -> anyhow::Result<Site> {
    let wanted: BTreeSet<(&str, i32)> = plan.iter().map(|it| (it.topic.as_str(), it.partition)).collect();
    let places = dirs.facts().iter().map(|facts| Place {
        broker: facts.node_id.unwrap_or(-1),
        path: as_broker_names(&facts.path),
        partitions: 0,
    });
    let mut site = Site { log_dirs: places.collect(), ..Site::default() };
    let image = sources::image(dirs);
    let mut here: Vec<(usize, Name, &Path)> = Vec::new();
    for (log_dir, name, path) in dirs.partitions() {
        let Some(place) = site.log_dirs.get_mut(log_dir) else { continue };
        let partition = &name.topic_partition;
        let key = (partition.topic.clone(), partition.partition);
        match name.kind {
            DirKind::Live => {
                place.partitions += 1;
                if wanted.contains(&(partition.topic.as_str(), partition.partition)) {
                    here.push((log_dir, key, path));
                }
            }
            DirKind::Future => {
                let broker = place.broker;
                site.future.insert((key, broker));
            }
            DirKind::Delete | DirKind::Stray => {}
        }
    }
    let looked: Vec<Result<Option<Replica>, StorageError>> = here
        .par_iter()
        .map(|(log_dir, (topic, _), path)| {
            let id = image.and_then(|image| image.topic_named(topic)).map(|topic| topic.topic_id);
            let own = partition_metadata::read(&path.join(partition_metadata::FILE_NAME)).ok().map(|it| it.topic_id);
            // Of a topic of that name which is no more: a broker sets it aside.
            if id.is_some() && own.is_some() && id != own {
                return Ok(None);
            }
            let reach = Reach::of(&Partition::open(path, Checkpoints::default())?)?;
            Ok(Some(Replica { log_dir: *log_dir, reach: (reach.epoch.map(|it| it.0), reach.log_end.get()) }))
        })
        .collect();
    for ((_, name, path), replica) in here.into_iter().zip(looked) {
        match replica.map_err(|error| storage_problem(&error))? {
            Some(replica) => site.held.entry(name).or_default().push(replica),
            None => {
                let text = "has the id of another topic than the controllers know: it is left alone";
                ui.warn_once("topic_id", Problem::new("topic_id", text).path(path));
            }
        }
    }
    site.listed = image.map(|image| {
        let mut listed = BTreeMap::new();
        for it in plan {
            let record = image.topic_named(&it.topic).and_then(|topic| topic.partitions.get(&it.partition));
            if let Some(record) = record {
                let mut complete = [record.isr.as_slice(), &record.elr].concat();
                if complete.is_empty() {
                    complete.clone_from(&record.last_known_elr);
                }
                let (adding, removing) = (record.adding_replicas.clone(), record.removing_replicas.clone());
                let of_record = Listed { replicas: record.replicas.clone(), adding, removing, complete };
                listed.insert((it.topic.clone(), it.partition), of_record);
            }
        }
        listed
    });
    Ok(site)
}

fn tell_obstacles(offline: &Offline, rows: &Rows, ui: &mut Ui) {
    for ((topic, number), obstacle) in &offline.obstacles {
        let text = format!("{topic}-{number}: {obstacle}");
        if rows.is_json() {
            JsonRow::new("obstacle")
                .field("topic", topic.clone())
                .field("partition", *number)
                .field("message", obstacle.to_string())
                .field("yields_to_force", obstacle.yields())
                .write(ui.out().buffer());
        }
        let (key, hint) = match obstacle {
            Obstacle::Unseen(_) => ("unseen", "name its log directories too, with -d"),
            Obstacle::NoLogDir { .. } => {
                ("no_log_dir", "name it with -d; a log directory of a plan is a path as its broker has it in log.dirs")
            }
            Obstacle::NotListed(_) => (
                "not_listed",
                "have the controllers put it there: give them the plan with kafka-reassign-partitions.sh --execute, with \
                 these brokers stopped, and run this again; or --force",
            ),
            Obstacle::StillListed(_) => (
                "still_listed",
                "its broker lets it go by itself when the controllers have brought the reassignment to its end",
            ),
            Obstacle::Unknown(_) => (
                "unknown",
                "name a log directory that has __cluster_metadata-0 too; if you know that it does not, --force",
            ),
            Obstacle::Metadata => ("metadata", "leave it out of the plan"),
            Obstacle::NoTopic => {
                ("no_topic", "create it in the cluster first, or see topics adopt; if you know better, --force")
            }
            Obstacle::NoSource => ("no_source", "name the log directories of a broker that has it, with -d"),
            Obstacle::NotInSync => {
                ("not_in_sync", "name the log directories of a broker that is in sync; to copy what is here, --force")
            }
            Obstacle::Furthest(_) => {
                ("furthest", "copy it to where it is to stay first; to lose what it has more, --force")
            }
            Obstacle::Twice(_) => {
                ("twice", "see both with: logdir log-dirs; move one of them out of the log directory")
            }
            Obstacle::BeingMoved(_) => ("being_moved", "start the broker and let it end that"),
        };
        ui.warn_once(&format!("not done: {key}"), Problem::new("not_done", text).hint(hint));
    }
}

/// Writes or mentions what only a running controller can do.
fn for_controllers(args: &ExecuteArgs, offline: &Offline, ui: &mut Ui) -> anyhow::Result<()> {
    let rest = &offline.for_controllers;
    if rest.is_empty() {
        return Ok(());
    }
    let count = rest.len();
    match &args.controller_json_file {
        Some(file) if !args.moving.dry_run => {
            let any: Vec<PlannedPartition> =
                rest.iter().map(|it| PlannedPartition { log_dirs: None, ..it.clone() }).collect();
            let text = write_plan(&any) + "\n";
            replace_atomic(file, text.as_bytes()).map_err(|error| storage_problem(&error))?;
            ui.note(&format!(
                "{}: the replica lists of {count} partitions, which only a running controller can change: \
                 kafka-reassign-partitions.sh --execute --reassignment-json-file {}",
                file.display(),
                file.display()
            ));
        }
        _ => ui.note(&format!(
            "the replica lists of {count} partitions are not as in the plan, and only a running controller can change \
             them: --controller-json-file FILE writes what kafka-reassign-partitions.sh needs"
        )),
    }
    Ok(())
}
