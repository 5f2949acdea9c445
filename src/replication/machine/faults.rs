//! Crashes, power losses, shutdowns and starts.

use super::{Impossible, Step};
use crate::replication::broker_set::Broker;
use crate::replication::effect::{CutBy, Effect};
use crate::replication::rules::Strategy;
use crate::replication::state::Replica;

impl<S: FnMut(Effect), const N: usize> Step<'_, S, N> {
    /// The process dies. The page cache, and so the whole log, stays.
    pub(super) fn kill(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_run(broker)?;
        let replica = self.state.replica_mut(broker);
        replica.up = false;
        replica.forget();
        Ok(())
    }

    /// The machine loses power: only what was flushed, or had reached the disk by chance, stays.
    pub(super) fn power_loss(&mut self, broker: Broker, keep: u64) -> Result<(), Impossible> {
        self.kill(broker)?;
        let replica = self.state.replica_mut(broker);
        let (from, to) = (replica.leo(), replica.flushed.max(keep));
        if to < from {
            replica.log.cut(to);
            let to = replica.log.end();
            replica.epochs.cut(to);
            replica.hw = replica.hw.min(to);
            self.tell(Effect::Cut { broker, from, to, why: CutBy::Power });
        }
        Ok(())
    }

    /// A controlled shutdown: everything is flushed, others lead, and the marker says so.
    pub(super) fn stop(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_run(broker)?;
        let epoch = self.state.controller.broker_epoch[usize::from(broker)];
        let replica = self.state.replica_mut(broker);
        replica.flushed = replica.leo();
        replica.hw_checkpoint = replica.hw;
        replica.clean = Some(epoch);
        replica.up = false;
        replica.forget();
        if self.rules.strategy == Strategy::AllIsr && self.state.controller.unfenced.has(broker) {
            self.leave(broker);
        }
        Ok(())
    }

    /// The process starts: it recovers its log, forgets the marker and registers.
    pub(super) fn start(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_be_down(broker)?;
        if self.rules.strategy == Strategy::AllIsr && self.state.controller.unfenced.has(broker) {
            return Err(Impossible::Registered(broker));
        }
        let registered = self.state.controller.broker_epoch[usize::from(broker)];
        let replica = self.state.replica_mut(broker);
        let is_clean = replica.clean.take() == Some(registered);
        replica.up = true;
        let end = replica.leo();
        replica.flushed = replica.flushed.min(end);
        replica.epochs.cut(end);
        let hw = replica.hw_checkpoint.min(end);
        self.set_hw(broker, hw);
        self.register(broker, is_clean);
        Ok(())
    }

    /// The disk is replaced by an empty one.
    pub(super) fn wipe(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_be_down(broker)?;
        let replica = self.state.replica_mut(broker);
        let from = replica.leo();
        *replica = Replica { up: false, ..Replica::empty() };
        if from > 0 {
            self.tell(Effect::Cut { broker, from, to: 0, why: CutBy::Wipe });
        }
        Ok(())
    }

    /// The log reaches the disk.
    pub(super) fn flush(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_run(broker)?;
        let replica = self.state.replica_mut(broker);
        replica.flushed = replica.leo();
        Ok(())
    }

    /// The high watermark is written to `replication-offset-checkpoint`.
    pub(super) fn checkpoint(&mut self, broker: Broker) -> Result<(), Impossible> {
        self.must_run(broker)?;
        let replica = self.state.replica_mut(broker);
        replica.hw_checkpoint = replica.hw;
        Ok(())
    }
}
