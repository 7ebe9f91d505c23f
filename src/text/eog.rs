//! Which tokens end a generation. Files name one or two (`eos_token_id`), models use more: as llama.cpp does, tokens are also known by
//! their texts.

use super::vocabulary::{TokenKind, Vocabulary};
use crate::types::TokenId;

/// Tokens that end a generation, by their texts, whatever the file says of them.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    // Fill-in-the-middle: padding, the next repository, the next file.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// Fill-in-the-middle tokens: they end nothing, but they are structure, also where the file calls them text.
const STRUCTURE: &[&str] = &[
    "<|fim_prefix|>",
    "<fim-prefix>",
    "<fim_prefix>",
    "<｜fim▁begin｜>",
    "<PRE>",
    "▁<PRE>",
    "<|code_prefix|>",
    "<|prefix|>",
    "<|fim_suffix|>",
    "<fim-suffix>",
    "<fim_suffix>",
    "<｜fim▁hole｜>",
    "<SUF>",
    "▁<SUF>",
    "<|code_suffix|>",
    "<|suffix|>",
    "<|fim_middle|>",
    "<fim-middle>",
    "<fim_middle>",
    "<｜fim▁end｜>",
    "<MID>",
    "▁<MID>",
    "<|code_middle|>",
    "<|middle|>",
];

/// The tokens that end a generation, ascending: those with well-known texts, which become control tokens if they are not, and `named`,
/// those that the file names.
pub(crate) fn collect(vocabulary: &mut Vocabulary, named: impl IntoIterator<Item = TokenId>) -> Vec<TokenId> {
    let named: Vec<TokenId> = named.into_iter().collect();
    let mut eog = named.clone();
    for (text, ends) in ENDS.iter().map(|text| (text, true)).chain(STRUCTURE.iter().map(|text| (text, false))) {
        if let Some(id) = vocabulary.find(text.as_bytes()) {
            vocabulary.set_kind(id, TokenKind::Control);
            eog.extend(ends.then_some(id));
        }
    }
    let has = |text: &str| vocabulary.find(text.as_bytes()).is_some();
    // Harmony and Solar end a message, not the answer, with <|end|>.
    let end_ends_a_message = (has("<|call|>") || has("<|calls|>")) && (has("<|return|>") || has("<|flush|>"));
    // Gemma 4 and PLaMo have `</s>` as an HTML tag.
    let s_is_a_tag = has("<|tool_response>") || has("<|plamo:eos|>");
    for (text, is_none, kind) in [("<|end|>", end_ends_a_message, TokenKind::Control), ("</s>", s_is_a_tag, TokenKind::Normal)] {
        if let Some(id) = vocabulary.find(text.as_bytes()).filter(|id| is_none && !named.contains(id)) {
            eog.retain(|&other| other != id);
            vocabulary.set_kind(id, kind);
        }
    }
    eog.sort_unstable();
    eog.dedup();
    eog
}
