//! Several sessions over one model: a fork of a shared beginning for each ending, all computed in one batch, token by token.
//!
//! ```sh
//! cargo run --release --example many_sessions -- MODEL.gguf "My favourite colour is" red green blue
//! ```

use kinglet::{Model, Session, SessionOptions, TokenId, feed_together};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let model = Model::open(args.next().ok_or("usage: many_sessions MODEL BEGINNING ENDING…")?)?;
    let mut beginning = model.session(SessionOptions { context: Some(512), ..SessionOptions::default() })?;
    beginning.feed_text(&args.next().ok_or("usage: many_sessions MODEL BEGINNING ENDING…")?)?;
    let mut sessions: Vec<(Session, Vec<TokenId>)> = Vec::new();
    for ending in args {
        let mut session = beginning.fork();
        session.feed_text(&format!(" {ending}"))?;
        sessions.push((session, Vec::new()));
    }
    for _ in 0..16 {
        let mut next = Vec::new();
        for (session, written) in &mut sessions {
            let likeliest = session.logits()?.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(id, _)| TokenId(id as u32));
            written.extend(likeliest);
            next.push(likeliest.into_iter().collect::<Vec<_>>());
        }
        let mut step: Vec<(&mut Session, &[TokenId])> = sessions.iter_mut().map(|(s, _)| s).zip(next.iter().map(Vec::as_slice)).collect();
        feed_together(&mut step)?;
    }
    for (_, written) in &sessions {
        let mut decoder = model.tokenizer()?.decoder();
        let text: String = written.iter().map(|&token| decoder.push(token)).collect();
        println!("{}", text + &decoder.finish());
    }
    Ok(())
}
