//! Scenario files: a TOML header and a plain list of steps, one event per line (or between semicolons).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use thiserror::Error;

use super::{Expect, ExpectReplica, Scenario, Variant};
use crate::replication::event::{Event, StepError, nearest};
use crate::replication::rules::{Era, Flush, Rules, Strategy};
use crate::replication::state::REPLICAS_MAX;
use crate::replication::witness::Violation;

/// Most steps that a scenario may have: what is to be looked at one by one. Each keeps the whole state.
const STEPS_MAX: usize = 5_000;

/// Why a scenario cannot be read.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Not TOML, or not with these keys. The message shows the place.
    #[error("{0}")]
    Header(String),
    /// Of a schema that is not known.
    #[error("schema is {0}; this version reads schema 1")]
    Schema(i64),
    /// A setting cannot be that.
    #[error("{key} is {found}; it can be {can}")]
    Setting {
        /// Its key.
        key: String,
        /// What it is.
        found: String,
        /// What it can be.
        can: String,
    },
    /// A setting that there is not.
    #[error("there is no setting {key:?}{}", near(.nearest.as_deref()))]
    Unknown {
        /// Its key.
        key: String,
        /// One like it.
        nearest: Option<String>,
    },
    /// A step cannot be read.
    #[error("line {line} of steps: {source}")]
    Step {
        /// Line within the list.
        line: usize,
        /// Why.
        source: StepError,
    },
    /// Nothing happens.
    #[error("there are no steps")]
    NoSteps,
    /// Too much happens.
    #[error("more than {STEPS_MAX} steps; random plays longer runs")]
    TooManySteps,
}

