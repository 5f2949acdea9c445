//! `.kafka_cleanshutdown`: the mark a broker leaves when it stopped in good order.
//!
//! Only whether the file exists decides how logs are loaded. Since 3.7 it also holds the broker's
//! epoch, as JSON; a text that cannot be read means only that the epoch is not known.

use std::path::Path;

use serde_json::Value;

use super::fs::{self, StorageError, StorageErrorKind};

/// The file's name in a log directory.
pub const FILE_NAME: &str = ".kafka_cleanshutdown";

/// The file exists: the broker flushed and closed every log of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanShutdown {
    /// Epoch of the broker's last registration, when it is known; `-1` where the broker never registered.
    pub broker_epoch: Option<i64>,
}

/// Parses the file as `CleanShutdownFileHandler` does: nothing is an error, text is taken for a number
/// where it is one, and the version is not looked at.
pub fn parse(bytes: &[u8]) -> CleanShutdown {
    let value = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().next();
    let epoch = value.and_then(Result::ok).and_then(|value| value.get("brokerEpoch").cloned());
    let broker_epoch = match epoch {
        Some(Value::Number(number)) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    CleanShutdown { broker_epoch }
}

/// Looks for the file at `path`; `None` when it is not there, and the logs need recovery.
pub fn read(path: &Path) -> Result<Option<CleanShutdown>, StorageError> {
    match fs::read_small(path, fs::PROPERTIES_BYTES_MAX) {
        Ok(bytes) => Ok(Some(parse(&bytes))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(StorageError { kind: StorageErrorKind::TooLarge { .. }, .. }) => {
            Ok(Some(CleanShutdown { broker_epoch: None }))
        }
        Err(error) => Err(error),
    }
}

/// A fraction is cut off, as Jackson does.
fn whole(number: f64) -> Option<i64> {
    // Beyond 2^53 a fraction is not what the file's writer meant.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked; dropping the fraction is the point")]
    (number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Recorded from `CleanShutdownFileHandler` of Kafka 4.3.0.
    #[test]
    fn the_epoch_is_read_as_kafka_reads_it() {
        let cases = [
            ("", None),
            (r#"{"version":0,"brokerEpoch":13}"#, Some(13)),
            (r#"{"version":0,"brokerEpoch":-1}"#, Some(-1)),
            (r#"{"version":1,"brokerEpoch":13}"#, Some(13)),
            (r#"{"brokerEpoch":13}"#, Some(13)),
            (r#"{"version":0}"#, None),
            (r#"{"version":0,"brokerEpoch":13,"x":1}"#, Some(13)),
            (r#"{"version":0,"brokerEpoch":"13"}"#, Some(13)),
            (r#"{"version":0,"brokerEpoch":13.7}"#, Some(13)),
            (r#"{"version":0,"brokerEpoch":null}"#, None),
            (r#"{"version":0,"brokerEpoch":true}"#, None),
            (r#"{"version":0,"brokerEpoch":13} junk"#, Some(13)),
            ("nonsense", None),
        ];
        for (text, broker_epoch) in cases {
            assert_eq!(parse(text.as_bytes()), CleanShutdown { broker_epoch }, "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        assert_eq!(read(&path).unwrap(), None);
        std::fs::write(&path, b"").unwrap();
        assert_eq!(read(&path).unwrap(), Some(CleanShutdown { broker_epoch: None }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn arbitrary_numbers_never_panic(number in "-?[0-9]{1,30}(\\.[0-9]{1,3})?(e[0-9]{1,3})?") {
            let _ = parse(format!("{{\"brokerEpoch\":{number}}}").as_bytes());
        }
    }
}
