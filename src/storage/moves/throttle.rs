//! How fast bytes are written: a bucket that fills at a rate and is emptied by who writes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much may be written at once after a pause: a tenth of a second's worth.
const BURST: f64 = 0.1;
/// The longest wait between two looks at whether to stop.
const WAIT: Duration = Duration::from_millis(100);

/// A limit that several threads share.
#[derive(Debug)]
pub struct Throttle {
    /// Bytes a second.
    rate: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Bytes that may be written now; below zero when more was written than the rate allows.
    level: f64,
    filled: Instant,
}

impl Throttle {
    /// At most so many bytes a second, over all who share it.
    pub fn new(bytes_per_second: u64) -> Throttle {
        #[expect(clippy::cast_precision_loss, reason = "a rate, not a count")]
        let rate = (bytes_per_second as f64).max(1.0);
        Throttle { rate, bucket: Mutex::new(Bucket { level: 0.0, filled: Instant::now() }) }
    }

    /// Waits until `bytes` may be written; `false` when `stops` says so before that.
    pub fn wait(&self, bytes: u64, stops: &dyn Fn() -> bool) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a piece of a few MiB")]
        let bytes = bytes as f64;
        {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.fill(self.rate);
            bucket.level -= bytes;
        }
        loop {
            if stops() {
                return false;
            }
            let level = {
                let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
                bucket.fill(self.rate);
                bucket.level
            };
            if level >= 0.0 {
                return true;
            }
            std::thread::sleep(Duration::from_secs_f64((-level / self.rate).min(WAIT.as_secs_f64())));
        }
    }
}

impl Bucket {
    fn fill(&mut self, rate: f64) {
        let now = Instant::now();
        self.level = (self.level + now.duration_since(self.filled).as_secs_f64() * rate).min(rate * BURST);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_keeps_to_the_rate() {
        let throttle = Throttle::new(1_000_000);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| assert!(throttle.wait(10_000, &|| false))));
            }
        });
        let seconds = begun.elapsed().as_secs_f64();
        assert!(seconds >= 0.29, "400,000 bytes at 1 MB/s, 100,000 of them at once, took {seconds} s");
        assert!(!Throttle::new(1).wait(1 << 40, &|| true), "stopped, not waited for");
    }
}
