//! What `--speculate` gains where the answer repeats its prompt (an edit) and what it costs where it does not, by turns with and without,
//! greedily. The answers are compared: they are the same.
//!
//! ```sh
//! cargo bench --bench speculation -- MODEL.gguf
//! ```

use kinglet::{Event, GenerateOptions, Model, SessionOptions};
use std::time::Instant;

const TOKENS: usize = 128;
const ROUNDS: usize = 7;

/// A passage, and the beginning of its corrected copy.
const EDIT: &str = "\
The quick brown fox jumps over the lazy dog near the river bank. It was a cold and windy morning in the small village, and nobody had \
expected the ferry to arrive before noon. The baker opened his shop at six, as he always did, and put the first loaves into the window. \
A dog barked twice, and then everything was silent again.

The same text again, with the spelling corrected:

The quick brown fox jumps over the lazy dog near the river bank. It was a cold";

const PLAIN: &str = "Once upon a time, in a country far away, there lived an old clockmaker who had never";

/// Seconds for the answer, and its tokens.
fn run(model: &Model, prompt: &str, speculate: Option<usize>) -> Result<(f64, Vec<u32>), kinglet::Error> {
    let mut session = model.session(SessionOptions::default())?;
    session.feed_text(prompt)?;
    let options = GenerateOptions { speculate, ignore_eos: true, ..GenerateOptions::greedy(TOKENS) };
    let (begin, mut tokens) = (Instant::now(), Vec::new());
    for event in session.generate(options)? {
        if let Event::Token { id, .. } = event? {
            tokens.push(id.0);
        }
    }
    Ok((begin.elapsed().as_secs_f64(), tokens))
}

fn main() -> Result<(), kinglet::Error> {
    let Some(path) = std::env::args().skip(1).find(|arg| arg.ends_with(".gguf")) else {
        eprintln!("which model? cargo bench --bench speculation -- MODEL.gguf");
        return Ok(());
    };
    let model = Model::open(path)?;
    println!("text   ahead  tokens/s  without  ratio (least–most)");
    for (name, prompt) in [("edit", EDIT), ("plain", PLAIN)] {
        for ahead in [4, 8, 16] {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                let ((without, expected), (with, tokens)) = (run(&model, prompt, None)?, run(&model, prompt, Some(ahead))?);
                assert_eq!(tokens, expected, "speculation never changes an answer");
                rounds.push((without / with, with, without));
            }
            rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (ratio, with, without) = rounds[ROUNDS / 2];
            let (least, most) = (rounds[0].0, rounds[ROUNDS - 1].0);
            let speed = |seconds: f64| TOKENS as f64 / seconds;
            println!("{name:<6} {ahead:5} {:9.1} {:8.1}  {ratio:.2} ({least:.2}–{most:.2})", speed(with), speed(without));
        }
    }
    Ok(())
}
