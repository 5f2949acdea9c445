//! Whether a broker may use the files of a directory: it runs as the owner, and reads and writes.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::finding::{Advice, Fault, Finding, Grade};

/// Looks at one file of a directory after the other.
#[derive(Debug)]
pub struct Survey {
    dir: PathBuf,
    owner: Option<u32>,
    fine: usize,
    wrong: Vec<Finding>,
    /// Files that their owner may not read and write.
    closed: Vec<Finding>,
}

impl Survey {
    /// Of the files in `dir`.
    pub fn of(dir: &Path) -> Survey {
        let owner = std::fs::metadata(dir).ok().map(|metadata| metadata.uid());
        Survey { dir: dir.to_owned(), owner, fine: 0, wrong: Vec::new(), closed: Vec::new() }
    }

    /// Takes one file or directory in it.
    pub fn add(&mut self, path: &Path, metadata: &Metadata) {
        let (uid, mode) = (metadata.uid(), metadata.mode());
        let needed = if metadata.is_dir() { 0o700 } else { 0o600 };
        let finding = |said: String| {
            let said = format!("{said}: a broker that runs as the directory's owner fails on it");
            Finding::new(Fault::Access, Grade::StopsBroker, path, said).advice(Advice::Permit)
        };
        match self.owner {
            Some(owner) if owner != uid => {
                let said = format!("belongs to user {uid}, the directory around it to user {owner}");
                self.wrong.push(finding(said));
            }
            _ if mode & needed != needed => {
                let said = format!("has mode {:03o}, its owner needs at least {needed:03o}", mode & 0o777);
                self.closed.push(finding(said));
            }
            _ => self.fine += 1,
        }
    }

    /// What is wrong. Where no file at all may be written, the directory is a copy meant for reading: said once.
    pub fn finish(self) -> Vec<Finding> {
        let Survey { dir, fine, mut wrong, closed, .. } = self;
        if fine == 0 && wrong.is_empty() && !closed.is_empty() {
            let said = "none of its files may be written by its owner: a copy for reading, which no broker can use";
            return vec![Finding::new(Fault::Access, Grade::Cosmetic, dir, said).advice(Advice::Permit)];
        }
        wrong.extend(closed);
        wrong
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_closed_file_stops_a_broker_and_a_closed_copy_is_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| dir.path().join(name));
        for (modes, expected) in [
            ([0o644, 0o600], vec![]),
            ([0o444, 0o644], vec![Grade::StopsBroker]),
            ([0o444, 0o400], vec![Grade::Cosmetic]),
            ([0o200, 0o666], vec![Grade::StopsBroker]),
        ] {
            let mut survey = Survey::of(dir.path());
            for (file, mode) in files.iter().zip(modes) {
                std::fs::write(file, "").unwrap();
                std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
                survey.add(file, &std::fs::metadata(file).unwrap());
                std::fs::remove_file(file).unwrap();
            }
            let grades: Vec<_> = survey.finish().into_iter().map(|finding| finding.grade).collect();
            assert_eq!(grades, expected, "{modes:?}");
        }
    }
}
