//! Types that kinglet does not read, by number and name: what they are, who writes them, and what the owner of such a file can do. A
//! person meets these in an error message, so the table is written for that person.

use super::Type;

/// A type that kinglet does not read; its message says what it is and what would help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{asked} {answer}")]
pub struct UnknownType {
    asked: String,
    answer: String,
}

/// Types that have the same answer.
struct Group {
    types: &'static [(u32, &'static str)],
    answer: &'static str,
}

const GROUPS: &[Group] = &[
    Group {
        types: &[(16, "IQ2_XXS"), (17, "IQ2_XS"), (22, "IQ2_S"), (18, "IQ3_XXS"), (21, "IQ3_S"), (19, "IQ1_S"), (29, "IQ1_M")],
        answer: "is an i-quant of 1 to 3 bits, which kinglet does not read yet; take the model as Q2_K, Q3_K or IQ4_XS instead, or \
                 convert it with llama-quantize --allow-requantize",
    },
    Group {
        types: &[(34, "TQ1_0"), (35, "TQ2_0")],
        answer: "is a ternary type, which kinglet does not read yet; take the model as Q4_0 or larger instead, or convert it with \
                 llama-quantize --allow-requantize",
    },
    Group {
        types: &[(40, "NVFP4")],
        answer: "is NVIDIA's 4-bit float type, which kinglet does not read yet; take the model as MXFP4, Q4_K or larger instead, or \
                 convert it with llama-quantize --allow-requantize",
    },
    Group {
        types: &[(41, "Q1_0"), (42, "Q2_0")],
        answer: "has 1 or 2 bits and is not read by kinglet; llama.cpp and its forks (PrismML's, TurboQuant's) mean different things by \
                 this number, so convert the model with the program that wrote it, to Q4_0 or larger",
    },
    Group {
        types: &[(36, "IQ4_NL_4_4 or I2_S"), (37, "IQ4_NL_4_8 or I8_S"), (38, "IQ4_NL_8_8 or TL1")],
        answer: "was removed from llama.cpp and is used for another type by BitNet's fork; take the model as IQ4_NL, or convert it with \
                 the program that wrote it",
    },
    Group {
        types: &[(31, "Q4_0_4_4"), (32, "Q4_0_4_8"), (33, "Q4_0_8_8")],
        answer: "was Q4_0 repacked for some processors and has been removed from llama.cpp; take the model as Q4_0",
    },
    Group { types: &[(4, "Q4_2"), (5, "Q4_3")], answer: "was removed from llama.cpp in 2023; take a newer file of the model" },
    Group {
        types: &[(9, "Q8_1"), (15, "Q8_K")],
        answer: "is for intermediate results inside llama.cpp and no type for weights; convert the model again, to Q8_0",
    },
    Group {
        types: &[(24, "I8"), (25, "I16"), (26, "I32"), (27, "I64"), (28, "F64")],
        answer: "is a plain number type that no weights of a known model have; convert the model again, to F16 or F32",
    },
    Group {
        types: &[(142, "PQ2_0 or IQ2_TN"), (143, "PTQ1_0 or IQ1_TN")],
        answer: "is a type of PrismML's fork of llama.cpp (or an old one of ik_llama.cpp); convert the model with the program that wrote \
                 it, to Q4_0 or larger",
    },
    Group {
        types: IK_LLAMA,
        answer: "is written by ik_llama.cpp and read by it alone; convert the model with its llama-quantize, to Q4_K or Q6_K",
    },
    Group {
        types: IK_LLAMA_REPACKED,
        answer: "is a repacked type, written by ik_llama.cpp and read by it alone; take the model in the type without _R4, _R8 or _R16",
    },
];

