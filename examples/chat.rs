//! A conversation: each line of standard input is a user's turn, and only its new tokens are computed.
//!
//! ```sh
//! cargo run --release --example chat -- MODEL.gguf
//! ```

use kinglet::{Event, GenerateOptions, Message, Model, SessionOptions};
use std::io::{BufRead, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model::open(std::env::args().nth(1).ok_or("usage: chat MODEL")?)?;
    let mut session = model.session(SessionOptions::default())?;
    let mut messages = Vec::new();
    for line in std::io::stdin().lock().lines() {
        messages.push(Message::new("user", line?));
        let mut answer = String::new();
        for event in session.chat(&messages, GenerateOptions { max_tokens: Some(256), ..GenerateOptions::default() })? {
            let (Event::Token { text, .. } | Event::Finished { text, .. }) = event?;
            print!("{text}");
            std::io::stdout().flush()?;
            answer += &text;
        }
        println!();
        messages.push(Message::new("assistant", answer));
    }
    eprintln!("{:?}", session.stats());
    Ok(())
}
