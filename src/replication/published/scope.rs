//! How large a machine is.

/// Bounds of a machine. Within them it does all it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Brokers that have the partition: 1 to 3.
    pub(super) replicas: u8,
    /// Records that fit into a log: 1 to 4.
    pub(super) log_size: u8,
    /// Records that are ever written: 0 to 4.
    pub(super) records: u8,
    /// The highest leader epoch, the first being 0: 0 to 3.
    pub(super) epoch_max: u8,
}

/// A scope that states have no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {asked}, and {least} to {most} have room")]
pub struct ScopeError {
    what: &'static str,
    asked: u8,
    least: u8,
    most: u8,
}

impl Scope {
    /// So many brokers, records that fit into a log, records ever written, and the highest leader epoch (`Replicas`,
    /// `LogSize`, `MaxRecords` and `MaxLeaderEpoch` of the specification).
    pub fn new(replicas: u8, log_size: u8, records: u8, epoch_max: u8) -> Result<Scope, ScopeError> {
        let bounds = [
            ("number of replicas", replicas, 1, 3),
            ("log size", log_size, 1, 4),
            ("number of records", records, 0, 4),
            ("highest leader epoch", epoch_max, 0, 3),
        ];
        match bounds.into_iter().find(|(_, asked, least, most)| !(least..=most).contains(&asked)) {
            Some((what, asked, least, most)) => Err(ScopeError { what, asked, least, most }),
            None => Ok(Scope { replicas, log_size, records, epoch_max }),
        }
    }
}
