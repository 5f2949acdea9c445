//! Records shared out among workers: in order where they have the same key, side by side where they have not.
//!
//! ```text
//!  submit ─> lane of the key ─> Worker::process ─> done ─────────────────> Progress ─> position, to be committed
//!            (bounded queue)      │ fails
//!                                 ├─ again, after a pause   (OnFailure::Retry)
//!                                 ├─ DeadLetters::put ─> done              (OnFailure::DeadLetter)
//!                                 └─ all workers stop                      (OnFailure::Stop)
//! ```
//!
//! - [`Progress`] knows what of each partition is finished, and so what may be committed: nothing that is not finished
//!   is ever behind it. After a crash what was handed out is processed again, and nothing else.
//! - [`Workers`] owns the threads. All its calls are its user's, one thread's: submitting waits no longer than it is
//!   told to, so a group member goes on with its heartbeats while the workers are busy.
//! - A [`Worker`] processes one record at a time: a closure, or a child process ([`process`]).
//!
//! What this leaves to others: reading records, formatting them, committing positions, and telling people.

mod dead_letter;
mod lane;
mod pool;
pub mod process;
mod progress;
mod task;
#[cfg(test)]
mod tests;

pub use dead_letter::{DeadLetter, DeadLetters, Header, headers as dead_letter_headers};
pub use pool::{Event, Failure, OnFailure, Options, Submission, Then, Workers};
pub use progress::{BeginError, Progress, Ticket};
pub use task::{Abort, Task, WorkError, Worker};
