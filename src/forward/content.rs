//! Vectors that belong to distances, for queries and keys to meet: each layer makes them once, of the model's table (disentangled
//! attention) or of sinusoids (Transformer-XL), laid out distance by distance as the tile reads them.

use super::linear::{Arithmetic, Product};
use super::weights::{NormWeights, vector};
use crate::error::{Error, SessionError};
use crate::file::ModelFile;
use crate::kv::can_have;
use crate::position::{DistanceBias, Relative, deberta_bucket};
use kinglet_models::{Attention, ClippedVectors, Content, Disentangled, Mask, Projection, RelativeSinusoids};
use std::ops::RangeInclusive;

/// What one layer's queries and keys meet: `[n_heads · d_head][distance]` each.
#[derive(Debug, Clone)]
pub struct ContentTables {
    /// Where queries meet distances.
    pub by_query: Option<Relative>,
    /// Where keys do, scaled as the queries are.
    pub by_key: Option<Relative>,
    /// What each head adds whatever its query is.
    pub bias: Option<DistanceBias>,
}

impl ContentTables {
    /// Makes the tables of a layer for sequences of up to `context` tokens.
    ///
    /// # Errors
    /// Where a tensor is missing or of another shape.
    pub fn new(
        file: &ModelFile,
        attention: &Attention,
        recipe: &Content,
        context: usize,
        arithmetic: Arithmetic,
    ) -> Result<ContentTables, Error> {
        let maker = Maker { file, attention, context, arithmetic };
        match recipe {
            Content::Disentangled(recipe) => maker.disentangled(recipe),
            Content::RelativeSinusoids(recipe) => maker.sinusoids(recipe),
            Content::Clipped(recipe) => maker.clipped(recipe),
        }
    }
}

/// Makes a layer's tables.
struct Maker<'a> {
    file: &'a ModelFile,
    attention: &'a Attention,
    context: usize,
    arithmetic: Arithmetic,
}

impl Maker<'_> {
    /// Numbers of all heads.
    fn width(&self) -> usize {
        self.attention.n_heads * self.attention.d_head
    }

    fn project(&self, projection: &Projection, vectors: &[f32], d_model: usize) -> Result<Vec<f32>, Error> {
        Ok(Product::find(self.file, &[(projection, self.width())], d_model)?.run_alone(self.file, self.arithmetic, vectors))
    }

    fn disentangled(&self, recipe: &Disentangled) -> Result<ContentTables, Error> {
        let (span, mut vectors) = (recipe.span, vector(self.file, &recipe.table, None)?);
        let d_model = vectors.len() / (2 * span);
        if let Some(norm) = &recipe.norm {
            let norm = NormWeights::read(self.file, norm, d_model)?;
            let mut normed = vec![0.0; d_model];
            for vector in vectors.chunks_exact_mut(d_model) {
                norm.apply(self.arithmetic.level(), vector, &mut normed);
                vector.copy_from_slice(&normed);
            }
        }
        // The bucket counts from the query, distances in the tile from the query to the key.
        let bucket = |distance: isize| if recipe.buckets { deberta_bucket(-distance, span, recipe.reach) } else { -distance };
        let place = |distance: isize| (bucket(distance) + span as isize).clamp(0, 2 * span as isize - 1) as usize;
        // Where their number is odd, the last bucket begins beyond the reach.
        let is_last = |far: &usize| bucket(-(*far as isize)) >= span as isize;
        let reach = (recipe.reach.min(self.context)..self.context).find(is_last).unwrap_or(self.context) as isize;
        let width = self.width();
        let places: Vec<usize> = (-reach..=reach).map(place).collect();
        let of = |projection: &Option<Projection>, scale: f32| -> Result<Option<Relative>, Error> {
            let Some(projection) = projection else { return Ok(None) };
            let made = self.project(projection, &vectors, d_model)?;
            Ok(Some(Relative::new(width, -reach..=reach, |row, distance| scale * made[places[(distance + reach) as usize] * width + row])))
        };
        Ok(ContentTables { by_query: of(&recipe.keys, 1.0)?, by_key: of(&recipe.queries, self.attention.scale)?, bias: None })
    }

    fn clipped(&self, recipe: &ClippedVectors) -> Result<ContentTables, Error> {
        let (width, d_head, reach) = (self.width(), self.attention.d_head, recipe.reach as isize);
        let vectors = vector(self.file, &recipe.table, Some((2 * recipe.reach + 1) * d_head))?;
        let number = |row: usize, distance: isize| vectors[(reach - distance) as usize * d_head + row % d_head];
        let by_key = || Relative::new(width, -reach..=reach, |row, distance| self.attention.scale * number(row, distance));
        let by_query = Relative::new(width, -reach..=reach, number);
        Ok(ContentTables { by_query: Some(by_query), by_key: recipe.keys.then(by_key), bias: None })
    }

    /// Queries have `u` in them already; what is left of `v` is the same for all queries of a head: a bias.
    fn sinusoids(&self, recipe: &RelativeSinusoids) -> Result<ContentTables, Error> {
        let (width, d_head, scale) = (self.width(), self.attention.d_head, self.attention.scale);
        let reach = isize::try_from(recipe.reach.unwrap_or(usize::MAX).min(self.context)).unwrap_or(isize::MAX);
        let distances = -reach..=if self.attention.mask == Mask::Bidirectional { reach } else { 0 };
        let d_model = self.file.find(&recipe.projection.weight.name)?.1.shape.iter().product::<usize>() / width;
        // As long as the context, and a context may be of any length.
        let numbers = (width + d_model).saturating_mul(distances.clone().count()).saturating_mul(2);
        if !can_have(numbers.saturating_mul(size_of::<f32>())) {
            return Err(SessionError::NoMemory { what: "vectors of distances", bytes: numbers.saturating_mul(size_of::<f32>()) }.into());
        }
        let made = self.project(&recipe.projection, &sinusoids(distances.clone(), d_model), d_model)?;
        let (u, v) = (vector(self.file, &recipe.content_bias, Some(width))?, vector(self.file, &recipe.position_bias, Some(width))?);
        let vector_of = |distance: isize| &made[(distance + reach) as usize * width..][..width];
        let bias = |head: usize, distance: isize| {
            let heads = head * d_head..(head + 1) * d_head;
            let terms = vector_of(distance)[heads.clone()].iter().zip(&u[heads.clone()]).zip(&v[heads]);
            scale * terms.map(|((r, u), v)| r * (v - u)).sum::<f32>()
        };
        Ok(ContentTables {
            by_query: Some(Relative::new(width, distances.clone(), |row, distance| vector_of(distance)[row])),
            by_key: None,
            bias: Some(DistanceBias::Table(Relative::new(self.attention.n_heads, distances, bias))),
        })
    }
}

/// `[distances, d_model]`: sines, then cosines, of query minus key (the paper's code, and transformers').
fn sinusoids(distances: RangeInclusive<isize>, d_model: usize) -> Vec<f32> {
    let half = d_model / 2;
    let frequencies: Vec<f64> = (0..half).map(|i| 10_000f64.powf(-2.0 * i as f64 / d_model as f64)).collect();
    let angles = |distance: isize| frequencies.iter().map(move |frequency| -distance as f64 * frequency);
    distances.flat_map(|distance| angles(distance).map(f64::sin).chain(angles(distance).map(f64::cos))).map(|x| x as f32).collect()
}
