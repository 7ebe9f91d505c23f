//! The tokenizer that everybody above this floor holds: text to tokens, tokens to text, and which tokens begin and end a text. The kinds
//! of tokenizers differ in one `match`; special tokens are cut out of the text before it, alike for all of them.

use super::bpe::Bpe;
use super::charsmap::CharsMap;
use super::decoder::Decoder;
use super::eog;
use super::gguf;
use super::json::{Folder, Library};
use super::pre::PreTokenizer;
use super::source::{Named, Source};
use super::special::{Fragment, Matcher, Special};
use super::spelling::Spelling;
use super::spm::Spm;
use super::unigram::{SpaceRules, Unigram};
use super::vocabulary::{TokenKind, Vocabulary};
use super::wordpiece::WordPiece;
use crate::error::{TextError, one_line};
use crate::file::ModelFile;
use crate::types::TokenId;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of text that are tokenized at once; offsets inside are 32 bits wide, and the text may grow threefold in a vocabulary's spelling.
const LONGEST_TEXT: usize = 1 << 30;

/// A model's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Arc<Vocabulary>,
    algorithm: Algorithm,
    all_special: Matcher,
    plain_special: Matcher,
    control: Matcher,
    named: Named,
    add_bos: bool,
    add_eos: bool,
    eog: Vec<TokenId>,
    remark: Option<String>,
}

/// How a text without special tokens becomes tokens.
#[derive(Debug)]
enum Algorithm {
    Bpe(Bpe),
    Spm(Spm),
    Unigram(Unigram),
    WordPiece(WordPiece),
    /// Whatever tokenizer.json says; it finds special tokens itself.
    Library(Box<Library>),
}

impl Tokenizer {
    /// Every kind that [`Tokenizer::from_source`] knows.
    const KINDS: [&str; 5] = ["gpt2", "gemma4", "llama", "t5", "bert"];

    /// The tokenizer of an opened model: from its metadata, or from a tokenizer.json beside it.
    ///
    /// # Errors
    /// Where it has none, or one that kinglet doesn't know or can't read.
    pub fn from_model(file: &ModelFile) -> Result<Tokenizer, TextError> {
        if let Some(source) = file.gguf().map(gguf::read).transpose()?.flatten() {
            return Tokenizer::from_source(source);
        }
        let folder = file.folder().map(Folder::read).transpose()?.flatten().ok_or(TextError::NoTokenizer)?;
        Ok(Tokenizer::from_folder(folder))
    }

    /// The tokenizer that a file describes.
    ///
    /// # Errors
    /// Where its kind or its pre-tokenizer is unknown, or something is missing.
    pub(crate) fn from_source(source: Source) -> Result<Tokenizer, TextError> {
        let Source { kind, texts, kinds, mut scores, merges, .. } = source;
        if !Tokenizer::KINDS.contains(&kind.as_str()) {
            return Err(TextError::UnknownKind { found: one_line(&kind, 80), known: Tokenizer::KINDS.join(", ") });
        }
        let by_text = if kind == "bert" { Named::of_bert(&texts) } else { Named::default() };
        let named = source.named.or(by_text, texts.len()).or(Named::defaults(&kind), texts.len());
        let pre = match (kind.as_str(), &source.pre) {
            ("gemma4", _) => Some("gemma4"),
            ("gpt2", pre) => Some(pre.as_deref().unwrap_or("default")),
            _ => None,
        };
        let pre = pre.map(PreTokenizer::named).transpose()?;
        let rules = pre.as_ref().map(PreTokenizer::rules);
        let spelling = if rules.is_some_and(|rules| !rules.spaced) { Spelling::ByteLevel } else { Spelling::Spaced };
        let mut vocabulary = Vocabulary::new(texts, kinds, spelling);
        scores.resize(vocabulary.len(), 0.0);
        let ends = [named.eos, named.eot, named.eom].into_iter().flatten();
        let eog = eog::collect(&mut vocabulary, ends);
        let (strips_left, strips_right) = strips(&vocabulary, &source.architecture, &source.name, source.pre.as_deref());
        let remark = (kind == "gpt2" && source.pre.is_none()).then(|| {
            "the file names no pre-tokenizer (tokenizer.ggml.pre); `default` may not be what the model was trained with".to_owned()
        });
        let algorithm = match (kind.as_str(), pre) {
            (_, Some(pre)) => Algorithm::Bpe(Bpe::new(merges, pre)),
            ("llama", _) => Algorithm::Spm(Spm::new(&scores, source.space_prefix.unwrap_or(true), named.unknown)),
            ("t5", _) => {
                let unknown = named.unknown.ok_or_else(|| TextError::Malformed {
                    key: "tokenizer.ggml.unknown_token_id",
                    expected: "the id of a token".to_owned(),
                    found: "none".to_owned(),
                })?;
                let spaces = SpaceRules { prefix: source.space_prefix.unwrap_or(false), merge: source.merge_spaces.unwrap_or(false) };
                Algorithm::Unigram(Unigram::new(&vocabulary, scores, unknown, charsmap(&source.charsmap)?, spaces))
            }
            _ => {
                let lowercase = source.lowercase.unwrap_or(true);
                Algorithm::WordPiece(WordPiece::new(lowercase, source.strip_accents.unwrap_or(lowercase), named.unknown))
            }
        };
        let add_bos = source.add_bos.unwrap_or(rules.map_or(kind != "t5", |rules| rules.add_bos));
        let add_eos = source.add_eos.unwrap_or(kind == "t5");
        let mut tokenizer = Tokenizer::new(vocabulary, algorithm, named, eog);
        tokenizer.add_bos = (add_bos || rules.is_some_and(|rules| rules.spaced)) && tokenizer.bos().is_some();
        tokenizer.add_eos = (add_eos || kind == "bert") && tokenizer.eos().is_some();
        tokenizer.all_special = tokenizer.all_special.stripping(strips_left, strips_right);
        tokenizer.remark = remark;
        Ok(tokenizer)
    }

