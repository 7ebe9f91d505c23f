//! Rotary position embedding out of a file: the one place that knows how either layout spells bases and scalings.
//!
//! `config.json` has had three spellings: `rope_theta` beside a `rope_scaling` object; since transformers 5 one `rope_parameters`
//! object; and in that, where layers differ, one object for each layer type. GGUF spells scalings by keys, except those that come
//! down to a divisor for each frequency (Llama 3, LongRoPE), which its converters store as tensors.

use crate::error::ModelError;
use crate::metadata::{Layout, Value};
use crate::names::{self, Name};
use crate::reader::{Reader, limits, shown, wrong};
use crate::sizes::Sizes;
use crate::spec::{Factors, Pairing, Part, Rope, RopeScaling};

/// Which of a model's rotations is meant, where it has more than one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope {
    /// That of layers that see everything, or of all layers.
    Full,
    /// That of sliding-window layers, with the base it has where the file states none.
    Sliding { base: f64 },
}

/// What a family knows of its rotation and no file states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RopeStyle {
    /// How GGUF's converter left the rows of q and k.
    pub gguf_pairing: Pairing,
    /// How Hugging Face's rows lie: [`Pairing::Halves`] in most families.
    pub hugging_face_pairing: Pairing,
    /// The configuration class' `partial_rotary_factor`, where a file states none. `None`: the family's heads turn whole.
    pub share: Option<f64>,
    /// The configuration class' `original_max_position_embeddings`, where it has one (Phi-3).
    pub original: Option<usize>,
    /// Scaling names that mean another one in this family (Phi-3's `yarn` is LongRoPE).
    pub renamed: &'static [(&'static str, &'static str)],
}

impl RopeStyle {
    /// Pairs in GGUF as given, nothing else of its own.
    pub const fn new(gguf_pairing: Pairing) -> Self {
        RopeStyle { gguf_pairing, hugging_face_pairing: Pairing::Halves, share: None, original: None, renamed: &[] }
    }
}

/// Reads the rotation of `scope`.
pub(crate) fn read(file: &Reader, sizes: &Sizes, style: RopeStyle, scope: Scope) -> Result<Rope, ModelError> {
    match file.layout {
        Layout::Gguf => gguf(file, sizes, style, scope),
        Layout::HuggingFace => hugging_face(file, sizes, style, scope),
    }
}

const HUGGING_FACE_SCALINGS: &str = "default, linear, dynamic, yarn, llama3, longrope, su";
const GGUF_SCALINGS: &str = "none, linear, yarn, longrope";

fn hugging_face(file: &Reader, sizes: &Sizes, style: RopeStyle, scope: Scope) -> Result<Rope, ModelError> {
    let prefixes: &[&str] = match scope {
        Scope::Full => &["rope_scaling.", "rope_parameters.full_attention.", "rope_parameters."],
        Scope::Sliding { .. } => &["rope_parameters.sliding_attention."],
    };
    // The object that is there; the last of the list stands for one that is not, since all its keys are missing then.
    let present = |prefix: &&&str| {
        let states = |key| file.value(&file.prefixed(&format!("{prefix}{key}"))).is_some();
        ["rope_type", "type", "rope_theta", "factor"].into_iter().any(states)
    };
    let prefix = prefixes.iter().find(present).unwrap_or(&prefixes[prefixes.len() - 1]);
    let at = |key: &str| file.prefixed(&format!("{prefix}{key}"));

    let (outer, default) = match scope {
        Scope::Full => ("rope_theta", sizes.theta),
        Scope::Sliding { base } => ("rope_local_base_freq", base),
    };
    let base = base(file, &[at("rope_theta"), file.key(outer)], default)?;
    let dims = turned(file, [at("partial_rotary_factor"), file.key("partial_rotary_factor")], sizes, style)?;

    let scaling = Scaling { file, prefix, context: sizes.context, dims, original: style.original };
    let (key, kind) = scaling.kind()?;
    let kind = style.renamed.iter().find(|(from, _)| *from == kind).map_or(kind.as_str(), |(_, to)| to);
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: scaling.required("factor")? },
        "dynamic" => scaling.dynamic()?,
        "yarn" => scaling.yarn()?,
        "llama3" => scaling.llama3()?,
        "longrope" | "su" => scaling.longrope()?,
        other => return Err(wrong(&key, format!("one of {HUGGING_FACE_SCALINGS}"), shown(&Value::Text(other.into())))),
    };
    Ok(Rope { pairing: style.hugging_face_pairing, dims, base, scaling, factors: None, grouping: None })
}

