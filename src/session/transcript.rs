//! The tokens of a session. One that streams for ever remembers the newest of them; what it has dropped is a running hash, so that a text
//! can still be recognised as one that begins as the session did.

use crate::types::TokenId;

/// The newest tokens, and a hash of those before.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Transcript {
    tokens: Vec<TokenId>,
    /// Tokens before `tokens`.
    dropped: usize,
    digest: Digest,
}

/// FNV-1a over tokens, the same on every machine and in every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Digest(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Adds a token.
    pub fn push(&mut self, token: TokenId) {
        for byte in token.0.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    /// 16 hexadecimal digits.
    pub fn name(self) -> String {
        format!("{:016x}", self.0)
    }
}

impl Transcript {
    /// All tokens that have come.
    pub fn len(&self) -> usize {
        self.dropped + self.tokens.len()
    }

    /// Tokens before those that are remembered.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Those that are remembered: the tokens from position [`Transcript::dropped`] on.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The tokens from position `at` on, which must be remembered.
    pub fn from(&self, at: usize) -> &[TokenId] {
        &self.tokens[at - self.dropped..]
    }

    /// Adds one.
    pub fn push(&mut self, token: TokenId) {
        self.tokens.push(token);
    }

    /// Adds several.
    pub fn extend(&mut self, tokens: &[TokenId]) {
        self.tokens.extend(tokens);
    }

    /// Forgets the tokens from position `len` on. False, and nothing changed, where the end would lie among dropped ones.
    pub fn truncate(&mut self, len: usize) -> bool {
        len.checked_sub(self.dropped).map(|keep| self.tokens.truncate(keep)).is_some()
    }

    /// Drops old tokens once there are more than twice as many as `keep`, so that memory is bounded and a token costs nothing.
    pub fn drop_old(&mut self, keep: usize) {
        if self.tokens.len() > 2 * keep {
            for token in self.tokens.drain(..self.tokens.len() - keep) {
                self.digest.push(token);
                self.dropped += 1;
            }
        }
    }

    /// How many tokens `text` and the transcript have in common from the beginning on.
    pub fn common_prefix(&self, text: &[TokenId]) -> usize {
        if text.len() < self.dropped {
            return 0;
        }
        let (old, new) = text.split_at(self.dropped);
        let mut digest = Digest::default();
        old.iter().for_each(|&token| digest.push(token));
        if digest != self.digest {
            return 0;
        }
        self.dropped + self.tokens.iter().zip(new).take_while(|(a, b)| a == b).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(range: std::ops::Range<u32>) -> Vec<TokenId> {
        range.map(TokenId).collect()
    }

    #[test]
    fn what_was_dropped_is_still_recognised() {
        let mut transcript = Transcript::default();
        for token in 0..100 {
            transcript.push(TokenId(token));
            transcript.drop_old(10);
        }
        assert_eq!(transcript.len(), 100);
        assert!(transcript.tokens().len() <= 20);
        assert_eq!(transcript.common_prefix(&ids(0..150)), 100);
        assert_eq!(transcript.common_prefix(&ids(1..150)), 0);
        assert_eq!(transcript.common_prefix(&ids(0..95)), 95);
        assert_eq!(transcript.common_prefix(&ids(0..5)), 0);
        assert!(!transcript.truncate(50) && transcript.len() == 100);
        assert!(transcript.truncate(95) && transcript.len() == 95);
        assert_eq!(transcript.from(93), ids(93..95));
    }
}
