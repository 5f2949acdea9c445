//! Stub.
use std::io::{self, Write};
use super::paths::Input;
use super::{DumpOptions, Telling};
pub(super) fn dump(_o: &DumpOptions, _i: &[Input], _out: &mut dyn Write, _t: &mut Telling<'_>) -> io::Result<()> { Ok(()) }
