//! Pre-tokenizers: how a text is cut into words before BPE. The rules of each name that `tokenizer.ggml.pre` may hold are data, in
//! [`rules`]; this file runs them.
//!
//! Rules follow one another: each cuts the pieces that the one before it left. The expressions are those of the models' tokenizer.json;
//! their one construct that a linear-time engine can't have, `\s+(?!\S)`, is not in them but in [`Words`](rules::Rule::Words): a run of
//! white space leaves its last character to the word that follows.

mod rules;

use crate::error::{TextError, one_line};
use regex_automata::Input;
use regex_automata::meta::Regex;
use rules::{KNOWN, Rule, Rules, Spaces};

/// The rules of one name, compiled.
#[derive(Debug)]
pub(crate) struct PreTokenizer {
    rules: &'static Rules,
    steps: Vec<Step>,
}

/// A compiled rule.
#[derive(Debug)]
enum Step {
    Isolate(Regex),
    Words(Regex, Spaces),
    Thousands,
    BeforeThousands,
}

impl PreTokenizer {
    /// The rules that `tokenizer.ggml.pre` names.
    ///
    /// # Errors
    /// Where the name is unknown: with other rules the model would see other tokens than it was trained on.
    pub(crate) fn named(name: &str) -> Result<PreTokenizer, TextError> {
        let rules = KNOWN.iter().find(|rules| rules.names.contains(&name)).ok_or_else(|| unknown(name))?;
        let steps = rules.rules.iter().map(compile).collect();
        Ok(PreTokenizer { rules, steps })
    }

    /// What belongs to the name beside its expressions.
    pub(crate) fn rules(&self) -> &'static Rules {
        self.rules
    }

    /// Hands the words of `text` to `emit`, from the first to the last; together they are the text.
    pub(crate) fn split(&self, text: &str, emit: &mut dyn FnMut(&str)) {
        run(&self.steps, text, emit);
    }
}

