//! A position scheme as a person writes it (`rope:yarn=4,orig=2048`, `alibi:scale=0.5`, `rope+alibi`, `none`), put in the place of the
//! one a model was trained with. It is a change to the model's recipe, made before anything is computed.

use crate::error::PositionError;
use kinglet_models::{Attention, Bias, Grouping, Mask, Pairing, Rope, RopeScaling, Spec};
use std::collections::BTreeMap;
use std::str::FromStr;

/// What is said of the words that may be written.
const GRAMMAR: &str = "file, none, rope, alibi, or several joined by +, each with options after a colon: \
                       rope:base=500000, rope:linear=2, rope:ntk=4, rope:dynamic=4, rope:yarn=4,orig=2048, rope:llama3=8, \
                       rope:self-extend=8,window=512, alibi:scale=0.5; and joined to one of them what is seen: \
                       +window:size=512, +chunked:size=512, +prefix:size=64";

/// A scheme that replaces the file's.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheme {
    text: String,
    rope: Option<RopeChange>,
    /// ALiBi's slopes are multiplied by this.
    alibi: Option<f64>,
    /// Which tokens are seen.
    sight: Option<SightChange>,
    /// The file's own scheme, unchanged.
    file: bool,
}

/// What becomes of which tokens a layer's queries see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SightChange {
    Window(usize),
    Mask(Mask),
}

/// What becomes of a layer's rotation.
#[derive(Debug, Clone, PartialEq, Default)]
struct RopeChange {
    base: Option<f64>,
    scaling: Option<Scaling>,
    original: Option<usize>,
    beta_fast: f64,
    beta_slow: f64,
    attention_factor: Option<f64>,
    low: f64,
    high: f64,
    /// Tokens that share a position, and the distance from which they do.
    self_extend: Option<(usize, Option<usize>)>,
}

/// A scaling and its factor.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scaling {
    None,
    Linear(f64),
    Ntk(f64),
    Dynamic(f64),
    Yarn(f64),
    Llama3(f64),
}

