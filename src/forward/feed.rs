//! The feed-forward block: `down(act(gate x) · up x)` or `down(act(up x))`, as one network or as a few of many experts that a router picks
//! for each row.

use super::decoder::{Cancelled, Context, Workspace};
use super::input::{Input, InputMut};
use super::linear::{Arithmetic, GRAIN, Product, cut, late, least};
use super::profile::{Amount, Step};
use super::weights::Weight;
use crate::error::Error;
use crate::file::ModelFile;
use crate::math::{Activate, add_scaled};
use crate::parallel::{Pieces, cut_evenly, taper};
use kinglet_models::{Activation, Dense, Experts, FeedForward};
use kinglet_quant::{ColumnsMut, Scratch};
use std::ops::{Add, Range};

/// A layer's feed-forward weights.
#[derive(Debug)]
pub enum FeedWeights {
    /// One network.
    Dense(DenseWeights),
    /// A mixture.
    Experts(ExpertWeights),
}

/// One network.
#[derive(Debug)]
pub struct DenseWeights {
    gate: Option<Product>,
    up: Product,
    down: Product,
    activation: Activation,
    d_ff: usize,
}

/// What gate and up give a worker before the activation reads it, in bytes: half of a second cache of 1 MB.
const STRIP: usize = 512 << 10;

/// Rows that go through the activation together.
const FEW: usize = 8;

/// Some columns of some rows of the middle.
struct Strip<'a> {
    rows: Range<usize>,
    columns: Range<usize>,
    middle: InputMut<'a>,
}

