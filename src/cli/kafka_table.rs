//! Tables as the tools of Kafka print them (`ToolsUtils.prettyPrintTable`): each cell padded to the widest of its column
//! and followed by a tab.

/// Appends the head and the rows.
pub fn write(head: &[&str], rows: &[Vec<String>], out: &mut Vec<u8>) {
    let width = |text: &str| text.encode_utf16().count();
    let mut widths: Vec<usize> = head.iter().map(|name| width(name)).collect();
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (cell, widest) in cells.zip(&widths) {
            out.extend_from_slice(cell.as_bytes());
            out.resize(out.len() + widest.saturating_sub(width(cell)), b' ');
            out.push(b'\t');
        }
        out.push(b'\n');
    };
    line(&mut head.iter().copied());
    rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_and_tabbed() {
        let mut out = Vec::new();
        write(&["Id", "State"], &[vec!["tx-hang".into(), "Ongoing".into()], vec!["a".into(), "é".into()]], &mut out);
        let expected = "Id     \tState  \t\ntx-hang\tOngoing\t\na      \té      \t\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
