//! Copies of directories as fast as they can be made, to hold others against.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use logdir::crc::Crc32c;
use rustix::fs::{Advice, fadvise};

const PIECE_BYTES: usize = 1 << 20;

/// What the kernel has of a file in memory goes: every path begins with the disk.
pub fn forget(file: &File) {
    fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Every directory below `from`, copied to `to`, which goes again; bytes and names are on disk before.
pub fn copy_dirs(from: &Path, to: &Path, checked: bool) {
    fs::create_dir(to).unwrap();
    for dir in files(from).into_iter().filter(|path| path.is_dir()) {
        let target = to.join(dir.file_name().unwrap());
        fs::create_dir(&target).unwrap();
        for file in files(&dir) {
            let copy = target.join(file.file_name().unwrap());
            if checked { copy_checked(&file, &copy) } else { copy_file(&file, &copy) }
        }
        File::open(&target).unwrap().sync_all().unwrap();
    }
    File::open(to).unwrap().sync_all().unwrap();
    fs::remove_dir_all(to).unwrap();
}

/// The limit: the kernel copies, and waits for the disk.
fn copy_file(from: &Path, to: &Path) {
    let (mut source, mut target) = (File::open(from).unwrap(), File::create(to).unwrap());
    forget(&source);
    std::io::copy(&mut source, &mut target).unwrap();
    target.sync_all().unwrap();
}

/// The limit of a copy that is checked: read, checksummed, written, waited for, and read back from the disk.
fn copy_checked(from: &Path, to: &Path) {
    let (mut source, mut target) = (File::open(from).unwrap(), File::create(to).unwrap());
    forget(&source);
    let mut piece = vec![0; PIECE_BYTES];
    let mut read = |file: &mut File, written: Option<&mut File>| {
        let (mut crc, mut written) = (Crc32c::new(), written);
        loop {
            let count = file.read(&mut piece).unwrap();
            if count == 0 {
                return crc.value();
            }
            crc.add(&piece[..count]);
            if let Some(written) = &mut written {
                written.write_all(&piece[..count]).unwrap();
            }
        }
    };
    let expected = read(&mut source, Some(&mut target));
    target.sync_all().unwrap();
    forget(&target);
    assert_eq!(read(&mut File::open(to).unwrap(), None), expected);
}
