//! Text: from characters to tokens and back, and from a conversation to a prompt.
//!
//! A [`Tokenizer`] is made from a GGUF file's metadata by our own code, which follows llama.cpp's rules token for token, or from a
//! tokenizer.json by the `tokenizers` crate. [`Special`] says whether a text may contain special tokens.
//!
//! Our own code, because a process should answer at once: opening the file and making the tokenizer took 8 ms for SmolLM2 (49 152 tokens,
//! BPE) and 23 ms for Gemma 3 (262 144 tokens, SPM) on a busy two-core machine, optimised but with debug assertions; half a million
//! merges (Gemma 4) took 43 ms. Most of it is hashing each text once. The first text costs some 6 ms more, in which a pre-tokenizer's
//! automaton is built. A megabyte without any structure (spaces, one letter, `<`, zero bytes) took 0.1 to 0.9 s.

#![forbid(unsafe_code)]

mod bpe;
mod charsmap;
mod chat;
mod decoder;
mod eog;
mod gguf;
mod guarded;
mod json;
mod merge;
mod pre;
mod source;
mod special;
mod spelling;
mod spm;
mod strings;
mod tokenizer;
mod unigram;
mod vocabulary;
mod wordpiece;

pub use chat::{ChatTemplate, Message, RenderOptions};
pub use decoder::Decoder;
pub use guarded::panics_are_errors;
pub use special::Special;
pub use tokenizer::Tokenizer;
pub use vocabulary::TokenKind;
