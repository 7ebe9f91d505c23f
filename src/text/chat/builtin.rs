//! Templates for models whose files have none, and for people who ask for one by name. A model is known by the special tokens of its
//! vocabulary, or else by its architecture.

use super::super::Tokenizer;
use crate::error::TextError;

/// A built-in template.
#[derive(Debug)]
pub(super) struct Builtin {
    /// Its name, llama.cpp's where it has one.
    pub(super) name: &'static str,
    source: &'static str,
    /// Special tokens that all are in the vocabulary of a model that was trained with it.
    markers: &'static [&'static str],
    /// Architectures whose chat models were trained with it (GGUF's names and `model_type`s).
    architectures: &'static [&'static str],
}

/// Every built-in template; of several that fit a model the first counts.
pub(super) const BUILTIN: &[Builtin] = &[
    Builtin {
        name: "llama3",
        source: include_str!("templates/llama3.jinja"),
        markers: &["<|start_header_id|>", "<|eot_id|>"],
        architectures: &[],
    },
    Builtin {
        name: "gemma",
        source: include_str!("templates/gemma.jinja"),
        markers: &["<start_of_turn>", "<end_of_turn>"],
        architectures: &["gemma", "gemma2", "gemma3", "gemma3_text"],
    },
    Builtin {
        name: "granite",
        source: include_str!("templates/granite.jinja"),
        markers: &["<|start_of_role|>", "<|end_of_role|>"],
        architectures: &["granite"],
    },
    Builtin {
        name: "chatml",
        source: include_str!("templates/chatml.jinja"),
        markers: &["<|im_start|>", "<|im_end|>"],
        architectures: &["qwen2", "qwen3", "qwen2moe", "qwen3moe", "qwen3_moe"],
    },
    Builtin {
        name: "phi3",
        source: include_str!("templates/phi3.jinja"),
        markers: &["<|user|>", "<|assistant|>", "<|end|>"],
        architectures: &["phi3"],
    },
    Builtin {
        name: "zephyr",
        source: include_str!("templates/zephyr.jinja"),
        markers: &["<|user|>", "<|assistant|>"],
        architectures: &["olmo2"],
    },
    Builtin {
        name: "mistral",
        source: include_str!("templates/mistral.jinja"),
        markers: &["[INST]", "[/INST]"],
        architectures: &["mistral", "mixtral"],
    },
    Builtin { name: "llama2", source: include_str!("templates/llama2.jinja"), markers: &[], architectures: &["llama"] },
    Builtin { name: "vicuna", source: include_str!("templates/vicuna.jinja"), markers: &[], architectures: &[] },
    Builtin { name: "alpaca", source: include_str!("templates/alpaca.jinja"), markers: &[], architectures: &[] },
];

/// The template for a model without one.
pub(super) fn find(tokenizer: &Tokenizer, architecture: &str) -> Option<&'static str> {
    let marked =
        |template: &&Builtin| !template.markers.is_empty() && template.markers.iter().all(|marker| tokenizer.token(marker).is_some());
    let by_architecture = || BUILTIN.iter().find(|template| template.architectures.contains(&architecture));
    BUILTIN.iter().find(marked).or_else(by_architecture).map(|template| template.source)
}

/// The template of this name.
pub(super) fn named(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|template| template.name == name).map(|template| template.source)
}

/// The error for a model that no template is known for, and for an unknown name.
pub(super) fn none() -> TextError {
    TextError::NoTemplate { known: BUILTIN.iter().map(|template| template.name).collect::<Vec<_>>().join(", ") }
}