    /// The tokenizer of a folder with a tokenizer.json.
    pub(crate) fn from_folder(folder: Folder) -> Tokenizer {
        let Folder { library, mut vocabulary, named, eog, strips: (left, right) } = folder;
        let eog = eog::collect(&mut vocabulary, eog.into_iter().chain(named.eos));
        let (add_bos, add_eos) = library.adds(&named);
        let tokenizer = Tokenizer::new(vocabulary, Algorithm::Library(Box::new(library)), named, eog);
        Tokenizer { add_bos, add_eos, all_special: tokenizer.all_special.stripping(left, right), ..tokenizer }
    }

    fn new(vocabulary: Vocabulary, algorithm: Algorithm, named: Named, eog: Vec<TokenId>) -> Tokenizer {
        Tokenizer {
            all_special: Matcher::new(&vocabulary, Special::Match),
            plain_special: Matcher::new(&vocabulary, Special::Plain),
            control: Matcher::of_control(&vocabulary),
            vocabulary: Arc::new(vocabulary),
            algorithm,
            named,
            add_bos: false,
            add_eos: false,
            eog,
            remark: None,
        }
    }

    /// The tokens of `text`, without BOS and EOS.
    ///
    /// # Errors
    /// Where the text is longer than 1 GiB, or tokenizer.json's own rules refuse it.
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<TokenId>, TextError> {
        self.encode_between(text, special, &[])
    }

    /// As [`Tokenizer::encode`]; no special token begins at one of the `barriers`, ascending offsets into `text`.
    pub(crate) fn encode_between(&self, text: &str, special: Special, barriers: &[usize]) -> Result<Vec<TokenId>, TextError> {
        if text.len() > LONGEST_TEXT {
            return Err(TextError::TooLong { bytes: text.len(), limit: LONGEST_TEXT });
        }
        let matcher = match special {
            Special::Match => &self.all_special,
            Special::Plain => &self.plain_special,
        };
        let mut tokens = Vec::with_capacity(text.len() / 3);
        // The library looks for special tokens itself, but knows no barriers.
        if let (Algorithm::Library(library), []) = (&self.algorithm, barriers) {
            library.encode(text, special, &mut tokens)?;
            return Ok(tokens);
        }
        let mut first = true;
        for fragment in matcher.split(&self.vocabulary, text, barriers) {
            match &fragment {
                Fragment::Token(id) => tokens.push(*id),
                Fragment::Text(range) => self.encode_text(&text[range.clone()], first, &mut tokens)?,
            }
            first = matches!(fragment, Fragment::Token(_));
        }
        Ok(tokens)
    }

    /// Appends the tokens of a text without special tokens; `first` where nothing or a special token stands before it.
    fn encode_text(&self, text: &str, first: bool, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        let vocabulary = &self.vocabulary;
        match &self.algorithm {
            Algorithm::Bpe(bpe) => bpe.encode(vocabulary, text, tokens),
            Algorithm::Spm(spm) => spm.encode(vocabulary, text, first, tokens),
            Algorithm::Unigram(unigram) => unigram.encode(vocabulary, text, tokens),
            Algorithm::WordPiece(wordpiece) => wordpiece.encode(vocabulary, text, tokens)?,
            Algorithm::Library(library) => library.encode(text, Special::Plain, tokens)?,
        }
        Ok(())
    }

    /// The token a prompt begins with, where the model has one ([`Tokenizer::add_bos`] says whether it is to be put there).
    pub fn bos(&self) -> Option<TokenId> {
        self.named.bos
    }

    /// Whether prompts begin with [`Tokenizer::bos`].
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// The token that ends a text, where the model has one (BERT's `[SEP]` too). An answer may end with any of [`Tokenizer::eog`].
    pub fn eos(&self) -> Option<TokenId> {
        self.named.eos.or(self.named.separator)
    }

