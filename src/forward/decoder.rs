//! The forward pass: a batch of rows goes through the layers, most of them `x += post(attend(norm(x))); x += post(feed(norm(x)))`, and the
//! rows that need logits go on to the output matrix. One pass serves prefill, decode and any mixture of sequences.

use super::attend::{AttentionScratch, AttentionStep, fetch_places};
use super::batch::{Rows, Segment};
use super::convolve::Convolution;
use super::embed::Embedding;
use super::encode::{CrossWeights, EncoderWeights};
use super::input::Input;
use super::layer::{LayerWeights, Pending};
use super::linear::{Arithmetic, Product};
use super::positions::{LayerPositions, Positions};
use super::profile::{Amount, Profile, Step};
use super::tap::Tap;
use super::weights::NormWeights;
use crate::error::{Error, SessionError};
use crate::file::ModelFile;
use crate::kv::{Across, Cache, LayerCache, LayerShape};
use crate::math::{add_scaled, softcap};
use crate::parallel::Crew;
use crate::types::TokenId;
use kinglet_models::{Attention, Residual, Spec};
use kinglet_quant::Scratch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A decoder or an encoder whose weights are found: ready to run.
#[derive(Debug)]
pub struct Decoder {
    pub(super) spec: Spec,
    pub(super) arithmetic: Arithmetic,
    pub(super) embedding: Embedding,
    pub(super) encoder: Option<EncoderWeights>,
    pub(super) layers: Vec<LayerWeights>,
    pub(super) convolution: Option<Convolution>,
    final_norm: Option<NormWeights>,
    pub(super) output_projection: Option<Product>,
    output: Option<Product>,
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
    /// Where time is counted, if anywhere.
    pub profile: Option<&'a mut Profile>,
    /// Who looks at the heads, if anyone.
    pub tap: Option<&'a mut Tap>,
    /// Raised from elsewhere, ends the pass.
    pub cancel: Option<&'a AtomicBool>,
}

/// The pass ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl Context<'_, '_> {
    /// Asked between steps that may take long.
    ///
    /// # Errors
    /// Where the pass is to end.
    pub fn go_on(&self) -> Result<(), Cancelled> {
        if self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) { Err(Cancelled) } else { Ok(()) }
    }

    /// A step has ended that did `amount`.
    pub fn lap(&mut self, step: Step, amount: impl FnOnce() -> Amount) {
        if let Some(profile) = &mut self.profile {
            profile.lap(step, self.crew, amount());
        }
    }
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
    /// Where time is counted, if anywhere.
    pub profile: Option<&'a mut Profile>,
    /// Who looks at the heads, if anyone.
    pub tap: Option<&'a mut Tap>,
    /// Raised from elsewhere, ends the pass at its next step.
    pub cancel: Option<&'a AtomicBool>,
}

/// A layer in its place.
pub(super) struct Place<'a> {
    pub(super) layer: &'a LayerWeights,
    pub(super) index: usize,
    /// What positions do in it.
    pub(super) positions: LayerPositions<'a>,
    /// The earlier layer's last block; `None` before the first layer.
    pub(super) pending: Option<Pending<'a>>,
    /// For each sequence what the layer sees of another text.
    pub(super) across: &'a [&'a LayerCache],
}

