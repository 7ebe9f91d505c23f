//! The position schemes of a decoder's layers, resolved for one session, and what they come to for the rows of one batch. Equal recipes are
//! resolved once.

use super::batch::{Rows, Standing};
use super::content::ContentTables;
use super::layer::LayerWeights;
use super::linear::Arithmetic;
use super::weights::vector;
use crate::error::Error;
use crate::file::ModelFile;
use crate::position::{DistanceBias, Relative, Rotation, TurnTable, t5_bucket};
use kinglet_models::{Bias, Grouping, Part};

/// What turns queries and keys and biases scores, layer by layer.
#[derive(Debug, Clone, Default)]
pub struct Positions {
    rotations: Vec<Rotation>,
    biases: Vec<DistanceBias>,
    /// One for each layer, where it has them: they are made of its own weights.
    contents: Vec<Option<ContentTables>>,
    /// For each layer, which of `rotations` and of `biases`.
    of_layer: Vec<(Option<usize>, Option<usize>)>,
}

impl Positions {
    /// Resolves the schemes of `layers` for sequences that may grow to `context` tokens.
    ///
    /// # Errors
    /// Where a tensor that a scheme needs is missing or of another shape.
    pub fn new(file: &ModelFile, layers: &[LayerWeights], context: usize, arithmetic: Arithmetic) -> Result<Positions, Error> {
        let (mut ropes, mut recipes) = (Vec::new(), Vec::new());
        let mut positions = Positions::default();
        for layer in layers {
            let attention = &layer.attention;
            let rotation = match &attention.rope {
                None => None,
                Some(rope) => Some(find_or_add(&mut ropes, rope, &mut positions.rotations, || {
                    Rotation::new(rope, context, |part: &Part| vector(file, part, Some(rope.dims / 2)))
                })?),
            };
            let bias = match &attention.bias {
                None => None,
                Some(bias) => Some(find_or_add(&mut recipes, bias, &mut positions.biases, || resolve(file, bias, attention.n_heads))?),
            };
            positions.of_layer.push((rotation, bias));
            let content = |recipe| ContentTables::new(file, attention, recipe, context, arithmetic);
            positions.contents.push(attention.content.as_ref().map(content).transpose()?);
        }
        Ok(positions)
    }

    /// Cosines and sines for the rows of a batch, for each rotation.
    pub fn tables(&self, rows: &Rows) -> Vec<Turns> {
        self.rotations.iter().map(|rotation| Turns::new(rotation, rows)).collect()
    }

    /// What turns and what biases layer `index`.
    pub fn schemes_of(&self, index: usize) -> (Option<&Rotation>, Option<&DistanceBias>) {
        let (rotation, bias) = self.of_layer[index];
        (rotation.map(|which| &self.rotations[which]), bias.map(|which| &self.biases[which]))
    }

    /// What layer `index` uses of them.
    pub fn of_layer<'a>(&'a self, index: usize, tables: &'a [Turns]) -> LayerPositions<'a> {
        let ((rotation, bias), content) = (self.of_layer[index], self.contents[index].as_ref());
        LayerPositions {
            turns: rotation.map(|which| &tables[which]),
            bias: bias.map(|which| &self.biases[which]).or(content.and_then(|tables| tables.bias.as_ref())),
            content,
        }
    }
}

/// The place of `recipe` among `known` and of what `make` made of it among `made`.
fn find_or_add<'a, R: PartialEq, T>(
    known: &mut Vec<&'a R>,
    recipe: &'a R,
    made: &mut Vec<T>,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<usize, Error> {
    if let Some(at) = known.iter().position(|one| *one == recipe) {
        return Ok(at);
    }
    made.push(make()?);
    known.push(recipe);
    Ok(known.len() - 1)
}

fn resolve(file: &ModelFile, bias: &Bias, n_heads: usize) -> Result<DistanceBias, Error> {
    Ok(match bias {
        Bias::Alibi { slopes } => DistanceBias::Linear { slopes: slopes.clone() },
        &Bias::Buckets { ref table, n_buckets, max_distance, bidirectional } => {
            let numbers = vector(file, table, Some(n_buckets * n_heads))?;
            let reach = max_distance as isize;
            let bucket = |distance| t5_bucket(distance, n_buckets, max_distance, bidirectional);
            DistanceBias::Table(Relative::new(n_heads, -reach..=reach, |head, distance| numbers[bucket(distance) * n_heads + head]))
        }
        &Bias::Clipped { ref table, reach } => {
            let numbers = vector(file, table, Some((2 * reach + 1) * n_heads))?;
            let reach = reach as isize;
            DistanceBias::Table(Relative::new(n_heads, -reach..=reach, |head, distance| {
                numbers[(distance + reach) as usize * n_heads + head]
            }))
        }
    })
}

/// What turns the rows of a batch.
#[derive(Debug, Clone)]
pub struct Turns {
    /// One table for each of [`Rows::anchors_and_window`]; the last one, of the rows' own positions, is that of keys too.
    near: Vec<TurnTable>,
    far: Option<FarTurns>,
}

/// What turns them where distant tokens stand closer together.
#[derive(Debug, Clone)]
struct FarTurns {
    grouping: Grouping,
    /// As [`Turns::near`].
    queries: Vec<TurnTable>,
    keys: TurnTable,
}

impl Turns {
    fn new(rotation: &Rotation, rows: &Rows) -> Turns {
        let table = |of: &dyn Fn(u64) -> u64| {
            rows.anchors_and_window().map(|anchor| rotation.table(rows.positions_before(anchor).map(of))).collect()
        };
        let far = rotation.grouping().map(|grouping| {
            let (size, neighbours) = (grouping.size as u64, grouping.neighbours as u64);
            let queries = table(&|at| at / size + neighbours - neighbours / size);
            FarTurns { grouping, queries, keys: rotation.table(rows.positions().map(|at| at / size)) }
        });
        Turns { near: table(&|at| at), far }
    }
}

/// What positions do in one layer to the rows of one batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct LayerPositions<'a> {
    /// Of queries and keys.
    turns: Option<&'a Turns>,
    /// Added to scores.
    pub bias: Option<&'a DistanceBias>,
    /// Met by queries and keys.
    pub content: Option<&'a ContentTables>,
}

impl LayerPositions<'_> {
    /// Nothing.
    pub const fn none() -> Self {
        LayerPositions { turns: None, bias: None, content: None }
    }

    /// How distant keys are met, if in another way.
    pub fn grouping(&self) -> Option<Grouping> {
        self.far().map(|far| far.grouping)
    }

    fn far(&self) -> Option<&FarTurns> {
        self.turns.and_then(|turns| turns.far.as_ref())
    }

    /// Turns the query of row `row` as it stands to the window (its own position) or to an anchor.
    pub fn turn_query(&self, row: usize, standing: Standing, head: &mut [f32]) {
        let tables = self.turns.map(|turns| turns.far.as_ref().filter(|_| standing.far).map_or(&turns.near, |far| &far.queries));
        if let Some(tables) = tables {
            tables[standing.anchor.unwrap_or(tables.len() - 1)].turn(row, head);
        }
    }

    /// Turns the key of row `row`.
    pub fn turn_key(&self, row: usize, head: &mut [f32]) {
        self.turn_query(row, Standing::WINDOW, head);
    }

    /// Turns the key of row `row` as distant queries meet it.
    pub fn turn_far_key(&self, row: usize, head: &mut [f32]) {
        if let Some(far) = self.far() {
            far.keys.turn(row, head);
        }
    }
}
