//! One group, looked at again and again while others write: each look reads only what has come since the one before.

use super::groups::{Group, groups_of, key_of};
use super::last_values::LastValues;
use crate::storage::fs::StorageError;
use crate::storage::partition::Partition;
use crate::storage::remarks::Remarks;

/// What is known of a group.
///
/// Memory: the newest record of each of its partitions.
#[derive(Debug, Clone)]
pub struct FollowedGroup {
    id: String,
    values: Option<LastValues>,
}

impl FollowedGroup {
    /// Nothing is read yet.
    pub fn new(id: impl Into<String>) -> FollowedGroup {
        FollowedGroup { id: id.into(), values: None }
    }

    /// The group as `partition`, which it belongs to, has it now; `None` where there is no such group.
    ///
    /// Nobody may write there meanwhile. What cannot be read is told in `remarks`.
    pub fn look(&mut self, partition: &Partition, remarks: &mut Remarks) -> Result<Option<Group>, StorageError> {
        let is_its = |key: &[u8], out: &mut Vec<u8>| names_group(key, &self.id) && key_of(key, out);
        // A log that was cut since then, and the offsets given anew, is another one.
        let known = self.values.take();
        let values = match known {
            Some(mut values) if values.next() <= partition.log_end()? => {
                values.read_on(partition, remarks, &is_its)?;
                values
            }
            _ => LastValues::read(partition, remarks, &is_its)?,
        };
        let number = partition.topic_partition().partition;
        let (mut groups, _) = groups_of(number, &values, partition, remarks);
        self.values = Some(values);
        Ok(groups.remove(&self.id))
    }

    /// Whether everything that was there could be read.
    pub fn is_whole(&self) -> bool {
        self.values.as_ref().is_none_or(LastValues::is_whole)
    }
}

/// Whether a record's key is of this group: all keys of the coordinator begin with their type and the group's id.
fn names_group(key: &[u8], id: &str) -> bool {
    let Some((len, rest)) = key.get(2..).and_then(<[u8]>::split_first_chunk::<2>) else { return false };
    usize::from(u16::from_be_bytes(*len)) == id.len() && rest.starts_with(id.as_bytes())
}
