//! Vectors that belong to distances, for queries and keys to meet (disentangled attention): each layer makes them once of the model's
//! table, laid out distance by distance as the tile reads them.

use super::linear::{Arithmetic, Product};
use super::weights::{NormWeights, vector};
use crate::error::Error;
use crate::file::ModelFile;
use crate::position::{Relative, deberta_bucket};
use kinglet_models::{Attention, Disentangled, Projection};

/// What one layer's queries and keys meet: `[n_heads · d_head][distance]` each.
#[derive(Debug, Clone)]
pub struct ContentTables {
    /// Where queries meet distances.
    pub by_query: Option<Relative>,
    /// Where keys do, scaled as the queries are.
    pub by_key: Option<Relative>,
}

impl ContentTables {
    /// Makes the tables of a layer for sequences of up to `context` tokens.
    ///
    /// # Errors
    /// Where a tensor is missing or of another shape.
    pub fn new(
        file: &ModelFile,
        attention: &Attention,
        recipe: &Disentangled,
        context: usize,
        arithmetic: Arithmetic,
    ) -> Result<ContentTables, Error> {
        let (span, mut vectors) = (recipe.span, vector(file, &recipe.table, None)?);
        let d_model = vectors.len() / (2 * span);
        if let Some(norm) = &recipe.norm {
            let norm = NormWeights::read(file, norm, d_model)?;
            let mut normed = vec![0.0; d_model];
            for vector in vectors.chunks_exact_mut(d_model) {
                norm.apply(arithmetic.level(), vector, &mut normed);
                vector.copy_from_slice(&normed);
            }
        }
        let (width, reach) = (attention.n_heads * attention.d_head, recipe.reach.min(context) as isize);
        // The bucket counts from the query, distances in the tile from the query to the key.
        let place = |distance: isize| {
            let bucket = if recipe.buckets { deberta_bucket(-distance, span, recipe.reach) } else { -distance };
            (bucket + span as isize).clamp(0, 2 * span as isize - 1) as usize
        };
        let places: Vec<usize> = (-reach..=reach).map(place).collect();
        let of = |projection: &Option<Projection>, scale: f32| -> Result<Option<Relative>, Error> {
            let Some(projection) = projection else { return Ok(None) };
            let made = Product::find(file, &[(projection, width)], d_model)?.run_alone(file, arithmetic, &vectors);
            Ok(Some(Relative::new(width, -reach..=reach, |row, distance| scale * made[places[(distance + reach) as usize] * width + row])))
        };
        Ok(ContentTables { by_query: of(&recipe.keys, 1.0)?, by_key: of(&recipe.queries, attention.scale)? })
    }
}