    /// Whether prompts end with [`Tokenizer::eos`]: those of encoders and of T5 do.
    pub fn add_eos(&self) -> bool {
        self.add_eos
    }

    /// What is put before a whole text and after it: `[CLS]` and `[SEP]`, a token that begins texts, nothing.
    ///
    /// # Errors
    /// Where tokenizer.json's own rules refuse any text.
    pub fn frame(&self) -> Result<(Vec<TokenId>, Vec<TokenId>), TextError> {
        if let Algorithm::Library(library) = &self.algorithm {
            return library.frame();
        }
        let some = |token: Option<TokenId>, added: bool| token.filter(|_| added).into_iter().collect();
        Ok((some(self.bos(), self.add_bos), some(self.eos(), self.add_eos)))
    }

    /// Whether a generation ends with this token.
    pub fn is_eog(&self, id: TokenId) -> bool {
        self.eog.binary_search(&id).is_ok()
    }

    /// All tokens that end a generation, ascending.
    pub fn eog(&self) -> &[TokenId] {
        &self.eog
    }

    /// How many tokens there are.
    pub fn n_vocab(&self) -> usize {
        self.vocabulary.len()
    }

    /// What a token is for; `None` for ids outside the vocabulary.
    pub fn kind(&self, id: TokenId) -> Option<TokenKind> {
        self.vocabulary.check(id).ok().map(|id| self.vocabulary.kind(id))
    }

    /// The token whose text in the file is `text`, of whatever kind: `<|im_end|>`, `Ġthe`.
    pub fn token(&self, text: &str) -> Option<TokenId> {
        self.vocabulary.find(text.as_bytes())
    }

    /// A token for display: special tokens by their text, others by what they stand for (bytes that aren't UTF-8 as U+FFFD). `None` for
    /// ids outside the vocabulary.
    pub fn piece(&self, id: TokenId) -> Option<String> {
        self.vocabulary.check(id).ok().map(|id| self.vocabulary.piece(id))
    }

    /// The bytes of text a token stands for; control tokens stand for none.
    ///
    /// # Errors
    /// For ids outside the vocabulary.
    pub fn bytes_of(&self, id: TokenId) -> Result<Cow<'_, [u8]>, TextError> {
        self.vocabulary.check(id).map(|id| self.vocabulary.bytes(id))
    }

    /// Turns tokens into text as they come.
    pub fn decoder(&self) -> Decoder {
        Decoder::new(Arc::clone(&self.vocabulary))
    }

    /// The text of `tokens`; invalid UTF-8 as U+FFFD. A space that [`Tokenizer::encode`] put before the text stays.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        let mut decoder = self.decoder();
        let text: String = tokens.iter().map(|&token| decoder.push(token)).collect();
        text + &decoder.finish()
    }

    /// Something a person should know of this tokenizer: the file is old and doesn't say which rules it was trained with.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    /// Where a control token's text begins in `text`, ascending.
    pub(crate) fn control_starts(&self, text: &str) -> Vec<usize> {
        self.control.starts(&self.vocabulary, text)
    }
}

fn charsmap(blob: &[u8]) -> Result<CharsMap, TextError> {
    let malformed = || TextError::Malformed {
        key: "tokenizer.ggml.precompiled_charsmap",
        expected: "a size and as many bytes".to_owned(),
        found: format!("{} bytes", blob.len()),
    };
    if blob.is_empty() { Ok(CharsMap::default()) } else { CharsMap::new(blob).ok_or_else(malformed) }
}

/// The special tokens that take the white space before or after them. GGUF has no field for that; as in llama.cpp, it is known by name.
fn strips(vocabulary: &Vocabulary, architecture: &str, name: &str, pre: Option<&str>) -> (Vec<TokenId>, Vec<TokenId>) {
    let find = |texts: &[&str]| texts.iter().filter_map(|text| vocabulary.find(text.as_bytes())).collect::<Vec<_>>();
    let jina = ["jina-v2-de", "jina-v2-es", "jina-v2-code"];
    if pre.is_some_and(|pre| jina.contains(&pre)) || ["nomic-bert-moe", "jina-bert-v3"].contains(&architecture) {
        (find(&["<mask>"]), Vec::new())
    } else if name.contains("phi-3") || name.contains("phi3") {
        let exceptions = find(&["<unk>", "<s>", "<|endoftext|>"]);
        let special = vocabulary.of_kind(|kind| kind.is_special() || kind == TokenKind::UserDefined);
        (Vec::new(), special.chain(find(&["</s>"])).filter(|id| !exceptions.contains(id)).collect())
    } else if name.contains("modern-bert") {
        (find(&["[MASK]"]), Vec::new())
    } else {
        Default::default()
    }
}
