//! The forward pass: a batch of rows goes through the layers, most of them `x += post(attend(norm(x))); x += post(feed(norm(x)))`, and the
//! rows that need logits go on to the output matrix. One pass serves prefill, decode and any mixture of sequences.

use super::attend::{AttentionScratch, AttentionStep};
use super::batch::{Rows, Segment};
use super::embed::Embedding;
use super::feed::FeedWeights;
use super::input::Input;
use super::linear::{Arithmetic, Product};
use super::positions::{LayerPositions, Positions};
use super::weights::NormWeights;
use crate::error::{Error, SessionError};
use crate::file::ModelFile;
use crate::kv::{Cache, LayerCache, LayerShape};
use crate::math::{add_scaled, softcap};
use crate::parallel::Crew;
use kinglet_models::{Attention, Norm, Residual, Spec};
use kinglet_quant::Scratch;

/// A decoder whose weights are found: ready to run.
#[derive(Debug)]
pub struct Decoder {
    spec: Spec,
    arithmetic: Arithmetic,
    embedding: Embedding,
    layers: Vec<LayerWeights>,
    final_norm: Option<NormWeights>,
    output_projection: Option<Product>,
    output: Product,
}

/// One layer's weights.
#[derive(Debug)]
pub struct LayerWeights {
    /// The recipe: heads, window, scale.
    pub attention: Attention,
    /// Norms on queries and keys.
    pub qk_norm: Option<QkNormWeights>,
    residual: Residual,
    attention_norm: Option<NormWeights>,
    attention_post_norm: Option<NormWeights>,
    feed_norm: Option<NormWeights>,
    feed_post_norm: Option<NormWeights>,
    qkv: Product,
    o: Product,
    feed: FeedWeights,
}

/// Norms on queries and keys.
#[derive(Debug)]
pub struct QkNormWeights {
    q: Vec<NormWeights>,
    k: Vec<NormWeights>,
    /// Each head by itself, or the whole vector.
    pub per_head: bool,
}

/// What every step of a pass needs beside its data.
#[derive(Debug)]
pub struct Context<'a, 'team> {
    /// The workers.
    pub crew: &'a mut Crew<'team>,
    /// The mapped weights.
    pub file: &'a ModelFile,
    /// How products are computed.
    pub arithmetic: Arithmetic,
    /// One for each worker.
    pub scratch: &'a mut [Scratch],
}

/// What a pass works with.
#[derive(Debug)]
pub struct Means<'a, 'team> {
    /// The workers, led by this thread.
    pub crew: &'a mut Crew<'team>,
    /// The file whose weights were found.
    pub file: &'a ModelFile,
    /// The position schemes of all sequences.
    pub positions: &'a Positions,
    /// Buffers.
    pub work: &'a mut Workspace,
}

/// A layer in its place.
struct Place<'a> {
    layer: &'a LayerWeights,
    index: usize,
    /// What positions do in it.
    positions: LayerPositions<'a>,
    /// The earlier layer's last block; `None` before the first layer.
    pending: Option<Pending<'a>>,
}

/// A block whose output is still in `Workspace::step`: how it is to be added to the stream.
#[derive(Debug, Clone, Copy)]
struct Pending<'a> {
    post_norm: Option<&'a NormWeights>,
    /// The norm is over the sum and not over the block's output.
    of_sum: bool,
}

/// Buffers of a pass, kept from one pass to the next.
#[derive(Debug, Default)]
pub struct Workspace {
    scratch: Vec<Scratch>,
    attention: Vec<AttentionScratch>,
    /// The residual stream, `[rows, d_model]`.
    pub(super) x: Vec<f32>,
    /// What the next product reads.
    pub(super) input: Input,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    /// What the last block gave, to be added to the residual stream.
    pub(super) step: Vec<f32>,
    pub(super) hidden: Vec<f32>,
    pub(super) middle: Input,
}

/// What the rows that need an output get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `[outputs, n_vocab]`.
    Logits,
    /// After the final norm: `[outputs, d_model]`.
    Hidden,
}

