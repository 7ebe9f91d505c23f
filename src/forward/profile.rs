//! Where a forward pass spends its time: a clock that the leader reads after each step, and what each kind of step had to do, so that
//! its speed can be put beside the machine's limits. Without a profile a step costs one comparison more.

use crate::parallel::{Crew, Crossings};
use std::time::{Duration, Instant};

/// The kinds of steps that a pass is made of, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Room in the caches, tables of rotations, the tokens' embeddings.
    Embed,
    /// Adding the last block's output, norm, quantising the row for the next product.
    Norm,
    /// Queries, keys and values.
    Qkv,
    /// Norming and rotating keys, writing keys and values to the cache.
    Store,
    /// Rotating queries, scores, softmax, values.
    Attention,
    /// Quantising attention's output.
    Attended,
    /// The output projection.
    Project,
    /// Gate, up, the non-linearity, and quantising what it gives.
    GateUp,
    /// Down.
    Down,
    /// Experts: scores of the router, choosing, gathering rows and adding what the experts gave.
    Route,
    /// The final norm and the output matrix.
    Output,
}

impl Step {
    /// All kinds, in the order of a pass.
    pub const ALL: [Step; 11] = [
        Step::Embed,
        Step::Norm,
        Step::Qkv,
        Step::Store,
        Step::Attention,
        Step::Attended,
        Step::Project,
        Step::GateUp,
        Step::Down,
        Step::Route,
        Step::Output,
    ];
}

/// What a step has to do at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Multiply-accumulates of small integers.
    pub integer: u64,
    /// Multiply-accumulates in f32.
    pub float: u64,
    /// Bytes of weights or of the cache, read once.
    pub bytes: u64,
}

/// All steps of one kind together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Steps.
    pub steps: u64,
    /// Time from the end of the step before to the end of this one.
    pub time: Duration,
    /// Crossings of the team in it.
    pub crossings: Crossings,
    /// What was done.
    pub amount: Amount,
}

/// The steps of some passes.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Passes.
    pub passes: u64,
    /// Threads of the team.
    pub threads: usize,
    spent: [Spent; Step::ALL.len()],
    last: Option<Instant>,
}

impl Profile {
    /// What steps of this kind took.
    pub fn of(&self, step: Step) -> &Spent {
        &self.spent[step as usize]
    }

    /// Time of all steps.
    pub fn time(&self) -> Duration {
        self.spent.iter().map(|spent| spent.time).sum()
    }

    /// Counts the passes of `other` too, which the same team made.
    pub fn add(&mut self, other: &Profile) {
        self.passes += other.passes;
        self.threads = other.threads;
        self.spent.iter_mut().zip(other.spent).for_each(|(spent, more)| *spent = *spent + more);
    }

    /// A pass begins.
    pub(super) fn begin(&mut self, crew: &mut Crew<'_>) {
        crew.measure();
        self.passes += 1;
        self.threads = crew.threads();
        self.last = Some(Instant::now());
    }

    /// A step has ended, and the next begins.
    pub(super) fn lap(&mut self, step: Step, crew: &mut Crew<'_>, amount: Amount) {
        let now = Instant::now();
        let time = self.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        let spent = &mut self.spent[step as usize];
        *spent = *spent + Spent { steps: 1, time, crossings: crew.measured(), amount };
    }
}

impl std::ops::Add for Spent {
    type Output = Spent;

    fn add(self, other: Spent) -> Spent {
        Spent {
            steps: self.steps + other.steps,
            time: self.time + other.time,
            crossings: self.crossings + other.crossings,
            amount: self.amount + other.amount,
        }
    }
}

impl std::ops::Add for Amount {
    type Output = Amount;

    fn add(self, other: Amount) -> Amount {
        Amount { integer: self.integer + other.integer, float: self.float + other.float, bytes: self.bytes + other.bytes }
    }
}
