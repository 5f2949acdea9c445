//! Small timelines, drawn in full.

use super::*;
use crate::replication::event::Event;
use crate::replication::play::{Timeline, play};
use crate::replication::rules::{Era, Flush, Rules, Strategy};
use crate::replication::state::State;

fn rules(era: Era, replicas: u8) -> Rules {
    Rules::of(era, replicas)
}

fn played(rules: &Rules, steps: &str) -> Timeline {
    let parsed = steps.split(';').map(|step| Event::parse(step, rules.replicas).unwrap());
    let events: Vec<Event> = parsed.flat_map(|(event, times)| std::iter::repeat_n(event, times as usize)).collect();
    play(rules, State::initial(rules), &events).unwrap()
}

/// A follower cuts to its high watermark what its leader has acknowledged, and leads.
fn loss() -> Timeline {
    let steps =
        "produce acks=all; fetch b1; fetch b1 response=lost; elect b1; elect b0; metadata b1; elect b1; metadata b1";
    played(&rules(Era::Hw, 2), steps)
}

#[test]
fn a_table_has_a_row_a_step_and_violations_below() {
    let expected = "\
#  STEP                    B0          B1          ISR      WHAT HAPPENED
0  (start)                 * e0 0/0/0  . e0 0/0/0  {b0,b1}
1  produce acks=all        * e0 1/0/0  . e0 0/0/0  {b0,b1}  b0 appends m0 at 0
2  fetch b1                * e0 1/0/0  . e0 1/0/0  {b0,b1}  b1 gets 0
3  fetch b1 response=lost  * e0 1/1/0  . e0 1/0/0  {b0,b1}  HW of b0 0 -> 1; ack m0; b0's answer is lost
4  elect b1                * e0 1/1/0  . e0 1/0/0  {b0,b1}  b1 elected in e1
5  elect b0                * e0 1/1/0  . e0 1/0/0  {b0,b1}  b0 elected in e2
6  metadata b1             * e0 1/1/0  . e2 0/0/0  {b0,b1}  b1 follows b0 in e2; b1 cut 1 -> 0: its high watermark
7  elect b1                * e0 1/1/0  . e2 0/0/0  {b0,b1}  b1 elected in e3
8  metadata b1             * e0 1/1/0  * e3 0/0/0  {b0,b1}  b1 leads in e3
   ACKED-LOST m0 (offset 0, acks=all, told by b0 in e0 in step 3): missing at the leader, b1 in e3
     because b1 cut acknowledged offset 0 to its high watermark 0 (step 6)
";
    assert_eq!(table(&loss(), &TableOptions::default()), expected);
}

#[test]
fn only_what_changed_is_bright() {
    let text = table(&loss(), &TableOptions { colour: true, ends: None });
    let line = text.lines().nth(2).unwrap();
    let bright: Vec<&str> = line.split("\x1b[1m").skip(1).map(|rest| rest.split("\x1b[0m").next().unwrap()).collect();
    assert_eq!(bright, ["1"], "the log end of b0: {line:?}");
    assert!(line.contains("\x1b[2m*\x1b[0m"), "{line:?}");
    let plain = text.replace("\x1b[1;31m", "").replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "");
    let trimmed: String = plain.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(trimmed, table(&loss(), &TableOptions::default()));
}

