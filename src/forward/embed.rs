//! What the residual stream begins with: each row's token embedding, with whatever a family does to it before its first layer.

use super::batch::Rows;
use super::decoder::{Context, Workspace};
use super::linear::Product;
use super::weights::{NormWeights, Weight, vector};
use crate::error::Error;
use crate::file::ModelFile;
use crate::math::add_scaled;
use kinglet_models::{PositionEmbedding, Spec};

/// What the stream begins with.
#[derive(Debug)]
pub struct Embedding {
    tokens: Weight,
    projection: Option<Product>,
    positions: Option<Positions>,
    token_type: Option<Vec<f32>>,
    norm: Option<NormWeights>,
}

/// Absolute positions.
#[derive(Debug)]
enum Positions {
    Learned { table: Weight, first: usize },
    Sinusoidal { first: usize },
}

impl Embedding {
    /// Finds its tensors.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub fn find(file: &ModelFile, spec: &Spec) -> Result<Embedding, Error> {
        let Spec { d_model, d_embedding, .. } = *spec;
        let projection = spec.embedding_projection.as_ref();
        let positions = match &spec.positions {
            None => None,
            Some(PositionEmbedding::Learned { table, n, first }) => {
                Some(Positions::Learned { table: Weight::find(file, table, first + n, d_model)?, first: *first })
            }
            &Some(PositionEmbedding::Sinusoidal { first }) => Some(Positions::Sinusoidal { first }),
        };
        Ok(Embedding {
            tokens: Weight::find(file, &spec.embedding, spec.n_vocab, d_embedding)?,
            projection: projection.map(|wide| Product::find(file, &[(wide, d_model)], d_embedding)).transpose()?,
            positions,
            token_type: spec.token_type.as_ref().map(|part| vector(file, part, Some(d_model))).transpose()?,
            norm: spec.embedding_norm.as_ref().map(|norm| NormWeights::read(file, norm, d_model)).transpose()?,
        })
    }

    /// Fills the stream, `work.x`: the tokens' embeddings, widened where they are narrow, with their positions', normed.
    pub fn run(&self, context: &mut Context<'_, '_>, spec: &Spec, rows: &Rows, work: &mut Workspace) {
        let Context { crew, file, arithmetic, scratch, .. } = context;
        let (n, d_model, arithmetic) = (rows.len(), spec.d_model, *arithmetic);
        work.x.resize(n * d_model, 0.0);
        let tokens = self.tokens.matrix(file);
        let embed = |row: usize, x: &mut [f32]| {
            tokens.dequantize_row(rows.tokens()[row].index(), x).expect("a row of the embedding was asked for");
            if spec.embedding_scale != 1.0 {
                x.iter_mut().for_each(|x| *x *= spec.embedding_scale);
            }
        };
        match &self.projection {
            None => work.x.chunks_exact_mut(d_model).enumerate().for_each(|(row, x)| embed(row, x)),
            Some(projection) => {
                let (wants, shape) = (projection.wants(arithmetic), (n, spec.d_embedding));
                work.input.fill(crew, arithmetic, wants, shape, &mut [], |row, _, y| embed(row, y));
                projection.run(crew, file, arithmetic, &work.input, scratch, &mut work.x);
            }
        }
        let mut y = vec![0.0; d_model];
        if let Some(positions) = &self.positions {
            for (x, position) in work.x.chunks_exact_mut(d_model).zip(rows.positions()) {
                match *positions {
                    Positions::Learned { ref table, first } => {
                        let row = first + position as usize;
                        table.matrix(file).dequantize_row(row, &mut y).expect("the positions were checked");
                    }
                    Positions::Sinusoidal { first } => waves(first as u64 + position, &mut y),
                }
                add_scaled(x, &y, 1.0);
            }
        }
        if let Some(token_type) = &self.token_type {
            work.x.chunks_exact_mut(d_model).for_each(|x| add_scaled(x, token_type, 1.0));
        }
        if let Some(norm) = &self.norm {
            for x in work.x.chunks_exact_mut(d_model) {
                norm.apply(arithmetic.level(), x, &mut y);
                x.copy_from_slice(&y);
            }
        }
    }
}

/// The sinusoids of a position, in double precision until they are stored (see [`PositionEmbedding::Sinusoidal`]).
fn waves(position: u64, y: &mut [f32]) {
    let half = y.len() / 2;
    let (sines, cosines) = y.split_at_mut(half);
    for (i, (sine, cosine)) in sines.iter_mut().zip(cosines).enumerate() {
        let angle = position as f64 * 10_000f64.powf(-(i as f64) / (half - 1) as f64);
        (*sine, *cosine) = (angle.sin() as f32, angle.cos() as f32);
    }
}
