//! One test of `kinglet bench`: what is measured, how one run of it goes, and its samples.

use super::record::Subject;
use crate::cli::Failure;
use crate::forward::Profile;
use crate::kv::Policy;
use crate::text::Special;
use crate::types::TokenId;
use crate::{Error, Event, GenerateOptions, Model, SamplerOptions, Session, SessionOptions};
use std::time::{Duration, Instant};

/// What a test has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Tokens of a prompt.
    pub n_prompt: usize,
    /// Tokens that are generated after it.
    pub n_gen: usize,
    /// Tokens that the context holds before.
    pub n_depth: usize,
    /// Text in, text out: tokenising, sampling and detokenising are measured too.
    pub end_to_end: bool,
}

/// A test and its samples.
pub struct Test<'a> {
    pub subject: &'a Subject,
    pub work: Work,
    /// Holds `n_depth` tokens (one, where text is to be generated from nothing).
    base: Session,
    prompt: Prompt,
    /// Time of each run.
    pub samples: Vec<Duration>,
    /// The steps of all samples, with `--profile`.
    pub profile: Option<Profile>,
}

/// What a run reads.
enum Prompt {
    Tokens(Vec<TokenId>),
    Text(String),
}

impl<'a> Test<'a> {
    /// Prepares the context and the prompt.
    pub fn new(subject: &'a Subject, work: Work) -> Result<Test<'a>, Failure> {
        let model = &subject.model;
        // A text may have some more tokens than were asked for, and a generation needs a token to go on from.
        let context = work.n_depth + work.n_prompt + work.n_gen + if work.end_to_end { 64 } else { 0 };
        let mut base = model.session(SessionOptions { context: Some(context), policy: Some(Policy::Stop) })?;
        let before = if work.end_to_end && work.n_prompt == 0 { work.n_depth.max(1) } else { work.n_depth };
        if before > 0 {
            base.feed(&tokens(model, before))?;
        }
        let (prompt, n_prompt) = match work.end_to_end {
            true => text(model, work.n_prompt)?,
            false => (Prompt::Tokens(tokens(model, work.n_prompt)), work.n_prompt),
        };
        Ok(Test { subject, work: Work { n_prompt, ..work }, base, prompt, samples: Vec::new(), profile: None })
    }

    /// Brings pages, caches and the clock of the processor to where they are in the middle of work.
    pub fn warm_up(&self) -> Result<(), Failure> {
        let mut session = self.base.fork();
        if self.work.n_prompt > 0 {
            self.read(&mut session)?;
        }
        if self.work.n_gen > 0 {
            session.feed(&tokens(&self.subject.model, 1))?;
        }
        Ok(())
    }

    /// Whether the last run was so short that what other tests' runs left counts in the next one: on a virtual machine whose host takes
    /// away what was not used for two seconds, two threads took a fourth longer for a prompt of 512 tokens than when they were just
    /// warmed up.
    pub fn is_short(&self) -> bool {
        self.samples.last().is_some_and(|last| *last < Duration::from_secs(2))
    }

    /// One run more, whose steps are measured where `profile`.
    pub fn repeat(&mut self, profile: bool) -> Result<(), Failure> {
        if profile {
            self.subject.model.start_profile();
        }
        let sample = self.measure()?;
        self.samples.push(sample);
        if let Some(steps) = self.subject.model.take_profile() {
            self.profile.get_or_insert_default().add(&steps);
        }
        Ok(())
    }

    /// One run. As with llama-bench, tokens are at random and sampling is no part of it, unless it is from end to end.
    fn measure(&self) -> Result<Duration, Failure> {
        let mut session = self.base.fork();
        let next = tokens(&self.subject.model, self.work.n_gen);
        let begin = Instant::now();
        if self.work.n_prompt > 0 {
            self.read(&mut session)?;
        }
        match self.work.end_to_end {
            true if self.work.n_gen > 0 => self.write(&mut session)?,
            true => {}
            false => next.into_iter().try_for_each(|token| session.feed(&[token]))?,
        }
        Ok(begin.elapsed())
    }

    fn read(&self, session: &mut Session) -> Result<(), Failure> {
        match &self.prompt {
            Prompt::Tokens(tokens) => session.feed(tokens)?,
            Prompt::Text(text) => session.feed_text(text).map(|_| ())?,
        }
        Ok(())
    }

    /// Generates with the default sampler chain, and shows the text to nobody.
    fn write(&self, session: &mut Session) -> Result<(), Failure> {
        let sampler = SamplerOptions { seed: Some(42), ..SamplerOptions::default() };
        let options = GenerateOptions { sampler, max_tokens: Some(self.work.n_gen), ignore_eos: true, ..GenerateOptions::default() };
        for event in session.generate(options)? {
            let (Event::Token { text, .. } | Event::Finished { text, .. }) = event?;
            std::hint::black_box(text);
        }
        // The last token is sampled and not computed: as many passes as tokens are measured in any case.
        session.logits()?;
        Ok(())
    }
}

/// `n` tokens from all over the vocabulary, always the same ones.
fn tokens(model: &Model, n: usize) -> Vec<TokenId> {
    let n_vocab = model.spec().n_vocab as u64;
    // Knuth's multiplicative generator; all that counts here is that neighbours differ.
    let mut state: u64 = 42;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        TokenId(((state >> 33) % n_vocab) as u32)
    };
    (0..n).map(|_| next()).collect()
}

/// A text of about `n` tokens, and how many it has (with the token that begins a text, where the model wants one).
fn text(model: &Model, n: usize) -> Result<(Prompt, usize), Failure> {
    const SENTENCES: [&str; 4] = [
        "The lamp on the quay was lit an hour before dusk, as it had been every evening since 1874. ",
        "Nobody asked why; \"because it always was\", they said, and went on mending their nets. ",
        "In March the ice broke up, 3 boats left for the islands, and the price of salt fell to 12.50 a barrel. ",
        "What she remembered afterwards was the sound: a long, low note, like a bow drawn over a slack string. ",
    ];
    if n == 0 {
        return Ok((Prompt::Text(String::new()), 0));
    }
    let tokenizer = model.tokenizer()?;
    let bos = usize::from(tokenizer.bos().is_some() && tokenizer.add_bos());
    let count = |text: &str| Ok::<_, Failure>(bos + tokenizer.encode(text, Special::Plain).map_err(Error::from)?.len());
    let mut text = String::new();
    for words in SENTENCES.iter().cycle().flat_map(|sentence| sentence.split_inclusive(' ')) {
        text += words;
        // A word has a token at least, so that it needs not be counted each time.
        if text.len() >= 2 * n && count(&text)? >= n {
            break;
        }
    }
    let n = count(&text)?;
    Ok((Prompt::Text(text), n))
}
