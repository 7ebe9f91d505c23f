//! How fast text becomes tokens and tokens become text, for tokenizers of several kinds, beside how fast a prefill takes tokens: tokenising
//! is to be lost beside it (2 000 tokens/s is a small model on two cores).
//!
//! ```sh
//! cargo bench --bench tokenizer                       the vocabularies of the tests, which are small
//! cargo bench --bench tokenizer -- a.gguf b.gguf      real ones
//! ```

use kinglet::file::ModelFile;
use kinglet::text::{Special, Tokenizer};
use std::path::{Path, PathBuf};
use std::time::Instant;

const PREFILL: f64 = 2000.0;
const ROUNDS: usize = 9;

/// Seconds, the median of some calls.
fn time(mut call: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            call();
            begin.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn measure(path: &Path, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    let file = ModelFile::open(path)?;
    let begin = Instant::now();
    let tokenizer = Tokenizer::from_model(&file)?;
    let made = begin.elapsed().as_secs_f64();
    let tokens = tokenizer.encode(text, Special::Plain)?;
    let encode = time(|| drop(tokenizer.encode(text, Special::Plain)));
    let decode = time(|| {
        let mut decoder = tokenizer.decoder();
        tokens.iter().for_each(|&token| drop(decoder.push(token)));
    });
    let (n, name) = (tokens.len() as f64, path.file_stem().unwrap_or_default().to_string_lossy());
    println!(
        "{name:<32} {:7} {:9.1} {:12.2} {:13.2} {:14.2} {:9.2} %",
        tokenizer.n_vocab(),
        made * 1e3,
        text.len() as f64 / encode / 1e6,
        n / encode / 1e6,
        n / decode / 1e6,
        100.0 * PREFILL * encode / n,
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text: String = ["README.md", "docs/architecture.md", "src/text/tokenizer.rs"]
        .iter()
        .map(|file| std::fs::read_to_string(root.join(file)))
        .collect::<Result<_, _>>()?;
    let given: Vec<PathBuf> = std::env::args().skip(1).filter(|arg| arg.ends_with(".gguf")).map(PathBuf::from).collect();
    let small = ["bpe-llama-bpe", "bpe-qwen2", "spm", "unigram"].map(|name| root.join(format!("tests/fixtures/text/{name}.gguf")));
    let paths = if given.is_empty() { small.to_vec() } else { given };
    println!("{:<32}   vocab   made ms  encode MB/s  encode Mtok/s  decode Mtok/s  of a prefill", "tokenizer");
    paths.iter().try_for_each(|path| measure(path, &text))
}
