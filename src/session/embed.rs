//! Vectors of whole texts: the hidden states of a text's tokens, pooled into one. Encoders are made for it, and decoders can be used so
//! too; several texts go through the model in one pass.

use super::model::Shared;
use super::{BATCH, Model, budget};
use crate::error::{Error, SessionError};
use crate::forward::{Output, Positions, Segment};
use crate::kv::{Cache, Policy};
use crate::text::Special;
use crate::types::TokenId;

/// How the hidden states of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean (Reimers & Gurevych 2019).
    Mean,
    /// That of the first token, `[CLS]` (Devlin et al. 2019).
    Cls,
    /// That of the last token, which is the only one that has seen the whole text in a decoder.
    Last,
}

impl Pooling {
    /// As files and command lines spell it.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Mean => "mean",
            Pooling::Cls => "cls",
            Pooling::Last => "last",
        }
    }

    /// One vector of `rows: [tokens, width]`, which are not none.
    fn of(self, rows: &[f32], width: usize) -> Vec<f32> {
        let tokens = rows.len() / width;
        match self {
            Pooling::Cls => rows[..width].to_vec(),
            Pooling::Last => rows[rows.len() - width..].to_vec(),
            Pooling::Mean => {
                let mut sums = vec![0f64; width];
                for row in rows.chunks_exact(width) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
                }
                sums.into_iter().map(|sum| (sum / tokens as f64) as f32).collect()
            }
        }
    }
}

/// How texts become vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedOptions {
    /// How tokens' hidden states are pooled; `None` is what the model's files say (see [`Model::pooling`]).
    pub pooling: Option<Pooling>,
    /// Scale vectors to length 1, so that their dot product is their cosine.
    pub normalise: bool,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        EmbedOptions { pooling: None, normalise: true }
    }
}

impl Model {
    /// The vector of each text, `[d_model]`. The texts' special tokens are part of them (see [`Model::whole_text`]). A text's vector is
    /// the same bits beside any others.
    ///
    /// # Errors
    /// As [`Model::hidden_states`] and [`Model::pooling`].
    pub fn embed(&self, texts: &[Vec<TokenId>], options: &EmbedOptions) -> Result<Vec<Vec<f32>>, Error> {
        let pooling = options.pooling.map_or_else(|| self.pooling(), Ok)?;
        let (shared, width) = (&self.shared, self.spec().d_model);
        let mut vectors = Vec::with_capacity(texts.len());
        shared.hidden_states(texts, |rows| {
            let mut vector = pooling.of(rows, width);
            if options.normalise {
                normalise(&mut vector);
            }
            vectors.push(vector);
        })?;
        Ok(vectors)
    }

