//! The state machine in virtual time: brokers that fetch, heartbeat and restart, a client that sends and tries again, and a
//! swarm of faults. Everything is drawn from a seed: the same seed gives the same run everywhere.
//!
//! Times are those of Kafka's settings ([`Times`]), in ms. A run is a list of events by itself ([`Run::events`]), which
//! [`shrink`] makes as small as it can be while the fault it shows stays.

mod clock;
mod faults;
mod run;
pub mod shrink;
#[cfg(test)]
mod tests;
mod times;

pub use faults::Fault;
pub use run::{Options, Planned, Run, Simulator, simulate, simulate_while};
pub use times::Times;
