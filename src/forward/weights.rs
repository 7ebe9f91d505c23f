//! The tensors of a model, found once by name and checked against the recipe: afterwards a weight is a place in the file, and its bytes
//! are the mapped ones. Only where a file holds a matrix the other way round is it turned, into memory of our own.

use crate::error::{Error, SessionError};
use crate::file::{ModelFile, Span};
use crate::math::normalise;
use kinglet_models::{ExpertTensors, Norm, NormKind, Part, Projection, Rows};
use kinglet_quant::isa::Level;
use kinglet_quant::{Matrix, Type, dequantize};
use std::ops::Range;
use std::sync::Arc;

/// A matrix of the file, or rows of one that lie together.
#[derive(Debug, Clone)]
pub struct Weight {
    place: Place,
    ty: Type,
    rows: usize,
    cols: usize,
}

/// Where a weight's bytes are.
#[derive(Debug, Clone)]
enum Place {
    /// In the file.
    Mapped(Span),
    /// Turned, in memory.
    Turned(Arc<[u8]>),
}

impl Weight {
    /// Finds `part`, whose rows lie together and must be a matrix of `rows × cols`.
    ///
    /// # Errors
    /// Where the file has no such tensor, or one of another shape.
    pub fn find(file: &ModelFile, part: &Part, rows: usize, cols: usize) -> Result<Weight, Error> {
        let (_, found) = file.find(&part.name)?;
        match <[Weight; 1]>::try_from(Weight::pieces(file, part, rows, cols)?) {
            Ok([weight]) => Ok(weight),
            Err(_) => Err(wrong_shape(part, found.shape, format!("[{rows}, {cols}] in one piece"))),
        }
    }

    /// As [`Weight::find`], of rows that lie in several places: the ranges from the first row to the last.
    ///
    /// # Errors
    /// As [`Weight::find`].
    pub fn pieces(file: &ModelFile, part: &Part, rows: usize, cols: usize) -> Result<Vec<Weight>, Error> {
        let (tensor, found) = file.find(&part.name)?;
        let Some(have) = outputs(found.shape, part.transposed, cols) else {
            return Err(wrong_shape(part, found.shape, format!("[{rows}, {cols}]")));
        };
        let ranges = part.rows.ranges(have);
        if ranges.iter().map(Range::len).sum::<usize>() != rows || ranges.iter().any(|range| range.end > have) {
            return Err(wrong_shape(part, found.shape, format!("[{rows}, {cols}]")));
        }
        if part.transposed {
            let size = found.ty.block_bytes();
            if found.ty.block_len() != 1 {
                return Err(wrong_shape(part, found.shape, format!("single numbers, as a matrix of {} cannot be turned", found.ty.name())));
            }
            let turned = Place::Turned(turn(found.bytes, size, have, &ranges).into());
            return Ok(vec![Weight { place: turned, ty: found.ty, rows, cols }]);
        }
        Ok(ranges.into_iter().map(|rows| Weight::mapped(&tensor, found.ty, rows, cols)).collect())
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
                let range = match &part.rows {
                    Rows::Range(range) => range.clone(),
                    _ => 0..all,
                };
                if experts != n || width != cols || range.len() != rows || range.end > all {
                    return Err(wrong_shape(part, found.shape, format!("[{n}, {rows}, {cols}]")));
                }
                let of = |i: usize| i * all + range.start..i * all + range.end;
                Ok((0..n).map(|i| Weight::mapped(&tensor, found.ty, of(i), cols)).collect())
            }
        }
    }

    /// Some rows of a tensor, which has them.
    fn mapped(tensor: &Span, ty: Type, rows: Range<usize>, cols: usize) -> Weight {
        let bytes_before = |row: usize| ty.bytes_for(row * cols).expect("a tensor's rows are whole blocks");
        let place = Place::Mapped(tensor.slice(bytes_before(rows.start)..bytes_before(rows.end)));
        Weight { place, ty, rows: rows.len(), cols }
    }

    /// How it is stored.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
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

    /// Its bytes as a matrix.
    pub fn matrix<'a>(&'a self, file: &'a ModelFile) -> Matrix<'a> {
        let bytes = match &self.place {
            Place::Mapped(span) => file.bytes_at(span),
            Place::Turned(bytes) => bytes,
        };
        Matrix::new(self.ty, self.rows, self.cols, bytes).expect("the shape was checked when the weight was found")
    }
}

/// The outputs of a matrix with `cols` inputs, either of which may be several dimensions of the tensor (heads, and the width of a head).
fn outputs(shape: &[usize], transposed: bool, cols: usize) -> Option<usize> {
    let sides = (0..=shape.len()).map(|cut| (shape[..cut].iter().product::<usize>(), shape[cut..].iter().product::<usize>()));
    sides
        .map(|(first, last)| if transposed { (last, first) } else { (first, last) })
        .find(|&(_, inputs)| inputs == cols)
        .map(|(have, _)| have)
}

/// Columns `wanted` of `bytes`, a matrix of `width` numbers of `size` bytes a row, as rows.
fn turn(bytes: &[u8], size: usize, width: usize, wanted: &[Range<usize>]) -> Vec<u8> {
    // So many columns at a time: their halves of a cache line are written side by side before they leave the nearest cache.
    const TILE: usize = 32;
    let height = bytes.len() / (width * size);
    let mut turned = vec![0; wanted.iter().map(Range::len).sum::<usize>() * height * size];
    let mut rows = turned.chunks_exact_mut(height * size);
    for range in wanted {
        for first in range.clone().step_by(TILE) {
            let mut tile: Vec<&mut [u8]> = rows.by_ref().take(TILE.min(range.end - first)).collect();
            for (at, row) in bytes.chunks_exact(width * size).enumerate() {
                for (to, number) in tile.iter_mut().zip(row[first * size..].chunks_exact(size)) {
                    to[at * size..(at + 1) * size].copy_from_slice(number);
                }
            }
        }
    }
    turned
}

/// A vector of the file, in f32: norm weights, biases, frequency factors.
///
/// # Errors
/// Where the file has no such tensor, or one of another length.
pub fn vector(file: &ModelFile, part: &Part, len: Option<usize>) -> Result<Vec<f32>, Error> {
    let (_, found) = file.find(&part.name)?;
    let have: usize = found.shape.iter().product();
    let ranges = part.rows.ranges(have);
    let wanted = ranges.iter().map(Range::len).sum();
    if ranges.iter().any(|range| range.end > have) || len.is_some_and(|len| wanted != len) {
        return Err(wrong_shape(part, found.shape, format!("[{}]", len.unwrap_or(wanted))));
    }
    let mut values = vec![0.0; have];
    dequantize(found.ty, found.bytes, &mut values).map_err(|error| SessionError::Tensor {
        name: part.name.clone(),
        found: error.to_string(),
        expected: "a vector of numbers".into(),
    })?;
    Ok(ranges.into_iter().flat_map(|range| &values[range]).copied().collect())
}

fn wrong_shape(part: &Part, shape: &[usize], expected: String) -> Error {
    let rows = match &part.rows {
        Rows::All => String::new(),
        Rows::Range(rows) => format!(" of which rows {}..{} are wanted", rows.start, rows.end),
        Rows::Blocks { within, step, count } => {
            format!(" of which rows {}..{} of each of {count} times {step} are wanted", within.start, within.end)
        }
    };
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
        let mut weight = norm.weight.as_ref().map_or_else(|| Ok(vec![1.0; width]), |weight| vector(file, weight, Some(width)))?;
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