fn near(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

/// What a file says of one way to tell the story; a variant says what differs from the file's own.
#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, default)]
struct Body {
    name: Option<String>,
    era: Option<String>,
    replicas: Option<i64>,
    strategy: Option<String>,
    steps: Option<String>,
    config: toml::Table,
    init: Option<Init>,
    expect: Option<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: i64,
    id: Option<String>,
    name: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    about: String,
    #[serde(default)]
    expected: String,
    era: Option<String>,
    replicas: Option<i64>,
    strategy: Option<String>,
    steps: Option<String>,
    #[serde(default)]
    config: toml::Table,
    init: Option<Init>,
    expect: Option<toml::Table>,
    #[serde(default)]
    variants: Vec<Body>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Init {
    #[serde(default)]
    from: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawExpect {
    leader: Option<String>,
    isr: Option<Vec<String>>,
    elr: Option<Vec<String>>,
    acked: Option<Vec<String>>,
    violations: Option<Vec<String>>,
    at_end: Option<Vec<String>>,
    acked_lost: Option<Vec<String>>,
    diverged: Option<bool>,
    #[serde(flatten)]
    replicas: BTreeMap<String, toml::Value>,
}

/// Keys of `[expect]` but those of replicas.
const EXPECT_KEYS: [&str; 8] = ["leader", "isr", "elr", "acked", "violations", "at_end", "acked_lost", "diverged"];

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// What it cannot be read for, with the line.
    pub fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        let header: Header = toml::from_str(text).map_err(|error| ScenarioError::Header(with_nearest(&error)))?;
        if header.schema != 1 {
            return Err(ScenarioError::Schema(header.schema));
        }
        let common = Body {
            name: None,
            era: header.era,
            replicas: header.replicas,
            strategy: header.strategy,
            steps: header.steps,
            config: header.config,
            init: header.init,
            expect: header.expect,
        };
        let variants = if header.variants.is_empty() {
            vec![variant(&header.name, common)?]
        } else {
            let merge = |body: Body| {
                let mut config = common.config.clone();
                for (key, value) in body.config {
                    match (config.get_mut(&key), value) {
                        // One rule of several: the others stay what the file says.
                        (Some(toml::Value::Table(known)), toml::Value::Table(more)) => known.extend(more),
                        (_, value) => drop(config.insert(key, value)),
                    }
                }
                let merged = Body {
                    name: None,
                    era: body.era.or_else(|| common.era.clone()),
                    replicas: body.replicas.or(common.replicas),
                    strategy: body.strategy.or_else(|| common.strategy.clone()),
                    steps: body.steps.or_else(|| common.steps.clone()),
                    config,
                    init: body.init.or_else(|| common.init.clone()),
                    expect: body.expect.or_else(|| common.expect.clone()),
                };
                variant(body.name.as_deref().unwrap_or(&header.name), merged)
            };
            header.variants.into_iter().map(merge).collect::<Result<_, _>>()?
        };
        Ok(Scenario {
            id: header.id,
            name: header.name,
            title: header.title,
            about: header.about,
            expected: header.expected,
            variants,
        })
    }
}

fn variant(name: &str, body: Body) -> Result<Variant, ScenarioError> {
    let era = body.era.unwrap_or_else(|| Era::Fetch.name().to_owned());
    let era = Era::parse(&era).ok_or_else(|| setting("era", &era, &Era::ALL.map(Era::name).join(", ")))?;
    let from = body.init.map(|init| init.from).unwrap_or_default();
    let named = if from.is_empty() { 3 } else { i64::try_from(from.len()).unwrap_or(i64::MAX) };
    let wanted = body.replicas.unwrap_or(named);
    let replicas = u8::try_from(wanted).ok().filter(|it| (1..=REPLICAS_MAX).contains(&usize::from(*it)));
    let Some(replicas) = replicas else { return Err(setting("replicas", &wanted, &format!("1 to {REPLICAS_MAX}"))) };
    let mut rules = Rules::of(era, replicas);
    if let Some(strategy) = body.strategy {
        rules.set("strategy", &strategy)?;
    }
    for (key, value) in &body.config {
        if key == "switches" {
            let Some(switches) = value.as_table() else { return Err(setting(key, value, "a table")) };
            for (name, value) in switches {
                rules.set(&format!("switches.{name}"), &plain(value))?;
            }
        } else {
            rules.set(key, &plain(value))?;
        }
    }
    let steps = steps(body.steps.as_deref().unwrap_or_default(), replicas)?;
    let expect = body.expect.map_or_else(|| Ok(Expect::default()), |table| expect(table, replicas))?;
    Ok(Variant { name: name.to_owned(), rules, from, steps, expect })
}

fn steps(text: &str, replicas: u8) -> Result<Vec<Event>, ScenarioError> {
    let mut events = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(step, _)| step);
        for step in line.split(';').map(str::trim).filter(|step| !step.is_empty()) {
            let (event, times) =
                Event::parse(step, replicas).map_err(|source| ScenarioError::Step { line: at + 1, source })?;
            if events.len() + times as usize > STEPS_MAX {
                return Err(ScenarioError::TooManySteps);
            }
            events.extend(std::iter::repeat_n(event, times as usize));
        }
    }
    if events.is_empty() { Err(ScenarioError::NoSteps) } else { Ok(events) }
}

/// What can never come out is a mistake in the file, and not in what happens.
fn can_come_out(raw: &RawExpect, replicas: u8) -> Result<(), ScenarioError> {
    let is_record = |text: &String| text.strip_prefix('m').is_some_and(|digits| digits.parse::<u32>().is_ok());
    let is_number =
        |text: &str| text.strip_prefix('b').and_then(|it| it.parse::<u8>().ok()).is_some_and(|it| it < replicas);
    let is_broker = |text: &String| is_number(text);
    let is_leader = |text: &String| {
        let (who, epoch) = text.split_once(' ').unwrap_or((text, ""));
        let is_epoch = epoch.strip_prefix('e').is_some_and(|epoch| epoch.parse::<u32>().is_ok());
        (who == "none" || is_number(who)) && is_epoch
    };
    let is_violation = |text: &String| Violation::WORDS.contains(&text.split(' ').next().unwrap_or_default());
    fn wrong(found: Option<&Vec<String>>, fits: impl Fn(&String) -> bool) -> Option<&String> {
        found.and_then(|found| found.iter().find(|text| !fits(text)))
    }
    let (brokers, words) = (format!("b0 to b{}", replicas.saturating_sub(1)), Violation::WORDS.join(", "));
    let (leaders, violations) =
        (format!("{brokers} or none, and the leader epoch: b1 e3"), format!("{words}, and of what"));
    let checked = [
        ("leader", raw.leader.as_ref().filter(|text| !is_leader(text)), leaders.as_str()),
        ("isr", wrong(raw.isr.as_ref(), is_broker), &brokers),
        ("elr", wrong(raw.elr.as_ref(), is_broker), &brokers),
        ("acked", wrong(raw.acked.as_ref(), is_record), "m0, m1, ..."),
        ("acked_lost", wrong(raw.acked_lost.as_ref(), is_record), "m0, m1, ..."),
        ("violations", wrong(raw.violations.as_ref(), is_violation), &violations),
        ("at_end", wrong(raw.at_end.as_ref(), is_violation), &violations),
    ];
    match checked.into_iter().find_map(|(key, wrong, can)| Some((key, wrong?, can))) {
        Some((key, wrong, can)) => Err(setting(&format!("expect.{key}"), wrong, can)),
        None => Ok(()),
    }
}