impl FromStr for Scheme {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Scheme, PositionError> {
        let mut scheme = Scheme { text: text.to_owned(), rope: None, alibi: None, sight: None, file: false };
        for term in text.split('+') {
            let (name, options) = term.split_once(':').unwrap_or((term, ""));
            let options = Options::parse(term, options)?;
            let twice = match name.trim() {
                "rope" => scheme.rope.replace(rope(options)?).is_some(),
                "alibi" => scheme.alibi.replace(alibi(options)?).is_some(),
                "window" => scheme.sight.replace(SightChange::Window(size(options)?)).is_some(),
                "chunked" => scheme.sight.replace(SightChange::Mask(Mask::Chunked(size(options)?))).is_some(),
                "prefix" => scheme.sight.replace(SightChange::Mask(Mask::Prefix(size(options)?))).is_some(),
                "none" | "nope" => options.none().map(|()| false)?,
                "file" => {
                    options.none()?;
                    std::mem::replace(&mut scheme.file, true)
                }
                _ => return Err(PositionError::Unknown { term: term.to_owned(), expected: GRAMMAR }),
            };
            if twice {
                return Err(PositionError::Twice { term: name.trim().to_owned() });
            }
        }
        let among = |name: &str| text.split('+').any(|term| term.trim() == name) && (scheme.rope.is_some() || scheme.alibi.is_some());
        if among("none") || among("nope") || (scheme.file && scheme.rope.is_some()) {
            return Err(PositionError::Unknown {
                term: text.to_owned(),
                expected: "none with neither rope nor alibi, and file or rope but not both",
            });
        }
        Ok(scheme)
    }
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Scheme {
    /// Puts the scheme in the place of the recipe's own.
    ///
    /// # Errors
    /// Where the model can't take it.
    pub fn apply(&self, spec: &mut Spec) -> Result<(), PositionError> {
        let trained = spec.trained_context;
        let groups = self.rope.as_ref().is_some_and(|change| change.self_extend.is_some());
        if (groups || self.sight.is_some()) && (spec.is_encoder() || spec.encoder.is_some()) {
            return Err(PositionError::NotCausal { scheme: self.text.clone(), family: spec.family });
        }
        // A model that rotates in some layers goes on without in the others.
        let rotates = spec.layers.iter().any(|layer| layer.attention.rope.is_some());
        let encoder = spec.encoder.iter_mut().flat_map(|encoder| &mut encoder.layers);
        for layer in spec.layers.iter_mut().chain(encoder) {
            let attention = &mut layer.attention;
            match self.sight {
                Some(SightChange::Window(window)) => (attention.window, attention.mask) = (Some(window), Mask::Causal),
                Some(SightChange::Mask(mask)) => (attention.window, attention.mask) = (None, mask),
                None => {}
            }
            if !self.file {
                let change = self.rope.as_ref().filter(|_| attention.rope.is_some() || !rotates);
                attention.rope = change.map(|change| change.of(attention, trained)).transpose()?;
                attention.bias = None;
                attention.content = None;
            }
            if let Some(scale) = self.alibi {
                attention.bias = Some(scaled_alibi(attention.n_heads, scale));
            }
        }
        if !self.file {
            spec.positions = None;
        }
        Ok(())
    }
}

/// ALiBi whose slopes are those of the paper times `scale`.
fn scaled_alibi(n_heads: usize, scale: f64) -> Bias {
    let mut bias = Bias::alibi(n_heads, 8.0);
    if let Bias::Alibi { slopes } = &mut bias {
        slopes.iter_mut().for_each(|slope| *slope *= scale as f32);
    }
    bias
}

impl RopeChange {
    /// The rotation of a layer with this change; one that has none gets the usual one.
    fn of(&self, attention: &Attention, trained: usize) -> Result<Rope, PositionError> {
        let (pairing, dims, scaling) = (Pairing::Halves, attention.d_head, RopeScaling::None);
        let plain = Rope { pairing, dims, base: 10_000.0, scaling, factors: None, grouping: None };
        let mut rope = attention.rope.clone().unwrap_or(plain);
        rope.base = self.base.unwrap_or(rope.base);
        // A layer that sees no further than a token's neighbours has no others.
        let grouping = self.self_extend.map(|(size, neighbours)| Grouping { size, neighbours: neighbours.unwrap_or(trained / 4).max(1) });
        rope.grouping = grouping.filter(|grouping| grouping.size > 1 && attention.window.is_none_or(|window| window > grouping.neighbours));
        let original = self.original.unwrap_or(trained);
        let Some(scaling) = self.scaling else { return Ok(rope) };
        // The file's own divisors belong to the scaling that is replaced.
        rope.factors = None;
        rope.scaling = match scaling {
            Scaling::None => RopeScaling::None,
            Scaling::Linear(factor) => RopeScaling::Linear { factor },
            Scaling::Dynamic(factor) => RopeScaling::DynamicNtk { factor, original },
            Scaling::Llama3(factor) => RopeScaling::Llama3 { factor, low: self.low, high: self.high, original },
            Scaling::Yarn(factor) => RopeScaling::Yarn {
                factor,
                original,
                beta_fast: self.beta_fast,
                beta_slow: self.beta_slow,
                attention_factor: self.attention_factor.unwrap_or(0.1 * factor.ln() + 1.0),
                truncate: true,
            },
            Scaling::Ntk(factor) => {
                if rope.dims <= 2 {
                    return Err(PositionError::TooFewDimensions { scheme: "rope:ntk", dims: rope.dims, expected: 4 });
                }
                // bloc97's NTK-aware scaling: the base grows such that the slowest dimension is stretched by the factor.
                rope.base *= factor.powf(rope.dims as f64 / (rope.dims as f64 - 2.0));
                RopeScaling::None
            }
        };
        Ok(rope)
    }
}

/// `key=value,…` of one term.
struct Options<'a> {
    term: &'a str,
    values: BTreeMap<&'a str, f64>,
}

impl<'a> Options<'a> {
    fn parse(term: &'a str, text: &'a str) -> Result<Self, PositionError> {
        let mut values = BTreeMap::new();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let wrong = |expected| PositionError::Option { term: term.to_owned(), option: option.to_owned(), expected };
            let (key, value) = option.split_once('=').ok_or_else(|| wrong("NAME=NUMBER"))?;
            let value: f64 = value.trim().parse().map_err(|_| wrong("a number after the ="))?;
            if !(value.is_finite() && value > 0.0) {
                return Err(wrong("a number above 0"));
            }
            if values.insert(key.trim(), value).is_some() {
                return Err(wrong("each option once"));
            }
        }
        Ok(Options { term, values })
    }

    fn take(&mut self, key: &str) -> Option<f64> {
        self.values.remove(key)
    }

    fn take_count(&mut self, key: &'static str) -> Result<Option<usize>, PositionError> {
        let wrong =
            |value: f64| PositionError::Option { term: self.term.to_owned(), option: format!("{key}={value}"), expected: "a whole number" };
        self.values
            .remove(key)
            .map(|value| if value.fract() == 0.0 && value < 1e15 { Ok(value as usize) } else { Err(wrong(value)) })
            .transpose()
    }

    /// Refuses what nobody has taken.
    fn none(self) -> Result<(), PositionError> {
        match self.values.into_iter().next() {
            None => Ok(()),
            Some((key, value)) => {
                Err(PositionError::Option { term: self.term.to_owned(), option: format!("{key}={value}"), expected: GRAMMAR })
            }
        }
    }
}

