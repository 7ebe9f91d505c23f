//! The likeliest next tokens of a text, with their probabilities.
//!
//! ```sh
//! cargo run --release --example logits -- MODEL.gguf "The capital of France is"
//! ```

use kinglet::{Model, SessionOptions, TokenId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let model = Model::open(args.next().ok_or("usage: logits MODEL PROMPT")?)?;
    let mut session = model.session(SessionOptions::default())?;
    session.feed_text(&args.next().ok_or("usage: logits MODEL PROMPT")?)?;
    let logits = session.logits()?;
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - max).exp()).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    for &id in order.iter().take(5) {
        let piece = model.tokenizer()?.piece(TokenId(id as u32)).unwrap_or_default();
        println!("{:6.2} % {id:6} {piece:?}", 100.0 * (logits[id] - max).exp() / sum);
    }
    Ok(())
}