impl Decoder {
    /// Finds all tensors of `spec` in `file`.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub fn find(file: &ModelFile, spec: Spec, arithmetic: Arithmetic) -> Result<Decoder, Error> {
        let (d_model, d_embedding) = (spec.d_model, spec.d_embedding);
        let projection = spec.output_projection.as_ref();
        Ok(Decoder {
            embedding: Embedding::find(file, &spec)?,
            layers: spec.layers.iter().map(|layer| LayerWeights::find(file, layer, d_model)).collect::<Result<_, _>>()?,
            final_norm: spec.final_norm.as_ref().map(|norm| NormWeights::read(file, norm, d_model)).transpose()?,
            output_projection: projection.map(|narrow| Product::find(file, &[(narrow, d_embedding)], d_model)).transpose()?,
            output: Product::find(file, &[(&spec.output, spec.n_vocab)], d_embedding)?,
            spec,
            arithmetic,
        })
    }

    /// The recipe.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How products are computed.
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// What each layer keeps of a token.
    pub fn cache_shapes(&self) -> impl Iterator<Item = LayerShape> {
        self.layers.iter().map(|layer| {
            let Attention { n_kv_heads, d_head, window, mask, .. } = layer.attention;
            LayerShape { n_kv_heads, d_head, window, mask }
        })
    }

    /// Bytes of weights that one decoded token reads: what decoding's speed is bound by.
    pub fn bytes_per_token(&self) -> usize {
        let layer = |layer: &LayerWeights| layer.qkv.bytes() + layer.o.bytes() + layer.feed.bytes_per_token();
        self.layers.iter().map(layer).sum::<usize>() + self.output.bytes()
    }

    /// The position schemes of all layers, for sequences that may grow to `context` tokens.
    ///
    /// # Errors
    /// Where a tensor that a scheme needs is missing or of another shape; where the model has fewer learned positions.
    pub fn positions(&self, file: &ModelFile, context: usize) -> Result<Positions, Error> {
        self.reaches(context)?;
        Positions::new(file, &self.layers, context)
    }

    /// Runs `segments` through the model, adds them to their caches, and appends the wanted rows of `output` to `out`, row-major, in the
    /// order of the segments.
    ///
    /// # Errors
    /// Where a token is outside the vocabulary or a cache would pass its bound; no cache has changed then.
    pub fn forward(&self, means: Means<'_, '_>, segments: &mut [Segment<'_>], output: Output, out: &mut Vec<f32>) -> Result<(), Error> {
        let Means { crew, file, positions, work } = means;
        let rows = Rows::new(segments);
        if let Some(&token) = rows.tokens().iter().find(|token| token.index() >= self.spec.n_vocab) {
            return Err(SessionError::UnknownToken { token, n_vocab: self.spec.n_vocab }.into());
        }
        self.reaches(rows.spans().iter().map(|span| span.positions().end).max().unwrap_or(0))?;
        for segment in segments.iter_mut() {
            segment.cache.reserve(segment.tokens.len())?;
        }
        work.scratch.resize_with(crew.threads(), Scratch::default);
        work.attention.resize_with(crew.threads(), AttentionScratch::default);
        let mut scratch = std::mem::take(&mut work.scratch);
        let mut context = Context { crew, file, arithmetic: self.arithmetic, scratch: &mut scratch };
        let tables = positions.tables(&rows);
        self.embedding.run(&mut context, &self.spec, &rows, work);
        let mut caches: Vec<&mut Cache> = segments.iter_mut().map(|segment| &mut *segment.cache).collect();
        let mut pending = None;
        for (index, layer) in self.layers.iter().enumerate() {
            let positions = positions.of_layer(index, &tables);
            self.layer(&mut context, &Place { layer, index, positions, pending }, &rows, &mut caches, work);
            pending = Some(layer.pending(&layer.feed_post_norm));
        }
        self.outputs(&mut context, &rows, pending, work, output, out);
        work.scratch = scratch;
        for segment in segments {
            segment.cache.advance(segment.tokens.len());
        }
        Ok(())
    }

    /// That the model has positions for `context` tokens.
    fn reaches(&self, context: usize) -> Result<(), SessionError> {
        match self.spec.longest() {
            Some(longest) if context > longest => Err(SessionError::Positions { longest, asked: context }),
            _ => Ok(()),
        }
    }

    /// One layer. Its last block's output is left in `work.step`.
    fn layer(&self, context: &mut Context<'_, '_>, place: &Place<'_>, rows: &Rows, caches: &mut [&mut Cache], work: &mut Workspace) {
        let (layer, n) = (place.layer, rows.len());
        let (attention_norm, feed_norm) = (layer.attention_norm.as_ref(), layer.feed_norm.as_ref());
        let (qkv, feed) = (layer.qkv.wants(self.arithmetic), layer.feed.wants(self.arithmetic));
        if layer.residual == Residual::Parallel {
            // The feed-forward block goes first: what it read is still there for q, k and v, and `o` adds to what it gave.
            let wants = if feed_norm.is_some() { feed } else { (feed.0 || qkv.0, feed.1 || qkv.1) };
            self.join(context, wants, n, place.pending, feed_norm.or(attention_norm), work);
            layer.feed.run(context, work);
            if feed_norm.is_some() {
                self.join(context, qkv, n, None, attention_norm, work);
            }
            self.attend(context, place, rows, caches, work);
        } else {
            self.join(context, qkv, n, place.pending, attention_norm, work);
            self.attend(context, place, rows, caches, work);
            self.join(context, feed, n, Some(layer.pending(&layer.attention_post_norm)), feed_norm, work);
            layer.feed.run(context, work);
        }
    }

    /// The attention block from `work.input` to `work.step`, which its output is added to in parallel layers.
    fn attend(&self, context: &mut Context<'_, '_>, place: &Place<'_>, rows: &Rows, caches: &mut [&mut Cache], work: &mut Workspace) {
        let &Place { layer, index, ref positions, .. } = place;
        let arithmetic = self.arithmetic;
        work.qkv.resize(rows.len() * layer.qkv.outputs(), 0.0);
        layer.qkv.run(context.crew, context.file, arithmetic, &work.input, context.scratch, &mut work.qkv);
        layer.clip(&mut work.qkv);
        layer.norm_whole_vectors(arithmetic, &mut work.qkv);
        let attention = &layer.attention;
        work.attended.resize(rows.len() * attention.n_heads * attention.d_head, 0.0);
        let mut caches: Vec<&mut LayerCache> = caches.iter_mut().map(|cache| &mut cache.layers_mut()[index]).collect();
        if let Some(first) = caches.first() {
            let (shape, format) = (first.shape(), first.format());
            let step = AttentionStep { layer, arithmetic, rows, positions, shape, format, qkv: &work.qkv };
            step.store(context.crew, &mut caches);
            let caches: Vec<&LayerCache> = caches.iter().map(|cache| &**cache).collect();
            step.run(context.crew, &caches, &mut work.attention, &mut work.attended);
        }
        let width = attention.n_heads * attention.d_head;
        let (attended, part, n) = (&work.attended, width / attention.n_kv_heads, rows.len());
        work.input.fill(context.crew, arithmetic, layer.o.wants(arithmetic), (n, width), &mut [], |row, _, y| {
            for (kv_head, y) in y.chunks_exact_mut(part).enumerate() {
                y.copy_from_slice(&attended[(kv_head * n + row) * part..][..part]);
            }
        });
        work.step.resize(n * self.spec.d_model, 0.0);
        layer.o.run(context.crew, context.file, arithmetic, &work.input, context.scratch, &mut work.step);
    }

    /// Adds the pending block's output to the residual stream (through its post norm, if any) and fills the next input with the normed
    /// stream.
    fn join(
        &self,
        context: &mut Context<'_, '_>,
        wants: (bool, bool),
        rows: usize,
        pending: Option<Pending<'_>>,
        norm: Option<&NormWeights>,
        work: &mut Workspace,
    ) {
        let (d_model, level) = (self.spec.d_model, self.arithmetic.level());
        let step = &work.step;
        work.input.fill(context.crew, self.arithmetic, wants, (rows, d_model), &mut work.x, |row, x, y| {
            if let Some(pending) = pending {
                self.add(&step[row * d_model..(row + 1) * d_model], pending, x, y);
            }
            match norm {
                Some(norm) => norm.apply(level, x, y),
                None => y.copy_from_slice(x),
            }
        });
    }

    /// `x += residual_scale · post_norm(step)`, or `x = post_norm(x + residual_scale · step)`; `y` is scratch.
    fn add(&self, step: &[f32], pending: Pending<'_>, x: &mut [f32], y: &mut [f32]) {
        let level = self.arithmetic.level();
        match pending.post_norm {
            Some(norm) if pending.of_sum => {
                add_scaled(x, step, self.spec.residual_scale);
                norm.apply(level, x, y);
                x.copy_from_slice(y);
            }
            Some(norm) => {
                norm.apply(level, step, y);
                add_scaled(x, y, self.spec.residual_scale);
            }
            None => add_scaled(x, step, self.spec.residual_scale),
        }
    }

    /// The final norm and the output matrix, for the rows that need them.
    fn outputs(
        &self,
        context: &mut Context<'_, '_>,
        rows: &Rows,
        pending: Option<Pending<'_>>,
        work: &mut Workspace,
        output: Output,
        out: &mut Vec<f32>,
    ) {
        let (d_model, n) = (self.spec.d_model, rows.outputs().len());
        if n == 0 {
            return;
        }
        let wants = match output {
            Output::Logits => self.output_projection.as_ref().unwrap_or(&self.output).wants(self.arithmetic),
            Output::Hidden => (false, true),
        };
        let (x, step) = (&work.x, &work.step);
        work.input.fill(context.crew, self.arithmetic, wants, (n, d_model), &mut [], |i, _, y| {
            let at = rows.outputs()[i] * d_model..(rows.outputs()[i] + 1) * d_model;
            let mut last = x[at.clone()].to_vec();
            if let Some(pending) = pending {
                self.add(&step[at], pending, &mut last, y);
            }
            match &self.final_norm {
                Some(norm) => norm.apply(self.arithmetic.level(), &last, y),
                None => y.copy_from_slice(&last),
            }
        });
        if output == Output::Hidden {
            return out.extend(work.input.dense());
        }
        if let Some(projection) = &self.output_projection {
            let width = projection.outputs();
            work.hidden.resize(n * width, 0.0);
            projection.run(context.crew, context.file, self.arithmetic, &work.input, context.scratch, &mut work.hidden);
            let (narrow, wants) = (&work.hidden, self.output.wants(self.arithmetic));
            work.input.fill(context.crew, self.arithmetic, wants, (n, width), &mut [], |row, _, y| {
                y.copy_from_slice(&narrow[row * width..(row + 1) * width]);
            });
        }
        let before = out.len();
        out.resize(before + n * self.spec.n_vocab, 0.0);
        let logits = &mut out[before..];
        self.output.run(context.crew, context.file, self.arithmetic, &work.input, context.scratch, logits);
        if self.spec.logit_scale != 1.0 {
            logits.iter_mut().for_each(|logit| *logit *= self.spec.logit_scale);
        }
        if let Some(cap) = self.spec.logit_softcap {
            softcap(logits, cap);
        }
    }
}

