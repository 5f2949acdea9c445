//! Jobs carried out: many copies at once, and one after the other what changes names.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::MoveError;
use super::commit::commit;
use super::copy::{self, Copied, Pace};
use super::job::{Act, FileFacts, Job, State, Under, facts_of};
use super::journal::{Journal, Tracked};
use super::room::Room;
use super::throttle::Throttle;
use crate::storage::partition::{Checkpoints, Partition};
use crate::storage::replicas::{Reach, by_reach};
use crate::storage::{checkpoint, create, fs};
use crate::types::TopicPartition;

/// How often progress is told, and looked whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// Files whose copies are noted together: what a crash makes copy again is less than this and one file.
const NOTE_BYTES: u64 = 64 << 20;
/// Files that are written before the first of them is waited for; each is open meanwhile.
const FILES_MAX: usize = 64;
/// Jobs that one thread copies together, where they are small.
const TOGETHER_MAX: usize = 16;
/// Bytes of jobs that one thread copies together, where they are more than one.
const TOGETHER_BYTES: u64 = 16 << 20;
/// Jobs that change names together, after they were copied.
const COMMIT_MAX: usize = 256;
/// Jobs that change names together where nothing is to be copied.
const RENAME_MAX: usize = 4096;
/// How long a copy that is whole waits for others to get its name with.
const COMMIT_WAIT: Duration = Duration::from_millis(500);

/// How a run is carried out.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Copies at once.
    pub workers: usize,
    /// Copies at once that read from or write to one file system.
    pub per_disk: usize,
    /// Bytes written a second, over all copies.
    pub throttle: Option<u64>,
    /// Logs that are damaged go too, as they are.
    pub force: bool,
}