    /// The hidden states after the last norm of each text's tokens, `[tokens, d_model]`. An encoder takes each text whole.
    ///
    /// # Errors
    /// Where a text is empty, has more tokens than the model has learned positions, or a token outside the vocabulary.
    pub fn hidden_states(&self, texts: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>, Error> {
        let mut states = Vec::with_capacity(texts.len());
        self.shared.hidden_states(texts, |rows| states.push(rows.to_vec()))?;
        Ok(states)
    }

    /// How the model's files say that hidden states are pooled; where they don't: the mean for encoders, the last token for decoders.
    ///
    /// # Errors
    /// Where they want something that kinglet does not do.
    pub fn pooling(&self) -> Result<Pooling, Error> {
        let expected = "mean, cls or last; another one can be asked for (--pooling)";
        match self.file().pooling()?.as_deref() {
            None if self.spec().is_encoder() => Ok(Pooling::Mean),
            None => Ok(Pooling::Last),
            Some(word) => match [Pooling::Mean, Pooling::Cls, Pooling::Last].into_iter().find(|pooling| pooling.name() == word) {
                Some(pooling) => Ok(pooling),
                None => {
                    Err(SessionError::Pooling { file: "the model's pooling".into(), found: word.escape_debug().to_string(), expected }
                        .into())
                }
            },
        }
    }

    /// Tokens of a text that the model has seen in training at most, which is also the number of its positions where it has learned them.
    pub fn longest_text(&self) -> usize {
        self.spec().longest().unwrap_or(self.spec().trained_context)
    }

    /// The tokens of a text with what the model's tokenizer puts before and after it (`[CLS]` … `[SEP]`); special tokens in the text are
    /// text. Where they are more than `most`, the text's last ones are left out.
    ///
    /// # Errors
    /// Where the model has no tokenizer or the tokenizer refuses the text.
    pub fn whole_text(&self, text: &str, most: Option<usize>) -> Result<Vec<TokenId>, Error> {
        let tokenizer = self.tokenizer()?;
        let ((before, after), mut tokens) = (tokenizer.frame()?, tokenizer.encode(text, Special::Plain)?);
        tokens.truncate(most.unwrap_or(usize::MAX).saturating_sub(before.len() + after.len()));
        Ok(before.into_iter().chain(tokens).chain(after).collect())
    }
}

impl Shared {
    /// Gives each text's hidden states to `take`, in order. Texts share a pass as long as it has not too many rows.
    fn hidden_states(&self, texts: &[Vec<TokenId>], mut take: impl FnMut(&[f32])) -> Result<(), Error> {
        let spec = self.decoder.spec();
        let most = spec.longest().unwrap_or(usize::MAX);
        let trained = spec.trained_context.min(most);
        for (number, text) in (1..).zip(texts) {
            if text.is_empty() {
                return Err(SessionError::Empty.into());
            }
            if text.len() > most {
                return Err(SessionError::TextTooLong { number, tokens: text.len(), longest: most }.into());
            }
        }
        let mut rest = texts;
        while !rest.is_empty() {
            // Schemes that stretch depend on the bound, so that a text beyond the usual one has a pass of its own.
            let sums = rest.iter().take_while(|text| text.len() <= trained).scan(0, |rows, text| {
                *rows += text.len();
                Some(*rows)
            });
            let (group, others) = rest.split_at(sums.take_while(|&rows| rows <= BATCH).count().max(1));
            rest = others;
            let states = match group[0].len() {
                long if long > trained => self.pass(&self.decoder.positions(&self.file, long)?, group)?,
                _ => self.pass(self.text_positions(trained)?, group)?,
            };
            let mut at = 0;
            for text in group {
                let end = at + text.len() * spec.d_model;
                take(&states[at..end]);
                at = end;
            }
        }
        Ok(())
    }

    /// The position schemes for texts of up to `trained` tokens, resolved at the first call.
    fn text_positions(&self, trained: usize) -> Result<&Positions, Error> {
        if let Some(positions) = self.text_positions.get() {
            return Ok(positions);
        }
        let positions = self.decoder.positions(&self.file, trained)?;
        Ok(self.text_positions.get_or_init(|| positions))
    }

    /// The hidden states of several texts in one pass; of a single long one for a decoder in as many as it takes.
    fn pass(&self, positions: &Positions, texts: &[Vec<TokenId>]) -> Result<Vec<f32>, Error> {
        let cache = |text: &Vec<TokenId>| Cache::new(self.decoder.cache_shapes(), self.cache_format, text.len(), Policy::Stop);
        let rows = texts.iter().map(Vec::len).sum();
        budget::allows(self, rows)?;
        let mut caches: Vec<Cache> = texts.iter().map(cache).collect::<Result<_, _>>()?;
        let mut states = Vec::new();
        match (texts, &mut caches[..]) {
            ([text], [cache]) if !self.decoder.spec().is_encoder() => {
                for tokens in text.chunks(BATCH) {
                    let segment = Segment { cache, tokens, outputs: tokens.len() };
                    let at = states.len();
                    self.forward(positions, &mut [segment], Output::Hidden, None, (&mut states, at))?;
                }
            }
            (texts, caches) => {
                let segment = |(text, cache)| -> Segment<'_> { Segment { cache, tokens: text, outputs: usize::MAX } };
                let mut segments: Vec<Segment<'_>> = texts.iter().map(Vec::as_slice).zip(caches).map(segment).collect();
                self.forward(positions, &mut segments, Output::Hidden, None, (&mut states, 0))?;
            }
        }
        Ok(states)
    }
}

/// Scales `vector` to length 1; one of zeros stays.
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}
