//! The feed-forward block: `down(act(gate x) · up x)` or `down(act(up x))`, as one network or as a few of many experts that a router picks
//! for each row.

use super::decoder::{Cancelled, Context, Workspace};
use super::input::Input;
use super::linear::{Arithmetic, Product};
use super::profile::{Amount, Step};
use super::weights::Weight;
use crate::error::Error;
use crate::file::ModelFile;
use crate::math::{Activate, add_scaled};
use kinglet_models::{Activation, Dense, Experts, FeedForward};

/// A layer's feed-forward weights.
#[derive(Debug)]
pub enum FeedWeights {
    /// One network.
    Dense(DenseWeights),
    /// A mixture.
    Experts(ExpertWeights),
}

/// One network: gate (where there is one) and up as one product, then down.
#[derive(Debug)]
pub struct DenseWeights {
    gate_up: Product,
    down: Product,
    gated: bool,
    activation: Activation,
    d_ff: usize,
}

/// The router and the networks it chooses from.
#[derive(Debug)]
pub struct ExpertWeights {
    router: Product,
    experts: Vec<DenseWeights>,
    n_used: usize,
    normalise: bool,
}

impl FeedWeights {
    /// Finds the tensors of `feed`.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub fn find(file: &ModelFile, feed: &FeedForward, d_model: usize) -> Result<FeedWeights, Error> {
        match feed {
            FeedForward::Dense(dense) => DenseWeights::find(file, dense, d_model).map(FeedWeights::Dense),
            FeedForward::Experts(experts) => ExpertWeights::find(file, experts, d_model).map(FeedWeights::Experts),
        }
    }

    /// Which (quantised, dense) forms of the layer's input are read.
    pub fn wants(&self, arithmetic: Arithmetic) -> (bool, bool) {
        match self {
            FeedWeights::Dense(dense) => dense.gate_up.wants(arithmetic),
            // Experts read gathered rows, so the rows themselves are kept.
            FeedWeights::Experts(experts) => (experts.router.wants(arithmetic).0, true),
        }
    }

    /// Bytes of weights that a decoded token reads.
    pub fn bytes_per_token(&self) -> usize {
        match self {
            FeedWeights::Dense(dense) => dense.bytes(),
            FeedWeights::Experts(experts) => {
                experts.router.bytes() + experts.n_used * experts.experts.first().map_or(0, DenseWeights::bytes)
            }
        }
    }

    /// Whether rows choose among experts, and are gathered for them.
    pub fn is_mixture(&self) -> bool {
        matches!(self, FeedWeights::Experts(_))
    }

    /// Numbers that a row comes to before the activation, or its experts' scores.
    pub fn hidden_width(&self) -> usize {
        match self {
            FeedWeights::Dense(dense) => dense.gate_up.outputs(),
            FeedWeights::Experts(experts) => {
                experts.router.outputs().max(experts.experts.first().map_or(0, |expert| expert.gate_up.outputs()))
            }
        }
    }

    /// Numbers that a row comes to after it.
    pub fn middle_width(&self) -> usize {
        match self {
            FeedWeights::Dense(dense) => dense.d_ff,
            FeedWeights::Experts(experts) => experts.experts.first().map_or(0, |expert| expert.d_ff),
        }
    }

    /// Multiply-accumulates for one row.
    pub fn macs(&self) -> u64 {
        match self {
            FeedWeights::Dense(dense) => dense.macs(),
            FeedWeights::Experts(experts) => {
                experts.router.macs() + experts.n_used as u64 * experts.experts.first().map_or(0, DenseWeights::macs)
            }
        }
    }

    /// The block's output for all rows of `work.input`, in `work.step: [rows, d_model]`.
    ///
    /// # Errors
    /// Where the pass was cancelled.
    pub fn run(&self, context: &mut Context<'_, '_>, work: &mut Workspace) -> Result<(), Cancelled> {
        match self {
            FeedWeights::Dense(dense) => dense.run(context, &work.input, &mut work.hidden, &mut work.middle, &mut work.step),
            FeedWeights::Experts(experts) => experts.run(context, work),
        }
    }
}

impl DenseWeights {
    fn find(file: &ModelFile, dense: &Dense, d_model: usize) -> Result<DenseWeights, Error> {
        let up = (&dense.up, dense.d_ff);
        let gate_up = match &dense.gate {
            Some(gate) => Product::find(file, &[(gate, dense.d_ff), up], d_model)?,
            None => Product::find(file, &[up], d_model)?,
        };
        let down = Product::find(file, &[(&dense.down, d_model)], dense.d_ff)?;
        Ok(DenseWeights { gate_up, down, gated: dense.gate.is_some(), activation: dense.activation, d_ff: dense.d_ff })
    }