/// Buffers of one worker.
struct Buffers<'a> {
    /// What gate and up give.
    hidden: &'a mut [f32],
    scratch: &'a mut Scratch,
    /// What the activation gives for a few rows.
    active: Vec<f32>,
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
            FeedWeights::Dense(dense) => dense.wants(arithmetic),
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

    /// Numbers that `rows` rows come to before the activation, as many at once as `threads` workers have there, or their experts' scores.
    pub fn hidden(&self, rows: usize, threads: usize) -> usize {
        match self {
            FeedWeights::Dense(dense) => dense.hidden(rows, threads),
            FeedWeights::Experts(experts) => {
                let expert = experts.experts.first().map_or(0, |expert| expert.hidden(rows, threads));
                expert.max(rows * experts.router.outputs())
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
        let find = |projection| Product::find(file, &[(projection, dense.d_ff)], d_model);
        Ok(DenseWeights {
            gate: dense.gate.as_ref().map(find).transpose()?,
            up: find(&dense.up)?,
            down: Product::find(file, &[(&dense.down, d_model)], dense.d_ff)?,
            activation: dense.activation,
            d_ff: dense.d_ff,
        })
    }

    /// Up, and gate where there is one.
    fn gate_up(&self) -> impl Iterator<Item = &Product> {
        self.gate.iter().chain([&self.up])
    }

    fn wants(&self, arithmetic: Arithmetic) -> (bool, bool) {
        self.gate_up().map(|product| product.wants(arithmetic)).fold((false, false), |all, one| (all.0 | one.0, all.1 | one.1))
    }

    fn bytes(&self) -> usize {
        self.gate_up().map(Product::bytes).sum::<usize>() + self.down.bytes()
    }

    fn macs(&self) -> u64 {
        self.gate_up().map(Product::macs).sum::<u64>() + self.down.macs()
    }

    /// Columns of the middle of `rows` rows that are computed before the activation reads them, at most.
    fn strip(&self, rows: usize) -> usize {
        let row = self.gate_up().count() * size_of::<f32>();
        (STRIP / (rows.max(1) * row) / GRAIN * GRAIN).max(2 * GRAIN)
    }

    /// Bytes of gate's and up's weights for one column of the middle.
    fn column_bytes(&self) -> usize {
        self.gate_up().map(Product::bytes).sum::<usize>() / self.d_ff.max(1)
    }

    /// The rows and the columns of the middle that each worker begins with.
    fn cut(&self, rows: usize, threads: usize) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let late = late(rows) / self.column_bytes().max(1);
        cut((rows, self.d_ff), threads, cut_evenly(self.d_ff, threads, GRAIN, late))
    }

    /// Numbers that a worker comes to before the activation, at most.
    fn hidden_each(&self, rows: usize, threads: usize) -> usize {
        let of = |(rows, columns): (Range<usize>, Range<usize>)| rows.len() * self.strip(rows.len()).min(columns.len());
        self.gate_up().count() * self.cut(rows, threads).map(of).max().unwrap_or(0)
    }

    /// See [`FeedWeights::hidden`].
    fn hidden(&self, rows: usize, threads: usize) -> usize {
        threads * self.hidden_each(rows, threads)
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
        let (n, threads, arithmetic, file) = (input.rows(), context.crew.threads(), context.arithmetic, context.file);
        let each = self.hidden_each(n, threads);
        hidden.resize(threads * each, 0.0);
        let buffers = hidden.chunks_exact_mut(each.max(1)).zip(&mut *context.scratch);
        let mut buffers: Vec<_> = buffers.map(|(hidden, scratch)| Buffers { hidden, scratch, active: Vec::new() }).collect();
        let mut rest = middle.reshape(arithmetic.level(), self.down.wants(arithmetic), n, self.d_ff);
        let mut pieces = Pieces::for_workers(threads);
        for (rows, columns) in self.cut(n, threads) {
            let (mut mine, others) = rest.split(rows.len(), columns.len());
            rest = others;
            pieces.next_worker();
            for columns in taper(columns, GRAIN, least(rows.len(), self.column_bytes()), self.strip(rows.len())) {
                let (middle, more) = mine.split(rows.len(), columns.len());
                mine = more;
                pieces.push(Strip { rows: rows.clone(), columns, middle });
            }
        }
        context.crew.each(&mut buffers, pieces, |buffers, strip| self.run_strip(file, arithmetic, input, buffers, strip));
        context.lap(Step::GateUp, || self.gate_up().map(|product| product.amount(n)).fold(Amount::default(), Amount::add));
        context.go_on()?;
        out.resize(n * self.down.outputs(), 0.0);
        self.down.run(context.crew, file, arithmetic, middle, context.scratch, out);
        context.lap(Step::Down, || self.down.amount(n));
        Ok(())
    }

    /// `act(gate x) · up x` of a strip: what gate and up give is still in cache when it is read.
    fn run_strip(&self, file: &ModelFile, arithmetic: Arithmetic, input: &Input, buffers: &mut Buffers<'_>, strip: Strip<'_>) {
        let Strip { rows, columns, mut middle } = strip;
        let (n, width) = (rows.len(), columns.len());
        for (product, half) in self.gate_up().zip(buffers.hidden.chunks_exact_mut(n * width)) {
            let out = ColumnsMut::new(half, width);
            product.run_part(file, arithmetic, (input, rows.clone()), columns.clone(), buffers.scratch, out);
        }
        let (x, up) = buffers.hidden.split_at(n * width);
        buffers.active.resize(n.min(FEW) * width, 0.0);
        for (i, x) in x.chunks(FEW * width).enumerate() {
            let up = self.gate.is_some().then(|| &up[i * FEW * width..][..x.len()]);
            let y = &mut buffers.active[..x.len()];
            Activate { activation: self.activation, x, up, y }.run(arithmetic.level());
            y.chunks_exact(width).enumerate().for_each(|(row, y)| middle.set(i * FEW + row, 0, y));
        }
    }
}

impl ExpertWeights {
    fn find(file: &ModelFile, experts: &Experts, d_model: usize) -> Result<ExpertWeights, Error> {
        let find = |tensors, rows, cols| Weight::experts(file, tensors, experts.n_experts, rows, cols);
        let gates = find(&experts.gate, experts.d_ff, d_model)?;
        let ups = find(&experts.up, experts.d_ff, d_model)?;
        let downs = find(&experts.down, d_model, experts.d_ff)?;
        let network = |((gate, up), down)| DenseWeights {
            gate: Some(Product::of_weight(gate)),
            up: Product::of_weight(up),
            down: Product::of_weight(down),
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
            let wants = expert.wants(context.arithmetic);
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
