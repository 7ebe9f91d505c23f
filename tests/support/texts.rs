//! Texts that no model has seen, and the bits of what a session makes of them.

use kinglet::{Model, Session, TokenId};

/// Some tokens of the vocabulary in no order; another `salt` gives others.
pub fn tokens(model: &Model, n: usize, salt: usize) -> Vec<TokenId> {
    (0..n).map(|i| TokenId(((i * 7919 + salt * 104_729 + i * i) % model.spec().n_vocab) as u32)).collect()
}

/// The logits after a session's last token, to be compared bit for bit.
pub fn bits(session: &mut Session) -> Vec<u32> {
    session.logits().unwrap().iter().map(|logit| logit.to_bits()).collect()
}
