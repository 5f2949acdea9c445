//! Records made into an image, one after the other.

use super::super::metadata::{ControlRecord, Record};
use super::{ImageError, MetadataImage, Provenance};
use crate::types::LeaderEpoch;

/// Makes an image of records, those between a begin and its end only with the end (`MetadataBatchLoader`).
///
/// It takes as much memory as the image, twice that within a transaction, however many records there are.
#[derive(Debug, Clone, Default)]
pub struct ImageBuilder {
    image: MetadataImage,
    /// The image from before the transaction that has begun.
    before: Option<Box<MetadataImage>>,
}

impl ImageBuilder {
    /// Takes the next record. One that does not fit changes nothing.
    pub fn push(&mut self, record: Record) -> Result<(), ImageError> {
        match record {
            Record::BeginTransaction => match &self.before {
                None => {
                    self.before = Some(Box::new(self.image.clone()));
                    Ok(())
                }
                Some(_) => Err(ImageError::Transaction { what: "begins inside another" }),
            },
            Record::EndTransaction => match self.before.take() {
                Some(_) => Ok(()),
                None => Err(ImageError::Transaction { what: "ends that did not begin" }),
            },
            Record::AbortTransaction => match self.before.take() {
                Some(before) => {
                    self.image = *before;
                    Ok(())
                }
                None => Err(ImageError::Transaction { what: "is aborted that did not begin" }),
            },
            record => self.image.apply(record),
        }
    }

    /// Takes the next control record, written in `epoch`. No transaction holds these back.
    pub fn push_control(&mut self, record: &ControlRecord, epoch: LeaderEpoch) {
        self.image.apply_control(record, epoch);
        if let Some(before) = &mut self.before {
            before.apply_control(record, epoch);
        }
    }

    /// Says which record was the last; inside a transaction that does not count yet.
    pub fn at(&mut self, provenance: Provenance) {
        self.image.set_provenance(Some(provenance));
    }

    /// Whether a transaction has begun and not ended.
    pub fn in_transaction(&self) -> bool {
        self.before.is_some()
    }

    /// The image so far; of a transaction without an end nothing counts.
    pub fn image(&self) -> &MetadataImage {
        self.before.as_deref().unwrap_or(&self.image)
    }

    /// The image with what a transaction without an end says: what the next record is about.
    pub fn latest(&self) -> &MetadataImage {
        &self.image
    }

    /// The image; of a transaction without an end nothing counts.
    pub fn build(self) -> MetadataImage {
        match self.before {
            Some(before) => *before,
            None => self.image,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::metadata::{PartitionChangeRecord, PartitionRecord};
    use super::*;
    use crate::types::Uuid;

    const ID: Uuid = Uuid([7; 16]);

    fn partition(replicas: &[i32]) -> Record {
        Record::Partition(PartitionRecord {
            partition: 0,
            topic_id: ID,
            replicas: replicas.to_vec(),
            isr: replicas.to_vec(),
            leader: 1,
            leader_epoch: 4,
            partition_epoch: 9,
            ..PartitionRecord::default()
        })
    }

    fn change(leader: Option<i32>, replicas: Option<Vec<i32>>) -> Record {
        Record::PartitionChange(PartitionChangeRecord {
            partition: 0,
            topic_id: ID,
            leader,
            replicas,
            ..PartitionChangeRecord::default()
        })
    }

    fn topic() -> Record {
        Record::Topic { name: "t".into(), topic_id: ID }
    }

    fn built(records: Vec<Record>) -> Result<MetadataImage, ImageError> {
        let mut builder = ImageBuilder::default();
        records.into_iter().try_for_each(|record| builder.push(record))?;
        Ok(builder.build())
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let image = built(vec![topic(), partition(&[1, 2]), change(Some(-1), None), change(None, Some(vec![3]))]);
        let image = image.unwrap();
        let now = image.partition(ID, 0).unwrap();
        assert_eq!((now.leader, now.leader_epoch, now.partition_epoch), (-1, 5, 11));
        assert_eq!((&now.replicas[..], &now.isr[..]), (&[3][..], &[1, 2][..]));
        assert_eq!(image.topic_named("t").map(|topic| topic.topic_id), Some(ID));
    }

    #[test]
    fn transactions_count_once_ended() {
        use Record::{AbortTransaction, BeginTransaction, EndTransaction};
        for (records, topics) in [
            (vec![BeginTransaction, topic()], 0),
            (vec![BeginTransaction, topic(), AbortTransaction], 0),
            (vec![BeginTransaction, topic(), EndTransaction], 1),
            (vec![topic(), Record::RemoveTopic { topic_id: ID }], 0),
        ] {
            let what = format!("{records:?}");
            assert_eq!(built(records).unwrap().topics().count(), topics, "{what}");
        }
        assert!(built(vec![EndTransaction]).is_err());
        assert!(built(vec![BeginTransaction, BeginTransaction]).is_err());
    }

    #[test]
    fn records_about_nothing_are_refused() {
        assert_eq!(built(vec![partition(&[1])]), Err(ImageError::NoTopic { topic_id: ID }));
        let missing = ImageError::NoPartition { topic_id: ID, partition: 0 };
        assert_eq!(built(vec![topic(), change(None, None)]), Err(missing));
    }
}
