//! The table of pre-tokenizers: every name that llama.cpp knows for `tokenizer.ggml.pre` of a BPE vocabulary, and its rules.
//!
//! Where llama.cpp approximates the expression of a model's tokenizer.json because its engine has no `\p{Lu}` (tekken, gpt-4o, youtu,
//! tiny_aya, kimi-k2), the expression here is the model's own.

/// One way to cut a text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    /// Every match is a word, and so is what lies between two matches.
    Isolate(&'static str),
    /// As [`Rule::Isolate`], with `|\s+(?!\S)|\s+` at the expression's end: white space that nothing else matches.
    Words(&'static str, Spaces),
    /// Runs of digits in groups of three, counted from the right.
    Thousands,
    /// Cuts before each complete group of three (ASCII) digits, counted from the right.
    BeforeThousands,
}

/// How a run of white space becomes words; its last character belongs to the word that follows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spaces {
    /// One word.
    Run,
    /// Words of 512, 256, … 2, 1 characters.
    Halving,
}

/// What a name stands for.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The names in `tokenizer.ggml.pre`.
    pub(crate) names: &'static [&'static str],
    /// The cuts, one after the other.
    pub(crate) rules: &'static [Rule],
    /// A word that is a token is not taken apart, whatever the merges say.
    pub(crate) ignore_merges: bool,
    /// A prompt begins with BOS where the file doesn't say.
    pub(crate) add_bos: bool,
    /// Spaces are written as `▁` and the rest as it is, instead of in GPT-2's alphabet of bytes.
    pub(crate) spaced: bool,
}

/// What most names have.
const PLAIN: Rules = Rules { names: &[], rules: &[], ignore_merges: false, add_bos: false, spaced: false };

