//! Consumer groups: what Kafka decides about them, decided again without a broker or a consumer.
//!
//! - [`assignor`]: which member gets which partitions;
//! - [`membership`]: who is in a group, and how it rebalances;
//! - [`reset`]: where a group is to go on reading.
//!
//! Pure: members and topics in, decisions out.

pub mod assignor;
pub mod membership;
pub mod reset;
