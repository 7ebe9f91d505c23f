//! SentencePiece's precompiled character map: a double array that maps prefixes of a text to their normalized form (NFKC and the like).
//! Nothing in it is trusted: every index is checked, and a damaged map maps characters to themselves.
//!
//! The format (S. Kanda, 2018, "XOR-compressed double array"): a u32 size, that many bytes of little-endian u32 nodes, then the
//! normalized texts, each ended by a zero byte.

/// A character map; the empty one changes nothing.
#[derive(Debug, Default)]
pub(crate) struct CharsMap {
    nodes: Vec<u32>,
    texts: Vec<u8>,
}

impl CharsMap {
    /// From `tokenizer.ggml.precompiled_charsmap`; `None` where its size doesn't fit.
    pub(crate) fn new(blob: &[u8]) -> Option<Self> {
        let (size, rest) = blob.split_first_chunk()?;
        let (nodes, texts) = rest.split_at_checked(u32::from_le_bytes(*size) as usize)?;
        let nodes = nodes.chunks_exact(4).map(|node| u32::from_le_bytes([node[0], node[1], node[2], node[3]])).collect();
        Some(CharsMap { nodes, texts: texts.to_vec() })
    }

    /// Hands the characters of the normalized text to `emit`.
    pub(crate) fn map(&self, text: &str, mut emit: impl FnMut(char)) {
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            // A damaged map may end a prefix within a character.
            match self.longest(rest.as_bytes()).filter(|&(len, _)| rest.is_char_boundary(len)) {
                Some((len, normalized)) => {
                    normalized.chars().for_each(&mut emit);
                    rest = &rest[len..];
                }
                None => {
                    emit(character);
                    rest = &rest[character.len_utf8()..];
                }
            }
        }
    }

    /// The longest prefix of `text` that the map has: its length and its normalized form.
    fn longest(&self, text: &[u8]) -> Option<(usize, &str)> {
        let mut found = None;
        let mut node = base(*self.nodes.first()?);
        for (at, &byte) in text.iter().enumerate().take_while(|(_, byte)| **byte != 0) {
            node ^= u32::from(byte);
            let entry = self.node(node).filter(|&entry| label(entry) == u32::from(byte));
            let Some(entry) = entry else { break };
            node ^= base(entry);
            if has_leaf(entry) {
                found = self.node(node).map(|leaf| (at + 1, leaf & !(1 << 31)));
            }
        }
        let (len, offset) = found?;
        let text = self.texts.get(offset as usize..)?;
        let end = text.iter().position(|&byte| byte == 0)?;
        Some((len, std::str::from_utf8(&text[..end]).ok()?))
    }

    fn node(&self, index: u32) -> Option<u32> {
        self.nodes.get(index as usize).copied()
    }
}

/// Where a node's children are, XORed with its own index.
fn base(entry: u32) -> u32 {
    (entry >> 10) << ((entry & (1 << 9)) >> 6)
}

/// The byte that leads to a node; the highest bit marks leaves, which no byte leads to.
fn label(entry: u32) -> u32 {
    entry & (1 << 31 | 0xFF)
}

fn has_leaf(entry: u32) -> bool {
    entry >> 8 & 1 == 1
}
