//! Models that read a text with an encoder and write another one with a decoder. The encoder is one pass over the whole text, whose
//! tokens see each other both ways; of its states, each decoder layer's cross-attention keeps the keys and values, and nothing else.

use super::attend::{AttentionScratch, AttentionStep};
use super::batch::{Rows, Segment};
use super::decoder::{Cancelled, Context, Decoder, Means, Place, Workspace};
use super::layer::{LayerWeights, Pending};
use super::linear::Product;
use super::positions::{LayerPositions, Positions};
use super::profile::{Amount, Step};
use super::weights::NormWeights;
use crate::attention::CacheType;
use crate::error::{Error, SessionError};
use crate::file::ModelFile;
use crate::kv::{Across, Cache, CacheFormat, LayerCache, LayerShape, Policy, Ring};
use crate::types::TokenId;
use kinglet_models::{Attention, CrossAttention, Encoder, Mask};
use kinglet_quant::Scratch;

/// The weights of an encoder, which begins with the decoder's embedding.
#[derive(Debug)]
pub struct EncoderWeights {
    layers: Vec<LayerWeights>,
    final_norm: Option<NormWeights>,
}

/// The weights of a layer's cross-attention.
#[derive(Debug)]
pub struct CrossWeights {
    attention: Attention,
    pub(super) norm: Option<NormWeights>,
    /// Over the decoder's stream.
    pub(super) q: Product,
    /// Over the encoder's states: keys and values side by side.
    kv: Product,
    o: Product,
}

impl EncoderWeights {
    /// Finds the tensors of `encoder`.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub fn find(file: &ModelFile, encoder: &Encoder, d_model: usize) -> Result<EncoderWeights, Error> {
        Ok(EncoderWeights {
            layers: encoder.layers.iter().map(|layer| LayerWeights::find(file, layer, d_model)).collect::<Result<_, _>>()?,
            final_norm: encoder.final_norm.as_ref().map(|norm| NormWeights::read(file, norm, d_model)).transpose()?,
        })
    }
}

impl CrossWeights {
    /// Outputs of its widest product.
    pub(super) fn widest(&self) -> usize {
        self.q.outputs().max(self.kv.outputs())
    }

    /// Finds the tensors of `cross`.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub fn find(file: &ModelFile, cross: &CrossAttention, d_model: usize) -> Result<CrossWeights, Error> {
        let attention = cross.attention.clone();
        let (q, kv) = (attention.n_heads * attention.d_head, attention.n_kv_heads * attention.d_head);
        Ok(CrossWeights {
            norm: cross.norm.as_ref().map(|norm| NormWeights::read(file, norm, d_model)).transpose()?,
            q: Product::find(file, &[(&attention.q, q)], d_model)?,
            kv: Product::find(file, &[(&attention.k, kv), (&attention.v, kv)], d_model)?,
            o: Product::find(file, &[(&attention.o, d_model)], q)?,
            attention,
        })
    }

    /// Bytes of weights that a decoded token reads.
    pub fn bytes(&self) -> usize {
        self.q.bytes() + self.o.bytes()
    }

    /// Multiply-accumulates for one row, without attention's own.
    pub fn macs(&self) -> u64 {
        self.q.macs() + self.o.macs()
    }

    fn shape(&self) -> LayerShape {
        LayerShape { window: None, mask: Mask::Bidirectional, ..LayerShape::of(&self.attention) }
    }
}

impl Decoder {
    /// What each layer keeps of a token of the encoder's text; nothing where there is no encoder.
    pub fn cross_shapes(&self) -> impl Iterator<Item = LayerShape> {
        self.crosses().map(CrossWeights::shape)
    }

    /// The weights of each layer's cross-attention.
    fn crosses(&self) -> impl Iterator<Item = &CrossWeights> {
        self.layers.iter().filter_map(|layer| layer.cross.as_ref())
    }

    /// Reads `tokens` with the encoder, in one pass, and computes what the decoder's layers see of them, stored as `format` says. `None`
    /// where the pass was cancelled.
    ///
    /// # Errors
    /// Where the model has no encoder, there are no tokens, or one is outside the vocabulary.
    pub fn encode(&self, means: Means<'_, '_>, tokens: &[TokenId], format: CacheFormat) -> Result<Option<Across>, Error> {
        let Means { crew, file, work, mut profile, cancel, .. } = means;
        let encoder = self.encoder.as_ref().ok_or(SessionError::NoEncoder { family: self.spec.family })?;
        self.knows(tokens)?;
        if tokens.is_empty() {
            return Err(SessionError::Empty.into());
        }
        let positions = Positions::new(file, &encoder.layers, tokens.len(), self.arithmetic)?;
        let mut sequence = Cache::new(std::iter::empty(), format, tokens.len(), Policy::Stop)?;
        let rows = Rows::new(&[Segment { cache: &mut sequence, tokens, outputs: 0 }]);
        if let Some(profile) = &mut profile {
            profile.begin(crew);
        }
        work.scratch.resize_with(crew.threads(), Scratch::default);
        work.attention.resize_with(crew.threads(), AttentionScratch::default);
        let mut scratch = std::mem::take(&mut work.scratch);
        let mut context = Context { crew, file, arithmetic: self.arithmetic, scratch: &mut scratch, profile, tap: None, cancel };
        let across = self.read(&mut context, encoder, &positions, &rows, work).and_then(|pending| {
            self.states(&mut context, encoder, rows.len(), pending, work);
            self.keep(&mut context, &rows, sequence.ring(), format, work)
        });
        work.scratch = scratch;
        Ok(across.ok())
    }

