//! The last entry of an index, without reading the others.
//!
//! A closed index ends with it: one read. One at its full preallocated size ends in zeros, and as the relative offsets
//! of entries rise from the second one on and padding has none, the cut is found by halving: a few dozen reads of one
//! entry, where [`super::read`] goes through megabytes of zeros.
//!
//! On a sorted index the answer is that of the views ([`OffsetIndex`], [`TimeIndex`]). On a damaged one it may be another
//! entry: what is found is to be checked against the log, as every index entry is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::offset::{self, OffsetEntry, OffsetIndex};
use super::time::{self, TimeEntry, TimeIndex};
use crate::storage::fs::{self, StorageError};
use crate::storage::partition::present;
use crate::types::Offset;

/// The last entry of the offset index at `path`; `None` when it has none, or there is no such file.
pub fn offset(base: Offset, path: &Path) -> Result<Option<OffsetEntry>, StorageError> {
    let last = last_slot::<{ offset::ENTRY_LEN }>(path, |slot| slot.get(..4) == Some(&[0; 4]))?;
    // Alone, an entry of zeros is padding to the view too.
    Ok(last.and_then(|slot| OffsetIndex::new(base, &slot).entries().next()))
}

/// The last entry of the time index at `path`; `None` when it has none, or there is no such file.
pub fn time(base: Offset, path: &Path) -> Result<Option<TimeEntry>, StorageError> {
    let last = last_slot::<{ time::ENTRY_LEN }>(path, |slot| slot.get(8..) == Some(&[0; 4]))?;
    Ok(last.and_then(|slot| TimeIndex::new(base, &slot).entries().next()))
}

/// The last slot before the padding; `None` when there is nothing but padding.
fn last_slot<const N: usize>(path: &Path, is_padding: fn(&[u8; N]) -> bool) -> Result<Option<[u8; N]>, StorageError> {
    let opened = fs::open_file(path, i32::MAX as u64).map_err(|kind| StorageError::new(path, kind));
    let Some((file, len)) = present(opened)? else { return Ok(None) };
    let slot = |at: u64| read_slot::<N>(&file, at).map_err(|error| StorageError::new(path, error));
    let count = len / N as u64;
    let Some(last) = count.checked_sub(1) else { return Ok(None) };
    let at_last = slot(last)?;
    if !is_padding(&at_last) {
        return Ok(Some(at_last));
    }
    // Slot 0 may stand for the base offset; the first one after it that does is padding, and so are all behind it.
    let (mut first, mut padding) = (0, last.max(1));
    while first + 1 < padding {
        let middle = first + (padding - first) / 2;
        if is_padding(&slot(middle)?) { padding = middle } else { first = middle }
    }
    let found = slot(first)?;
    // Zeros that more zeros follow stand for nothing.
    Ok((found != [0; N] || count == 1).then_some(found))
}

fn read_slot<const N: usize>(file: &File, at: u64) -> io::Result<[u8; N]> {
    let mut slot = [0; N];
    file.read_exact_at(&mut slot, at * N as u64)?;
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_is_that_of_the_whole_index() {
        let dir = tempfile::tempdir().unwrap();
        let base = Offset::new(100);
        for entries in 0..9_i32 {
            for first in [0, 1] {
                for padding in [0, 1, 2, 3, 700] {
                    let label = format!("{entries} entries from {first}, {padding} of padding");
                    let offsets = (0..entries).map(|n| n + first);
                    let mut bytes: Vec<u8> =
                        offsets.clone().flat_map(|n| [n.to_be_bytes(), (n * 7 + 3).to_be_bytes()].concat()).collect();
                    bytes.resize(bytes.len() + padding * offset::ENTRY_LEN, 0);
                    let path = dir.path().join("offset");
                    std::fs::write(&path, &bytes).unwrap();
                    let whole = OffsetIndex::new(base, &bytes).entries().next_back();
                    assert_eq!(self::offset(base, &path).unwrap(), whole, "offset index: {label}");

                    let mut bytes: Vec<u8> = offsets
                        .flat_map(|n| [&(1_000 + i64::from(n)).to_be_bytes()[..], &n.to_be_bytes()[..]].concat())
                        .collect();
                    bytes.resize(bytes.len() + padding * time::ENTRY_LEN, 0);
                    let path = dir.path().join("time");
                    std::fs::write(&path, &bytes).unwrap();
                    let whole = TimeIndex::new(base, &bytes).entries().next_back();
                    assert_eq!(self::time(base, &path).unwrap(), whole, "time index: {label}");
                }
            }
        }
        assert_eq!(self::offset(base, &dir.path().join("none")).unwrap(), None);
        assert!(self::time(base, dir.path()).is_err(), "a directory is no index");
    }
}
