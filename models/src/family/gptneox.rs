//! GPT-NeoX and Pythia (Black et al. 2022, Biderman et al. 2023): both blocks read the same stream through norms of their own, a
//! quarter of each head is turned, and Hugging Face fuses q, k and v head by head.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{self, Dialect, Key, key};
use crate::reader::Reader;
use crate::rope::RopeStyle;
use crate::sizes::Defaults;
use crate::spec::{Activation, NormKind, Pairing, Spec};

pub(super) const FAMILY: Family = Family { name: "gptneox", gguf: &["gptneox"], hugging_face: &["gpt_neox"], describe };

/// `GPTNeoXConfig`.
const DEFAULTS: Defaults = Defaults {
    n_layers: 44,
    d_model: 6144,
    d_ff: Some(24576),
    n_vocab: 50432,
    context: 2048,
    n_heads: 64,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-5,
    tied: false,
    activation: Activation::Gelu,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("gpt_neox.", "embed_out")],
    spellings: &[
        ("partial_rotary_factor", "rotary_pct"),
        ("rope_theta", "rotary_emb_base"),
        ("embed_tokens", "embed_in"),
        ("norm", "final_layer_norm"),
        ("layers.{}.self_attn.qkv_proj", "layers.{}.attention.query_key_value"),
        ("layers.{}.self_attn.o_proj", "layers.{}.attention.dense"),
        ("layers.{}.mlp.up_proj", "layers.{}.mlp.dense_h_to_4h"),
        ("layers.{}.mlp.down_proj", "layers.{}.mlp.dense_4h_to_h"),
    ],
};

/// False: the blocks follow one another.
const PARALLEL: Key = key("use_parallel_residual", "use_parallel_residual");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let decoder = Decoder::read(file, &DEFAULTS)?.with_interleaved_heads();
    let rope = decoder.rope(RopeStyle { share: Some(0.25), ..RopeStyle::new(Pairing::Halves) })?;
    let parallel = file.flag(PARALLEL)?.unwrap_or(true);
    decoder.spec("gptneox", |layer| {
        let (attention, feed) = (decoder.attention(layer, Some(&rope), None)?, decoder.dense_without_gate(layer)?);
        if parallel {
            decoder.parallel_layer(layer, (names::ATTENTION_NORM, Some(names::FEED_NORM)), attention, feed)
        } else {
            decoder.pre_norm_layer(layer, attention, feed)
        }
    })
}