/// The dimensions of a head that turn, by the first of `keys` that the file states.
fn turned(file: &Reader, keys: [String; 2], sizes: &Sizes, style: RopeStyle) -> Result<usize, ModelError> {
    let [inner, outer] = &keys;
    let (key, stated) = match (file.positive_at(inner)?, file.positive_at(outer)?) {
        (None, Some(share)) => (outer, Some(share)),
        (share, _) => (inner, share),
    };
    // Other programs leave it out in these families, or take it: no file says which is meant.
    if let (Some(share), None) = (stated.filter(|&share| share != 1.0), style.share) {
        let why = "heads of this family turn as a whole, with a factor of 1";
        return Err(ModelError::Unsupported { key: key.clone(), found: format!("{share:?}"), why });
    }
    match stated.or(style.share) {
        Some(share) => dimensions(key, share * sizes.d_head as f64, sizes.d_head),
        None => dimensions(&file.spell(names::D_HEAD).unwrap_or_default(), sizes.d_head as f64, sizes.d_head),
    }
}

/// A scaling object of `config.json`.
struct Scaling<'a> {
    file: &'a Reader<'a>,
    prefix: &'a str,
    context: usize,
    dims: usize,
    /// See [`RopeStyle::original`].
    original: Option<usize>,
}

impl Scaling<'_> {
    fn at(&self, key: &str) -> String {
        self.file.prefixed(&format!("{}{key}", self.prefix))
    }

    fn optional(&self, key: &str) -> Result<Option<f64>, ModelError> {
        self.file.positive_at(&self.at(key))
    }

    fn required(&self, key: &str) -> Result<f64, ModelError> {
        self.optional(key)?.ok_or_else(|| ModelError::MissingKey { key: self.at(key) })
    }

    /// The scaling's name, and the key that says it: `rope_type`, or `type` in older files.
    fn kind(&self) -> Result<(String, String), ModelError> {
        for key in [self.at("rope_type"), self.at("type")] {
            if let Some(kind) = self.file.text_at(&key)? {
                return Ok((key, kind));
            }
        }
        Ok((self.at("rope_type"), "default".into()))
    }

    /// Tokens before stretching. Beside the object it goes before inside it, as in transformers.
    fn original(&self) -> Result<usize, ModelError> {
        let range = || 2..=limits::CONTEXT;
        let name = "original_max_position_embeddings";
        let beside = self.file.whole_at(&self.file.prefixed(name), range())?.or(self.original);
        let original = match beside {
            None => self.file.whole_at(&self.at(name), range())?,
            beside => beside,
        };
        match original {
            Some(original) => Ok(original),
            None if self.context >= 2 => Ok(self.context),
            None => Err(ModelError::MissingKey { key: self.at(name) }),
        }
    }

    fn factor_or_growth(&self) -> Result<f64, ModelError> {
        let growth = self.context as f64 / self.original()? as f64;
        Ok(self.optional("factor")?.unwrap_or(growth))
    }

    fn dynamic(&self) -> Result<RopeScaling, ModelError> {
        if self.dims <= 2 {
            let expected = "no dynamic scaling where 2 dimensions turn: its exponent is dims / (dims − 2)";
            return Err(wrong(&self.kind()?.0, expected.into(), "dynamic".into()));
        }
        let factor = self.required("factor")?;
        if factor < 1.0 {
            return Err(wrong(&self.at("factor"), "1 or more".into(), format!("{factor:?}")));
        }
        Ok(RopeScaling::DynamicNtk { factor, original: self.context })
    }

    fn yarn(&self) -> Result<RopeScaling, ModelError> {
        let factor = self.factor_or_growth()?;
        let attention_factor = match (self.optional("attention_factor")?, self.mscale("mscale")?, self.mscale("mscale_all_dim")?) {
            (Some(stated), _, _) => stated,
            (None, Some(mscale), Some(all)) => yarn_magnitude(factor, mscale) / yarn_magnitude(factor, all),
            (None, _, _) => yarn_magnitude(factor, 1.0),
        };
        let truncate = match self.file.value(&self.at("truncate")) {
            Some(Value::Bool(truncate)) => truncate,
            None => true,
            Some(other) => return Err(wrong(&self.at("truncate"), "true or false".into(), shown(&other))),
        };
        Ok(RopeScaling::Yarn {
            factor,
            original: self.original()?,
            beta_fast: self.optional("beta_fast")?.unwrap_or(32.0),
            beta_slow: self.optional("beta_slow")?.unwrap_or(1.0),
            attention_factor,
            truncate,
        })
    }

    /// Zero counts as missing, as in transformers.
    fn mscale(&self, key: &str) -> Result<Option<f64>, ModelError> {
        match self.file.number_at(&self.at(key))? {
            Some(0.0) => Ok(None),
            Some(mscale) if mscale < 0.0 => Err(wrong(&self.at(key), "a number from 0 up".into(), format!("{mscale:?}"))),
            mscale => Ok(mscale),
        }
    }

    fn llama3(&self) -> Result<RopeScaling, ModelError> {
        let (low, high) = (self.required("low_freq_factor")?, self.required("high_freq_factor")?);
        if high <= low {
            return Err(wrong(&self.at("high_freq_factor"), format!("more than `low_freq_factor`, {low:?}"), format!("{high:?}")));
        }
        Ok(RopeScaling::Llama3 { factor: self.required("factor")?, low, high, original: self.original()? })
    }

    fn longrope(&self) -> Result<RopeScaling, ModelError> {
        let list = |key: &str| match self.file.positives_at(&self.at(key), self.dims / 2)? {
            Some(factors) => Ok(Factors::Values(factors)),
            None => Err(ModelError::MissingKey { key: self.at(key) }),
        };
        let original = self.original()?;
        let growth = self.factor_or_growth()?;
        let attention_factor = match self.optional("attention_factor")? {
            Some(stated) => stated,
            None if growth <= 1.0 => 1.0,
            None => (1.0 + growth.ln() / (original as f64).ln()).sqrt(),
        };
        Ok(RopeScaling::LongRope { short: list("short_factor")?, long: list("long_factor")?, original, attention_factor })
    }
}