    fn bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes()
    }

    fn macs(&self) -> u64 {
        self.gate_up.macs() + self.down.macs()
    }

    /// `out: [rows of input, d_model]`; `hidden` and `middle` are scratch.
    fn run(
        &self,
        context: &mut Context<'_, '_>,
        input: &Input,
        hidden: &mut Vec<f32>,
        middle: &mut Input,
        out: &mut Vec<f32>,
    ) -> Result<(), Cancelled> {
        let (rows, wide, d_ff) = (input.rows(), self.gate_up.outputs(), self.d_ff);
        hidden.resize(rows * wide, 0.0);
        let arithmetic = context.arithmetic;
        self.gate_up.run(context.crew, context.file, arithmetic, input, context.scratch, hidden);
        context.lap(Step::GateUp, || self.gate_up.amount(rows));
        context.go_on()?;
        middle.fill(context.crew, arithmetic, self.down.wants(arithmetic), (rows, d_ff), &mut [], |row, _, y| {
            let (x, up) = hidden[row * wide..(row + 1) * wide].split_at(d_ff);
            Activate { activation: self.activation, x, up: self.gated.then_some(up), y }.run(arithmetic.level());
        });
        context.lap(Step::Activation, Amount::default);
        out.resize(rows * self.down.outputs(), 0.0);
        self.down.run(context.crew, context.file, arithmetic, middle, context.scratch, out);
        context.lap(Step::Down, || self.down.amount(rows));
        Ok(())
    }
}

impl ExpertWeights {
    fn find(file: &ModelFile, experts: &Experts, d_model: usize) -> Result<ExpertWeights, Error> {
        let find = |tensors, rows, cols| Weight::experts(file, tensors, experts.n_experts, rows, cols);
        let gates = find(&experts.gate, experts.d_ff, d_model)?;
        let ups = find(&experts.up, experts.d_ff, d_model)?;
        let downs = find(&experts.down, d_model, experts.d_ff)?;
        let network = |((gate, up), down)| DenseWeights {
            gate_up: Product::of_weights(vec![gate, up]),
            down: Product::of_weights(vec![down]),
            gated: true,
            activation: experts.activation,
            d_ff: experts.d_ff,
        };
        Ok(ExpertWeights {
            router: Product::find(file, &[(&experts.router, experts.n_experts)], d_model)?,
            experts: gates.into_iter().zip(ups).zip(downs).map(network).collect(),
            n_used: experts.n_used,
            normalise: experts.normalise,
        })
    }

    /// Routes each row, then goes through the experts in order, each over the rows that chose it: a row adds its experts' outputs in the
    /// same order in any batch.
    fn run(&self, context: &mut Context<'_, '_>, work: &mut Workspace) -> Result<(), Cancelled> {
        let (rows, n) = (work.input.rows(), self.experts.len());
        let d_model = work.input.width();
        work.hidden.resize(rows * n, 0.0);
        self.router.run(context.crew, context.file, context.arithmetic, &work.input, context.scratch, &mut work.hidden);
        let chosen: Vec<Vec<(usize, f32)>> = work.hidden.chunks_exact(n).map(|scores| self.choose(scores)).collect();
        work.step.clear();
        work.step.resize(rows * d_model, 0.0);
        let (mut gathered, mut out) = (Input::default(), Vec::new());
        context.lap(Step::Route, || self.router.amount(rows));
        for (index, expert) in self.experts.iter().enumerate() {
            let mine: Vec<(usize, f32)> = chosen
                .iter()
                .enumerate()
                .filter_map(|(row, chosen)| chosen.iter().find(|(expert, _)| *expert == index).map(|(_, weight)| (row, *weight)))
                .collect();
            if mine.is_empty() {
                continue;
            }
            let wants = expert.gate_up.wants(context.arithmetic);
            let source = work.input.dense();
            gathered.fill(context.crew, context.arithmetic, wants, (mine.len(), d_model), &mut [], |i, _, y| {
                y.copy_from_slice(&source[mine[i].0 * d_model..][..d_model]);
            });
            context.lap(Step::Route, Amount::default);
            expert.run(context, &gathered, &mut work.hidden, &mut work.middle, &mut out)?;
            for (&(row, weight), y) in mine.iter().zip(out.chunks_exact(d_model)) {
                add_scaled(&mut work.step[row * d_model..(row + 1) * d_model], y, weight);
            }
            context.lap(Step::Route, Amount::default);
        }
        Ok(())
    }

    /// The experts with the largest scores (the lower index first among equals) and their softmax weights.
    fn choose(&self, scores: &[f32]) -> Vec<(usize, f32)> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let max = scores[order[0]];
        let total: f32 = scores.iter().map(|score| (score - max).exp()).sum();
        let mut chosen: Vec<(usize, f32)> =
            order.into_iter().take(self.n_used).map(|expert| (expert, (scores[expert] - max).exp() / total)).collect();
        if self.normalise {
            let sum: f32 = chosen.iter().map(|(_, weight)| weight).sum();
            chosen.iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        chosen
    }
}