#[test]
fn of_a_long_timeline_the_ends_and_the_violations_are_shown() {
    let timeline = played(
        &rules(Era::Fetch, 2),
        "produce acks=all; consume x40; produce acks=1; elect b1; metadata b1; consume x40",
    );
    let text = table(&timeline, &TableOptions { colour: false, ends: Some((2, 2)) });
    let shown: Vec<&str> = text.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    let expected = ["0", "1", "...", "44", "ACKED-LOST", "because", "...", "83", "84"];
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn nine_replicas_stay_aligned() {
    let timeline = played(
        &rules(Era::Elr, 9),
        "produce acks=1 x120; fetch b8; fetch b3; kill b0; fence b0; metadata b1; metadata b8",
    );
    let text = table(&timeline, &TableOptions::default());
    let heading = text.lines().next().unwrap();
    for name in ["B0", "B3", "B8", "ISR", "WHAT"] {
        let at = heading.find(name).unwrap();
        let rows = text.lines().skip(1).filter(|line| line.starts_with(|it: char| it == ' ' || it.is_ascii_digit()));
        for line in rows.filter(|line| line.len() > at && !line.contains("because") && !line.contains("-LOST")) {
            assert_eq!(&line[at - 2..at], "  ", "{name}: {line}");
        }
    }
}

#[test]
fn a_diagram_is_drawn_in_boxes_and_in_ascii() {
    let boxes = "
                           clients             b0                  b1                  controller
0  (start)                 │                   ┃                   │                   │
1  produce acks=all        │─ m0 acks=all ────▶┃ m0 at 0           │                   │
2  fetch b1                │                   ┃◀──────── fetch 0 ─│                   │
                           │                   ┃╌ m0 ╌╌╌╌╌╌╌╌╌╌╌╌╌▶│ LEO 1             │
3  fetch b1 response=lost  │                   ┃◀──────── fetch 1 ─│                   │
                           │◀╌╌╌╌╌╌╌╌╌ ack m0 ╌┃╌╌HW 0 -> 1        │                   │
                           │                   ┃╌ answer ╌╌╌╌╌✗    │                   │
4  elect b1                │                   ┃                   │                   │◆ b1 elected e1
5  elect b0                │                   ┃                   │                   │◆ b0 elected e2
6  metadata b1             │                   ┃                   │◀─── e2: b0 leads ─│
                           │                   ┃                   │ follows b0 e2     │
                           │                   ┃                   │[cut 1 -> 0]       │
7  elect b1                │                   ┃                   │                   │◆ b1 elected e3
8  metadata b1             │                   ┃                   ┃◀─── e3: b1 leads ─│
                           │                   ┃                   ┃◆ leads e3         │
   ACKED-LOST m0 (offset 0, acks=all, told by b0 in e0 in step 3): missing at the leader, b1 in e3
     because b1 cut acknowledged offset 0 to its high watermark 0 (step 6)
";
    let drawn = text(&loss(), &TextOptions { width: 107, ascii: false });
    assert_eq!(drawn, boxes[1..], "\n{drawn}");
    let drawn = text(&loss(), &TextOptions { width: 60, ascii: true });
    assert!(drawn.is_ascii() && drawn.contains('>') && drawn.contains('x'), "{drawn}");
}

#[test]
fn items_of_a_step_do_not_lie_on_each_other() {
    let timeline = played(
        &rules(Era::Fetch, 3),
        "produce acks=all x3; fetch b2; fetch b1; fetch b2; fetch b1; kill b0; fence b0; metadata b2",
    );
    for step in &Diagram::of(&timeline, true).steps {
        let diagram = Diagram::of(&timeline, true);
        let span = |item: &Item| match item {
            Item::Arrow(arrow) => {
                let (from, to) = (diagram.place(arrow.from), diagram.place(arrow.to));
                from.min(to)..from.max(to)
            }
            Item::Mark(mark) => diagram.place(mark.lane)..diagram.place(mark.lane) + 1,
        };
        for (at, (line, item)) in step.items.iter().enumerate() {
            for (_, other) in step.items[at + 1..].iter().filter(|(other, _)| other == line) {
                let (a, b) = (span(item), span(other));
                assert!(a.end <= b.start || b.end <= a.start, "step {}: {item:?} {other:?}", step.number);
            }
        }
    }
}

#[test]
fn lossy_restarts_are_counted_against_what_the_rules_tolerate() {
    let elr = Rules { min_insync_replicas: 2, ..rules(Era::Elr, 3) };
    let flush = Rules { flush: Flush::Every(1), ..rules(Era::Fetch, 3) };
    let majority = Rules { strategy: Strategy::Majority, ..rules(Era::Fetch, 3) };
    let base = "produce acks=all; fetch b1; fetch b2; fetch b1; fetch b2";
    let shrunk = "fence b1; metadata b0; fence b2; metadata b0; power-loss b0";
    let cases = [
        (&rules(Era::Fetch, 3), "power-loss b0", (2, 1, false)),
        (&rules(Era::Fetch, 3), shrunk, (0, 1, true)),
        (&rules(Era::Fetch, 3), "power-loss b0; power-loss b1; power-loss b2", (2, 3, true)),
        (&rules(Era::Fetch, 3), "kill b0; kill b1; kill b2", (2, 0, false)),
        (&elr, "power-loss b0", (1, 1, false)),
        (&elr, "power-loss b0; power-loss b1", (1, 2, true)),
        // The first has everything again before the second loses power.
        (
            &elr,
            "power-loss b1; fence b1; start b1; unfence b1; metadata b1; metadata b0; fetch b1; power-loss b2",
            (1, 1, false),
        ),
        (&flush, "power-loss b0; power-loss b1; power-loss b2", (2, 0, false)),
        (&majority, "power-loss b0", (0, 1, true)),
    ];
    for (rules, steps, (tolerated, lossy, exceeded)) in cases {
        let tolerance = Tolerance::of(&played(rules, &format!("{base}; {steps}")));
        let found = (tolerance.tolerated, tolerance.lossy, tolerance.is_exceeded());
        assert_eq!(found, (tolerated, lossy, exceeded), "{steps}: {tolerance}");
    }
}

#[test]
fn records_are_counted_at_the_level_they_were_sent_at() {
    let steps = "produce acks=0; produce acks=1; produce acks=all; retry m0 acks=1; fetch b1; fetch b1; produce acks=1; retry m2 acks=all; elect b1; metadata b1";
    let found = verdict(&played(&rules(Era::Fetch, 2), steps));
    let [none, leader, all] = found.counts;
    assert_eq!((none.sent, leader.sent, all.sent), (0, 3, 1), "m0 was sent at acks=1 too");
    assert_eq!((leader.acknowledged, leader.lost, leader.duplicated), (3, 1, 1), "{found}");
    assert_eq!((all.acknowledged, all.lost), (1, 0), "{found}");
    assert!(found.has_leader && !found.is_clean());
    assert_eq!(found.forked, [], "b1 is a prefix of b0");
}

#[test]
fn what_is_sent_without_acknowledgement_is_said_to_be_lost() {
    let found = verdict(&played(&rules(Era::Fetch, 2), "produce acks=0; elect b1; metadata b1")).to_string();
    assert!(
        found.contains(
            "SENT-LOST m0, from step 3, to the end\n  because b0 took m0, sent at acks=0, and b1 leads without it"
        ),
        "{found}"
    );
}

#[test]
fn records_out_of_order_are_traced_to_the_append() {
    let found = verdict(&played(
        &rules(Era::Fetch, 1),
        "kill b0; produce acks=1; fence b0; start b0; unfence b0; metadata b0; produce acks=1; retry m0 acks=1",
    ));
    let text = found.to_string();
    assert!(
        text.contains("REORDERED m0, from step 8, to the end\n  because b0 appended m0 at offset 1, behind m1"),
        "{text}"
    );
    assert_eq!(found.counts[1].reordered, 1);
}

#[test]
fn json_lines_keep_the_order_of_their_fields() {
    let lines = json(&played(&rules(Era::Fetch, 2), "produce acks=1"));
    let step = lines.lines().nth(1).unwrap();
    let expected = concat!(
        r#"{"type":"step","step":1,"event":"produce acks=1","effects":[{"effect":"appended","broker":0,"record":0,"#,
        r#""offset":0,"epoch":0,"acks":"1","text":"b0 appends m0 at 0"},{"effect":"acknowledged","record":0,"offset":0,"#,
        r#""acks":"1","text":"ack m0"}],"changed":true,"available":true,"violations":[],"broken_rules":[],"controller":"#,
        r#"{"leader":0,"leader_epoch":0,"partition_epoch":0,"isr":[0,1],"elr":[],"last_known_leader":null,"#,
        r#""unfenced":[0,1],"broker_epochs":[0,0]},"replicas":[{"broker":0,"up":true,"role":"leader","follows":null,"#
    );
    assert!(step.starts_with(expected), "{step}");
    let types: Vec<&str> = lines.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(types, ["start", "step", "verdict"]);
}

#[test]
fn names_cannot_break_out_of_a_page() {
    let name = "</script><b>\"&'";
    let page = html(name, &[(name.to_owned(), loss()), ("second".to_owned(), loss())]);
    assert_eq!(page.matches("</script").count(), 2, "the two of the page");
    assert!(!page.contains("<b>\""), "the name is text");
    for outside in ["http://", "https://", "src=", "url(", "@import"] {
        let there = page.replace("http://www.w3.org/2000/svg", "").contains(outside);
        assert!(!there, "{outside}");
    }
    assert_eq!(page.matches("class=\"variant\"").count(), 2);
}

#[test]
fn long_lists_of_records_are_written_short() {
    let timeline = played(&rules(Era::Fetch, 2), "produce acks=1 x500; elect b1; metadata b1");
    let found = verdict(&timeline).to_string();
    assert!(found.contains("ACKED-LOST m0 to m499, from step 502"), "{found}");
    assert!(svg(&timeline).len() < 3_000_000);
}