fn gguf(file: &Reader, sizes: &Sizes, style: RopeStyle, scope: Scope) -> Result<Rope, ModelError> {
    let at = |key: &str| file.prefixed(key);
    let of_all = at("rope.dimension_count");
    let of_sliding = Some(at("rope.dimension_count_swa")).filter(|key| matches!(scope, Scope::Sliding { .. }) && file.value(key).is_some());
    let dims_key = of_sliding.unwrap_or(of_all);
    let dims = file.whole_at(&dims_key, 1..=limits::D_HEAD)?.unwrap_or(sizes.d_head);
    let dims = dimensions(&dims_key, dims as f64, sizes.d_head)?;
    let rope = |base, scaling, factors| Rope { pairing: style.gguf_pairing, dims, base, scaling, factors, grouping: None };
    if let Scope::Sliding { base: default } = scope {
        return Ok(rope(base(file, &[at("rope.freq_base_swa")], default)?, RopeScaling::None, None));
    }
    let tensor = |name: Name| {
        let name = format!("{}.weight", file.tensor(name, 0));
        let there = file.shape(&name).is_some();
        there.then(|| file.expect(&name, &[dims / 2]).map(|()| Part::whole(name))).transpose()
    };
    let scaling = match (tensor(names::ROPE_SHORT)?, tensor(names::ROPE_LONG)?) {
        (Some(short), Some(long)) => {
            if let Some((key, factor)) = gguf_factor(file)? {
                let why = "LongRoPE's divisors are not stretched once more";
                return Err(ModelError::Unsupported { key, found: format!("{factor:?}"), why });
            }
            RopeScaling::LongRope {
                short: Factors::Tensor(short),
                long: Factors::Tensor(long),
                original: gguf_original(file, sizes)?,
                attention_factor: file.positive_at(&at("rope.scaling.attn_factor"))?.unwrap_or(1.0),
            }
        }
        _ => gguf_scaling(file, sizes)?,
    };
    // llama.cpp's default for files that state none, whatever the configuration class says.
    Ok(rope(base(file, &[at("rope.freq_base")], 10_000.0)?, scaling, tensor(names::ROPE_FACTORS)?))
}