const IK_LLAMA: &[(u32, &str)] = &[
    (97, "Q8_0_X4"),
    (98, "Q8_1_X4"),
    (99, "Q8_2_X4"),
    (133, "Q6_0"),
    (134, "IQ1_BN"),
    (135, "IQ2_BN"),
    (136, "Q8_K64"),
    (137, "IQ2_K"),
    (138, "IQ3_K"),
    (139, "IQ4_K"),
    (140, "IQ5_K"),
    (141, "IQ6_K"),
    (144, "IQ4_KS"),
    (145, "IQ2_KS"),
    (146, "IQ4_KSS"),
    (147, "Q8_K16"),
    (148, "Q8_K32"),
    (149, "Q8_KR8"),
    (150, "Q8_K128"),
    (151, "Q8_KV"),
    (152, "IQ5_KS"),
    (153, "IQ2_KT"),
    (154, "IQ3_KT"),
    (155, "IQ4_KT"),
    (156, "IQ3_KS"),
    (157, "IQ2_KL"),
    (158, "IQ1_KT"),
];

const IK_LLAMA_REPACKED: &[(u32, &str)] = &[
    (202, "Q4_0_R8"),
    (206, "Q5_0_R4"),
    (208, "Q8_0_R8"),
    (210, "Q2_K_R4"),
    (211, "Q3_K_R4"),
    (212, "Q4_K_R4"),
    (213, "Q5_K_R4"),
    (214, "Q6_K_R4"),
    (216, "IQ2_XXS_R4"),
    (217, "IQ2_XS_R4"),
    (218, "IQ3_XXS_R4"),
    (219, "IQ1_S_R4"),
    (220, "IQ4_NL_R4"),
    (221, "IQ3_S_R4"),
    (222, "IQ2_S_R4"),
    (223, "IQ4_XS_R8"),
    (229, "IQ1_M_R4"),
    (230, "BF16_R16"),
    (233, "Q6_0_R4"),
    (335, "IQ2_BN_R4"),
    (337, "IQ2_K_R4"),
    (338, "IQ3_K_R4"),
    (339, "IQ4_K_R4"),
    (340, "IQ5_K_R4"),
    (344, "IQ4_KS_R4"),
    (352, "IQ5_KS_R4"),
    (398, "Q8_KV_R8"),
    (399, "Q8_K_R8"),
];

impl UnknownType {
    /// For a number that is none of [`Type`]'s.
    pub(super) fn from_id(id: u32) -> Self {
        match known().find(|&(known, _, _)| known == id) {
            Some((_, name, answer)) => UnknownType { asked: format!("type {id} ({name})"), answer: answer.into() },
            None => UnknownType {
                asked: format!("type {id}"),
                answer: format!("is none that llama.cpp or a known fork of it writes; kinglet reads {}", readable()),
            },
        }
    }

    /// For a name that is none of [`Type`]'s.
    pub(super) fn from_name(name: &str) -> Self {
        let asked = format!("type \"{name}\"");
        if let Some((_, _, answer)) = known().find(|(_, known, _)| known.split(" or ").any(|known| known.eq_ignore_ascii_case(name))) {
            return UnknownType { asked, answer: answer.into() };
        }
        let of_mixture = name.rsplit_once('_').filter(|(_, size)| ["S", "M", "L"].iter().any(|s| s.eq_ignore_ascii_case(size)));
        let answer = match of_mixture.and_then(|(most, _)| Type::from_name(most).ok()) {
            Some(most) => format!("is a mixture for a whole file; most of its tensors are {}", most.name()),
            None => format!("is unknown; kinglet reads {}", readable()),
        };
        UnknownType { asked, answer }
    }
}

fn known() -> impl Iterator<Item = (u32, &'static str, &'static str)> {
    GROUPS.iter().flat_map(|group| group.types.iter().map(|&(id, name)| (id, name, group.answer)))
}

fn readable() -> String {
    Type::ALL.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_number_is_listed_twice_or_readable() {
        let mut seen: HashSet<u32> = Type::ALL.iter().map(|ty| ty.id()).collect();
        for (id, name, _) in known() {
            assert!(seen.insert(id), "{id} ({name})");
        }
    }

    #[test]
    fn every_number_that_llama_cpp_has_given_out_is_answered_for() {
        for id in 0..43 {
            assert!(Type::from_id(id).is_ok() || known().any(|(known, _, _)| known == id), "{id}");
        }
    }
}