fn unknown(name: &str) -> TextError {
    let names = || KNOWN.iter().flat_map(|rules| rules.names.iter().copied());
    let nearest = names().map(|known| (strsim::jaro_winkler(known, name), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = nearest.filter(|&(likeness, _)| likeness > 0.85).map(|(_, known)| format!(" (did you mean `{known}`?)"));
    let known = names().collect::<Vec<_>>().join(", ");
    TextError::UnknownPreTokenizer { found: one_line(name, 80), nearest: nearest.unwrap_or_default(), known }
}

fn compile(rule: &Rule) -> Step {
    // The expressions are ours, and the tests compile each of them.
    let regex = |patterns: &[&str]| Regex::new_many(patterns).expect("a pre-tokenizer's expression is valid");
    match *rule {
        Rule::Isolate(pattern) => Step::Isolate(regex(&[pattern])),
        Rule::Words(pattern, spaces) => Step::Words(regex(&[pattern, r"\s+"]), spaces),
        Rule::Thousands => Step::Thousands,
        Rule::BeforeThousands => Step::BeforeThousands,
    }
}

/// Cuts `piece` by the first step and what it leaves by the others.
fn run(steps: &[Step], piece: &str, emit: &mut dyn FnMut(&str)) {
    let Some((step, rest)) = steps.split_first() else {
        emit(piece);
        return;
    };
    let mut next = |piece: &str| {
        if !piece.is_empty() {
            run(rest, piece, emit);
        }
    };
    match step {
        Step::Isolate(regex) => isolate(piece, regex.find_iter(piece).map(|found| found.range()), &mut next),
        Step::Words(regex, spaces) => words(piece, regex, *spaces, &mut next),
        Step::Thousands => isolate(piece, thousands(piece, char::is_numeric), &mut next),
        Step::BeforeThousands => isolate(piece, before_thousands(piece), &mut next),
    }
}

/// The found ranges and what lies between them.
fn isolate(piece: &str, found: impl Iterator<Item = std::ops::Range<usize>>, next: &mut dyn FnMut(&str)) {
    let mut end = 0;
    for range in found {
        next(&piece[end..range.start]);
        next(&piece[range.clone()]);
        end = range.end;
    }
    next(&piece[end..]);
}

/// As [`isolate`] with pattern 0; where pattern 1, white space, is found, as much of it as `spaces` says.
fn words(piece: &str, regex: &Regex, spaces: Spaces, next: &mut dyn FnMut(&str)) {
    let (mut end, mut at) = (0, 0);
    while let Some(found) = regex.search(&Input::new(piece).range(at..)) {
        next(&piece[end..found.start()]);
        end = found.start();
        if found.pattern().as_usize() == 0 {
            next(&piece[found.range()]);
            end = found.end();
        } else {
            let last = found.end() - piece[found.range()].chars().next_back().map_or(0, char::len_utf8);
            let free = if found.end() == piece.len() || last == end { found.end() } else { last };
            while end < free {
                let word = &piece[end..][..spaces.take(&piece[end..free])];
                next(word);
                end += word.len();
            }
        }
        at = end;
    }
    next(&piece[end..]);
}

impl Spaces {
    /// Bytes of the first word of `run`, which is white space and not empty.
    fn take(self, run: &str) -> usize {
        match self {
            Spaces::Run => run.len(),
            Spaces::Halving => {
                let characters = run.chars().take(512).count();
                let count = [512, 256, 128, 64, 32, 16, 8, 4, 2].into_iter().find(|&count| count <= characters).unwrap_or(1);
                run.char_indices().nth(count).map_or(run.len(), |(start, _)| start)
            }
        }
    }
}

/// Groups of three digits, counted from the right end of each run, the first group of a run being shorter.
fn thousands(piece: &str, is_digit: fn(char) -> bool) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let mut characters = piece.char_indices().peekable();
    while let Some((start, character)) = characters.next() {
        if !is_digit(character) {
            continue;
        }
        let mut digits = vec![start];
        while let Some((next, _)) = characters.next_if(|&(_, character)| is_digit(character)) {
            digits.push(next);
        }
        let end = characters.peek().map_or(piece.len(), |&(next, _)| next);
        let first = (digits.len() - 1) % 3 + 1;
        let starts = std::iter::once(start).chain(digits.iter().skip(first).step_by(3).copied());
        let ends = digits.iter().skip(first).step_by(3).copied().chain([end]);
        groups.extend(starts.zip(ends).map(|(start, end)| start..end));
    }
    groups.into_iter()
}

/// The groups of three of [`thousands`] without a shorter first one, which stays with what stands before it.
fn before_thousands(piece: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    thousands(piece, |character| character.is_ascii_digit()).filter(|group| group.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        PreTokenizer::named(name).unwrap().split(text, &mut |word| words.push(word.to_owned()));
        words
    }

    /// The names that llama.cpp's converter gives the families of `kinglet-models` with byte-level BPE.
    #[test]
    fn the_names_of_all_families_are_known() {
        for name in ["gpt-2", "mpt", "olmo", "phi-2", "stablelm2", "starcoder", "command-r", "tiny_aya", "falcon", "falcon3", "bloom"] {
            assert!(PreTokenizer::named(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn every_name_compiles_and_keeps_the_text() {
        let text = "Hello, WORLD's 12345 étés…\r\n\n\t  漢字かな नमस्ते 👩‍👩‍👧 \u{0}x   \u{3000}'LL <|x|> a_b::c";
        for name in KNOWN.iter().flat_map(|rules| rules.names) {
            assert_eq!(split(name, text).concat(), text, "{name}");
        }
    }

    #[test]
    fn a_run_of_spaces_leaves_its_last_to_the_word() {
        assert_eq!(split("gpt-2", "a   b  "), ["a", "  ", " b", "  "]);
        assert_eq!(split("gpt-2", "a \t b"), ["a", " \t", " b"]);
        assert_eq!(split("llama-bpe", "a \n b\n\n"), ["a", " \n", " b", "\n\n"]);
        assert_eq!(split("llama-bpe", "x\t\ty"), ["x", "\t", "\ty"]);
    }

    #[test]
    fn numbers_are_cut_as_each_family_cuts_them() {
        assert_eq!(split("smollm", "x 123"), ["x", " ", "1", "2", "3"]);
        assert_eq!(split("llama-bpe", "12345"), ["123", "45"]);
        assert_eq!(split("afmoe", "a1234567"), ["a", "1", "234", "567"]);
        assert_eq!(split("superbpe", "ab1234 cd"), ["ab", "1", "234", " cd"]);
    }

    #[test]
    fn jais_halves_its_runs_of_spaces() {
        let words = split("jais-2", &format!("a{}b", " ".repeat(520)));
        assert_eq!(words.iter().map(String::len).collect::<Vec<_>>(), [1, 512, 4, 2, 1, 2]);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let error = PreTokenizer::named("qwen-2").unwrap_err().to_string();
        assert!(error.contains("did you mean `qwen2`") && error.contains("llama-bpe"), "{error}");
    }
}
