//! The tensors of a model, found once by name and checked against the recipe: afterwards a weight is an index into the file and a
//! range of rows, and its bytes are the mapped ones.

use crate::error::{Error, SessionError};
use crate::file::ModelFile;
use crate::math::normalise;
use kinglet_models::{ExpertTensors, Norm, NormKind, Part, Projection};
use kinglet_quant::isa::Level;
use kinglet_quant::{Matrix, Type, dequantize};
use std::ops::Range;

/// A matrix of the file.
#[derive(Debug, Clone)]
pub struct Weight {
    tensor: usize,
    ty: Type,
    rows: Range<usize>,
    cols: usize,
}

impl Weight {
    /// Finds `part`, which must be a matrix of `rows × cols` (or have that many rows where it is a whole tensor).
    ///
    /// # Errors
    /// Where the file has no such tensor, or one of another shape.
    pub fn find(file: &ModelFile, part: &Part, rows: usize, cols: usize) -> Result<Weight, Error> {
        let (tensor, found) = file.find(&part.name)?;
        let have: usize = found.shape[..found.shape.len().saturating_sub(1)].iter().product();
        let range = part.rows.clone().unwrap_or(0..have);
        if found.shape.last() != Some(&cols) || range.len() != rows || range.end > have {
            return Err(wrong_shape(part, found.shape, format!("[{rows}, {cols}]")));
        }
        Ok(Weight { tensor, ty: found.ty, rows: range, cols })
    }

    /// The matrices of a layer's experts, `rows × cols` each.
    ///
    /// # Errors
    /// As [`Weight::find`].
    pub fn experts(file: &ModelFile, tensors: &ExpertTensors, n: usize, rows: usize, cols: usize) -> Result<Vec<Weight>, Error> {
        match tensors {
            ExpertTensors::Each(parts) => parts.iter().map(|part| Weight::find(file, part, rows, cols)).collect(),
            ExpertTensors::Stacked(part) => {
                let (tensor, found) = file.find(&part.name)?;
                let &[experts, all, width] = found.shape else {
                    return Err(wrong_shape(part, found.shape, format!("[{n}, {rows}, {cols}]")));
                };
                let range = part.rows.clone().unwrap_or(0..all);
                if experts != n || width != cols || range.len() != rows || range.end > all {
                    return Err(wrong_shape(part, found.shape, format!("[{n}, {rows}, {cols}]")));
                }
                let of = |i: usize| Weight { tensor, ty: found.ty, rows: i * all + range.start..i * all + range.end, cols };
                Ok((0..n).map(of).collect())
            }
        }
    }

    /// How it is stored.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.rows() * self.row_bytes()
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.cols / self.ty.block_len() * self.ty.block_bytes()
    }

    /// The mapped bytes as a matrix.
    pub fn matrix<'a>(&self, file: &'a ModelFile) -> Matrix<'a> {
        let bytes = self.row_bytes();
        let bytes = &file.tensor_at(self.tensor).bytes[self.rows.start * bytes..self.rows.end * bytes];
        Matrix::new(self.ty, self.rows.len(), self.cols, bytes).expect("the shape was checked when the weight was found")
    }
}

/// A vector of the file, in f32: norm weights, biases, frequency factors.
///
/// # Errors
/// Where the file has no such tensor, or one of another length.
pub fn vector(file: &ModelFile, part: &Part, len: Option<usize>) -> Result<Vec<f32>, Error> {
    let (_, found) = file.find(&part.name)?;
    let have: usize = found.shape.iter().product();
    let range = part.rows.clone().unwrap_or(0..have);
    if range.end > have || len.is_some_and(|len| range.len() != len) {
        return Err(wrong_shape(part, found.shape, format!("[{}]", len.unwrap_or(range.len()))));
    }
    let mut values = vec![0.0; have];
    dequantize(found.ty, found.bytes, &mut values).map_err(|error| SessionError::Tensor {
        name: part.name.clone(),
        found: error.to_string(),
        expected: "a vector of numbers".into(),
    })?;
    Ok(values[range].to_vec())
}

fn wrong_shape(part: &Part, shape: &[usize], expected: String) -> Error {
    let rows = part.rows.as_ref().map(|rows| format!(" of which rows {}..{} are wanted", rows.start, rows.end)).unwrap_or_default();
    SessionError::Tensor { name: part.name.clone(), found: format!("shape {shape:?}{rows}"), expected }.into()
}

/// A norm with its weights in f32.
#[derive(Debug, Clone)]
pub struct NormWeights {
    /// How the scale is taken.
    pub kind: NormKind,
    /// Under the square root.
    pub eps: f32,
    /// `[width]`.
    pub weight: Vec<f32>,
    /// `[width]`.
    pub bias: Option<Vec<f32>>,
}

impl NormWeights {
    /// Reads a norm over `width` numbers.
    ///
    /// # Errors
    /// As [`vector`].
    pub fn read(file: &ModelFile, norm: &Norm, width: usize) -> Result<NormWeights, Error> {
        let mut weight = vector(file, &norm.weight, Some(width))?;
        weight.iter_mut().for_each(|w| *w += norm.weight_offset);
        let bias = norm.bias.as_ref().map(|bias| vector(file, bias, Some(width))).transpose()?;
        Ok(NormWeights { kind: norm.kind, eps: norm.eps, weight, bias })
    }

    /// `y = norm(x)`.
    pub fn apply(&self, level: Level, x: &[f32], y: &mut [f32]) {
        normalise(level, self.kind, self.eps, x, &self.weight, self.bias.as_deref(), y);
    }
}

/// Reads the bias of a projection.
///
/// # Errors
/// As [`vector`].
pub fn bias(file: &ModelFile, projection: &Projection, rows: usize) -> Result<Option<Vec<f32>>, Error> {
    projection.bias.as_ref().map(|part| vector(file, part, Some(rows))).transpose()
}
