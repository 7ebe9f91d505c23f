//! XLNet (Yang et al. 2019), whose attention is Transformer-XL's (Dai et al. 2019): queries meet the keys and the sinusoids of their
//! distances, with a learned vector added for each, and layers are those of the first Transformer. As published it is an encoder
//! (`attn_type` `bi`); with `uni` it is a decoder whose memory of earlier segments is the cache.

use super::Family;
use crate::decoder::Decoder;
use crate::error::ModelError;
use crate::names::{Dialect, Key, Name, key, name};
use crate::reader::{Reader, excerpt, wrong};
use crate::sizes::Defaults;
use crate::spec::{Activation, Attention, Content, Mask, NormKind, Part, Projection, RelativeSinusoids, Spec};

pub(super) const FAMILY: Family = Family { name: "xlnet", gguf: &[], hugging_face: &["xlnet"], describe };

/// `XLNetConfig`, which states no length; published models were trained on 512 tokens.
const DEFAULTS: Defaults = Defaults {
    n_layers: 24,
    d_model: 1024,
    d_ff: Some(4096),
    n_vocab: 32_000,
    context: 512,
    n_heads: 16,
    n_kv_heads: None,
    d_head: None,
    norm: NormKind::Layer,
    eps: 1e-12,
    tied: true,
    activation: Activation::Gelu,
    theta: 10_000.0,
};

const DIALECT: Dialect = Dialect {
    roots: &[("", "lm_loss"), ("transformer.", "lm_loss")],
    spellings: &[
        ("hidden_size", "d_model"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("head_dim", "d_head"),
        ("intermediate_size", "d_inner"),
        ("hidden_act", "ff_activation"),
        ("embed_tokens", "word_embedding"),
        ("layers.{}.post_attention_layernorm", "layer.{}.rel_attn.layer_norm"),
        ("layers.{}.mlp.up_proj", "layer.{}.ff.layer_1"),
        ("layers.{}.mlp.down_proj", "layer.{}.ff.layer_2"),
        ("layers.{}.post_mlp_layernorm", "layer.{}.ff.layer_norm"),
    ],
};

const SEES: Key = key("", "attn_type");
const REACH: Key = key("", "clamp_len");
const SAME_LENGTH: Key = key("", "same_length");

/// Tensors of three dimensions, `[d_model, n_heads, d_head]`.
const Q: Name = name("", "layer.{}.rel_attn.q");
const K: Name = name("", "layer.{}.rel_attn.k");
const V: Name = name("", "layer.{}.rel_attn.v");
const O: Name = name("", "layer.{}.rel_attn.o");
const R: Name = name("", "layer.{}.rel_attn.r");
/// The paper's u and v, `[n_heads, d_head]`. The third pair that the file has, for segments, changes nothing in a text of one segment: it
/// adds the same to all scores of a query.
const CONTENT_BIAS: Name = name("", "layer.{}.rel_attn.r_w_bias");
const POSITION_BIAS: Name = name("", "layer.{}.rel_attn.r_r_bias");

fn describe(file: &Reader) -> Result<Spec, ModelError> {
    let file = &file.speaking(&DIALECT);
    let encodes = match file.text(SEES)?.as_deref() {
        None | Some("bi") => true,
        Some("uni") => false,
        Some(other) => {
            return Err(wrong(&file.spell(SEES).unwrap_or_default(), "`bi` or `uni`".into(), format!("`{}`", excerpt(other))));
        }
    };
    if file.flag(SAME_LENGTH)?.unwrap_or(false) {
        return Err(file.unsupported(SAME_LENGTH, true, "a query that sees as many keys as all others is not supported"));
    }
    let decoder = Decoder::read(file, &DEFAULTS)?.without_final_norm();
    let decoder = if encodes { decoder.encoding() } else { decoder };
    let (d_model, n_heads, d_head) = (decoder.sizes.d_model, decoder.sizes.n_heads, decoder.sizes.d_head);
    if !d_model.is_multiple_of(2) {
        let key = file.spell(crate::names::D_MODEL).unwrap_or_default();
        return Err(wrong(&key, "an even width, as each sinusoid has a sine and a cosine".into(), d_model.to_string()));
    }
    let reach = file.count_or_off(REACH)?;
    decoder.spec("xlnet", |layer| {
        let matrix = |name| decoder.tensor(name, layer, &[d_model, n_heads, d_head]);
        let heads = |name| Ok(Projection { weight: Part { transposed: true, ..matrix(name)? }, bias: None });
        let bias = |name| decoder.tensor(name, layer, &[n_heads, d_head]);
        let content =
            RelativeSinusoids { projection: heads(R)?, content_bias: bias(CONTENT_BIAS)?, position_bias: bias(POSITION_BIAS)?, reach };
        let attention = Attention {
            n_heads,
            n_kv_heads: n_heads,
            d_head,
            q: Projection { bias: Some(content.content_bias.clone()), ..heads(Q)? },
            k: heads(K)?,
            v: heads(V)?,
            o: Projection { weight: matrix(O)?, bias: None },
            clip: None,
            qk_norm: None,
            scale: 1.0 / (d_head as f32).sqrt(),
            softcap: None,
            mask: if encodes { Mask::Bidirectional } else { Mask::Causal },
            window: None,
            rope: None,
            bias: None,
            content: Some(Content::RelativeSinusoids(Box::new(content))),
        };
        decoder.post_norm_layer(layer, attention, decoder.dense_without_gate(layer)?)
    })
}
