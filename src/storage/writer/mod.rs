//! Writing a log as a broker does.
//!
//! ```text
//!  recovery::plan -> Plan::apply -> LogWriter -> SegmentWriter   the log, then its indexes
//!                                     |            '- IndexBuilder
//!                                     |- ProducerStates          who may append what; snapshots
//!                                     '- LeaderEpochs            leader-epoch-checkpoint
//! ```

pub mod config;
pub mod log;
pub mod segment;
pub mod session;
mod write_back;

pub use config::LogConfig;
pub use log::{Appended, LogWriter, Refusal};
pub use session::{AppendSession, SessionError, SessionOptions};

/// What is still there after what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Handed to the kernel: survives the end of this process, however it ends, but not of the machine.
    Buffered,
    /// On disk when the call that promises it returns: survives the loss of power.
    Synced,
}