/// GPT-2's words.
const GPT2: Rule = Rule::Words(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+", Spaces::Run);

/// English contractions in either case, then words with one leading character that is neither letter nor digit.
macro_rules! contractions_and_words {
    ($rest:literal) => {
        concat!(r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|", $rest)
    };
}

const LLAMA3_WORDS: &str = contractions_and_words!(r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+");
const LLAMA3: Rule = Rule::Words(LLAMA3_WORDS, Spaces::Run);

const QWEN2: Rule = Rule::Words(contractions_and_words!(r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"), Spaces::Run);

/// Words that begin with capitals or go on in small letters, as tiktoken's o200k has them; `$contraction` may follow.
macro_rules! cased_words {
    ($contraction:literal, $rest:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            $contraction,
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            $contraction,
            "|",
            $rest
        )
    };
}

const O200K: Rule = Rule::Words(
    cased_words!(r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?", r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"),
    Spaces::Run,
);

const DIGIT: Rule = Rule::Isolate(r"\p{N}");
const DIGITS: Rule = Rule::Isolate(r"\p{N}+");
const UP_TO_THREE_DIGITS: Rule = Rule::Isolate(r"\p{N}{1,3}");
const THREE_DIGITS: Rule = Rule::Isolate("[0-9][0-9][0-9]");
const LINES: Rule = Rule::Isolate(r"[^\n]+|\n+");
const KANJI_AND_KANA: Rule = Rule::Isolate(r"[\u{4e00}-\u{9fa5}\u{3040}-\u{30ff}]+");

/// DeepSeek V3's words: a sign glued to Latin letters, words with their marks, runs of signs.
const DEEPSEEK3: Rule = Rule::Words(
    concat!(
        r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
        r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+"
    ),
    Spaces::Run,
);

/// The letters that have a case, as DeepSeek LLM's tokenizer.json lists them.
const DEEPSEEK_LETTERS: &str = concat!(
    r"\s?[",
    r"A-Za-z\u{b5}\u{c0}-\u{d6}\u{d8}-\u{f6}\u{f8}-\u{1ba}\u{1bc}-\u{1bf}\u{1c4}-\u{293}\u{295}-\u{2af}\u{370}-\u{373}",
    r"\u{376}\u{377}\u{37b}-\u{37d}\u{37f}\u{386}\u{388}-\u{38a}\u{38c}\u{38e}-\u{3a1}\u{3a3}-\u{3f5}\u{3f7}-\u{481}",
    r"\u{48a}-\u{52f}\u{531}-\u{556}\u{10a0}-\u{10c5}\u{13a0}-\u{13f5}\u{13f8}-\u{13fd}\u{1c90}-\u{1cba}",
    r"\u{1cbd}-\u{1cbf}\u{1d00}-\u{1d2b}\u{1d6b}-\u{1d77}\u{1d79}-\u{1d9a}\u{1e00}-\u{1f15}\u{1f18}-\u{1f1d}",
    r"\u{1f20}-\u{1f45}\u{1f48}-\u{1f4d}\u{1f50}-\u{1f57}\u{1f59}\u{1f5b}\u{1f5d}\u{1f5f}-\u{1f7d}\u{1f80}-\u{1fb4}",
    r"\u{1fb6}-\u{1fbc}\u{1fbe}\u{1fc2}-\u{1fc4}\u{1fc6}-\u{1fcc}\u{1fd0}-\u{1fd3}\u{1fd6}-\u{1fdb}\u{1fe0}-\u{1fec}",
    r"\u{1ff2}-\u{1ff4}\u{1ff6}-\u{1ffc}\u{2102}\u{2107}\u{210a}-\u{2113}\u{2115}\u{2119}-\u{211d}\u{2124}\u{2126}",
    r"\u{2128}\u{212a}-\u{212d}\u{212f}-\u{2134}\u{2139}\u{213c}-\u{213f}\u{2145}-\u{2149}\u{214e}\u{2183}\u{2184}",
    r"\u{2c00}-\u{2c7b}\u{2c7e}-\u{2ce4}\u{2ceb}-\u{2cee}\u{2cf2}\u{2cf3}\u{a640}-\u{a66d}\u{a680}-\u{a69b}",
    r"\u{a722}-\u{a76f}\u{a771}-\u{a787}\u{a78b}-\u{a78e}\u{ab70}-\u{abbf}\u{fb00}-\u{fb06}\u{fb13}-\u{fb17}",
    r"\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}",
    r"\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}",
    "]+"
);

/// Words without the signs that BLOOM cuts at.
const BLOOM: Rule = Rule::Isolate(r" ?[^(\s|.,!?…。，、।۔،)]+");

/// Every name that is known.
pub(crate) const KNOWN: &[Rules] = &[
    Rules { names: &["default"], rules: &[Rule::Isolate(r"[\p{P}$+<=>^~|]+"), GPT2, DIGITS, THREE_DIGITS], ..PLAIN },
    Rules {
        names: &["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
        rules: &[LLAMA3],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    Rules { names: &["dbrx", "smaug-bpe", "chatglm-bpe"], rules: &[LLAMA3], ..PLAIN },
    Rules { names: &["glm4", "glm5"], rules: &[LLAMA3], ignore_merges: true, ..PLAIN },
    Rules { names: &["jais-2"], rules: &[Rule::Words(LLAMA3_WORDS, Spaces::Halving)], ..PLAIN },
    Rules {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "gigachat",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
        ],
        rules: &[GPT2],
        ..PLAIN
    },
    Rules {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
        rules: &[DIGIT, GPT2],
        ..PLAIN
    },
    Rules {
        names: &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
        rules: &[QWEN2],
        ..PLAIN
    },
    Rules {
        names: &["qwen35"],
        rules: &[Rule::Words(
            concat!(
                r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
                r"|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+"
            ),
            Spaces::Run,
        )],
        ..PLAIN
    },
    Rules {
        names: &["ufakzeka"],
        rules: &[Rule::Words(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+", Spaces::Run)],
        ..PLAIN
    },
    Rules { names: &["laguna"], rules: &[LINES, QWEN2], ..PLAIN },
    Rules {
        names: &["minicpm5"],
        rules: &[UP_TO_THREE_DIGITS, Rule::Words(contractions_and_words!(r"\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"), Spaces::Run)],
        ignore_merges: true,
        ..PLAIN
    },
    Rules {
        names: &["seed-coder"],
        rules: &[Rule::Words(contractions_and_words!(r"\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+"), Spaces::Run)],
        ..PLAIN
    },
    Rules {
        names: &["bailingmoe", "bailingmoe2", "llada-moe"],
        rules: &[Rule::Words(
            concat!(r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])", r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]"),
            Spaces::Run,
        )],
        ..PLAIN
    },
    Rules {
        names: &["exaone-moe"],
        rules: &[Rule::Words(
            concat!(
                r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]",
                r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]"
            ),
            Spaces::Run,
        )],
        ..PLAIN
    },
    Rules { names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], rules: &[O200K], ..PLAIN },
    Rules { names: &["granite-embed-multi-97m"], rules: &[O200K], ignore_merges: true, ..PLAIN },
    Rules { names: &["tiny_aya", "cohere2moe"], rules: &[Rule::Thousands, O200K], ..PLAIN },
    Rules {
        names: &["tekken"],
        rules: &[Rule::Words(cased_words!("", r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"), Spaces::Run)],
        ignore_merges: true,
        add_bos: true,
        ..PLAIN
    },
    Rules {
        names: &["youtu"],
        rules: &[
            Rule::Isolate(concat!(
                r"[\u{ac00}-\u{d7a3}\u{3131}-\u{318e}]+|[！…“”‘’—：；，\u{3001}-\u{303f}\u{fe30}-\u{fe4f}]+",
                r"|[\u{3105}-\u{312f}]+|[\u{4e00}-\u{9fa5}\u{3040}-\u{30ff}]+"
            )),
            Rule::Words(
                cased_words!(r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?", r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"),
                Spaces::Run,
            ),
        ],
        ignore_merges: true,
        ..PLAIN
    },
    Rules {
        names: &["kimi-k2"],
        rules: &[Rule::Words(
            concat!(
                r"\p{Han}+",
                r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
                r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?",
                r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*",
                r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?",
                r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
            ),
            Spaces::Run,
        )],
        ..PLAIN
    },
    Rules {
        names: &["deepseek-llm"],
        rules: &[
            Rule::Isolate(r"[\r\n]"),
            Rule::Isolate(DEEPSEEK_LETTERS),
            Rule::Isolate(r"\s?[!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}]+"),
            Rule::Isolate(r"\s+$"),
            Rule::Isolate(r"[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+"),
            DIGITS,
        ],
        ..PLAIN
    },
    Rules {
        names: &["deepseek-coder"],
        rules: &[
            Rule::Isolate(r"[\r\n]"),
            Rule::Isolate(r"\s?\p{L}+"),
            Rule::Isolate(r"\s?\p{P}+"),
            Rule::Isolate(r"[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+"),
            DIGIT,
        ],
        ..PLAIN
    },
    Rules {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        rules: &[UP_TO_THREE_DIGITS, KANJI_AND_KANA, DEEPSEEK3],
        ..PLAIN
    },
    Rules {
        names: &["spark2_5"],
        rules: &[
            UP_TO_THREE_DIGITS,
            KANJI_AND_KANA,
            Rule::Words(
                concat!(
                    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
                    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]"
                ),
                Spaces::Run,
            ),
            DIGIT,
        ],
        ..PLAIN
    },
    Rules {
        names: &["afmoe"],
        rules: &[
            Rule::Thousands,
            Rule::Isolate(concat!(
                r"[\u{4e00}-\u{9fff}\u{3400}-\u{4dbf}\u{8c48}-\u{faff}\u{3040}-\u{309f}\u{30a0}-\u{30ff}\u{ff65}-\u{ff9f}\u{2f00}-\u{2fdf}",
                r"\u{e40}-\u{e7f}\u{e80}-\u{eff}\u{1780}-\u{17ff}\u{1000}-\u{109f}\u{aa60}-\u{aa7f}",
                r"\u{a9e0}-\u{a9ff}\u{ac00}-\u{d7af}\u{1100}-\u{11ff}]+"
            )),
            DEEPSEEK3,
        ],
        ..PLAIN
    },
    Rules { names: &["falcon"], rules: &[Rule::Isolate(r"[\p{P}$+<=>^~|`]+"), GPT2, THREE_DIGITS], ..PLAIN },
    Rules { names: &["bloom", "gpt3-finnish", "poro-chat"], rules: &[BLOOM], ..PLAIN },
    Rules { names: &["viking"], rules: &[BLOOM, DIGIT], ..PLAIN },
    Rules {
        names: &["chameleon"],
        rules: &[
            Rule::Isolate(r"<sentinel:[0-9]+>"),
            Rule::Isolate(r"IMGIMG[A-I]{1,4}Z"),
            Rule::Isolate(r"[\t\n]|    |  "),
            DIGIT,
            Rule::Isolate(r"[\p{P}!-/:-@\[-`{-~]"),
            GPT2,
        ],
        add_bos: true,
        ..PLAIN
    },
    Rules { names: &["superbpe"], rules: &[DIGITS, Rule::BeforeThousands], ..PLAIN },
    Rules { names: &["gemma4", "granite-embed-multi-311m"], rules: &[LINES], spaced: true, add_bos: true, ..PLAIN },
    Rules { names: &["sarvam-moe"], rules: &[LINES], spaced: true, ..PLAIN },
];
