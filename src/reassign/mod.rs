//! Plans that move replicas between brokers and disks, with no cluster running: what there is, what is wanted, how good it is.
//!
//! - [`cluster`]: brokers with racks and disks, and who has which partition.
//! - [`plan_json`]: the JSON that `kafka-reassign-partitions.sh` reads and writes.
//! - [`instance`]: a cluster with rules in one file, as planners are measured on.
//! - [`quota`]: how many replicas and bytes each broker should have.
//! - [`bounds`]: how little any plan could move.
//! - [`measure`]: what an assignment comes to, and which rules it breaks.
//! - [`inventory`]: a cluster put together from directories, metadata and lists of replicas.
//! - [`changes`]: which replicas a plan makes anew, and which it gives up.
//! - [`waves`]: in which order and portions, so that no disk overflows.
//! - [`progress`]: how far a cluster is from a plan, in Kafka's words.
//! - [`report`]: before and after, beside the least that any plan could move; [`picture`]: as SVG.
//! - [`offline`]: what of a plan can be done with brokers stopped.
//! - [`planner`]: an assignment that keeps the rules, is level, and moves little.
//!
//! Pure: files and directories are read by others.

pub mod bounds;
pub mod changes;
pub mod cluster;
pub mod instance;
pub mod inventory;
pub mod measure;
pub mod offline;
pub mod picture;
pub mod plan_json;
pub mod planner;
pub mod progress;
pub mod quota;
pub mod report;
pub mod waves;
