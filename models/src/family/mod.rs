//! The list of families, and the way from a file's architecture to one of them.

mod baichuan;
mod bert;
mod bloom;
mod cohere;
mod cohere2;
mod deberta;
mod falcon;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gptj;
mod gptneox;
mod granite;
mod jinabert;
mod llama;
mod mistral;
mod mixtral;
mod modernbert;
mod mpt;
mod nomicbert;
mod olmo2;
mod opt;
mod phi2;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3moe;
mod smollm3;
mod stablelm;
mod starcoder2;
mod t5;
mod xglm;
mod xlnet;

use crate::error::ModelError;
use crate::metadata::{Layout, Metadata};
use crate::names::{Key, key};
use crate::reader::{Reader, excerpt, shown};
use crate::spec::Spec;
use std::collections::HashSet;

/// Models that compute alike.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// kinglet's name for it.
    pub name: &'static str,
    /// `general.architecture` in GGUF files.
    pub gguf: &'static [&'static str],
    /// `model_type` in `config.json`.
    pub hugging_face: &'static [&'static str],
    describe: fn(&Reader) -> Result<Spec, ModelError>,
}

/// All families, in the order in which `kinglet` lists them.
pub const FAMILIES: &[Family] = &[
    llama::FAMILY,
    mistral::FAMILY,
    smollm3::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    gemma::FAMILY,
    gemma2::FAMILY,
    gemma3::FAMILY,
    phi2::FAMILY,
    phi3::FAMILY,
    olmo2::FAMILY,
    granite::FAMILY,
    mixtral::FAMILY,
    qwen3moe::FAMILY,
    gpt2::FAMILY,
    opt::FAMILY,
    xglm::FAMILY,
    gptj::FAMILY,
    gptneox::FAMILY,
    stablelm::FAMILY,
    starcoder2::FAMILY,
    cohere::FAMILY,
    cohere2::FAMILY,
    falcon::FAMILY,
    mpt::FAMILY,
    bloom::FAMILY,
    baichuan::FAMILY,
    t5::FAMILY,
    bert::FAMILY,
    nomicbert::FAMILY,
    jinabert::FAMILY,
    modernbert::FAMILY,
    deberta::FAMILY,
    xlnet::FAMILY,
];

impl Family {
    /// The architecture's names in files of `layout`.
    pub fn architectures(&self, layout: Layout) -> &'static [&'static str] {
        match layout {
            Layout::Gguf => self.gguf,
            Layout::HuggingFace => self.hugging_face,
        }
    }
}

/// Describes the model that `metadata` belongs to.
///
/// Every size in the result is within [`crate::limits`], and every tensor it names is in the file with the shape that its
/// field's documentation states. Tensors of the file that it does not name are not looked at, but for GGUF's layers: all their tensors
/// are named, or the file is refused.
///
/// # Errors
/// [`ModelError`] says which key or tensor is unknown, missing or contradicts the others.
pub fn resolve(metadata: &dyn Metadata) -> Result<Spec, ModelError> {
    let file = Reader::new(metadata)?;
    let names = || FAMILIES.iter().flat_map(|family| family.architectures(file.layout));
    let family = FAMILIES.iter().find(|family| family.architectures(file.layout).contains(&file.architecture.as_str()));
    let Some(family) = family else {
        return Err(ModelError::UnknownArchitecture {
            nearest: nearest(&file.architecture, names().copied()),
            found: excerpt(&file.architecture),
            known: names().copied().collect(),
        });
    };
    refuse_quantised(&file)?;
    let spec = (family.describe)(&file)?;
    refuse_other_masks(&file, &spec)?;
    if file.layout == Layout::Gguf {
        refuse_unread(metadata, &spec)?;
    }
    Ok(spec)
}

/// A name that differs from `found` by a typing error or two.
fn nearest(found: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // Longer texts are no misspelling, and the distance takes time by the square of the length.
    if found.len() > 60 {
        return None;
    }
    let distance = |name: &&'static str| strsim::damerau_levenshtein(name, &found.to_lowercase());
    known.min_by_key(distance).filter(|name| distance(name) <= 2.max(name.len() / 3))
}

const CAUSAL: Key = key("attention.causal", "is_causal");
const BIDIRECTIONAL: Key = key("", "use_bidirectional_attention");

/// Weights in a format of another library.
fn refuse_quantised(file: &Reader) -> Result<(), ModelError> {
    // Beside the text's own configuration, also in vision-language models.
    for key in ["quantization_config.quant_method".into(), file.prefixed("quantization_config.quant_method")] {
        if let (Layout::HuggingFace, Some(method)) = (file.layout, file.value(&key)) {
            let why = "only f32, f16 and bf16 safetensors are read; take a GGUF file of this model";
            return Err(ModelError::Unsupported { key, found: shown(&method), why });
        }
    }
    Ok(())
}

/// What each layer's tensors have before them in GGUF.
const LAYERS: [&str; 3] = ["blk.", "enc.blk.", "dec.blk."];
/// Converted with T5, and not used by anybody.
const UNUSED: &str = ".cross_attn_rel_b.weight";

/// A tensor of a layer that the family does not compute with: a norm or a scale that other models of its architecture don't have. In
/// `config.json`'s world such tensors are common and ignored; llama.cpp refuses every tensor it does not use.
fn refuse_unread(metadata: &dyn Metadata, spec: &Spec) -> Result<(), ModelError> {
    let read: HashSet<&str> = spec.parts().into_iter().map(|part| &*part.name).collect();
    let of_layer = |name: &&str| LAYERS.iter().any(|start| name.starts_with(start)) && !name.ends_with(UNUSED);
    match metadata.tensor_names().filter(of_layer).find(|name| !read.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let (key, found, why) = (excerpt(name), "a tensor of the file", "this family does not compute with such a tensor");
            Err(ModelError::Unsupported { key, found: found.into(), why })
        }
    }
}

/// A decoder whose tokens see later ones, or an encoder whose tokens don't.
fn refuse_other_masks(file: &Reader, spec: &Spec) -> Result<(), ModelError> {
    let why = match spec.is_encoder() {
        true => "tokens of this family see later tokens",
        false => "the model is an encoder, tokens see later tokens",
    };
    for (key, encodes) in [(CAUSAL, false), (BIDIRECTIONAL, true)] {
        if let Some(found) = file.flag(key)?.filter(|found| (*found == encodes) != spec.is_encoder()) {
            return Err(file.unsupported(key, found, why));
        }
    }
    Ok(())
}
