//! The least that answers: open a model, feed a text, print what comes next.
//!
//! ```sh
//! cargo run --release --example minimal -- MODEL.gguf "Once upon a time"
//! ```

use kinglet::{GenerateOptions, Model, SessionOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let model = Model::open(args.next().ok_or("usage: minimal MODEL PROMPT")?)?;
    let mut session = model.session(SessionOptions::default())?;
    session.feed_text(&args.next().ok_or("usage: minimal MODEL PROMPT")?)?;
    println!("{}", session.complete(GenerateOptions::greedy(32))?);
    Ok(())
}
