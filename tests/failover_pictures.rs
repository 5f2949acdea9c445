//! Pictures of every scenario of the catalogue, and of timelines made at random.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use logdir::replication::event::{Acks, Event};
use logdir::replication::picture::{self, TableOptions, TextOptions};
use logdir::replication::play::{Player, Timeline, play};
use logdir::replication::rules::{Era, Flush, Rules, Strategy};
use logdir::replication::scenario;
use logdir::replication::state::State;

/// Each variant of the catalogue with its name.
fn variants() -> Vec<(String, Timeline)> {
    let mut all = Vec::new();
    for scenario in scenario::all().unwrap() {
        for variant in &scenario.variants {
            let timeline = play(&variant.rules, State::initial(&variant.rules), &variant.steps).unwrap();
            all.push((format!("{} {}", scenario.id.as_deref().unwrap(), variant.name), timeline));
        }
    }
    all
}

/// The sentences, as a person has read them and found them right.
#[test]
fn the_causes_of_all_violations_are_as_they_were_read() {
    let mut found = String::new();
    for (name, timeline) in variants() {
        let verdict = picture::verdict(&timeline);
        if verdict.is_clean() {
            continue;
        }
        found.push_str(&format!("{name}\n"));
        for finding in &verdict.findings {
            found.push_str(&format!("  {}, step {}\n", finding.title(), finding.step));
            for cause in &finding.causes {
                found.push_str(&format!("    {cause} (step {})\n", cause.root()));
            }
            assert!(!finding.causes.is_empty(), "{name}: {} has no cause", finding.title());
        }
        for cause in &verdict.lasting {
            found.push_str(&format!("  still: {cause} (step {})\n", cause.root()));
        }
        found.push_str(&format!("  tolerance: {}\n", verdict.tolerance));
    }
    let known = include_str!("failover_causes.txt");
    let differs = found.lines().zip(known.lines()).find(|(found, known)| found != known);
    assert_eq!(found, known, "first difference: {differs:?}");
}

/// Loss without a lossy restart in excess is a fault of the rules; the catalogue has exactly these.
#[test]
fn what_is_lost_within_the_tolerance_is_the_fault_of_rules_or_settings() {
    let within: Vec<String> = variants()
        .into_iter()
        .filter(|(_, timeline)| {
            let verdict = picture::verdict(timeline);
            verdict.counts[2].lost > 0 && !verdict.tolerance.is_exceeded()
        })
        .map(|(name, _)| name.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(within, ["S04", "S07", "S10", "S15", "S16", "S18", "S25"]);
}

#[test]
fn every_scenario_can_be_drawn() {
    for (name, timeline) in variants() {
        check(&name, &timeline);
    }
}

/// Whatever happens, in any era, with any switch off, can be drawn.
#[test]
fn anything_that_happens_can_be_drawn() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut violated, mut steps) = (0, 0);
    for round in 0..100 {
        let replicas = random.u8(1..=9);
        let era = Era::ALL[random.usize(..Era::ALL.len())];
        let mut rules = Rules {
            min_insync_replicas: random.u32(1..=3),
            unclean_leader_election: random.bool(),
            flush: if random.u8(..4) == 0 { Flush::Every(random.u64(1..=2)) } else { Flush::Never },
            records_per_fetch: random.bool().then_some(1),
            idempotence: random.bool(),
            producers: random.u32(1..=2),
            strategy: if random.u8(..8) == 0 { Strategy::Majority } else { Strategy::AllIsr },
            ..Rules::of(era, replicas)
        };
        for (_, switch) in rules.switches.named() {
            *switch ^= random.u8(..6) == 0;
        }
        let mut player = Player::new(rules.clone(), State::initial(&rules));
        let mut rows = Vec::new();
        for _ in 0..150 {
            let event = event(&mut random, replicas, player.state().next_record);
            rows.extend(player.step(event));
        }
        let timeline = player.finish(rows);
        steps += timeline.rows.len();
        violated += usize::from(!timeline.violations.is_empty());
        check(&format!("round {round}"), &timeline);
    }
    println!("{steps} steps, {violated} timelines with violations");
    assert!(violated > 20, "{violated}");
}

