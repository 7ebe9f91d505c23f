//! Looks into a pass: the queries, keys and values of each layer as they are before positions turn them, for those who study what a
//! position scheme does with them. A pass that nobody looks into pays one comparison a layer.

use super::attend::AttentionStep;

/// Heads of the rows of all passes since the tap was opened, layer by layer.
#[derive(Debug, Clone, Default)]
pub struct Tap {
    layers: Vec<Heads>,
}

/// One layer's heads, normed where the family norms them, neither rotated nor scaled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heads {
    /// `[rows, n_heads · d_head]`.
    pub q: Vec<f32>,
    /// `[rows, n_kv_heads · d_head]`.
    pub k: Vec<f32>,
    /// `[rows, n_kv_heads · d_head]`.
    pub v: Vec<f32>,
}

impl Tap {
    /// The layers, first to last.
    pub fn layers(&self) -> &[Heads] {
        &self.layers
    }

    /// Adds the rows of a step of layer `layer`.
    pub(super) fn add(&mut self, layer: usize, step: &AttentionStep<'_>) {
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, Heads::default);
        }
        step.heads_before_positions(&mut self.layers[layer]);
    }
}
