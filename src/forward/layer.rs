//! The weights of one layer and the recipe they follow.

use super::encode::CrossWeights;
use super::feed::FeedWeights;
use super::linear::{Arithmetic, Product};
use super::weights::NormWeights;
use crate::error::Error;
use crate::file::ModelFile;
use kinglet_models::{Attention, Norm, Residual};

/// One layer's weights.
#[derive(Debug)]
pub struct LayerWeights {
    /// The recipe: heads, window, scale.
    pub attention: Attention,
    /// Norms on queries and keys.
    pub qk_norm: Option<QkNormWeights>,
    /// How blocks join the stream.
    pub(super) residual: Residual,
    /// Before attention.
    pub(super) attention_norm: Option<NormWeights>,
    /// On attention's output.
    pub(super) attention_post_norm: Option<NormWeights>,
    /// Between attention and the feed-forward block, where the layer attends to another text too.
    pub(super) cross: Option<CrossWeights>,
    /// Before the feed-forward block.
    pub(super) feed_norm: Option<NormWeights>,
    /// On its output.
    pub(super) feed_post_norm: Option<NormWeights>,
    /// Queries, keys and values, side by side.
    pub(super) qkv: Product,
    /// After attention.
    pub(super) o: Product,
    /// The feed-forward block.
    pub(super) feed: FeedWeights,
}

/// Norms on queries and keys.
#[derive(Debug)]
pub struct QkNormWeights {
    q: Vec<NormWeights>,
    k: Vec<NormWeights>,
    /// Each head by itself, or the whole vector.
    pub per_head: bool,
}

/// A block whose output is still in `Workspace::step`: how it is to be added to the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending<'a> {
    /// The norm, if any.
    pub(super) post_norm: Option<&'a NormWeights>,
    /// The norm is over the sum and not over the block's output.
    pub(super) of_sum: bool,
}

impl QkNormWeights {
    /// The norm of a query head, or of a key head.
    pub fn of(&self, query: bool, head: usize) -> &NormWeights {
        let norms = if query { &self.q } else { &self.k };
        &norms[if norms.len() == 1 { 0 } else { head }]
    }
}

impl LayerWeights {
    /// Finds the tensors of `layer`, which works on a stream `d_model` wide.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub(super) fn find(file: &ModelFile, layer: &kinglet_models::Layer, d_model: usize) -> Result<LayerWeights, Error> {
        let norm = |norm: &Option<_>| norm.as_ref().map(|norm| NormWeights::read(file, norm, d_model)).transpose();
        let attention = layer.attention.clone();
        let (q, kv) = (attention.n_heads * attention.d_head, attention.n_kv_heads * attention.d_head);
        let qk_norm = attention.qk_norm.as_ref().map(|norms| -> Result<_, Error> {
            let width = |all| if norms.per_head { attention.d_head } else { all };
            let read = |norms: &[Norm], width| norms.iter().map(|norm| NormWeights::read(file, norm, width)).collect::<Result<_, _>>();
            Ok(QkNormWeights { q: read(&norms.q, width(q))?, k: read(&norms.k, width(kv))?, per_head: norms.per_head })
        });
        let o = Product::find(file, &[(&attention.o, d_model)], q)?;
        Ok(LayerWeights {
            qk_norm: qk_norm.transpose()?,
            residual: layer.residual,
            attention_norm: norm(&layer.attention_norm)?,
            attention_post_norm: norm(&layer.attention_post_norm)?,
            cross: layer.cross.as_ref().map(|cross| CrossWeights::find(file, cross, d_model)).transpose()?,
            feed_norm: norm(&layer.feed_norm)?,
            feed_post_norm: norm(&layer.feed_post_norm)?,
            qkv: Product::find(file, &[(&attention.q, q), (&attention.k, kv), (&attention.v, kv)], d_model)?,
            o: if layer.residual == Residual::Parallel { o.adding() } else { o },
            feed: FeedWeights::find(file, &layer.feed, d_model)?,
            attention,
        })
    }

    /// The block that was just computed, with its post norm.
    pub(super) fn pending<'a>(&self, post_norm: &'a Option<NormWeights>) -> Pending<'a> {
        Pending { post_norm: post_norm.as_ref(), of_sum: self.residual == Residual::Normed }
    }

    /// Holds queries, keys and values within bounds, where the family does so (MPT).
    pub(super) fn clip(&self, qkv: &mut [f32]) {
        if let Some(clip) = self.attention.clip {
            qkv.iter_mut().for_each(|x| *x = x.clamp(-clip, clip));
        }
    }

    /// Norms all query heads together and all key heads together, where the family does so (OLMo 2).
    pub(super) fn norm_whole_vectors(&self, arithmetic: Arithmetic, qkv: &mut [f32]) {
        let Some(norms) = self.qk_norm.as_ref().filter(|norms| !norms.per_head) else { return };
        let (q_norm, k_norm) = (norms.of(true, 0), norms.of(false, 0));
        let (q, k) = (q_norm.weight.len(), k_norm.weight.len());
        let mut normed = vec![0.0; q + k];
        for row in qkv.chunks_exact_mut(self.qkv.outputs()) {
            q_norm.apply(arithmetic.level(), &row[..q], &mut normed[..q]);
            k_norm.apply(arithmetic.level(), &row[q..q + k], &mut normed[q..]);
            row[..q + k].copy_from_slice(&normed);
        }
    }
}
