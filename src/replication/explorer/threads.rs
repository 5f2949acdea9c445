//! The threads of a search, and what they do in a round.
//!
//! ```text
//!  a round:  expand   some states of each shard; what they lead to goes into a row, sorted by the shard it belongs to
//!            take     each shard takes in what is for it, row by row, as rows are done
//!            ------   everybody waits
//! ```
//! Who does which shard is left to chance; what a shard gets, and in which order, is not.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::model::Model;
use super::packed::Packed;
use super::shard::{Candidate, SHARDS, Shard, reference, shard_of};

/// States of a shard expanded in a round. Rounds are long enough that waiting costs little, and short enough that the
/// candidates of one stay in a cache.
const BLOCK: usize = 512;

/// What the states of one shard lead to, by the shards it belongs to.
type Row<S> = [Vec<Candidate<S>>; SHARDS];

/// All that the threads share.
pub(super) struct Crew<'m, M: Model> {
    model: &'m M,
    shards: [RwLock<Shard<M::State>>; SHARDS],
    rows: [RwLock<Row<M::State>>; SHARDS],
    /// The round that each row was last done in, and the one that goes on.
    done: [AtomicUsize; SHARDS],
    round: AtomicUsize,
    /// The next shard to be expanded, and the next to take in.
    to_expand: AtomicUsize,
    to_take: AtomicUsize,
    generated: AtomicU64,
    /// Where all wait for each other; there once it is known how many they are.
    everybody: OnceLock<Barrier>,
    is_over: AtomicBool,
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<'m, M: Model> Crew<'m, M> {
    /// A crew whose shards take no more than so many bytes together.
    pub(super) fn new(model: &'m M, bytes_max: usize) -> Crew<'m, M> {
        Crew {
            model,
            shards: std::array::from_fn(|_| RwLock::new(Shard::new(bytes_max / SHARDS))),
            rows: std::array::from_fn(|_| RwLock::new(std::array::from_fn(|_| Vec::new()))),
            done: std::array::from_fn(|_| AtomicUsize::new(0)),
            round: AtomicUsize::new(0),
            to_expand: AtomicUsize::new(0),
            to_take: AtomicUsize::new(0),
            generated: AtomicU64::new(0),
            everybody: OnceLock::new(),
            is_over: AtomicBool::new(false),
            panicked: Mutex::new(None),
        }
    }

    /// All shards, to look at between rounds.
    pub(super) fn shards(&self) -> [RwLockReadGuard<'_, Shard<M::State>>; SHARDS] {
        self.shards.each_ref().map(read)
    }

    /// Steps taken so far.
    pub(super) fn generated(&self) -> u64 {
        self.generated.load(Ordering::Relaxed)
    }

    /// Bytes of all rows.
    pub(super) fn row_bytes(&self) -> usize {
        let cells = |row: &RwLock<Row<M::State>>| read(row).iter().map(Vec::capacity).sum::<usize>();
        self.rows.iter().map(cells).sum::<usize>() * size_of::<Candidate<M::State>>()
    }

    /// Takes in a state that the search begins in.
    pub(super) fn begin(&self, state: M::State) {
        let state = self.model.canonical(state);
        let hash = state.hash();
        let candidate = Candidate { hash, parent: super::shard::NO_PARENT, state };
        write(&self.shards[shard_of(hash)]).take(self.model, &[candidate]);
        self.generated.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes what is new the level to be expanded; the number of its states.
    pub(super) fn next_level(&self) -> usize {
        let open = |shard: &RwLock<Shard<M::State>>| {
            let mut shard = write(shard);
            shard.next = shard.level_end;
            shard.level_end = shard.len();
            shard.level_end - shard.next
        };
        self.shards.iter().map(open).sum()
    }

    /// A round, of the thread that the search was called on.
    pub(super) fn round(&self) {
        self.round.fetch_add(1, Ordering::Relaxed);
        self.to_expand.store(0, Ordering::Relaxed);
        self.to_take.store(0, Ordering::Relaxed);
        self.meet();
        self.work();
        if let Some(panic) = lock(&self.panicked).take() {
            resume_unwind(panic);
        }
    }

    /// Rounds, of every other thread, until there are no more.
    pub(super) fn help(&self) {
        loop {
            self.meet();
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            self.work();
        }
    }

    /// Says how many threads there are, the caller's among them. What is returned lets the others go when it is
    /// dropped: also when the caller of the search panics between rounds.
    pub(super) fn start(&self, threads: usize) -> Dismissal<'_, 'm, M> {
        self.everybody.get_or_init(|| Barrier::new(threads));
        Dismissal(self)
    }

    /// Waits until all have come here.
    fn meet(&self) {
        self.everybody.wait().wait();
    }

    fn work(&self) {
        let round = self.round.load(Ordering::Relaxed);
        self.each_once(&self.to_expand, |shard| {
            self.guarded(|| self.expand(shard));
            self.done[shard].store(round, Ordering::Release);
        });
        self.each_once(&self.to_take, |shard| self.guarded(|| self.take(shard, round)));
        self.meet();
    }

    /// A model that panics ends the search, not before the others have come to where they would wait for this thread.
    fn guarded(&self, work: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            *lock(&self.panicked) = Some(panic);
        }
    }

    fn each_once(&self, next: &AtomicUsize, work: impl Fn(usize)) {
        loop {
            let shard = next.fetch_add(1, Ordering::Relaxed);
            if shard >= SHARDS {
                return;
            }
            work(shard);
        }
    }

    /// Expands the next states of a shard into its row.
    fn expand(&self, from: usize) {
        let shard = read(&self.shards[from]);
        let mut row = write(&self.rows[from]);
        row.iter_mut().for_each(Vec::clear);
        let mut generated = 0;
        for number in shard.next..shard.level_end.min(shard.next + BLOCK) {
            let parent = reference(number, from);
            self.model.successors(shard.state(number), &mut |_, state| {
                let state = self.model.canonical(state);
                let hash = state.hash();
                row[shard_of(hash)].push(Candidate { hash, parent, state });
                generated += 1;
            });
        }
        self.generated.fetch_add(generated, Ordering::Relaxed);
    }

    /// Takes in what all rows hold for a shard.
    fn take(&self, to: usize, round: usize) {
        // Whoever expands this shard reads it: taking in begins when that is over.
        drop(self.row(to, round));
        let mut shard = write(&self.shards[to]);
        shard.next = shard.level_end.min(shard.next + BLOCK);
        for from in 0..SHARDS {
            shard.take(self.model, &self.row(from, round)[to]);
        }
    }

    /// A row, when it is done. All shards are being expanded, or were, when the first begins to take in.
    fn row(&self, from: usize, round: usize) -> RwLockReadGuard<'_, Row<M::State>> {
        loop {
            let row = read(&self.rows[from]);
            if self.done[from].load(Ordering::Acquire) == round {
                return row;
            }
            drop(row);
            std::thread::yield_now();
        }
    }
}

/// Ends the crew when it is dropped.
pub(super) struct Dismissal<'c, 'm, M: Model>(&'c Crew<'m, M>);

impl<M: Model> Drop for Dismissal<'_, '_, M> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.0.meet();
    }
}

// A thread that panicked ends the search; until it has, the others go on with what it left.
fn read<T>(it: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    it.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(it: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    it.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(it: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