fn event(random: &mut fastrand::Rng, replicas: u8, sent: u32) -> Event {
    let broker = random.u8(..replicas);
    let acks = Acks::ALL[random.usize(..3)];
    let at = (random.u8(..4) == 0).then_some(broker);
    match random.u8(..40) {
        0..6 => Event::Produce { acks, at },
        6 => Event::Retry { record: random.u32(..sent.max(1)), acks, at },
        7..18 => Event::Fetch { broker, lost: random.u8(..6) == 0 },
        18..20 => Event::EpochQuery(broker),
        20..27 => Event::Metadata(broker),
        27..29 => Event::AlterPartition(at),
        29 => Event::Lag(broker),
        30 => Event::Elect((random.u8(..3) > 0).then_some(broker)),
        31 => Event::Fence(broker),
        32..34 => Event::Unfence(broker),
        34 => Event::Kill(broker),
        35 => Event::PowerLoss { broker, keep: random.u64(..4) },
        36 => {
            if random.bool() {
                Event::Stop(broker)
            } else {
                Event::Wipe(broker)
            }
        }
        37..39 => Event::Start(broker),
        _ => [Event::Consume, Event::Flush(broker), Event::Checkpoint(broker)][random.usize(..3)],
    }
}

/// Draws everything, twice, and looks at the outlines.
fn check(name: &str, timeline: &Timeline) {
    let draw = || {
        let plain = picture::table(timeline, &TableOptions::default());
        let coloured = picture::table(timeline, &TableOptions { colour: true, ends: Some((3, 3)) });
        let boxes = picture::text(timeline, &TextOptions { width: 100, ascii: false });
        let ascii = picture::text(timeline, &TextOptions { width: 0, ascii: true });
        let page = picture::html(name, &[("only".to_owned(), timeline.clone())]);
        let verdict = picture::verdict(timeline).to_string();
        [plain, coloured, boxes, ascii, picture::svg(timeline), page, picture::json(timeline), verdict]
    };
    let drawn = draw();
    assert_eq!(drawn, draw(), "{name}: the same bytes");
    let [plain, _, _, ascii, svg, page, json, _] = drawn;
    aligned(name, timeline, &plain);
    assert!(ascii.is_ascii(), "{name}");
    balanced(name, &svg);
    assert_eq!(svg.matches("class=\"step\"").count(), timeline.rows.len() + 1, "{name}");
    assert_eq!(page.matches("</script").count(), 2, "{name}");
    assert_eq!(json.lines().count(), timeline.rows.len() + 2, "{name}");
    for line in json.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["type"].is_string(), "{name}: {line}");
    }
}

/// Each replica's column begins in the same place in each row, with its glyph.
fn aligned(name: &str, timeline: &Timeline, table: &str) {
    let mut lines = table.lines();
    let heading = lines.next().unwrap();
    let indented = |line: &&str| line.trim_start().starts_with(|first: char| first.is_ascii_digit());
    let rows: Vec<&str> = lines.filter(indented).collect();
    assert_eq!(rows.len(), timeline.rows.len() + 1, "{name}");
    for broker in 0..timeline.rules.replicas {
        let at = heading.find(&format!("  B{broker}")).unwrap();
        for row in &rows {
            let cell = row.as_bytes();
            assert!(cell[at..at + 2] == *b"  " && b"*.-x?".contains(&cell[at + 2]), "{name}: B{broker}: {row}");
        }
    }
}

/// Tags are closed in the order in which they were opened, attributes are quoted, and no number is none.
fn balanced(name: &str, svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("{name}: <{part}"));
        assert_eq!(tag.matches('"').count() % 2, 0, "{name}: <{tag}>");
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "{name}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split_whitespace().next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{name}: {open:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{name}");
}
