//! Input of `produce` in every grammar: it ends, and no record is longer than the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdir::cli::input::{Fixed, Grammar, Input, InputFormat, Lines};

fuzz_target!(|data: (u8, &str, &[u8])| {
    let (which, format, bytes) = data;
    let fixed = Fixed::default().with_empty_as_null(which & 0x80 != 0);
    let grammar = match which % 4 {
        0 => match Lines::new(b"\n", fixed).and_then(|lines| lines.with_key_delimiter(b":")) {
            Ok(lines) => Grammar::Lines(lines),
            Err(_) => return,
        },
        1 => Grammar::Json,
        2 => match InputFormat::parse(format, fixed) {
            Ok(format) => Grammar::Format(format),
            Err(_) => return,
        },
        _ => Grammar::Whole(fixed),
    };
    let mut input = Input::with_limit(bytes, grammar, 1 << 16);
    let mut records = 0;
    loop {
        while let Some(next) = input.next_buffered() {
            records += 1;
            if let Ok(record) = next {
                assert!(record.value.map_or(0, <[u8]>::len) <= bytes.len());
            }
            assert!(records <= bytes.len() + 2, "more records than bytes");
        }
        if !input.fill().expect("memory can be read") {
            return;
        }
    }
});
