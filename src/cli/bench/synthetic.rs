//! `--synthetic LAYERSxDIM`: a model of a Llama's shape made for the test, so that every format and a layer of a large model can be
//! measured without the model. Its weights are blocks of random bytes that mean small numbers: what they say makes no difference to speed.

use crate::cli::Failure;
use crate::error::Error;
use crate::file::{GgufPlan, NewValue};
use kinglet_quant::{Type, dequantize};
use std::path::Path;
use std::str::FromStr;

/// Rows of the embedding, which is the output matrix too: few, so that the layers count.
const N_VOCAB: usize = 4096;
/// Different blocks that all weights are made of.
const BLOCKS: usize = 1024;
/// Weights are no larger, as in a trained model.
const LARGEST: f32 = 0.25;

/// The sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    layers: usize,
    d_model: usize,
}

impl FromStr for Shape {
    type Err = String;

    /// `2x4096`.
    fn from_str(text: &str) -> Result<Shape, String> {
        let wrong = || format!("{text:?} is not of the form LAYERSxDIM, as in 2x4096");
        let (layers, d_model) = text.split_once('x').ok_or_else(wrong)?;
        let (layers, d_model) = (layers.parse().map_err(|_| wrong())?, d_model.parse().map_err(|_| wrong())?);
        if !(1..=1000).contains(&layers) || !(256..=32768).contains(&d_model) || d_model % 256 != 0 {
            return Err(format!("{text:?}: expected 1 to 1000 layers of a width that is a multiple of 256, up to 32768"));
        }
        Ok(Shape { layers, d_model })
    }
}

impl Shape {
    /// `synthetic 2x4096 Q4_K`.
    pub fn name(self, ty: Type) -> String {
        format!("synthetic {}x{} {}", self.layers, self.d_model, ty.name())
    }

    /// As Llama 3's: 14336 for 4096.
    fn d_ff(self) -> usize {
        (self.d_model * 7 / 2).next_multiple_of(256)
    }

    fn d_head(self) -> usize {
        if self.d_model >= 2048 { 128 } else { 64 }
    }

    fn n_heads(self) -> usize {
        self.d_model / self.d_head()
    }

    /// A quarter of the query heads.
    fn n_kv_heads(self) -> usize {
        self.n_heads() / 4
    }

    /// Name, rows and columns of each matrix.
    fn matrices(self) -> Vec<(String, usize, usize)> {
        let (d, kv, ff) = (self.d_model, self.n_kv_heads() * self.d_head(), self.d_ff());
        let layer = |layer: usize| {
            let parts = [("attn_q", d, d), ("attn_k", kv, d), ("attn_v", kv, d), ("attn_output", d, d)];
            let feed = [("ffn_gate", ff, d), ("ffn_up", ff, d), ("ffn_down", d, ff)];
            parts.into_iter().chain(feed).map(move |(name, rows, cols)| (format!("blk.{layer}.{name}.weight"), rows, cols))
        };
        (0..self.layers).flat_map(layer).chain([("token_embd.weight".to_owned(), N_VOCAB, d)]).collect()
    }

    /// The weights of the norms.
    fn norms(self) -> Vec<String> {
        let layer = |layer: usize| ["attn_norm", "ffn_norm"].map(|name| format!("blk.{layer}.{name}.weight"));
        (0..self.layers).flat_map(layer).chain(["output_norm.weight".to_owned()]).collect()
    }

    /// Writes the model to `path`.
    pub fn write(self, ty: Type, path: &Path) -> Result<(), Failure> {
        let mut plan = GgufPlan::new();
        plan.set("general.architecture", &NewValue::Text("llama".into()));
        plan.set("general.name", &NewValue::Text(self.name(ty)));
        for (key, value) in [
            ("block_count", self.layers),
            ("context_length", 1 << 17),
            ("embedding_length", self.d_model),
            ("feed_forward_length", self.d_ff()),
            ("attention.head_count", self.n_heads()),
            ("attention.head_count_kv", self.n_kv_heads()),
            ("vocab_size", N_VOCAB),
        ] {
            plan.set(&format!("llama.{key}"), &NewValue::U32(value as u32));
        }
        plan.set("llama.attention.layer_norm_rms_epsilon", &NewValue::F32(1e-5));
        plan.set("llama.rope.freq_base", &NewValue::F32(500_000.0));
        let (matrices, norms) = (self.matrices(), self.norms());
        matrices.iter().for_each(|(name, rows, cols)| plan.tensor(name, ty, &[*rows, *cols]));
        norms.iter().for_each(|name| plan.tensor(name, Type::F32, &[self.d_model]));
        let mut writer = plan.create(path).map_err(Error::from)?;
        let mut random = Random(42);
        let blocks = blocks(ty, &mut random);
        for (name, rows, cols) in &matrices {
            let bytes: Vec<u8> = (0..rows * cols / ty.block_len()).flat_map(|_| &blocks[random.below(BLOCKS)]).copied().collect();
            writer.write(name, &bytes).map_err(Error::from)?;
        }
        let ones: Vec<u8> = std::iter::repeat_n(1f32.to_le_bytes(), self.d_model).flatten().collect();
        for name in &norms {
            writer.write(name, &ones).map_err(Error::from)?;
        }
        writer.finish().map_err(Error::from)?;
        Ok(())
    }
}

/// Blocks of random bytes, of which those are kept that mean small numbers.
fn blocks(ty: Type, random: &mut Random) -> Vec<Vec<u8>> {
    let mut weights = vec![0.0; ty.block_len()];
    let mut block = || loop {
        let bytes: Vec<u8> = (0..ty.block_bytes()).map(|_| random.below(256) as u8).collect();
        dequantize(ty, &bytes, &mut weights).expect("one block is a whole number of blocks");
        let largest = weights.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs()));
        // A NaN is lost on `max`, so each weight is looked at.
        if weights.iter().all(|weight| weight.is_finite()) && (1e-3..=LARGEST).contains(&largest) {
            return bytes;
        }
    };
    (0..BLOCKS).map(|_| block()).collect()
}

/// Knuth's multiplicative generator; all that counts here is that neighbours differ.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_layers_by_width() {
        let shape: Shape = "2x4096".parse().unwrap();
        assert_eq!((shape.layers, shape.d_model, shape.d_ff(), shape.n_heads(), shape.n_kv_heads()), (2, 4096, 14336, 32, 8));
        for bad in ["", "2", "x", "2x", "0x4096", "2x100", "2x4096x3", "-1x256", "1x65536"] {
            assert!(bad.parse::<Shape>().is_err(), "{bad}");
        }
    }

    #[test]
    fn blocks_of_every_type_mean_small_numbers() {
        for &ty in Type::ALL {
            let mut weights = vec![0.0; ty.block_len()];
            for block in blocks(ty, &mut Random(7)) {
                dequantize(ty, &block, &mut weights).unwrap();
                assert!(weights.iter().all(|weight| weight.abs() <= LARGEST), "{}", ty.name());
            }
        }
    }
}
