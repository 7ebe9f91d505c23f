//! Random damage: bytes set, fields overwritten with extreme numbers, stretches cut out, doubled or swapped. Whatever comes of it is either
//! an error or a model that can be walked through.

use crate::support::{Scratch, fixture_bytes, open};
use proptest::prelude::*;

/// One change to a file.
#[derive(Debug, Clone)]
enum Damage {
    Byte(usize, u8),
    Word(usize, u32),
    Long(usize, u64),
    Cut(usize, usize),
    Double(usize, usize),
    Copy(usize, usize, usize),
    End(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>();
    let len = 1usize..64;
    let extreme = prop_oneof![
        (0u32..64).prop_map(|shift| 1u64 << shift),
        (0u32..64).prop_map(|shift| u64::MAX >> shift),
        (0u32..64).prop_map(|shift| (1u64 << shift).wrapping_sub(2)),
        0u64..2000,
    ];
    prop_oneof![
        4 => (at, any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        2 => (at, 0u32..40).prop_map(|(at, word)| Damage::Word(at, word)),
        3 => (at, extreme).prop_map(|(at, long)| Damage::Long(at, long)),
        1 => (at, len.clone()).prop_map(|(at, len)| Damage::Cut(at, len)),
        1 => (at, len.clone()).prop_map(|(at, len)| Damage::Double(at, len)),
        1 => (at, at, len).prop_map(|(from, to, len)| Damage::Copy(from, to, len)),
        1 => at.prop_map(Damage::End),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let size = bytes.len().max(1);
        let stretch = |at: usize, len: usize, bytes: &[u8]| (at % size).min(bytes.len())..(at % size + len).min(bytes.len());
        let write = |at: usize, value: &[u8], bytes: &mut Vec<u8>| {
            let place = stretch(at, value.len(), bytes);
            let n = place.len();
            bytes[place].copy_from_slice(&value[..n]);
        };
        match *self {
            Damage::Byte(at, byte) => write(at, &[byte], bytes),
            Damage::Word(at, word) => write(at, &word.to_le_bytes(), bytes),
            Damage::Long(at, long) => write(at, &long.to_le_bytes(), bytes),
            Damage::Cut(at, len) => drop(bytes.drain(stretch(at, len, bytes))),
            Damage::Double(at, len) => {
                let place = stretch(at, len, bytes);
                let copy = bytes[place.clone()].to_vec();
                bytes.splice(place.start..place.start, copy);
            }
            Damage::Copy(from, to, len) => {
                let copy = bytes[stretch(from, len, bytes)].to_vec();
                write(to, &copy, bytes);
            }
            Damage::End(at) => bytes.truncate(at % size),
        }
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: cases(8_000), failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() }
}

/// How many cases: so many, or what `PROPTEST_CASES` says (a night's worth of them, as in CONTRIBUTING.md).
pub fn cases(usual: u32) -> u32 {
    std::env::var_os("PROPTEST_CASES").map_or(usual, |_| ProptestConfig::default().cases)
}

fn damaged(name: &'static str) -> impl Strategy<Value = Vec<u8>> {
    damaged_bytes(fixture_bytes(name))
}

/// A file with a few changes.
pub fn damaged_bytes(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(damage(), 1..5).prop_map(move |changes| {
        let mut bytes = whole.clone();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        bytes
    })
}

thread_local! {
    static SCRATCH: Scratch = Scratch::new();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_damaged_gguf_file_is_an_error_or_a_model(bytes in damaged("small.gguf")) {
        SCRATCH.with(|scratch| drop(scratch.open("model.gguf", &bytes)));
    }

    #[test]
    fn a_damaged_safetensors_file_is_an_error_or_a_model(bytes in damaged("folder/model-00002-of-00002.safetensors")) {
        SCRATCH.with(|scratch| {
            scratch.write("config.json", b"{}");
            drop(scratch.open("model.safetensors", &bytes));
        });
    }

    #[test]
    fn a_damaged_part_spoils_a_split_model_or_does_not(bytes in damaged("split-00002-of-00003.gguf")) {
        SCRATCH.with(|scratch| {
            for part in ["split-00001-of-00003.gguf", "split-00003-of-00003.gguf"] {
                if !scratch.path(part).exists() {
                    scratch.write(part, &fixture_bytes(part));
                }
            }
            drop(scratch.open("split-00002-of-00003.gguf", &bytes));
        });
    }

    #[test]
    fn a_damaged_configuration_or_index_is_an_error_or_a_model(
        config in damaged("folder/config.json"),
        index in damaged("folder/model.safetensors.index.json"),
    ) {
        SCRATCH.with(|scratch| {
            for part in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
                if !scratch.path(part).exists() {
                    scratch.write(part, &fixture_bytes(&format!("folder/{part}")));
                }
            }
            scratch.write("config.json", &config);
            scratch.write("model.safetensors.index.json", &index);
            drop(open(&scratch.path(""), config.len() + index.len()));
        });
    }
}
