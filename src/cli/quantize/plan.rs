//! Which type each tensor gets, by llama-quantize's rules: matrices get the type asked for, the output matrix a finer one, norms and
//! other small things stay as they are, and a row that is no whole number of blocks gets a type with smaller blocks.

use kinglet_quant::Type;

/// What the person asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// For all matrices.
    pub ty: Type,
    /// For the token embedding, where that is another.
    pub embedding: Option<Type>,
    /// For the output matrix, where that is another.
    pub output: Option<Type>,
    /// No finer type for the output matrix.
    pub pure: bool,
}

/// What the plan needs to know of a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub name: &'a str,
    pub ty: Type,
    /// Rows first.
    pub shape: &'a [usize],
}

impl Wish {
    /// The type for `source`; its own where it is left as it is. `tied`: the file has no output matrix, the embedding serves as one.
    pub fn choose(&self, source: Source<'_>, tied: bool) -> Type {
        if !is_quantised(source) {
            return source.ty;
        }
        let embedding = source.name == "token_embd.weight";
        let output = source.name == "output.weight" || (embedding && tied);
        let asked = match (embedding, output) {
            (true, _) if self.embedding.is_some() => self.embedding,
            (_, true) if self.output.is_some() => self.output,
            _ => None,
        };
        let row = source.shape.last().copied().unwrap_or(0);
        match asked {
            Some(ty) => fitting(ty, row),
            None if output && !self.pure && self.ty.block_len() > 1 && self.ty != Type::Q8_0 => fitting(Type::Q6_K, row),
            None => fitting(self.ty, row),
        }
    }
}

/// Matrices are quantised; norms, biases and routers (which decide much with little) are not.
fn is_quantised(source: Source<'_>) -> bool {
    let kept = ["_norm.weight", "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight", "rope_freqs.weight"];
    source.name.ends_with("weight") && source.shape.len() > 1 && !kept.iter().any(|end| source.name.ends_with(end))
}

/// `ty`, or the next one whose blocks divide a row.
fn fitting(ty: Type, row: usize) -> Type {
    let mut ty = ty;
    while !row.is_multiple_of(ty.block_len()) {
        ty = match ty {
            Type::Q4_K => Type::Q5_0,
            Type::Q5_K => Type::Q5_1,
            Type::Q6_K => Type::Q8_0,
            _ => Type::F16,
        };
    }
    ty
}

/// llama.cpp's number for a file that is mostly of this type (`general.file_type`).
pub fn file_type(ty: Type) -> u32 {
    match ty {
        Type::F32 => 0,
        Type::F16 => 1,
        Type::Q4_0 => 2,
        Type::Q4_1 => 3,
        Type::Q8_0 => 7,
        Type::Q5_0 => 8,
        Type::Q5_1 => 9,
        Type::Q2_K => 10,
        Type::Q3_K => 11,
        Type::Q4_K => 14,
        Type::Q5_K => 16,
        Type::Q6_K => 18,
        Type::IQ4_NL => 25,
        Type::IQ4_XS => 30,
        Type::BF16 => 32,
        Type::MXFP4 => 38,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(ty: Type) -> Wish {
        Wish { ty, embedding: None, output: None, pure: false }
    }

    fn matrix(name: &str) -> Source<'_> {
        Source { name, ty: Type::F16, shape: &[1000, 512] }
    }

    #[test]
    fn matrices_get_the_type_and_norms_stay() {
        assert_eq!(wish(Type::Q4_0).choose(matrix("blk.0.attn_q.weight"), false), Type::Q4_0);
        let norm = Source { name: "blk.0.attn_norm.weight", ty: Type::F32, shape: &[512] };
        assert_eq!(wish(Type::Q4_0).choose(norm, false), Type::F32);
        assert_eq!(wish(Type::Q4_0).choose(matrix("blk.0.ffn_gate_inp.weight"), false), Type::F16);
    }

    #[test]
    fn the_output_matrix_gets_a_finer_type() {
        assert_eq!(wish(Type::Q4_K).choose(matrix("output.weight"), false), Type::Q6_K);
        assert_eq!(wish(Type::Q4_K).choose(matrix("token_embd.weight"), false), Type::Q4_K);
        assert_eq!(wish(Type::Q4_K).choose(matrix("token_embd.weight"), true), Type::Q6_K);
        assert_eq!(wish(Type::Q8_0).choose(matrix("output.weight"), false), Type::Q8_0);
        assert_eq!(Wish { pure: true, ..wish(Type::Q4_K) }.choose(matrix("output.weight"), false), Type::Q4_K);
    }

    #[test]
    fn single_tensors_can_be_asked_for() {
        let wish = Wish { embedding: Some(Type::Q8_0), output: Some(Type::F16), ..wish(Type::Q4_0) };
        assert_eq!(wish.choose(matrix("token_embd.weight"), true), Type::Q8_0);
        assert_eq!(wish.choose(matrix("output.weight"), false), Type::F16);
    }

    #[test]
    fn a_row_that_is_no_whole_number_of_blocks_gets_smaller_ones() {
        let of = |ty, row| wish(ty).choose(Source { name: "blk.0.attn_q.weight", ty: Type::F16, shape: &[4, row] }, false);
        assert_eq!(of(Type::Q4_K, 576), Type::Q5_0);
        assert_eq!(of(Type::Q5_K, 576), Type::Q5_1);
        assert_eq!(of(Type::Q6_K, 576), Type::Q8_0);
        assert_eq!(of(Type::Q4_0, 40), Type::F16);
        assert_eq!(of(Type::Q4_K, 40), Type::F16);
    }
}