fn expect(table: toml::Table, replicas: u8) -> Result<Expect, ScenarioError> {
    let raw: RawExpect = table.try_into().map_err(|error| ScenarioError::Header(format!("expect: {error}")))?;
    can_come_out(&raw, replicas)?;
    let mut each = Vec::new();
    for (key, value) in raw.replicas {
        let index =
            key.strip_prefix('b').and_then(|digits| digits.parse::<u8>().ok()).filter(|&index| index < replicas);
        let Some(index) = index else {
            let nearest = nearest(&key, EXPECT_KEYS).map(str::to_owned);
            return Err(ScenarioError::Unknown { key: format!("expect.{key}"), nearest });
        };
        let replica: ExpectReplica =
            value.try_into().map_err(|error| ScenarioError::Header(format!("expect.{key}: {error}")))?;
        each.push((index, replica));
    }
    Ok(Expect {
        leader: raw.leader,
        isr: raw.isr,
        elr: raw.elr,
        acked: raw.acked,
        violations: raw.violations,
        at_end: raw.at_end,
        acked_lost: raw.acked_lost,
        diverged: raw.diverged,
        replicas: each,
    })
}

/// Keys of `[config]` and of `--set`, with what they can be.
pub const SETTINGS: [(&str, &str); 8] = [
    ("min.insync.replicas", "a number from 1 on"),
    ("unclean.leader.election.enable", "true or false"),
    ("enable.idempotence", "true or false"),
    ("flush", "never, every-record or every:N"),
    ("records_per_fetch", "a number from 1 on, or all"),
    ("producers", "a number from 1 on"),
    ("strategy", "all-isr or majority"),
    ("switches.NAME", "true or false"),
];

impl Rules {
    /// Sets one of [`SETTINGS`] from its text.
    ///
    /// # Errors
    ///
    /// There is no such setting, or it cannot be that.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ScenarioError> {
        let can = SETTINGS.iter().find(|(name, _)| *name == key).map_or("true or false", |(_, can)| can);
        let refuse = || setting(key, &value, can);
        let yes_or_no = || value.parse::<bool>().map_err(|_| refuse());
        let count = || value.parse::<u32>().ok().filter(|&count| count > 0).ok_or_else(refuse);
        match key {
            "min.insync.replicas" => self.min_insync_replicas = count()?,
            "unclean.leader.election.enable" => self.unclean_leader_election = yes_or_no()?,
            "enable.idempotence" => self.idempotence = yes_or_no()?,
            "producers" => self.producers = count()?,
            "records_per_fetch" => {
                self.records_per_fetch = if value == "all" { None } else { Some(u64::from(count()?)) };
            }
            "flush" => {
                let every = || value.strip_prefix("every:")?.parse().ok().filter(|&every| every > 0);
                self.flush = match value {
                    "never" => Flush::Never,
                    "every-record" => Flush::Every(1),
                    _ => Flush::Every(every().ok_or_else(refuse)?),
                };
            }
            "strategy" => {
                self.strategy = Strategy::parse(value).ok_or_else(refuse)?;
            }
            _ => {
                let on = yes_or_no();
                let name = key.strip_prefix("switches.").unwrap_or(key);
                let mut named = self.switches.named();
                let Some((_, switch)) = named.iter_mut().find(|(known, _)| *known == name) else {
                    let settings = SETTINGS.iter().map(|(name, _)| *name);
                    let switches = named.iter().map(|(known, _)| *known);
                    let nearest = nearest(name, settings.chain(switches)).map(str::to_owned);
                    return Err(ScenarioError::Unknown { key: key.to_owned(), nearest });
                };
                **switch = on?;
            }
        }
        Ok(())
    }
}