/// Buffers of a pass, kept from one pass to the next.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) scratch: Vec<Scratch>,
    pub(super) attention: Vec<AttentionScratch>,
    /// The residual stream, `[rows, d_model]`.
    pub(super) x: Vec<f32>,
    /// What the next product reads.
    pub(super) input: Input,
    pub(super) qkv: Vec<f32>,
    pub(super) attended: Vec<f32>,
    /// What the last block gave, to be added to the residual stream.
    pub(super) step: Vec<f32>,
    /// What the convolution gave, to be added after the first layer.
    pub(super) beside: Vec<f32>,
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
            encoder: spec.encoder.as_ref().map(|encoder| EncoderWeights::find(file, encoder, d_model)).transpose()?,
            layers: spec.layers.iter().map(|layer| LayerWeights::find(file, layer, d_model)).collect::<Result<_, _>>()?,
            convolution: spec.convolution.as_ref().map(|recipe| Convolution::find(file, recipe, d_model)).transpose()?,
            final_norm: spec.final_norm.as_ref().map(|norm| NormWeights::read(file, norm, d_model)).transpose()?,
            output_projection: projection.map(|narrow| Product::find(file, &[(narrow, d_embedding)], d_model)).transpose()?,
            output: spec.output.as_ref().map(|output| Product::find(file, &[(output, spec.n_vocab)], d_embedding)).transpose()?,
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
        self.layers.iter().map(|layer| LayerShape::of(&layer.attention))
    }

    /// Bytes of weights that one decoded token reads: what decoding's speed is bound by.
    pub fn bytes_per_token(&self) -> usize {
        let layer = |layer: &LayerWeights| {
            layer.qkv.bytes() + layer.o.bytes() + layer.feed.bytes_per_token() + layer.cross.as_ref().map_or(0, CrossWeights::bytes)
        };
        self.layers.iter().map(layer).sum::<usize>() + self.output.as_ref().map_or(0, Product::bytes)
    }

    /// The position schemes of all layers, for sequences that may grow to `context` tokens.
    ///
    /// # Errors
    /// Where a tensor that a scheme needs is missing or of another shape; where the model has fewer learned positions.
    pub fn positions(&self, file: &ModelFile, context: usize) -> Result<Positions, Error> {
        self.reaches(context)?;
        Positions::new(file, &self.layers, context, self.arithmetic)
    }

    /// Runs `segments` through the model, adds them to their caches, and makes the wanted rows of `output` what `out` holds from number
    /// `at` on, row-major, in the order of the segments. False where the pass was cancelled: the caches then hold what they held, and
    /// `out` too.
    ///
    /// # Errors
    /// Where a token is outside the vocabulary, a cache would pass its bound, or an encoder is asked for logits; no cache has changed then.
    pub fn forward(
        &self,
        means: Means<'_, '_>,
        segments: &mut [Segment<'_>],
        output: Output,
        (out, at): (&mut Vec<f32>, usize),
    ) -> Result<bool, Error> {
        let Means { crew, file, positions, work, mut profile, tap, cancel } = means;
        let rows = Rows::new(segments);
        self.knows(rows.tokens())?;
        if output == Output::Logits && self.output.is_none() {
            return Err(SessionError::Encoder { family: self.spec.family }.into());
        }
        let prefix = self.spec.prefix();
        if let Some(span) = rows.spans().iter().find(|span| span.start < prefix && span.positions().end < prefix) {
            return Err(SessionError::PrefixApart { prefix, found: span.positions().end }.into());
        }
        self.reaches(rows.spans().iter().map(|span| span.positions().end).max().unwrap_or(0))?;
        if self.encoder.is_some() && segments.iter().any(|segment| segment.cache.across().is_none()) {
            return Err(SessionError::NotEncoded { family: self.spec.family }.into());
        }
        if let Some(profile) = &mut profile {
            profile.begin(crew);
        }
        for segment in segments.iter_mut() {
            segment.cache.reserve(segment.tokens.len())?;
        }
        work.reserve(self, rows.len(), crew.threads())?;
        work.scratch.resize_with(crew.threads(), Scratch::default);
        work.attention.resize_with(crew.threads(), AttentionScratch::default);
        let mut scratch = std::mem::take(&mut work.scratch);
        let mut context = Context { crew, file, arithmetic: self.arithmetic, scratch: &mut scratch, profile, tap, cancel };
        let tables = positions.tables(&rows);
        self.embedding.run(&mut context, &self.spec, &rows, work);
        context.lap(Step::Embed, Amount::default);
        let mut caches: Vec<&mut Cache> = segments.iter_mut().map(|segment| &mut *segment.cache).collect();
        let done = self.layers(&mut context, &rows, |index| positions.of_layer(index, &tables), &mut caches, work);
        if let Ok(pending) = done {
            self.outputs(&mut context, &rows, pending, work, output, (out, at));
            // What was written beyond the end of a cache becomes part of it only now.
            segments.iter_mut().for_each(|segment| segment.cache.advance(segment.tokens.len()));
        }
        work.scratch = scratch;
        Ok(done.is_ok())
    }

    /// All layers. The last one's last block is left in `work.step`; it is returned as [`Place::pending`].
    fn layers<'a>(
        &'a self,
        context: &mut Context<'_, '_>,
        rows: &Rows,
        positions: impl Fn(usize) -> LayerPositions<'a>,
        caches: &mut [&mut Cache],
        work: &mut Workspace,
    ) -> Result<Option<Pending<'a>>, Cancelled> {
        let mut pending = None;
        if let Some(convolution) = &self.convolution {
            convolution.run(context, rows, work)?;
        }
        let read: Vec<Arc<Across>> = caches.iter().filter_map(|cache| cache.across().cloned()).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            context.go_on()?;
            let across: Vec<&LayerCache> = read.iter().map(|across| &across.layers[index]).collect();
            let mut caches: Vec<&mut LayerCache> = caches.iter_mut().map(|cache| &mut cache.layers_mut()[index]).collect();
            let place = Place { layer, index, positions: positions(index), pending, across: &across };
            self.layer(context, &place, rows, &mut caches, work)?;
            pending = Some(layer.pending(&layer.feed_post_norm));
            if let Some(convolution) = self.convolution.as_ref().filter(|_| index == 0) {
                self.join(context, (false, false), rows.len(), pending, None, work);
                std::mem::swap(&mut work.step, &mut work.beside);
                pending = Some(convolution.pending());
            }
        }
        Ok(pending)
    }

    /// That all of `tokens` are in the vocabulary.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn knows(&self, tokens: &[TokenId]) -> Result<(), SessionError> {
        let n_vocab = self.spec.n_vocab;
        match tokens.iter().find(|token| token.index() >= n_vocab) {
            Some(&token) => Err(SessionError::UnknownToken { token, n_vocab }),
            None => Ok(()),
        }
    }

    /// That the model has positions for `context` tokens.
    fn reaches(&self, context: usize) -> Result<(), SessionError> {
        match self.spec.longest() {
            Some(longest) if context > longest => Err(SessionError::Positions { longest, asked: context }),
            _ => Ok(()),
        }
    }

    /// One layer. Its last block's output is left in `work.step`.
    pub(super) fn layer(
        &self,
        context: &mut Context<'_, '_>,
        place: &Place<'_>,
        rows: &Rows,
        caches: &mut [&mut LayerCache],
        work: &mut Workspace,
    ) -> Result<(), Cancelled> {
        let (layer, n) = (place.layer, rows.len());
        let (attention_norm, feed_norm) = (layer.attention_norm.as_ref(), layer.feed_norm.as_ref());
        let (qkv, feed) = (layer.qkv.wants(self.arithmetic), layer.feed.wants(self.arithmetic));
        if layer.residual == Residual::Parallel {
            // The feed-forward block goes first: what it read is still there for q, k and v, and `o` adds to what it gave.
            let wants = if feed_norm.is_some() { feed } else { (feed.0 || qkv.0, feed.1 || qkv.1) };
            self.join(context, wants, n, place.pending, feed_norm.or(attention_norm), work);
            layer.feed.run(context, work)?;
            if feed_norm.is_some() {
                self.join(context, qkv, n, None, attention_norm, work);
            }
            context.go_on()?;
            self.attend(context, place, rows, caches, work)
        } else {
            self.join(context, qkv, n, place.pending, attention_norm, work);
            self.attend(context, place, rows, caches, work)?;
            let mut pending = layer.pending(&layer.attention_post_norm);
            if let Some(cross) = &layer.cross {
                self.join(context, cross.q.wants(self.arithmetic), n, Some(pending), cross.norm.as_ref(), work);
                self.attend_across(context, cross, place.across, rows, work)?;
                pending = Pending { post_norm: None, of_sum: false };
            }
            self.join(context, feed, n, Some(pending), feed_norm, work);
            context.go_on()?;
            layer.feed.run(context, work)
        }
    }

    /// The attention block from `work.input` to `work.step`, which its output is added to in parallel layers.
    fn attend(
        &self,
        context: &mut Context<'_, '_>,
        place: &Place<'_>,
        rows: &Rows,
        caches: &mut [&mut LayerCache],
        work: &mut Workspace,
    ) -> Result<(), Cancelled> {
        let &Place { layer, index, ref positions, .. } = place;
        let arithmetic = self.arithmetic;
        work.qkv.resize(rows.len() * layer.qkv.outputs(), 0.0);
        fetch_places(arithmetic.level(), rows, caches);
        layer.qkv.run(context.crew, context.file, arithmetic, &work.input, context.scratch, &mut work.qkv);
        layer.clip(&mut work.qkv);
        layer.norm_whole_vectors(arithmetic, &mut work.qkv);
        context.lap(Step::Qkv, || layer.qkv.amount(rows.len()));
        let attention = &layer.attention;
        work.attended.resize(rows.len() * attention.n_heads * attention.d_head, 0.0);
        if let Some(first) = caches.first() {
            let (shape, format, qk_norm) = (first.shape(), first.format(), layer.qk_norm.as_ref());
            let step = AttentionStep { attention, qk_norm, across: false, arithmetic, rows, positions, shape, format, qkv: &work.qkv };
            if let Some(tap) = &mut context.tap {
                tap.add(index, &step);
            }
            step.store(context.crew, caches);
            context.lap(Step::Store, Amount::default);
            let caches: Vec<&LayerCache> = caches.iter().map(|cache| &**cache).collect();
            step.run(context.crew, &caches, &mut work.attention, &mut work.attended);
            context.lap(Step::Attention, || step.amount());
        }
        self.project(context, attention, &layer.o, rows.len(), work)
    }

    /// The output projection, from `work.attended` to `work.step`.
    pub(super) fn project(
        &self,
        context: &mut Context<'_, '_>,
        attention: &Attention,
        o: &Product,
        n: usize,
        work: &mut Workspace,
    ) -> Result<(), Cancelled> {
        context.go_on()?;
        let width = attention.n_heads * attention.d_head;
        let (attended, part) = (&work.attended, width / attention.n_kv_heads);
        work.input.fill(context.crew, self.arithmetic, o.wants(self.arithmetic), (n, width), &mut [], |row, _, y| {
            for (kv_head, y) in y.chunks_exact_mut(part).enumerate() {
                y.copy_from_slice(&attended[(kv_head * n + row) * part..][..part]);
            }
        });
        context.lap(Step::Attended, Amount::default);
        work.step.resize(n * self.spec.d_model, 0.0);
        o.run(context.crew, context.file, self.arithmetic, &work.input, context.scratch, &mut work.step);
        context.lap(Step::Project, || o.amount(n));
        Ok(())
    }

    /// Adds the pending block's output to the residual stream (through its post norm, if any) and fills the next input with the normed
    /// stream.
    pub(super) fn join(
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
        context.lap(Step::Norm, Amount::default);
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
        (out, at): (&mut Vec<f32>, usize),
    ) {
        let (d_model, n) = (self.spec.d_model, rows.outputs().len());
        if n == 0 {
            return out.truncate(at);
        }
        let matrix = self.output.as_ref().filter(|_| output == Output::Logits);
        let wants = match matrix {
            Some(matrix) => self.output_projection.as_ref().unwrap_or(matrix).wants(self.arithmetic),
            None => (false, true),
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
        let Some(matrix) = matrix else {
            out.truncate(at);
            return out.extend_from_slice(work.input.dense());
        };
        if let Some(projection) = &self.output_projection {
            let width = projection.outputs();
            work.hidden.resize(n * width, 0.0);
            projection.run(context.crew, context.file, self.arithmetic, &work.input, context.scratch, &mut work.hidden);
            let (narrow, wants) = (&work.hidden, matrix.wants(self.arithmetic));
            work.input.fill(context.crew, self.arithmetic, wants, (n, width), &mut [], |row, _, y| {
                y.copy_from_slice(&narrow[row * width..(row + 1) * width]);
            });
        }
        out.resize(at + n * self.spec.n_vocab, 0.0);
        let logits = &mut out[at..];
        matrix.run(context.crew, context.file, self.arithmetic, &work.input, context.scratch, logits);
        if self.spec.logit_scale != 1.0 {
            logits.iter_mut().for_each(|logit| *logit *= self.spec.logit_scale);
        }
        if let Some(cap) = self.spec.logit_softcap {
            softcap(logits, cap);
        }
        context.lap(Step::Output, || matrix.amount(n));
    }
}
