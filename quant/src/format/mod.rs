//! The block types that a GGUF tensor can have: ids, names, sizes. Each format's layout, `dequantize` (the reference) and
//! `quantize` are in a file of its own; [`Type`] is the list.

/// How a tensor's weights are stored. Ids are ggml's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, missing_docs)]
pub enum Type {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
}

struct Row(Type, u32, &'static str, usize, usize);

/// Type, ggml id, name, weights in a block, bytes in a block.
const TABLE: [Row; 16] = [
    Row(Type::F32, 0, "F32", 1, 4),
    Row(Type::F16, 1, "F16", 1, 2),
    Row(Type::Q4_0, 2, "Q4_0", 32, 18),
    Row(Type::Q4_1, 3, "Q4_1", 32, 20),
    Row(Type::Q5_0, 6, "Q5_0", 32, 22),
    Row(Type::Q5_1, 7, "Q5_1", 32, 24),
    Row(Type::Q8_0, 8, "Q8_0", 32, 34),
    Row(Type::Q2_K, 10, "Q2_K", 256, 84),
    Row(Type::Q3_K, 11, "Q3_K", 256, 110),
    Row(Type::Q4_K, 12, "Q4_K", 256, 144),
    Row(Type::Q5_K, 13, "Q5_K", 256, 176),
    Row(Type::Q6_K, 14, "Q6_K", 256, 210),
    Row(Type::IQ4_NL, 20, "IQ4_NL", 32, 18),
    Row(Type::IQ4_XS, 23, "IQ4_XS", 256, 136),
    Row(Type::BF16, 30, "BF16", 1, 2),
    Row(Type::MXFP4, 39, "MXFP4", 32, 17),
];

impl Type {
    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.0 == self).expect("every type is in the table")
    }

    /// ggml's number for it.
    pub fn id(self) -> u32 {
        self.row().1
    }

    /// ggml's name for it, as in `Q4_K`.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Weights in one block.
    pub fn block_len(self) -> usize {
        self.row().3
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        self.row().4
    }

    /// Bytes of `weights` weights; `None` where they are no whole number of blocks, or too many to count.
    pub fn bytes_for(self, weights: usize) -> Option<usize> {
        (weights.is_multiple_of(self.block_len())).then_some(())?;
        (weights / self.block_len()).checked_mul(self.block_bytes())
    }
}
