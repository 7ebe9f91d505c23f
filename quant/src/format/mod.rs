//! The block types that a GGUF tensor can have: ids, names, sizes, and the conversion to and from f32. Each format is one file with
//! one `Format`, and one line in the list below.

#![forbid(unsafe_code)]

mod convert;
mod error;
mod fit;
mod float;
pub(crate) mod iq4_nl;
mod iq4_xs;
mod k_scales;
mod layout;
mod mxfp4;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod unknown;
mod unpacked;

pub use convert::{dequantize, quantize, quantize_into};
pub use error::FormatError;
pub use unknown::UnknownType;
pub use unpacked::{Unpacked32, unpack};

/// What a format's file exports.
struct Format {
    /// ggml's number.
    id: u32,
    /// ggml's name.
    name: &'static str,
    /// Weights in a block.
    block_len: usize,
    /// Bytes in a block.
    block_bytes: usize,
    /// Bytes to f32.
    decode: Decode,
    /// f32 to bytes, for the types that kinglet writes.
    quantize: Option<Quantize>,
}

/// How to get f32 weights out of a format's bytes.
#[derive(Clone, Copy)]
enum Decode {
    /// Number by number: `bytes` into as many `out`.
    Floats(fn(bytes: &[u8], out: &mut [f32])),
    /// Block by block: sub-block `sub` of 32 weights of one block.
    Blocks(fn(block: &[u8], sub: usize) -> Unpacked32),
}

/// How to get a format's bytes out of f32 weights.
#[derive(Clone, Copy)]
struct Quantize {
    /// One block, of finite weights.
    block: fn(weights: &[f32], block: &mut [u8]),
    /// The largest magnitude that the format can hold.
    largest: f32,
}

/// What a block with half-float scales is given at most; the scale of larger weights may not be a half float.
const HALF_MAX: f32 = half::f16::MAX.to_f32_const();

/// Makes [`Type`] and the table behind it of one list, so that they can't disagree.
macro_rules! formats {
    ($($(#[$doc:meta])* $ty:ident = $format:path,)*) => {
        /// How a tensor's weights are stored. Names and ids are ggml's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types)]
        pub enum Type { $($(#[$doc])* $ty,)* }

        impl Type {
            /// Every type that kinglet reads.
            pub const ALL: &[Type] = &[$(Type::$ty,)*];
        }

        static FORMATS: &[Format] = &[$($format,)*];
    };
}

formats! {
    /// 32-bit floats.
    F32 = float::F32,
    /// IEEE 16-bit floats.
    F16 = float::F16,
    /// The upper half of 32-bit floats.
    BF16 = float::BF16,
    /// 4 bits, one scale for 32.
    Q4_0 = q4_0::FORMAT,
    /// 4 bits, a scale and a minimum for 32.
    Q4_1 = q4_1::FORMAT,
    /// 5 bits, one scale for 32.
    Q5_0 = q5_0::FORMAT,
    /// 5 bits, a scale and a minimum for 32.
    Q5_1 = q5_1::FORMAT,
    /// 8 bits, one scale for 32.
    Q8_0 = q8_0::FORMAT,
    /// 2 bits, a 4-bit scale and minimum for 16.
    Q2_K = q2_k::FORMAT,
    /// 3 bits, a 6-bit scale for 16.
    Q3_K = q3_k::FORMAT,
    /// 4 bits, a 6-bit scale and minimum for 32.
    Q4_K = q4_k::FORMAT,
    /// 5 bits, a 6-bit scale and minimum for 32.
    Q5_K = q5_k::FORMAT,
    /// 6 bits, an 8-bit scale for 16.
    Q6_K = q6_k::FORMAT,
    /// 4 bits through an uneven table, one scale for 32.
    IQ4_NL = iq4_nl::FORMAT,
    /// 4 bits through an uneven table, a 6-bit scale for 32.
    IQ4_XS = iq4_xs::FORMAT,
    /// 4-bit floats, one power of two for 32.
    MXFP4 = mxfp4::FORMAT,
}

impl Type {
    fn format(self) -> &'static Format {
        &FORMATS[self as usize]
    }

    /// The type with ggml's number `id`.
    ///
    /// # Errors
    /// Where kinglet does not read it; the error says which type it is and what would help.
    ///
    /// ```
    /// use kinglet_quant::Type;
    /// assert_eq!(Type::from_id(12), Ok(Type::Q4_K));
    /// let error = Type::from_id(139).unwrap_err().to_string();
    /// assert!(error.starts_with("type 139 (IQ4_K) is written by ik_llama.cpp"));
    /// ```
    pub fn from_id(id: u32) -> Result<Type, UnknownType> {
        Type::ALL.iter().copied().find(|ty| ty.id() == id).ok_or_else(|| UnknownType::from_id(id))
    }

    /// The type of that name, in upper or lower case.
    ///
    /// # Errors
    /// As [`Type::from_id`].
    pub fn from_name(name: &str) -> Result<Type, UnknownType> {
        Type::ALL.iter().copied().find(|ty| ty.name().eq_ignore_ascii_case(name)).ok_or_else(|| UnknownType::from_name(name))
    }

    /// ggml's number for it.
    pub fn id(self) -> u32 {
        self.format().id
    }

    /// ggml's name for it, as in `Q4_K`.
    pub fn name(self) -> &'static str {
        self.format().name
    }

    /// Weights in one block.
    pub fn block_len(self) -> usize {
        self.format().block_len
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        self.format().block_bytes
    }

    /// Whether [`quantize`] can write it.
    pub fn can_quantize(self) -> bool {
        self.format().quantize.is_some()
    }

    /// Bytes of `weights` weights; `None` where they are no whole number of blocks, or too many to count.
    pub fn bytes_for(self, weights: usize) -> Option<usize> {
        (weights.is_multiple_of(self.block_len())).then_some(())?;
        (weights / self.block_len()).checked_mul(self.block_bytes())
    }
}
