//! Text: from characters to tokens and back, and from a conversation to a prompt.
//!
//! A [`Tokenizer`] is made from a GGUF file's metadata by our own code, which follows llama.cpp's rules token for token, or from a
//! tokenizer.json by the `tokenizers` crate. [`Special`] says whether a text may contain special tokens.

#![forbid(unsafe_code)]

mod bpe;
mod charsmap;
mod chat;
mod decoder;
mod eog;
mod gguf;
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
pub use special::Special;
pub use tokenizer::Tokenizer;
pub use vocabulary::TokenKind;
