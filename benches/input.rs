//! Records per second out of memory, one thread: `cargo bench --bench input`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use logdir::cli::input::{Fixed, Grammar, Input, InputFormat, Lines};

const COUNT: usize = 300_000;

fn measure(name: &str, bytes: &[u8], grammar: &Grammar) {
    let mut best = Duration::MAX;
    let mut records = 0_u64;
    for _ in 0..7 {
        let begun = Instant::now();
        let mut input = Input::new(bytes, grammar.clone());
        records = 0;
        loop {
            while let Some(record) = input.next_buffered() {
                records += u64::from(black_box(record).is_ok());
            }
            if !matches!(input.fill(), Ok(true)) {
                break;
            }
        }
        best = best.min(begun.elapsed());
    }
    assert_eq!(records, COUNT as u64, "{name}");
    let seconds = best.as_secs_f64();
    println!(
        "{name:<34} {:7.1} M records/s {:7.0} MB/s {:6.1} ns",
        records as f64 / seconds / 1e6,
        bytes.len() as f64 / seconds / 1e6,
        seconds * 1e9 / records as f64
    );
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let line = |index: usize| format!("k{index:07}:{}\n", "abcdefghij".repeat(9));
    let lines: String = (0..COUNT).map(line).collect();
    let plain = || Lines::new(b"\n", Fixed::default());
    measure("lines of 100 bytes", lines.as_bytes(), &Grammar::Lines(plain()?));
    measure("lines with -K:", lines.as_bytes(), &Grammar::Lines(plain()?.with_key_delimiter(b":")?));
    let wide = lines.replace('\n', "\r\n");
    measure("lines with -D \\r\\n", wide.as_bytes(), &Grammar::Lines(Lines::new(b"\r\n", Fixed::default())?));
    let format = |format| InputFormat::parse(format, Fixed::default()).map(Grammar::Format);
    measure("-f %k:%s\\n", lines.as_bytes(), &format(r"%k:%s\n")?);
    let mut sized = Vec::new();
    for index in 0..COUNT {
        sized.extend([0, 0, 0, 8, 0, 0, 0, 90]);
        sized.extend(format!("k{index:07}{}", "abcdefghij".repeat(9)).bytes());
    }
    measure("-f %K{big32}%S{big32}%k%s", &sized, &format("%K{big32}%S{big32}%k%s")?);
    for (name, headers, value) in [
        ("json", "", "abcdefghij"),
        ("json, a header, escaped value", r#"{"key":"trace","value":"a1"}"#, r"\nabcdefgh"),
    ] {
        let line = |index: usize| {
            format!(
                r#"{{"topic":"orders","partition":0,"offset":{index},"timestamp_ms":1760000000041,"timestamp_type":"create","leader_epoch":0,"headers":[{headers}],"key":"k{index:07}","value":"{}"}}"#,
                value.repeat(9)
            ) + "\n"
        };
        let lines: String = (0..COUNT).map(line).collect();
        measure(name, lines.as_bytes(), &Grammar::Json);
    }
    Ok(())
}
