//! How many rows a pass takes, and the memory that it works in: how much it is, known before, and taken before the pass begins, so that a
//! machine that has too little of it gives an error and not an abort in the middle.

use super::attend::SPLIT_ROWS;
use super::convolve::Convolution;
use super::decoder::{Decoder, Workspace};
use super::encode::CrossWeights;
use super::input::Input;
use super::layer::LayerWeights;
use crate::attention::PAGE;
use crate::error::SessionError;
use crate::kv::LayerShape;
use kinglet_models::Attention;
use std::collections::TryReserveError;

/// The longest of each buffer that any layer wants for one row.
#[derive(Debug, Clone, Copy, Default)]
struct Widths {
    /// Queries, keys and values.
    qkv: usize,
    attended: usize,
    /// What follows the last layer, or comes before the first.
    around: usize,
    /// What products read: the stream or attention's output, and the feed-forward block's middle.
    input: usize,
    middle: usize,
    /// What a convolution gives.
    beside: usize,
    /// A head with its running softmax.
    heads: usize,
}

/// What one thread's unpacked weights and tables take at most, in bytes: a panel's slice, its scales and the sums of 512 columns, for
/// the widest vectors.
const THREAD: usize = 512 << 10;

/// What a layer of a pass may take, in multiply-accumulates of small integers: 60 ms on two cores with AVX-512, 100 ms with AVX2. A pass
/// can be cancelled at three places in each layer.
const LAYER_COST: u64 = 16_000_000_000;
/// A multiply-accumulate of attention, in the same unit.
const FLOAT_COST: u64 = 5;
/// With fewer rows than this, unpacking weights takes too large a share (Zen 4, Q4_K, width 2048: 8 % slower with 64 rows than with 240,
/// 2 % with 128).
const FEWEST_ROWS: usize = 128;

/// With more rows than this for each thread, what a layer works on lies beyond a second cache of 2 MB (Xeon, a prompt of 512 on one thread:
/// SmolLM2 10 %, Gemma-3-270m 2 % slower with 512). Experts share them, so that of a mixture's rows there can't be too many.
const MOST_ROWS: usize = 256;

impl Decoder {
    /// Rows of a prefill that a pass of `threads` threads may take at once after `depth` tokens, at most `most`, such that no step of a
    /// layer takes much longer than a cancelled pass may.
    pub fn rows_at_once(&self, depth: usize, most: usize, threads: usize) -> usize {
        let of = |layer: &LayerWeights| {
            let Attention { n_heads, window, .. } = layer.attention;
            let d_head = LayerShape::of(&layer.attention).d_head;
            let keys = (depth + most).min(window.unwrap_or(usize::MAX));
            let cross = layer.cross.as_ref().map_or(0, CrossWeights::macs);
            layer.qkv.macs() + layer.o.macs() + cross + layer.feed.macs() + FLOAT_COST * (2 * keys * n_heads * d_head) as u64
        };
        let most = if self.is_mixture() { most } else { most.min(MOST_ROWS * threads) };
        let row = self.layers.iter().map(of).max().unwrap_or(0).max(1);
        usize::try_from(LAYER_COST / row).unwrap_or(most).clamp(FEWEST_ROWS.min(most), most)
    }

    /// Bytes that a pass of `rows` rows works in on `threads` threads when `context` tokens came before, the logits of one row among them.
    pub fn workspace_bytes(&self, rows: usize, threads: usize, context: usize) -> usize {
        let (widths, d_model) = (self.widths(), self.spec().d_model);
        let floats = 2 * d_model + widths.beside + widths.qkv + 4 * widths.attended;
        let row = size_of::<f32>() * floats + Input::row_bytes(widths.input) + Input::row_bytes(widths.middle);
        let gathered = self.is_mixture().then(|| Input::row_bytes(d_model) + 4 * d_model);
        let partials = context.div_ceil(PAGE).saturating_mul(size_of::<f32>() * SPLIT_ROWS * widths.heads);
        // A distribution over the vocabulary is sorted with its indices.
        let vocabulary = self.spec().n_vocab * (2 * size_of::<f32>() + size_of::<(usize, f32)>());
        let hidden = size_of::<f32>() * self.hidden(&widths, rows, threads);
        rows.saturating_mul(row + gathered.unwrap_or(0)).saturating_add(partials).saturating_add(hidden + vocabulary + threads * THREAD)
    }

    /// Numbers in [`Workspace::hidden`] at most.
    fn hidden(&self, widths: &Widths, rows: usize, threads: usize) -> usize {
        let feed = self.layers.iter().map(|layer| layer.feed.hidden(rows, threads)).max();
        feed.unwrap_or(0).max(rows * widths.around)
    }

    fn is_mixture(&self) -> bool {
        self.layers.iter().any(|layer| layer.feed.is_mixture())
    }

    fn widths(&self) -> Widths {
        let most = |of: &dyn Fn(&LayerWeights) -> usize| self.layers.iter().map(of).max().unwrap_or(0);
        let heads = |layer: &LayerWeights| layer.attention.n_heads * layer.attention.d_head;
        let attended = most(&heads);
        let projection = self.output_projection.as_ref().map_or(0, |narrow| narrow.outputs());
        let convolution = self.convolution.as_ref();
        let beside = convolution.map_or(0, Convolution::width);
        Widths {
            qkv: most(&|layer| layer.qkv.outputs().max(layer.cross.as_ref().map_or(0, CrossWeights::widest))),
            attended,
            around: projection.max(convolution.map_or(0, |_| self.spec().d_model)),
            input: attended.max(self.spec().d_model).max(convolution.map_or(0, Convolution::input_width)),
            beside,
            middle: most(&|layer| layer.feed.middle_width()),
            heads: most(&|layer| layer.attention.n_heads * (LayerShape::of(&layer.attention).d_head + 2)),
        }
    }
}

impl Workspace {
    /// Takes the memory that a pass of `rows` rows of `decoder` needs.
    ///
    /// # Errors
    /// Where the system has not got it.
    pub(super) fn reserve(&mut self, decoder: &Decoder, rows: usize, threads: usize) -> Result<(), SessionError> {
        let (widths, d_model) = (decoder.widths(), decoder.spec().d_model);
        let mut all = || -> Result<(), TryReserveError> {
            reserve(&mut self.x, rows * d_model)?;
            reserve(&mut self.step, rows * d_model)?;
            reserve(&mut self.beside, rows * widths.beside)?;
            reserve(&mut self.qkv, rows * widths.qkv)?;
            reserve(&mut self.attended, rows * widths.attended)?;
            reserve(&mut self.hidden, decoder.hidden(&widths, rows, threads))?;
            self.input.reserve(rows, widths.input)?;
            self.middle.reserve(rows, widths.middle)
        };
        all().map_err(|_| SessionError::NoMemory { what: "the pass works in", bytes: decoder.workspace_bytes(rows, threads, 0) })
    }
}

/// Room for `len` numbers, and no more than that.
pub(super) fn reserve(buffer: &mut Vec<f32>, len: usize) -> Result<(), TryReserveError> {
    buffer.try_reserve_exact(len.saturating_sub(buffer.len()))
}
