//! A disk that keeps what was synced, and of the rest what it likes.
//!
//! Nothing is assumed that POSIX does not promise. Of a file that was not synced any of the writes since its last
//! sync may be there, or a part of one, or its length without its bytes; of a directory that was not synced any of
//! the names made, removed and changed. A rename is there or not: from one directory to another it is one transaction of
//! the file system, and with the sync of one of them what came before it in the other is on disk too. A sync of a file says
//! nothing of its name.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path};

use super::journal::Op;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Dir(usize),
}

#[derive(Debug, Clone, Default)]
struct FileNode {
    /// On disk for certain.
    synced: Vec<u8>,
    /// As a program sees it.
    now: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Clone, Default)]
struct DirNode {
    synced: BTreeMap<String, Node>,
    now: BTreeMap<String, Node>,
    since: Vec<Naming>,
}

#[derive(Debug, Clone)]
enum Naming {
    Link(String, Node),
    Unlink(String, Node),
    Rename(String, String, Node),
    Exchange(String, Node, String, Node),
    /// Another node under a name: half of an exchange with another directory.
    Replace(String, Node, Node),
    /// One half of what is done in two directories at once; both have this number.
    Half(usize, Box<Naming>),
}

/// What a loss of power leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// As after the end of the process alone.
    All,
    /// Names, but no bytes.
    Names,
    /// Bytes, but no names.
    Bytes,
    /// Each thing by chance, with this many percent.
    Some(u8),
}

/// The disk, and the programs' view of it.
#[derive(Debug, Clone)]
pub struct Disk {
    files: Vec<FileNode>,
    dirs: Vec<DirNode>,
    /// Changes so far of two directories at once.
    halved: usize,
}

/// Which changes of two directories are there after a loss of power.
type Halves = RefCell<HashMap<usize, bool>>;

const ROOT: usize = 0;

impl Disk {
    /// Everything below `dir`, all of it synced.
    pub fn of(dir: &Path) -> Disk {
        let mut disk = Disk { files: Vec::new(), dirs: vec![DirNode::default()], halved: 0 };
        disk.take_in(dir, ROOT);
        disk
    }

    fn take_in(&mut self, path: &Path, dir: usize) {
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let node = if entry.file_type().unwrap().is_dir() {
                self.dirs.push(DirNode::default());
                let below = self.dirs.len() - 1;
                self.take_in(&entry.path(), below);
                Node::Dir(below)
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                self.files.push(FileNode { synced: bytes.clone(), now: bytes, since: Vec::new() });
                Node::File(self.files.len() - 1)
            };
            let name = entry.file_name().into_string().unwrap();
            self.dirs[dir].synced.insert(name.clone(), node);
            self.dirs[dir].now.insert(name, node);
        }
    }

    fn place(&self, path: &Path) -> (usize, String) {
        let names: Vec<String> = path
            .components()
            .filter(|component| matches!(component, Component::Normal(_)))
            .map(|component| component.as_os_str().to_str().unwrap().to_owned())
            .collect();
        let (last, above) = names.split_last().unwrap();
        let dir = above.iter().fold(ROOT, |dir, name| match self.dirs[dir].now[name] {
            Node::Dir(dir) => dir,
            Node::File(_) => panic!("{name} is no directory"),
        });
        (dir, last.clone())
    }

    fn node(&self, path: &Path) -> Node {
        if path.as_os_str().is_empty() {
            return Node::Dir(ROOT);
        }
        let (dir, name) = self.place(path);
        self.dirs[dir].now[&name]
    }

    fn file(&mut self, path: &Path) -> &mut FileNode {
        match self.node(path) {
            Node::File(file) => &mut self.files[file],
            Node::Dir(_) => panic!("{} is no file", path.display()),
        }
    }

    fn link(&mut self, path: &Path, node: Node) {
        let (dir, name) = self.place(path);
        self.dirs[dir].change(Naming::Link(name, node));
    }

    /// Does what was done.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Made(path) => {
                self.files.push(FileNode::default());
                self.link(path, Node::File(self.files.len() - 1));
            }
            Op::MadeDir(path) => {
                self.dirs.push(DirNode::default());
                self.link(path, Node::Dir(self.dirs.len() - 1));
            }
            Op::Write { path, at, bytes } => {
                let at = usize::try_from(*at).unwrap();
                self.file(path).change(Change::Write { at, bytes: bytes.clone() });
            }
            Op::SetLen { path, len } => self.file(path).change(Change::SetLen(usize::try_from(*len).unwrap())),
            Op::Synced(path) => {
                let file = self.file(path);
                file.synced = file.now.clone();
                file.since.clear();
            }
            Op::Renamed { from, to } => {
                let node = self.node(from);
                let ((dir, from), (same, to)) = (self.place(from), self.place(to));
                if dir == same {
                    self.dirs[dir].change(Naming::Rename(from, to, node));
                } else {
                    self.halve((dir, Naming::Unlink(from, node)), (same, Naming::Link(to, node)));
                }
            }
            Op::Linked { from, to } => {
                let node = self.node(from);
                self.link(to, node);
            }
            Op::Exchanged { a, b } => {
                let (first, second) = (self.node(a), self.node(b));
                let ((dir, a), (same, b)) = (self.place(a), self.place(b));
                if dir == same {
                    self.dirs[dir].change(Naming::Exchange(a, first, b, second));
                } else {
                    let (here, there) = (Naming::Replace(a, first, second), Naming::Replace(b, second, first));
                    self.halve((dir, here), (same, there));
                }
            }
            Op::Removed(path) => {
                let node = self.node(path);
                let (dir, name) = self.place(path);
                self.dirs[dir].change(Naming::Unlink(name, node));
            }
            Op::SyncedDir(path) => {
                let Node::Dir(dir) = self.node(path) else { panic!("{} is no directory", path.display()) };
                self.sync_dir(dir, usize::MAX);
            }
        }
    }

    /// Changes two directories at once.
    fn halve(&mut self, one: (usize, Naming), other: (usize, Naming)) {
        self.halved += 1;
        for (dir, naming) in [one, other] {
            self.dirs[dir].change(Naming::Half(self.halved, Box::new(naming)));
        }
    }

    /// Puts the first changes of a directory on disk, and with halves of them what they hang on elsewhere.
    fn sync_dir(&mut self, dir: usize, count: usize) {
        let count = count.min(self.dirs[dir].since.len());
        let synced: Vec<Naming> = self.dirs[dir].since.drain(..count).collect();
        for naming in synced {
            naming.apply(&mut self.dirs[dir].synced);
            let Naming::Half(number, _) = naming else { continue };
            let is_other = |naming: &Naming| matches!(naming, Naming::Half(other, _) if *other == number);
            let others = self.dirs.iter().enumerate();
            let other = others.filter_map(|(at, dir)| Some((at, dir.since.iter().position(is_other)?))).next();
            if let Some((other, at)) = other {
                self.sync_dir(other, at + 1);
            }
        }
    }

    /// Whether some of it is not synced.
    pub fn is_open(&self) -> bool {
        self.files.iter().any(|file| !file.since.is_empty()) || self.dirs.iter().any(|dir| !dir.since.is_empty())
    }

    /// Puts what is left after a loss of power into `to`, which is empty.
    pub fn crash(&self, to: &Path, keep: Keep, random: &mut fastrand::Rng) {
        self.crash_dir(ROOT, to, keep, random, &Halves::default());
    }

    fn crash_dir(&self, dir: usize, to: &Path, keep: Keep, random: &mut fastrand::Rng, halves: &Halves) {
        for (name, node) in self.dirs[dir].left(keep, random, halves) {
            let path = to.join(name);
            match node {
                Node::Dir(below) => {
                    std::fs::create_dir(&path).unwrap();
                    self.crash_dir(below, &path, keep, random, halves);
                }
                Node::File(file) => std::fs::write(&path, self.files[file].left(keep, random)).unwrap(),
            }
        }
    }
}

