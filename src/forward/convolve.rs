//! The convolution over a text's tokens beside the first layer (DeBERTa v2): as a product, whose input is each token's neighbourhood laid
//! out in a row, so that it needs no kernel of its own.

use super::batch::Rows;
use super::decoder::{Cancelled, Context, Workspace};
use super::layer::Pending;
use super::linear::Product;
use super::weights::NormWeights;
use crate::error::Error;
use crate::file::ModelFile;
use crate::math::Activate;
use kinglet_models::Activation;
use std::iter::repeat_n;

/// The convolution's weights.
#[derive(Debug)]
pub(super) struct Convolution {
    /// `[d_model, d_model · kernel]`.
    product: Product,
    kernel: usize,
    activation: Activation,
    norm: NormWeights,
}

impl Convolution {
    /// Finds its tensors.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub(super) fn find(file: &ModelFile, recipe: &kinglet_models::Convolution, d_model: usize) -> Result<Convolution, Error> {
        let &kinglet_models::Convolution { ref projection, kernel, activation, ref norm } = recipe;
        Ok(Convolution {
            product: Product::find(file, &[(projection, d_model)], d_model * kernel)?,
            kernel,
            activation,
            norm: NormWeights::read(file, norm, d_model)?,
        })
    }

    /// Numbers that it gives for a token.
    pub(super) fn width(&self) -> usize {
        self.product.outputs()
    }

    /// Numbers that it reads for a token.
    pub(super) fn input_width(&self) -> usize {
        self.kernel * self.width()
    }

    /// Computes it of the embeddings, from `work.x` to `work.beside`. Texts don't reach into each other.
    pub(super) fn run(&self, context: &mut Context<'_, '_>, rows: &Rows, work: &mut Workspace) -> Result<(), Cancelled> {
        let (d_model, kernel, arithmetic) = (self.width(), self.kernel, context.arithmetic);
        let texts: Vec<_> = rows.spans().iter().flat_map(|span| repeat_n(span.first_row..span.first_row + span.len, span.len)).collect();
        let x = &work.x;
        let shape = (rows.len(), self.input_width());
        work.input.fill(context.crew, arithmetic, self.product.wants(arithmetic), shape, &mut [], |row, _, y| {
            y.fill(0.0);
            for k in 0..kernel {
                let Some(neighbour) = (row + k).checked_sub(kernel / 2).filter(|at| texts[row].contains(at)) else { continue };
                // A channel's neighbours lie side by side, as in the tensor.
                y.iter_mut().skip(k).step_by(kernel).zip(&x[neighbour * d_model..]).for_each(|(y, x)| *y = *x);
            }
        });
        work.hidden.resize(rows.len() * d_model, 0.0);
        self.product.run(context.crew, context.file, arithmetic, &work.input, context.scratch, &mut work.hidden);
        work.beside.resize(work.hidden.len(), 0.0);
        Activate { activation: self.activation, x: &work.hidden, up: None, y: &mut work.beside }.run(arithmetic.level());
        context.go_on()
    }

    /// Its output as a block's that is to be added.
    pub(super) fn pending(&self) -> Pending<'_> {
        Pending { post_norm: Some(&self.norm), of_sum: true }
    }
}
