//! What a file says of its tokenizer, taken out of it once; [`Tokenizer::from_source`](super::Tokenizer) makes the tokenizer of it. Only
//! the reader in `gguf.rs` knows where it comes from.

use super::strings::Strings;
use super::vocabulary::TokenKind;
use crate::types::TokenId;

/// A tokenizer as a GGUF file describes it; `None` is what the file doesn't say.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// `tokenizer.ggml.model`.
    pub(crate) kind: String,
    /// `tokenizer.ggml.pre`.
    pub(crate) pre: Option<String>,
    /// Every token's text.
    pub(crate) texts: Strings,
    /// Every token's kind.
    pub(crate) kinds: Vec<TokenKind>,
    /// Every token's score; empty where there are none.
    pub(crate) scores: Vec<f32>,
    /// `left right`, the first learned first.
    pub(crate) merges: Strings,
    /// SentencePiece's precompiled character map.
    pub(crate) charsmap: Vec<u8>,
    /// The ids that the file names.
    pub(crate) named: Named,
    /// A prompt begins with BOS.
    pub(crate) add_bos: Option<bool>,
    /// A prompt ends with EOS.
    pub(crate) add_eos: Option<bool>,
    /// A space is put before a text.
    pub(crate) space_prefix: Option<bool>,
    /// Runs of spaces become one.
    pub(crate) merge_spaces: Option<bool>,
    /// BERT's normalizer lower-cases.
    pub(crate) lowercase: Option<bool>,
    /// BERT's normalizer takes accents away.
    pub(crate) strip_accents: Option<bool>,
    /// `general.architecture`.
    pub(crate) architecture: String,
    /// `general.name`, in small letters.
    pub(crate) name: String,
}

/// Tokens that a file names by id.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named {
    pub(crate) bos: Option<TokenId>,
    pub(crate) eos: Option<TokenId>,
    /// Ends a turn.
    pub(crate) eot: Option<TokenId>,
    /// Ends a message.
    pub(crate) eom: Option<TokenId>,
    pub(crate) unknown: Option<TokenId>,
    /// BERT's `[SEP]`.
    pub(crate) separator: Option<TokenId>,
}

impl Named {
    /// The ids that llama.cpp takes where a file of this kind names none.
    pub(crate) fn defaults(kind: &str) -> Named {
        let id = |id| Some(TokenId(id));
        match kind {
            "llama" => Named { bos: id(1), eos: id(2), unknown: id(0), ..Named::default() },
            "bert" => Named { bos: id(101), unknown: id(100), separator: id(102), ..Named::default() },
            "t5" => Named { eos: id(1), unknown: id(2), ..Named::default() },
            _ => Named::default(),
        }
    }

    /// BERT's by their texts: not all vocabularies have them at the usual places, and files may name none.
    pub(crate) fn of_bert(texts: &Strings) -> Named {
        let find = |text: &str| texts.iter().position(|other| other == text.as_bytes()).map(|row| TokenId(row as u32));
        Named { bos: find("[CLS]"), unknown: find("[UNK]"), separator: find("[SEP]"), ..Named::default() }
    }

    /// The same, with `others` for what is missing and without ids outside a vocabulary of `n_vocab` tokens.
    pub(crate) fn or(self, others: Named, n_vocab: usize) -> Named {
        let either = |own: Option<TokenId>, other: Option<TokenId>| {
            let inside = |id: &TokenId| id.index() < n_vocab;
            own.filter(inside).or(other.filter(inside))
        };
        Named {
            bos: either(self.bos, others.bos),
            eos: either(self.eos, others.eos),
            eot: either(self.eot, others.eot),
            eom: either(self.eom, others.eom),
            unknown: either(self.unknown, others.unknown),
            separator: either(self.separator, others.separator),
        }
    }
}