/// What happens in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many bytes more were copied or read back.
    Progress(u64),
    /// A job has come to its end.
    Done(&'a Job),
    /// A job was not done; others go on.
    Failed(&'a Job, &'a MoveError),
    /// The source was written to since it was planned: the copy begins anew.
    Anew(&'a Job),
    /// A job is given up: what it was to do is not to be done any more, for this reason.
    GivenUp(&'a Job, &'static str),
    /// A log directory lost its mark of a clean shutdown, because a log came from one that has none.
    Doubted(&'a Path),
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Jobs that are done, before this run and in it.
    pub done: usize,
    /// Jobs that are not.
    pub left: usize,
    /// The journal, which has another name when nothing is left.
    pub journal: PathBuf,
}

/// Begins a run of these jobs: nothing of them is changed yet, and from here on [`run`] finishes them, after a crash too.
///
/// Checks that there is room for all of them. `undoes` is the id of the run that is taken back; `throttle` is what a rerun
/// keeps to where it says nothing else.
pub fn begin(jobs: Vec<Job>, undoes: Option<String>, throttle: Option<u64>) -> Result<Journal, MoveError> {
    let mut targets = BTreeSet::new();
    for job in jobs.iter().filter(|job| job.act != Act::Drop) {
        if !targets.insert(job.target()) {
            return Err(MoveError::Exists { path: job.target() });
        }
    }
    let dirs: BTreeSet<PathBuf> = jobs.iter().flat_map(|job| [job.from.clone(), job.to.clone()]).collect();
    let dirs: Vec<PathBuf> = dirs.into_iter().collect();
    dirs.iter().try_for_each(|dir| checkpoint::check_all(dir))?;
    check_room(&jobs)?;
    let id = match dirs.first() {
        Some(dir) => create::unique_id(dir)?,
        None => return Err(MoveError::Nothing),
    };
    Journal::begin(id, &dirs, jobs, undoes, throttle)
}

/// Whether there is room for all of these jobs, done one after the other in some order.
pub fn check_room(jobs: &[Job]) -> Result<(), MoveError> {
    Room::of(jobs.iter())?.check(&jobs.iter().collect::<Vec<_>>())
}

/// Carries out what is left of a run.
///
/// When it fails, or `stops` says so, every partition is whole in one of its places, and a later call goes on. A job that
/// cannot be done does not keep others from it.
pub fn run(
    journal: Journal,
    options: &Options,
    stops: &(dyn Fn() -> bool + Sync),
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Finished, MoveError> {
    let (mut journal, mut copies, mut ready) = (journal, VecDeque::new(), Vec::new());
    let mut drops = Vec::new();
    for number in 0..journal.jobs.len() {
        match stage(&mut journal, number, report) {
            Ok(Stage::Copy) => copies.push_back(number),
            Ok(Stage::Commit) if journal.jobs[number].job.act == Act::Drop => drops.push(number),
            Ok(Stage::Commit) => ready.push(number),
            Ok(Stage::Over) => {}
            Err(error) if error.is_of_one_job() => report(Event::Failed(&journal.jobs[number].job, &error)),
            Err(error) => return Err(error),
        }
    }
    let room = Room::of(journal.jobs.iter().map(|tracked| &tracked.job))?;
    let throttle = options.throttle.or(journal.throttle).map(Throttle::new);
    let shared = Shared {
        queue: Mutex::new(Queue { pending: copies, running: HashMap::new(), under_way: 0, room }),
        has_changed: Condvar::new(),
        journal: Mutex::new(journal),
        stopped: AtomicBool::new(false),
        stops,
        copied: AtomicU64::new(0),
        throttle,
        options: *options,
    };
    let outcome = shared.carry_out(ready, &drops, report);
    let journal = shared.journal.into_inner().unwrap_or_else(PoisonError::into_inner);
    let done = journal.jobs.iter().filter(|it| it.state >= State::Done).count();
    let left = journal.jobs.len() - done;
    match outcome {
        // It came too late to stop anything.
        Err(MoveError::Stopped) if left == 0 => {}
        outcome => outcome?,
    }
    let path = if left == 0 { journal.close()? } else { journal.path().to_owned() };
    Ok(Finished { done, left, journal: path })
}

/// What is next for a job.
enum Stage {
    Copy,
    Commit,
    Over,
}

/// Finds out from the journal and from what is there. A crash may lie between, and a broker may have run.
fn stage(journal: &mut Journal, number: usize, report: &mut dyn FnMut(Event<'_>)) -> Result<Stage, MoveError> {
    let Some(Tracked { job, state, .. }) = journal.jobs.get(number).cloned() else { return Ok(Stage::Over) };
    if state >= State::Done {
        return Ok(Stage::Over);
    }
    if state >= State::Committed {
        return Ok(Stage::Commit);
    }
    let is_retiring = state == State::Retiring;
    let mut give_up = |journal: &mut Journal, why: &'static str| {
        report(Event::GivenUp(&job, why));
        journal.note(&[number], State::Undone)?;
        Ok(Stage::Over)
    };
    let gone = "its directory is gone";
    let source = job.under(&job.source())?;
    if job.act == Act::Drop {
        return match source {
            Under::Ours => Ok(Stage::Commit),
            Under::Nothing if is_retiring => Ok(Stage::Commit),
            Under::Nothing => give_up(journal, gone),
            Under::Other => give_up(journal, "it was written to since: whether it may go is to be decided anew"),
        };
    }
    let (target, is_retired) = (job.under(&job.target())?, fs::is_dir(&job.retired())?);
    let taken = || Err(MoveError::Exists { path: job.target() });
    match (source, target) {
        // It had got its name, and that was not noted. What got another name in one step may have been in use since.
        (Under::Nothing, Under::Ours) if is_retiring => return Ok(Stage::Commit),
        (Under::Nothing, Under::Other) if is_retiring && job.renames => return Ok(Stage::Commit),
        (_, Under::Ours) if is_retiring && job.act == Act::Copy => return Ok(Stage::Commit),
        (Under::Nothing, Under::Nothing) if is_retired => {}
        (Under::Nothing, Under::Nothing) if job.renames && is_retiring => {
            return Err(MoveError::Gone { path: job.source(), other: job.target() });
        }
        (Under::Nothing, _) if !is_retired => {
            fs::remove_tree(&job.temporary(), None)?;
            return give_up(journal, gone);
        }
        (_, Under::Nothing) => {}
        (_, _) if !job.replaces => return taken(),
        (_, _) if !falls_short(&job)? => {
            fs::remove_tree(&job.temporary(), None)?;
            return give_up(journal, "the other broker has caught up by itself");
        }
        _ => {}
    }
    if source != Under::Nothing && is_retired {
        return Err(MoveError::Exists { path: job.retired() });
    }
    if source == Under::Other {
        let mut job = job;
        fs::remove_tree(&job.temporary(), None)?;
        job.look()?;
        report(Event::Anew(&job));
        journal.note_anew(number, job)?;
    } else if is_retiring {
        // A broker may have run since, and have written its checkpoints anew, without what was carried there.
        journal.note(&[number], State::Copying)?;
    }
    let copies = journal.jobs.get(number).is_some_and(|tracked| tracked.job.copies());
    Ok(if copies { Stage::Copy } else { Stage::Commit })
}

/// Whether what the copy is to replace reaches less far than what is copied.
fn falls_short(job: &Job) -> Result<bool, MoveError> {
    let reach = |dir: &Path| Reach::of(&Partition::open(dir, Checkpoints::default())?);
    let reaches = [reach(&job.target())?, reach(&job.source())?];
    Ok(by_reach(&reaches).first() == Some(&1))
}

/// The number of a job, and whether its copy is whole.
type Checked = (usize, Result<(), MoveError>);

/// What the threads of a run share.
struct Shared<'a> {
    queue: Mutex<Queue>,
    has_changed: Condvar,
    journal: Mutex<Journal>,
    /// Something failed: no more jobs are begun.
    stopped: AtomicBool,
    stops: &'a (dyn Fn() -> bool + Sync),
    /// Bytes that were not told of yet.
    copied: AtomicU64,
    throttle: Option<Throttle>,
    options: Options,
}

struct Queue {
    pending: VecDeque<usize>,
    /// Copies by file system.
    running: HashMap<u64, usize>,
    /// Jobs whose room is taken: being copied, or waiting for their names.
    under_way: usize,
    room: Room,
}

impl Queue {
    /// The file systems that a job reads from and writes to.
    fn devices(&self, job: &Job) -> BTreeSet<u64> {
        BTreeSet::from([self.room.device(&job.from), self.room.device(&job.to)])
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared<'_> {
    fn carry_out(
        &self,
        ready: Vec<usize>,
        drops: &[usize],
        report: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), MoveError> {
        for some in ready.chunks(RENAME_MAX) {
            if self.is_stopped() {
                return Err(MoveError::Stopped);
            }
            self.commit(some, report)?;
        }
        self.copy_all(report)?;
        // A replica goes when those that take its place are there.
        let due: Vec<usize> = {
            let journal = locked(&self.journal);
            let is_there = |state| matches!(state, State::Committed | State::Checkpointed | State::Done);
            let missing = journal.jobs.iter().filter(|it| it.job.act == Act::Copy && !is_there(it.state));
            let missing: BTreeSet<TopicPartition> = missing.map(|it| it.job.partition()).collect();
            let is_due =
                |drop: &&usize| journal.jobs.get(**drop).is_some_and(|it| !missing.contains(&it.job.partition()));
            drops.iter().filter(is_due).copied().collect()
        };
        let mut sound = Vec::with_capacity(due.len());
        for number in due {
            if self.is_stopped() {
                return Err(MoveError::Stopped);
            }
            let Some(Tracked { job, state, .. }) = locked(&self.journal).jobs.get(number).cloned() else { continue };
            match self.check_kept(&job) {
                Err(error) if state < State::Retiring && error.is_of_one_job() => report(Event::Failed(&job, &error)),
                Err(error) if state < State::Retiring => return Err(error),
                _ => sound.push(number),
            }
        }
        for some in sound.chunks(RENAME_MAX) {
            self.commit(some, report)?;
        }
        Ok(())
    }

    /// Whether one of the directories that stay is there, with logs that are sound.
    fn check_kept(&self, job: &Job) -> Result<(), MoveError> {
        let mut worst = Ok(());
        for dir in &job.keeps {
            let names = match facts_of(dir) {
                Ok(facts) => facts.into_iter().map(|facts| facts.name).collect::<Vec<_>>(),
                Err(error) => {
                    worst = Err(error);
                    continue;
                }
            };
            match copy::first_damage_in(dir, &names)? {
                Some(damage) if !self.options.force => worst = Err(MoveError::Damaged { damage }),
                _ => return Ok(()),
            }
        }
        match worst {
            Err(MoveError::Storage(error)) => Err(MoveError::Source(error)),
            worst => worst,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || (self.stops)()
    }

    /// Takes jobs to their ends; those whose place has been taken meanwhile are not done, and keep no others from it.
    fn commit(&self, numbers: &[usize], report: &mut dyn FnMut(Event<'_>)) -> Result<(), MoveError> {
        let mut journal = locked(&self.journal);
        let mut sound = Vec::with_capacity(numbers.len());
        for number in numbers {
            let Some(Tracked { job, state, .. }) = journal.jobs.get(*number) else { continue };
            let is_placed = *state >= State::Retiring || job.act == Act::Drop || job.replaces;
            if is_placed || !fs::is_dir(&job.target())? {
                sound.push(*number);
            } else {
                report(Event::Failed(job, &MoveError::Exists { path: job.target() }));
            }
        }
        let doubted = commit(&mut journal, &sound)?;
        doubted.iter().for_each(|dir| report(Event::Doubted(dir)));
        for job in sound.iter().filter_map(|number| journal.jobs.get(*number)) {
            report(Event::Done(&job.job));
        }
        Ok(())
    }

    /// Copies by several threads; this one gives the copies their names, as they become whole.
    fn copy_all(&self, report: &mut dyn FnMut(Event<'_>)) -> Result<(), MoveError> {
        let (sender, receiver) = mpsc::channel();
        let mut first_error = None;
        std::thread::scope(|scope| {
            for _ in 0..self.options.workers.max(1) {
                let sender = sender.clone();
                scope.spawn(move || {
                    while let Some(numbers) = self.next() {
                        let copied = numbers.and_then(|numbers| {
                            let copied = self.copy(&numbers);
                            self.ran(&numbers);
                            copied
                        });
                        let has_failed = copied.is_err();
                        if has_failed {
                            self.stopped.store(true, Ordering::Relaxed);
                        }
                        if sender.send(copied).is_err() || has_failed {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let (mut whole, mut since): (Vec<usize>, _) = (Vec::new(), Instant::now());
            let mut is_over = false;
            while !is_over {
                match receiver.recv_timeout(TICK) {
                    Ok(Ok(copied)) => {
                        if whole.is_empty() {
                            since = Instant::now();
                        }
                        for (number, copied) in copied {
                            let Err(error) = copied else {
                                whole.push(number);
                                continue;
                            };
                            self.over(&[number]);
                            if let Some(tracked) = locked(&self.journal).jobs.get(number) {
                                report(Event::Failed(&tracked.job, &error));
                            }
                        }
                    }
                    Ok(Err(error)) => keep_worse(&mut first_error, error),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => is_over = true,
                }
                report(Event::Progress(self.copied.swap(0, Ordering::Relaxed)));
                // Many at once: the checkpoints are written anew for each time, not for each job.
                let is_due = is_over || whole.len() >= COMMIT_MAX || since.elapsed() >= COMMIT_WAIT;
                if is_due && !whole.is_empty() {
                    // What is whole gets its name also when something else has failed: it need not be copied again.
                    if let Err(error) = self.commit(&whole, report) {
                        self.stopped.store(true, Ordering::Relaxed);
                        keep_worse(&mut first_error, error);
                    }
                    self.over(&whole);
                    whole.clear();
                }
            }
        });
        match first_error {
            Some(error) => Err(error),
            None if self.is_stopped() => Err(MoveError::Stopped),
            None => Ok(()),
        }
    }

    /// The next jobs to be copied: one, or small ones between the same log directories. `None` when there is none, or none any
    /// more.
    fn next(&self) -> Option<Result<Vec<usize>, MoveError>> {
        let mut queue = locked(&self.queue);
        loop {
            if self.is_stopped() || queue.pending.is_empty() {
                return None;
            }
            let journal = locked(&self.journal);
            let job_of = |number: usize| journal.jobs.get(number).map(|tracked| &tracked.job);
            let limit = self.options.per_disk.max(1);
            let is_free = |job: &Job| {
                let busy = |dir: &Path| queue.running.get(&queue.room.device(dir)).copied().unwrap_or(0);
                queue.room.fits(job) && busy(&job.from) < limit && busy(&job.to) < limit
            };
            let found = queue.pending.iter().position(|number| job_of(*number).is_some_and(is_free));
            let first =
                found.and_then(|at| queue.pending.remove(at)).and_then(|number| Some((number, job_of(number)?)));
            if let Some((number, job)) = first {
                for device in queue.devices(job) {
                    *queue.running.entry(device).or_default() += 1;
                }
                queue.room.take(job);
                let (mut numbers, mut bytes) = (vec![number], job.bytes());
                while let Some(next) = found.and_then(|at| queue.pending.get(at)).and_then(|number| job_of(*number)) {
                    bytes = bytes.saturating_add(next.bytes());
                    let is_small = bytes <= TOGETHER_BYTES && numbers.len() < TOGETHER_MAX;
                    if !is_small || (&next.from, &next.to) != (&job.from, &job.to) || !queue.room.fits(next) {
                        break;
                    }
                    queue.room.take(next);
                    numbers.extend(found.and_then(|at| queue.pending.remove(at)));
                }
                queue.under_way += numbers.len();
                return Some(Ok(numbers));
            }
            if queue.under_way == 0 {
                let pending: Vec<&Job> = queue.pending.iter().filter_map(|number| job_of(*number)).collect();
                // Room is given back when a job is done; where none is under way, none will be.
                return queue.room.clone().check(&pending).err().map(Err);
            }
            drop(journal);
            let waited = self.has_changed.wait_timeout(queue, TICK);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Jobs that were copied together are not being copied any more.
    fn ran(&self, numbers: &[usize]) {
        let first = numbers.first().and_then(|number| Some(locked(&self.journal).jobs.get(*number)?.job.clone()));
        let mut queue = locked(&self.queue);
        let devices = first.map(|job| queue.devices(&job)).unwrap_or_default();
        for device in devices {
            if let Some(running) = queue.running.get_mut(&device) {
                *running = running.saturating_sub(1);
            }
        }
        self.has_changed.notify_all();
    }

    /// Jobs have come to their ends.
    fn over(&self, numbers: &[usize]) {
        let journal = locked(&self.journal);
        let ended: Vec<(Job, bool)> = numbers
            .iter()
            .filter_map(|number| journal.jobs.get(*number))
            .map(|tracked| (tracked.job.clone(), tracked.state >= State::Done))
            .collect();
        drop(journal);
        let mut queue = locked(&self.queue);
        for (job, is_done) in ended {
            queue.under_way = queue.under_way.saturating_sub(1);
            if is_done {
                queue.room.give(&job);
            }
        }
        self.has_changed.notify_all();
    }

    /// Makes the copies of jobs, reads them back and holds them against the originals. What came of each; an error where it
    /// is not of one job.
    fn copy(&self, numbers: &[usize]) -> Result<Vec<Checked>, MoveError> {
        let tracked: Vec<(usize, Tracked)> = {
            let mut journal = locked(&self.journal);
            let fresh = |number: &usize| journal.jobs.get(*number).is_some_and(|it| it.state < State::Copying);
            let fresh: Vec<usize> = numbers.iter().copied().filter(fresh).collect();
            journal.note(&fresh, State::Copying)?;
            numbers.iter().filter_map(|number| Some((*number, journal.jobs.get(*number)?.clone()))).collect()
        };
        let (progress, stops) = (|bytes: u64| self.told(bytes), || self.is_stopped());
        let pace = Pace { throttle: self.throttle.as_ref(), stops: &stops, progress: &progress };
        let mut made: BTreeSet<&Path> = BTreeSet::new();
        for (_, Tracked { job, .. }) in &tracked {
            let temporary = job.temporary();
            if !fs::is_dir(&temporary)? {
                fs::create_dir(&temporary)?;
                copy::keep_dir_attributes(&source_of(job)?, &temporary)?;
                made.insert(&job.to);
            }
        }
        let mut ended: Vec<Checked> = Vec::with_capacity(tracked.len());
        made.into_iter().try_for_each(fs::sync_dir)?;
        let mut unsettled = Unsettled::default();
        let mut copied = Vec::with_capacity(tracked.len());
        for (number, Tracked { job, copied: known, .. }) in &tracked {
            match self.copy_files(*number, job, known, &mut unsettled, &pace) {
                Err(error) if error.is_of_one_job() => ended.push((*number, Err(error))),
                done => copied.push((*number, job, done?)),
            }
        }
        // First all of them, then the disk is waited for: it writes what belongs to many files at once.
        let mut lines = unsettled.settle()?;
        for (_, Tracked { job, .. }) in &tracked {
            fs::sync_dir(&job.temporary())?;
        }
        if tracked.iter().any(|(_, tracked)| tracked.job.bytes() >= NOTE_BYTES) {
            locked(&self.journal).note_files(std::mem::take(&mut lines))?;
        }
        for (number, job, mut copied) in copied {
            match self.check(number, job, &mut copied, &pace) {
                Err(error) if !error.is_of_one_job() => return Err(error),
                checked => ended.push((number, checked)),
            }
        }
        let whole = |(number, tracked): &(usize, Tracked)| {
            let is_whole = ended.iter().any(|(ended, checked)| ended == number && checked.is_ok());
            (is_whole && tracked.state < State::Verified).then_some(*number)
        };
        let whole: Vec<usize> = tracked.iter().filter_map(whole).collect();
        locked(&self.journal).note_whole(lines, &whole)?;
        Ok(ended)
    }

    fn told(&self, bytes: u64) {
        self.copied.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Copies what was not copied before, and removes what does not belong there. All files with length and CRC-32C.
    fn copy_files(
        &self,
        number: usize,
        job: &Job,
        known: &[(String, u64, u32)],
        unsettled: &mut Unsettled,
        pace: &Pace<'_>,
    ) -> Result<HashMap<String, (u64, u32)>, MoveError> {
        let (source, temporary) = (source_of(job)?, job.temporary());
        let mut copied: HashMap<String, (u64, u32)> =
            known.iter().map(|(name, len, crc)| (name.clone(), (*len, *crc))).collect();
        let there: HashMap<String, u64> =
            facts_of(&temporary)?.into_iter().map(|facts| (facts.name, facts.len)).collect();
        for name in there.keys().filter(|name| !job.files.iter().any(|file| file.name == **name)) {
            fs::remove_if_present(&temporary.join(name))?;
        }
        for file in &job.files {
            let is_there = there.get(&file.name) == Some(&file.len);
            if is_there && copied.get(&file.name).is_some_and(|(len, _)| *len == file.len) {
                self.told(file.len);
                continue;
            }
            let copy = copy::copy_file(&source.join(&file.name), &temporary.join(&file.name), pace)?;
            copied.insert(file.name.clone(), (file.len, copy.crc));
            unsettled.bytes += file.len;
            unsettled.files.push((number, file.name.clone(), file.len, copy));
            if unsettled.bytes >= NOTE_BYTES || unsettled.files.len() >= FILES_MAX {
                let lines = unsettled.settle()?;
                locked(&self.journal).note_files(lines)?;
            }
        }
        Ok(copied)
    }

    /// Reads the copy back. A file that is not what was written is copied once more.
    fn check(
        &self,
        number: usize,
        job: &Job,
        copied: &mut HashMap<String, (u64, u32)>,
        pace: &Pace<'_>,
    ) -> Result<(), MoveError> {
        let (source, temporary) = (source_of(job)?, job.temporary());
        for FileFacts { name, len, .. } in &job.files {
            let path = temporary.join(name);
            if Some(&copy::read_back(&path, pace)?) == copied.get(name) {
                continue;
            }
            let crc = copy::copy_file(&source.join(name), &path, pace)?.settle()?;
            if copy::read_back(&path, pace)? != (*len, crc) {
                return Err(MoveError::Differs { path });
            }
            locked(&self.journal).note_files(vec![(number, name.clone(), *len, crc)])?;
            copied.insert(name.clone(), (*len, crc));
        }
        let names: Vec<String> = job.files.iter().map(|file| file.name.clone()).collect();
        if !self.options.force
            && let Some(mut damage) = copy::first_damage_in(&temporary, &names)?
        {
            damage.path = damage.path.file_name().map(|name| source.join(name)).unwrap_or(damage.path);
            return Err(MoveError::Damaged { damage });
        }
        if facts_of(&source)? != job.files {
            return Err(MoveError::Changed { path: source });
        }
        Ok(())
    }
}

/// Where a partition is that is being copied: a crash may have left it with its other name.
fn source_of(job: &Job) -> Result<PathBuf, MoveError> {
    let source = job.source();
    Ok(if fs::is_dir(&source)? { source } else { job.retired() })
}

/// Files that were copied and are not on disk yet, with the numbers of their jobs.
#[derive(Default)]
struct Unsettled {
    files: Vec<(usize, String, u64, Copied)>,
    bytes: u64,
}

impl Unsettled {
    /// Waits for all of them. What is to be noted of each: job, name, length, CRC-32C.
    fn settle(&mut self) -> Result<Vec<(usize, String, u64, u32)>, MoveError> {
        self.bytes = 0;
        let files = std::mem::take(&mut self.files).into_iter();
        files.map(|(number, name, len, copied)| Ok((number, name, len, copied.settle()?))).collect()
    }
}

/// What went wrong says more than that the rest was stopped because of it.
fn keep_worse(kept: &mut Option<MoveError>, error: MoveError) {
    if kept.as_ref().is_none_or(|kept| matches!(kept, MoveError::Stopped)) {
        *kept = Some(error);
    }
}