fn gguf_original(file: &Reader, sizes: &Sizes) -> Result<usize, ModelError> {
    let key = file.prefixed("rope.scaling.original_context_length");
    Ok(file.whole_at(&key, 1..=limits::CONTEXT)?.unwrap_or(sizes.context))
}

/// llama.cpp takes `linear` where no type is given, and multiplies YaRN's own magnitude by `attn_factor`.
/// `yarn_attn_factor` is what its converter writes for `attention_factor`: the whole magnitude. llama.cpp itself, where it saves a model,
/// writes a 1 that stands for nothing there, known by the `yarn_ext_factor` below zero beside it.
fn gguf_scaling(file: &Reader, sizes: &Sizes) -> Result<RopeScaling, ModelError> {
    let at = |key: &str| file.prefixed(&format!("rope.scaling.{key}"));
    let positive = |key: &str| file.positive_at(&at(key));
    let kind = file.text_at(&at("type"))?.unwrap_or_else(|| "linear".into());
    let factor = gguf_factor(file)?.map_or(1.0, |(_, factor)| factor);
    if let (true, Some(magnitude)) = (["none", "linear"].contains(&&*kind), positive("attn_factor")?.filter(|&factor| factor != 1.0)) {
        let why = "a magnitude of the rotation is supported beside YaRN and LongRoPE only";
        return Err(ModelError::Unsupported { key: at("attn_factor"), found: format!("{magnitude:?}"), why });
    }
    match kind.as_str() {
        "none" => Ok(RopeScaling::None),
        "linear" if factor == 1.0 => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor }),
        "yarn" => {
            let magnitude = match file.number_at(&at("yarn_log_multiplier"))? {
                Some(all) if all > 0.0 => yarn_magnitude(factor, 1.0) / yarn_magnitude(factor, all),
                _ => yarn_magnitude(factor, 1.0),
            };
            let converted = file.number_at(&at("yarn_ext_factor"))?.is_none_or(|factor| factor >= 0.0);
            let stated = if converted { positive("yarn_attn_factor")? } else { None };
            Ok(RopeScaling::Yarn {
                factor,
                original: gguf_original(file, sizes)?,
                beta_fast: positive("yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: positive("yarn_beta_slow")?.unwrap_or(1.0),
                attention_factor: stated.unwrap_or(magnitude * positive("attn_factor")?.unwrap_or(1.0)),
                truncate: true,
            })
        }
        "longrope" => Err(ModelError::MissingTensor { name: format!("{}.weight", file.tensor(names::ROPE_LONG, 0)) }),
        other => Err(wrong(&at("type"), format!("one of {GGUF_SCALINGS}"), shown(&Value::Text(other.into())))),
    }
}

/// The factor that a file states, newer or older spelling, with its key; none where it is 1, or 0, which some converters write for "none".
fn gguf_factor(file: &Reader) -> Result<Option<(String, f64)>, ModelError> {
    for key in ["rope.scaling.factor", "rope.scale_linear"].map(|key| file.prefixed(key)) {
        if let Some(factor) = file.positive_or_off_at(&key)? {
            return Ok(Some((key, factor)).filter(|&(_, factor)| factor != 1.0));
        }
    }
    Ok(None)
}

/// `0.1 mscale ln(factor) + 1` (YaRN, section 3.4).
fn yarn_magnitude(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
}

/// The first of `keys` that the file states. At 1 all frequencies are equal, and YaRN's logarithm of it is zero.
fn base(file: &Reader, keys: &[String], default: f64) -> Result<f64, ModelError> {
    for key in keys {
        match file.number_at(key)? {
            Some(base) if base > 1.0 => return Ok(base),
            Some(base) => return Err(wrong(key, "a base above 1".into(), format!("{base:?}"))),
            None => continue,
        }
    }
    Ok(default)
}

/// Turned dimensions come in pairs and lie within the head.
pub(crate) fn dimensions(key: &str, dims: f64, d_head: usize) -> Result<usize, ModelError> {
    let whole = dims as usize;
    if whole >= 2 && whole <= d_head && whole.is_multiple_of(2) {
        return Ok(whole);
    }
    Err(wrong(key, format!("an even number of turned dimensions from 2 to the head's {d_head}"), whole.to_string()))
}
