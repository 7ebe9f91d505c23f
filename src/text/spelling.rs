//! How a token's text in the file stands for bytes. GPT-2's byte-level vocabularies write every byte as a printable character; the
//! SentencePiece ones write a space as `▁`; WordPiece marks the pieces that go on with a word.

use std::borrow::Cow;

/// The alphabet of a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// A character of GPT-2's alphabet for each byte.
    ByteLevel,
    /// UTF-8, with `▁` for a space.
    Spaced,
    /// UTF-8; `##` marks a piece that goes on, the others begin with a space.
    WordPiece,
}

/// The character that stands for a space.
pub(crate) const SPACE: &str = "▁";

impl Spelling {
    /// The bytes that `text` stands for.
    pub(crate) fn bytes(self, text: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Spelling::ByteLevel => Cow::Owned(from_alphabet(text)),
            Spelling::Spaced => replace(text, SPACE.as_bytes(), b" "),
            Spelling::WordPiece => match text.strip_prefix(b"##") {
                Some(rest) => Cow::Borrowed(rest),
                None => Cow::Owned([b" ", text].concat()),
            },
        }
    }
}

/// Writes `bytes` in GPT-2's alphabet at the end of `word`.
pub(crate) fn to_alphabet(bytes: &[u8], word: &mut String) {
    word.extend(bytes.iter().map(|&byte| LETTERS[usize::from(byte)]));
}

/// The bytes that a text in GPT-2's alphabet stands for; characters outside of it stand for themselves.
fn from_alphabet(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match byte_of(character) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes.extend_from_slice(chunk.invalid());
    }
    bytes
}

/// Whether GPT-2's alphabet writes the byte as the Latin-1 character of the same number.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// GPT-2's `bytes_to_unicode`: printable Latin-1 stands for itself, the other 68 bytes follow from U+0100 on.
const LETTERS: [char; 256] = {
    let mut letters = ['\0'; 256];
    let (mut byte, mut next) = (0usize, 0x100);
    while byte < 256 {
        if is_printable(byte as u8) {
            letters[byte] = byte as u8 as char;
        } else {
            letters[byte] = match char::from_u32(next) {
                Some(letter) => letter,
                None => '\0',
            };
            next += 1;
        }
        byte += 1;
    }
    letters
};

/// The bytes that U+0100 and the characters after it stand for.
const MOVED: [u8; 68] = {
    let mut moved = [0; 68];
    let (mut byte, mut next) = (0usize, 0);
    while byte < 256 {
        if !is_printable(byte as u8) {
            moved[next] = byte as u8;
            next += 1;
        }
        byte += 1;
    }
    moved
};

fn byte_of(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ 0..0x100 => Some(code as u8).filter(|&byte| is_printable(byte)),
        code => MOVED.get((code - 0x100) as usize).copied(),
    }
}

/// `text` with every `from` replaced.
fn replace<'t>(text: &'t [u8], from: &[u8], to: &[u8]) -> Cow<'t, [u8]> {
    let Some(first) = text.windows(from.len()).position(|window| window == from) else { return Cow::Borrowed(text) };
    let mut replaced = text[..first].to_vec();
    let mut rest = &text[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(from) {
            replaced.extend_from_slice(to);
            rest = after;
        } else {
            replaced.push(byte);
            rest = tail;
        }
    }
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_letter_of_its_own() {
        let all: Vec<u8> = (0..=255).collect();
        let mut word = String::new();
        to_alphabet(&all, &mut word);
        assert_eq!(Spelling::ByteLevel.bytes(word.as_bytes()).as_ref(), all);
        assert_eq!((LETTERS[0x20], LETTERS[0x0A], LETTERS[0xAD], LETTERS[0x41]), ('Ġ', 'Ċ', 'Ń', 'A'));
    }

    #[test]
    fn characters_outside_the_alphabet_stand_for_themselves() {
        assert_eq!(Spelling::ByteLevel.bytes("Ġ漢".as_bytes()).as_ref(), " 漢".as_bytes());
    }

    #[test]
    fn a_spaced_text_gets_its_spaces_back() {
        assert_eq!(Spelling::Spaced.bytes("▁▁a▁b".as_bytes()).as_ref(), b"  a b");
        assert_eq!(Spelling::WordPiece.bytes(b"##ing").as_ref(), b"ing");
    }
}
