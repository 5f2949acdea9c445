//! Text as Java makes it from bytes: what `new String(bytes, UTF_8)` prints, and how `File` spells a path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Appends `bytes` as `new String(bytes, UTF_8)` would print them.
///
/// Java and Rust agree on everything but encoded surrogates: Java takes `ED A0..BF` and the
/// continuation byte behind it, if there is one, for one malformed character; Rust for two or three.
pub(super) fn push_java_utf8(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(_) => out.extend_from_slice(bytes),
        Err(_) => push_malformed(out, bytes),
    }
}

#[cold]
fn push_malformed(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(_) => {
                out.extend_from_slice(rest);
                return;
            }
            Err(error) => error,
        };
        let (valid, broken) = rest.split_at(error.valid_up_to());
        out.extend_from_slice(valid);
        out.extend_from_slice(REPLACEMENT);
        let skipped = match broken {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
            [0xed, 0xa0..=0xbf, ..] => 2,
            _ => error.error_len().unwrap_or(broken.len()),
        };
        rest = broken.get(skipped..).unwrap_or_default();
    }
}

/// A path as `java.io.File` prints it: no doubled slashes, none at the end.
pub(super) fn file_text(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
    if out.len() > 1 && out.last() == Some(&b'/') {
        out.pop();
    }
    out
}

/// The same as `File.getAbsolutePath`: nothing is resolved.
pub(super) fn absolute_text(path: &Path) -> Vec<u8> {
    let text = file_text(path);
    if text.first() == Some(&b'/') {
        return text;
    }
    let mut out = std::env::current_dir().map(|dir| file_text(&dir)).unwrap_or_default();
    if out.last() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(&text);
    out
}

/// `File.getName`: what follows the last slash.
pub(super) fn name_text(path: &Path) -> Vec<u8> {
    let text = file_text(path);
    text.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()
}

