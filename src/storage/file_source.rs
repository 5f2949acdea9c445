//! A file read through a window: positioned reads into one buffer, never a map.
//!
//! A map of a file that a broker truncates ends the reader with SIGBUS; a positioned read just comes
//! back short. It also keeps memory at the size of the window, and the file position untouched.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;

use crate::batch::scan::Source;

/// Bytes read at once: large enough for the kernel's read-ahead, small enough to stay in the L2 cache.
const READ_BYTES: usize = 256 << 10;
/// A buffer that grew beyond this for one batch is given back.
const KEEP_BYTES: usize = 4 << 20;

/// The bytes of an open file.
///
/// The length is taken when the file is opened, so that a log being written has a fixed end. A file that
/// shrinks is shorter from then on.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    len: u64,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
    read_bytes: usize,
}

impl FileSource {
    /// Reads `file` from now on, up to the length it has now.
    pub fn new(file: File) -> io::Result<Self> {
        FileSource::with_read_bytes(file, READ_BYTES)
    }

    /// As [`FileSource::new`], as if the file ended at `len`.
    pub fn up_to(file: File, len: u64) -> io::Result<Self> {
        let mut source = FileSource::new(file)?;
        source.len = source.len.min(len);
        Ok(source)
    }

    /// Reads at most `read_bytes` at once where no more is asked for: small for jumping from header to header.
    pub fn with_read_bytes(file: File, read_bytes: usize) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(FileSource { file, len, buffer: Vec::new(), start: 0, filled: 0, read_bytes })
    }

    /// The file.
    pub const fn file(&self) -> &File {
        &self.file
    }

    fn cached(&self, position: u64, want: usize) -> Option<&[u8]> {
        let at = usize::try_from(position.checked_sub(self.start)?).ok()?;
        let cached = self.buffer.get(..self.filled)?.get(at..)?;
        (cached.len() >= want).then_some(cached)
    }

    fn fill(&mut self, position: u64, want: usize) -> io::Result<()> {
        // Keep what the buffer already has from `position` on.
        let kept = position
            .checked_sub(self.start)
            .and_then(|at| usize::try_from(at).ok())
            .filter(|at| *at < self.filled)
            .map_or(0, |at| {
                self.buffer.copy_within(at..self.filled, 0);
                self.filled - at
            });
        self.start = position;
        self.filled = kept;
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let target = want.max(self.read_bytes).min(left);
        if self.buffer.len() > KEEP_BYTES && target <= self.read_bytes {
            self.buffer.truncate(self.read_bytes.max(kept));
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() < target {
            self.buffer.resize(target, 0);
        }
        while self.filled < target {
            let room = self.buffer.get_mut(self.filled..target).unwrap_or_default();
            match self.file.read_at(room, position + self.filled as u64) {
                Ok(0) => {
                    // The file is shorter than it was: its end is here now.
                    self.len = position + self.filled as u64;
                    break;
                }
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn window(&mut self, position: u64, want: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX);
        let want = want.min(left);
        if self.cached(position, want).is_none() {
            self.fill(position, want)?;
        }
        Ok(self.cached(position, 0).unwrap_or_default())
    }

    fn skip_hole(&mut self, position: u64) -> io::Result<u64> {
        match rustix::fs::seek(&self.file, SeekFrom::Data(position)) {
            Ok(data) => Ok(data.clamp(position, self.len.max(position))),
            // No data up to the end of the file.
            Err(rustix::io::Errno::NXIO) => Ok(self.len.max(position)),
            // A file system that does not tell.
            Err(_) => Ok(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    #[test]
    fn windows_are_the_file_whatever_the_order() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let mut source = FileSource::with_read_bytes(file_of(&bytes), 1_000).unwrap();
        for (position, want) in [(0, 10), (500, 1_000), (400, 5_000), (199_990, 100), (3, 1), (100_000, 50_000)] {
            let window = source.window(position as u64, want).unwrap();
            assert!(window.len() >= want.min(bytes.len() - position), "{position}+{want}");
            assert_eq!(window, &bytes[position..position + window.len()], "{position}+{want}");
        }
        assert!(source.window(200_000, 1).unwrap().is_empty());
    }

    #[test]
    fn holes_are_jumped_over_up_to_the_next_data_or_the_end() {
        let file = file_of(&[7; 10_000]);
        file.set_len(64 << 20).unwrap();
        file.write_all_at(&[1], 40 << 20).unwrap();
        let mut source = FileSource::new(file.try_clone().unwrap()).unwrap();
        assert_eq!(source.skip_hole(5_000).unwrap(), 5_000);
        let next = source.skip_hole(1 << 20).unwrap();
        assert!((1 << 20..=40 << 20).contains(&next), "{next}");
        let behind = source.skip_hole((40 << 20) + 1).unwrap();
        assert!(((40 << 20) + 1..=64 << 20).contains(&behind), "{behind}");
        assert_eq!(source.skip_hole(64 << 20).unwrap(), 64 << 20);
        let mut short = FileSource::up_to(file, 20 << 20).unwrap();
        assert!(short.skip_hole(1 << 20).unwrap() <= 20 << 20);
    }

    #[test]
    fn a_file_cut_under_the_reader_just_ends() {
        let file = file_of(&[7; 10_000]);
        let mut source = FileSource::with_read_bytes(file.try_clone().unwrap(), 1_000).unwrap();
        assert!(source.window(0, 1_000).unwrap().len() >= 1_000);
        file.set_len(4_000).unwrap();
        assert_eq!(source.window(3_500, 2_000).unwrap().len(), 500);
        assert_eq!(source.len(), 4_000);
    }
}