    /// The encoder's layers. The last one's last block is left in `work.step`.
    fn read<'a>(
        &self,
        context: &mut Context<'_, '_>,
        encoder: &'a EncoderWeights,
        positions: &Positions,
        rows: &Rows,
        work: &mut Workspace,
    ) -> Result<Option<Pending<'a>>, Cancelled> {
        let tables = positions.tables(rows);
        self.embedding.run(context, &self.spec, rows, work);
        context.lap(Step::Embed, Amount::default);
        let mut pending = None;
        for (index, layer) in encoder.layers.iter().enumerate() {
            context.go_on()?;
            // Keys and values of a layer are read by that layer only, so nothing of them needs rounding or room.
            let mut cache = LayerCache::new(LayerShape::of(&layer.attention), CacheFormat::of(CacheType::F32));
            cache.reserve(&rows.spans()[0].ring, 0, rows.len());
            let place = Place { layer, index, positions: positions.of_layer(index, &tables), pending, across: &[] };
            self.layer(context, &place, rows, &mut [&mut cache], work)?;
            pending = Some(layer.pending(&layer.feed_post_norm));
        }
        Ok(pending)
    }

    /// Fills `work.input` with the encoder's states, as the decoder's layers want them.
    fn states(
        &self,
        context: &mut Context<'_, '_>,
        encoder: &EncoderWeights,
        n: usize,
        pending: Option<Pending<'_>>,
        work: &mut Workspace,
    ) {
        let wants = |all: (bool, bool), cross: &CrossWeights| {
            let (quantised, dense) = cross.kv.wants(self.arithmetic);
            (all.0 || quantised, all.1 || dense)
        };
        let wants = self.crosses().fold((false, false), wants);
        self.join(context, wants, n, pending, encoder.final_norm.as_ref(), work);
    }

    /// The keys and values of the states in `work.input`, for each layer of the decoder.
    fn keep(
        &self,
        context: &mut Context<'_, '_>,
        rows: &Rows,
        ring: &Ring,
        format: CacheFormat,
        work: &mut Workspace,
    ) -> Result<Across, Cancelled> {
        let mut layers = Vec::with_capacity(self.layers.len());
        for cross in self.crosses() {
            context.go_on()?;
            work.qkv.resize(rows.len() * cross.kv.outputs(), 0.0);
            cross.kv.run(context.crew, context.file, self.arithmetic, &work.input, context.scratch, &mut work.qkv);
            context.lap(Step::Qkv, || cross.kv.amount(rows.len()));
            let mut cache = LayerCache::new(cross.shape(), format);
            cache.reserve(ring, 0, rows.len());
            self.step_across(cross, rows, format, &work.qkv).store(context.crew, &mut [&mut cache]);
            context.lap(Step::Store, Amount::default);
            layers.push(cache);
        }
        Ok(Across { layers, len: rows.len() })
    }

    /// Cross-attention from `work.input` to `work.step`.
    pub(super) fn attend_across(
        &self,
        context: &mut Context<'_, '_>,
        cross: &CrossWeights,
        caches: &[&LayerCache],
        rows: &Rows,
        work: &mut Workspace,
    ) -> Result<(), Cancelled> {
        work.qkv.resize(rows.len() * cross.q.outputs(), 0.0);
        cross.q.run(context.crew, context.file, self.arithmetic, &work.input, context.scratch, &mut work.qkv);
        context.lap(Step::Qkv, || cross.q.amount(rows.len()));
        work.attended.resize(work.qkv.len(), 0.0);
        if let Some(first) = caches.first() {
            let step = self.step_across(cross, rows, first.format(), &work.qkv);
            step.run(context.crew, caches, &mut work.attention, &mut work.attended);
            context.lap(Step::Attention, || step.amount());
        }
        self.project(context, &cross.attention, &cross.o, rows.len(), work)
    }

    fn step_across<'a>(&self, cross: &'a CrossWeights, rows: &'a Rows, format: CacheFormat, qkv: &'a [f32]) -> AttentionStep<'a> {
        const NOWHERE: LayerPositions<'static> = LayerPositions::none();
        AttentionStep {
            attention: &cross.attention,
            qk_norm: None,
            across: true,
            arithmetic: self.arithmetic,
            rows,
            positions: &NOWHERE,
            shape: cross.shape(),
            format,
            qkv,
        }
    }
}