fn rope(mut options: Options<'_>) -> Result<RopeChange, PositionError> {
    type Of = fn(f64) -> Scaling;
    let kinds: [(&str, Of); 5] = [
        ("linear", Scaling::Linear),
        ("ntk", Scaling::Ntk),
        ("dynamic", Scaling::Dynamic),
        ("yarn", Scaling::Yarn),
        ("llama3", Scaling::Llama3),
    ];
    let mut scaling = None;
    for (name, of) in kinds {
        if let Some(factor) = options.take(name) {
            let wrong = |expected| PositionError::Option { term: options.term.to_owned(), option: format!("{name}={factor}"), expected };
            if factor < 1.0 {
                return Err(wrong("a factor of at least 1"));
            }
            if scaling.replace(if factor == 1.0 { Scaling::None } else { of(factor) }).is_some() {
                return Err(wrong("one scaling"));
            }
        }
    }
    let neighbours = options.take_count("window")?;
    let self_extend = options.take_count("self-extend")?.map(|size| (size, neighbours));
    if let (Some(neighbours), None) = (neighbours, self_extend) {
        let expected = "a window together with self-extend=SIZE";
        return Err(PositionError::Option { term: options.term.to_owned(), option: format!("window={neighbours}"), expected });
    }
    let change = RopeChange {
        base: options.take("base"),
        scaling,
        original: options.take_count("orig")?,
        beta_fast: options.take("beta_fast").unwrap_or(32.0),
        beta_slow: options.take("beta_slow").unwrap_or(1.0),
        attention_factor: options.take("attention"),
        low: options.take("low").unwrap_or(1.0),
        high: options.take("high").unwrap_or(4.0),
        self_extend,
    };
    options.none().map(|()| change)
}

fn alibi(mut options: Options<'_>) -> Result<f64, PositionError> {
    let scale = options.take("scale").unwrap_or(1.0);
    options.none().map(|()| scale)
}

/// `size=N` of a term that is about a number of tokens.
fn size(mut options: Options<'_>) -> Result<usize, PositionError> {
    let wrong = PositionError::Option { term: options.term.to_owned(), option: "size".to_owned(), expected: "size=TOKENS" };
    let size = options.take_count("size")?.ok_or(wrong)?;
    options.none().map(|()| size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_read_as_people_write_them() {
        let scheme: Scheme = "rope:yarn=4,orig=2048+alibi:scale=0.5".parse().unwrap();
        let rope = scheme.rope.unwrap();
        assert_eq!((rope.scaling, rope.original, scheme.alibi), (Some(Scaling::Yarn(4.0)), Some(2048), Some(0.5)));
        for good in [
            "file",
            "none",
            "rope",
            "alibi",
            "file+alibi",
            "rope:linear=2",
            "rope:ntk=4",
            "rope:base=500000",
            "rope:dynamic=2",
            "rope:llama3=8",
            "rope:self-extend=8,window=100",
            "file+window:size=64",
            "none+chunked:size=64",
            "rope+prefix:size=64",
        ] {
            assert_eq!(good.parse::<Scheme>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_would_be_right() {
        for (bad, says) in [
            ("", "none"),
            ("rop", "rope"),
            ("rope:yarn", "NAME=NUMBER"),
            ("rope:yarn=x", "number"),
            ("rope:yarn=-4", "above 0"),
            ("rope:yarn=0.5", "at least 1"),
            ("rope:yarn=4,linear=2", "one scaling"),
            ("rope:orig=1.5", "whole number"),
            ("rope:yarn=4,yarn=2", "once"),
            ("rope:window=8", "self-extend"),
            ("rope:self-extend=2.5", "whole number"),
            ("alibi:base=3", "alibi:scale"),
            ("rope+rope", "twice"),
            ("none+alibi", "neither"),
            ("window", "size=TOKENS"),
            ("file+window:size=1.5", "whole number"),
            ("file+window:size=8+chunked:size=8", "twice"),
            ("file+rope", "not both"),
        ] {
            let error = bad.parse::<Scheme>().unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