impl DirNode {
    fn change(&mut self, naming: Naming) {
        naming.apply(&mut self.now);
        self.since.push(naming);
    }

    fn left(&self, keep: Keep, random: &mut fastrand::Rng, halves: &Halves) -> BTreeMap<String, Node> {
        let mut names = self.synced.clone();
        for naming in &self.since {
            let mut by_chance = |percent| random.u8(0..100) < percent;
            let kept = match (keep, naming) {
                (Keep::Nothing | Keep::Bytes, _) => false,
                (Keep::All | Keep::Names, _) => true,
                (Keep::Some(percent), Naming::Half(number, _)) => {
                    *halves.borrow_mut().entry(*number).or_insert_with(|| by_chance(percent))
                }
                (Keep::Some(percent), _) => by_chance(percent),
            };
            if kept {
                naming.apply(&mut names);
            }
        }
        names
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Naming::Link(name, node) => {
                names.insert(name.clone(), *node);
            }
            Naming::Unlink(name, node) => {
                if names.get(name) == Some(node) {
                    names.remove(name);
                }
            }
            Naming::Exchange(a, first, b, second) => {
                if names.get(a) == Some(first) && names.get(b) == Some(second) {
                    names.insert(a.clone(), *second);
                    names.insert(b.clone(), *first);
                }
            }
            Naming::Rename(from, to, node) => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
            Naming::Replace(name, old, new) => {
                if names.get(name) == Some(old) {
                    names.insert(name.clone(), *new);
                }
            }
            Naming::Half(_, naming) => naming.apply(names),
        }
    }
}

impl FileNode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.since.push(change);
    }

    fn left(&self, keep: Keep, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for change in &self.since {
            match keep {
                Keep::Nothing | Keep::Names => {}
                Keep::All | Keep::Bytes => change.apply(&mut bytes),
                Keep::Some(percent) if random.u8(0..100) < percent => change.apply(&mut bytes),
                Keep::Some(_) => change.tear(&mut bytes, random),
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => write(file, *at, bytes),
            Change::SetLen(len) => file.resize(*len, 0),
        }
    }

    /// What there can be of a write that is not wholly there: often nothing.
    fn tear(&self, file: &mut Vec<u8>, random: &mut fastrand::Rng) {
        let Change::Write { at, bytes } = self else { return };
        let some = random.usize(0..=bytes.len());
        match random.u8(0..6) {
            0 | 1 => write(file, *at, &bytes[..some]),
            // No checksum of Kafka's covers the first 16 bytes of a batch. A disk that loses them and keeps the rest
            // gives a batch another offset, over which a broker empties the segment: no order of writes helps.
            2 if some >= 16 => write(file, at + some, &bytes[some..]),
            // The length, and zeros.
            3 if file.len() < at + bytes.len() => file.resize(at + bytes.len(), 0),
            _ => {}
        }
    }
}

fn write(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}