/// A path from Java's text of it.
pub(super) fn sibling(path: &Path, name: &[u8]) -> std::path::PathBuf {
    path.with_file_name(OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    /// Recorded from Java 17: `new String(bytes, UTF_8).getBytes(UTF_8)`.
    #[test]
    fn malformed_utf8_is_replaced_as_java_replaces_it() {
        let cases = [
            ("eda080", "efbfbd"),
            ("edbfbf", "efbfbd"),
            ("eda0", "efbfbd"),
            ("ed", "efbfbd"),
            ("eda041", "efbfbd41"),
            ("eda0c2", "efbfbdefbfbd"),
            ("c080", "efbfbdefbfbd"),
            ("c1bf", "efbfbdefbfbd"),
            ("c0", "efbfbd"),
            ("c2", "efbfbd"),
            ("c241", "efbfbd41"),
            ("e08080", "efbfbdefbfbdefbfbd"),
            ("e09f80", "efbfbdefbfbdefbfbd"),
            ("e080", "efbfbdefbfbd"),
            ("e0", "efbfbd"),
            ("e0a0", "efbfbd"),
            ("e0a041", "efbfbd41"),
            ("e0c2a0", "efbfbdc2a0"),
            ("f08080", "efbfbdefbfbdefbfbd"),
            ("f0808080", "efbfbdefbfbdefbfbdefbfbd"),
            ("f08f8080", "efbfbdefbfbdefbfbdefbfbd"),
            ("f0", "efbfbd"),
            ("f090", "efbfbd"),
            ("f09080", "efbfbd"),
            ("f0908041", "efbfbd41"),
            ("f09041", "efbfbd41"),
            ("f041", "efbfbd41"),
            ("f4908080", "efbfbdefbfbdefbfbdefbfbd"),
            ("f490", "efbfbdefbfbd"),
            ("f48f", "efbfbd"),
            ("f5808080", "efbfbdefbfbdefbfbdefbfbd"),
            ("f58080", "efbfbdefbfbdefbfbd"),
            ("f5", "efbfbd"),
            ("f8808080", "efbfbdefbfbdefbfbdefbfbd"),
            ("f888808080", "efbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("fc8480808080", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("ff", "efbfbd"),
            ("fe", "efbfbd"),
            ("80", "efbfbd"),
            ("8080", "efbfbdefbfbd"),
            ("bf41", "efbfbd41"),
            ("e28282", "e28282"),
            ("e282", "efbfbd"),
            ("e28241", "efbfbd41"),
            ("e241", "efbfbd41"),
            ("f09f9aff", "efbfbdefbfbd"),
            ("f09fff", "efbfbdefbfbd"),
            ("efbfbd", "efbfbd"),
            ("f09f9a9a", "f09f9a9a"),
            ("61eda08062", "61efbfbd62"),
            ("eda080edb080", "efbfbdefbfbd"),
            ("f1c2a0", "efbfbdc2a0"),
            ("e1e180", "efbfbdefbfbd"),
            ("e1", "efbfbd"),
            ("f3", "efbfbd"),
            ("f4", "efbfbd"),
            ("ede0a080", "efbfbde0a080"),
            ("edc2a0", "efbfbdc2a0"),
            ("e0e0a080", "efbfbde0a080"),
            ("ee90edf1a0ff", "efbfbdefbfbdefbfbdefbfbd"),
            ("f1edc2ede0a0", "efbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("a0edf78f", "efbfbdefbfbdefbfbdefbfbd"),
            ("ed", "efbfbd"),
            ("ed", "efbfbd"),
            ("edeec241e1f1a0", "efbfbdefbfbdefbfbd41efbfbdefbfbd"),
            ("f3ffededef", "efbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("90edfef0", "efbfbdefbfbdefbfbdefbfbd"),
            ("edeebf", "efbfbdefbfbd"),
            ("e1edfff080df", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("fcedc0dfc17ff1", "efbfbdefbfbdefbfbdefbfbdefbfbd7fefbfbd"),
            ("9ff5feecc0ed", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("80feed", "efbfbdefbfbdefbfbd"),
            ("ede1c1f441c1", "efbfbdefbfbdefbfbdefbfbd41efbfbd"),
            ("edf4f3ee4100", "efbfbdefbfbdefbfbdefbfbd4100"),
            ("eeed41f80000bf", "efbfbdefbfbd41efbfbd0000efbfbd"),
            ("ecbfeff5f4eddfe0", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("a0f89ffced9f", "efbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("edffe1e18f", "efbfbdefbfbdefbfbdefbfbd"),
            ("fedff7417fbfeddff7", "efbfbdefbfbdefbfbd417fefbfbdefbfbdefbfbdefbfbd"),
            ("f741edfbfb80fcf8fe", "efbfbd41efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("eddfa0", "efbfbddfa0"),
            ("edffe180e1", "efbfbdefbfbdefbfbdefbfbd"),
            ("ed9f9f", "ed9f9f"),
            ("f37fc2bfedf7ec", "efbfbd7fc2bfefbfbdefbfbdefbfbd"),
            ("90fcedeee1", "efbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("c18fedc1c1f7a0", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("fcf0edefef", "efbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("9feeedf041f79ff590", "efbfbdefbfbdefbfbdefbfbd41efbfbdefbfbdefbfbdefbfbd"),
            ("eeedeeef", "efbfbdefbfbdefbfbdefbfbd"),
            ("c200e1ecfef0edf1f3", "efbfbd00efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("41ffecffeff0f180ed", "41efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
            ("00edf8", "00efbfbdefbfbd"),
            ("41edfc9ffe", "41efbfbdefbfbdefbfbdefbfbd"),
            ("ffc29ffeedef", "efbfbdc29fefbfbdefbfbdefbfbd"),
            ("edf7fc90", "efbfbdefbfbdefbfbdefbfbd"),
            ("f8a0fedf9fefeef0", "efbfbdefbfbdefbfbddf9fefbfbdefbfbdefbfbd"),
            ("ed9f90eea0e0f1", "ed9f90efbfbdefbfbdefbfbd"),
            ("eeed90a0", "efbfbded90a0"),
            ("edfbecf480e0e0fc", "efbfbdefbfbdefbfbdefbfbdefbfbdefbfbdefbfbd"),
        ];
        for (input, expected) in cases {
            let mut out = Vec::new();
            push_java_utf8(&mut out, &hex(input));
            assert_eq!(data_encoding::HEXLOWER.encode(&out), expected, "{input}");
        }
    }

    #[test]
    fn paths_are_spelled_as_java_spells_them() {
        for (path, expected) in [("a//b/", "a/b"), ("/", "/"), ("./a", "./a"), ("//a", "/a"), ("a", "a")] {
            assert_eq!(file_text(Path::new(path)), expected.as_bytes(), "{path}");
        }
        assert_eq!(name_text(Path::new("a/b.log/")), b"b.log");
        assert!(absolute_text(Path::new("x/y")).ends_with(b"/x/y"));
    }
}