fn setting(key: &str, found: &impl ToString, can: &str) -> ScenarioError {
    ScenarioError::Setting { key: key.to_owned(), found: found.to_string(), can: can.to_owned() }
}

/// A value as it would be given to `--set`.
fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The error's own text, with a key like the one that is unknown.
fn with_nearest(error: &toml::de::Error) -> String {
    let mut text = error.to_string().trim_end().to_owned();
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    if error.message().starts_with("unknown field")
        && let Some(unknown) = quoted.next()
        && let Some(near) = nearest(unknown, quoted)
    {
        let _ = write!(text, "; did you mean `{near}`?");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
schema = 1
name = "try"
era = "hw"
replicas = 2
steps = """
produce acks=all   # the first
fetch b1 x2; consume
"""
[config]
"min.insync.replicas" = 2
"unclean.leader.election.enable" = true
flush = "every:3"
switches = { fence = true }
[expect]
acked_lost = ["m1"]
b1 = { leo = 1, leader = true }
"#;

    #[test]
    fn a_file_is_read() {
        let scenario = Scenario::parse(FILE).unwrap();
        let variant = &scenario.variants[0];
        assert_eq!(variant.steps.len(), 4);
        assert!(variant.rules.switches.fence && variant.rules.unclean_leader_election);
        assert_eq!((variant.rules.flush, variant.rules.min_isr()), (Flush::Every(3), 2));
        assert_eq!(variant.expect.replicas[0].1.leo, Some(1));
    }

    #[test]
    fn a_variant_adds_to_the_switches_of_the_file() {
        let file = format!("{FILE}\n[[variants]]\nname = \"other\"\n[variants.config]\nswitches = {{ elr = true }}\n");
        let scenario = Scenario::parse(&file).unwrap();
        let switches = scenario.variants[0].rules.switches;
        assert!(switches.elr && switches.fence);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let cases = [
            (("era = ", "eras = "), "did you mean `era`?"),
            (("\"hw\"", "\"hwm\""), "era is hwm; it can be hw, epoch, epoch2, fenced, fetch, elr"),
            (("replicas = 2", "replicas = 12"), "replicas is 12; it can be 1 to 9"),
            (("fetch b1", "fetch b2"), "line 2 of steps: \"b2\" is no replica: they are b0 to b1"),
            (("min.insync.replicas", "min.isync.replicas"), "did you mean \"min.insync.replicas\"?"),
            (("fence = true", "fenc = true"), "there is no setting \"switches.fenc\"; did you mean \"fence\"?"),
            (("every:3", "every:0"), "flush is every:0; it can be never, every-record or every:N"),
            (("schema = 1", "schema = 2"), "schema is 2; this version reads schema 1"),
            (("b1 = {", "b7 = {"), "there is no setting \"expect.b7\""),
            (("acked_lost", "acked_last"), "did you mean \"acked_lost\"?"),
            (("leo = 1", "loe = 1"), "unknown field `loe`"),
            (("[\"m1\"]", "[\"x\"]"), "expect.acked_lost is x; it can be m0, m1, ..."),
            (("[expect]", "[expect]\nleader = \"b7 e1\""), "expect.leader is b7 e1; it can be b0 to b1 or none"),
            (("[expect]", "[expect]\nviolations = [\"BOGUS\"]"), "expect.violations is BOGUS; it can be ACKED-LOST"),
            (("replicas = 2", "replicas = 300"), "replicas is 300; it can be 1 to 9"),
        ];
        for ((from, to), message) in cases {
            let error = Scenario::parse(&FILE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