impl QkNormWeights {
    /// The norm of a query head, or of a key head.
    pub fn of(&self, query: bool, head: usize) -> &NormWeights {
        let norms = if query { &self.q } else { &self.k };
        &norms[if norms.len() == 1 { 0 } else { head }]
    }
}

impl LayerWeights {
    fn find(file: &ModelFile, layer: &kinglet_models::Layer, d_model: usize) -> Result<LayerWeights, Error> {
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
            feed_norm: norm(&layer.feed_norm)?,
            feed_post_norm: norm(&layer.feed_post_norm)?,
            qkv: Product::find(file, &[(&attention.q, q), (&attention.k, kv), (&attention.v, kv)], d_model)?,
            o: if layer.residual == Residual::Parallel { o.adding() } else { o },
            feed: FeedWeights::find(file, &layer.feed, d_model)?,
            attention,
        })
    }

    /// The block that was just computed, with its post norm.
    fn pending<'a>(&self, post_norm: &'a Option<NormWeights>) -> Pending<'a> {
        Pending { post_norm: post_norm.as_ref(), of_sum: self.residual == Residual::Normed }
    }

    /// Holds queries, keys and values within bounds, where the family does so (MPT).
    fn clip(&self, qkv: &mut [f32]) {
        if let Some(clip) = self.attention.clip {
            qkv.iter_mut().for_each(|x| *x = x.clamp(-clip, clip));
        }
    }

    /// Norms all query heads together and all key heads together, where the family does so (OLMo 2).
    fn norm_whole_vectors(&self, arithmetic: Arithmetic, qkv: &mut [f32]) {
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
