//! What goes wrong.

use crate::replication::random::Random;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A process is killed and starts again.
    Kill,
    /// A machine loses power and comes back.
    PowerLoss,
    /// A broker is stopped cleanly and starts again.
    Stop,
    /// A process does nothing for a while (garbage collection, SIGSTOP), sometimes beyond its session.
    Pause,
    /// A broker loses the controller, not its clients.
    CutOff,
    /// A broker hears of the controller's decisions late.
    SlowMetadata,
    /// Answers to fetches are lost for a while.
    LostResponses,
    /// A follower does not fetch for a while.
    SlowFollower,
    /// Somebody asks for an election.
    Election,
    /// A disk is replaced by an empty one.
    Wipe,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 10] = [
        Fault::Kill,
        Fault::PowerLoss,
        Fault::Stop,
        Fault::Pause,
        Fault::CutOff,
        Fault::SlowMetadata,
        Fault::LostResponses,
        Fault::SlowFollower,
        Fault::Election,
        Fault::Wipe,
    ];

    /// Those that take no disk away.
    pub const USUAL: [Fault; 9] = [
        Fault::Kill,
        Fault::PowerLoss,
        Fault::Stop,
        Fault::Pause,
        Fault::CutOff,
        Fault::SlowMetadata,
        Fault::LostResponses,
        Fault::SlowFollower,
        Fault::Election,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::PowerLoss => "power-loss",
            Fault::Stop => "stop",
            Fault::Pause => "pause",
            Fault::CutOff => "cut-off",
            Fault::SlowMetadata => "slow-metadata",
            Fault::LostResponses => "lost-responses",
            Fault::SlowFollower => "slow-follower",
            Fault::Election => "election",
            Fault::Wipe => "wipe",
        }
    }

    /// The fault of this name.
    pub fn parse(text: &str) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == text)
    }
}

/// A set of its own for one run: each kind is in or out by a coin, and at least one is in.
pub fn swarm(kinds: &[Fault], random: &mut Random) -> Vec<Fault> {
    let mut drawn: Vec<Fault> = kinds.iter().copied().filter(|_| random.in_thousand(500)).collect();
    if drawn.is_empty() && !kinds.is_empty() {
        let at = random.below(u32::try_from(kinds.len()).unwrap_or(1)) as usize;
        drawn.extend(kinds.get(at));
    }
    drawn
}
