//! Many strings in one allocation: a vocabulary has up to half a million of them, and a `String` each would cost more time at start
//! than everything else that a tokenizer does.

/// A list of byte strings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Strings {
    /// An empty list with room for `count` strings.
    pub(crate) fn with_capacity(count: usize) -> Self {
        // Vocabularies have 6 to 8 bytes a token.
        Strings { bytes: Vec::with_capacity(count * 8), ends: Vec::with_capacity(count) }
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The string at `index`, which must be below [`Strings::len`].
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl<'a> FromIterator<&'a [u8]> for Strings {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(texts: I) -> Self {
        let texts = texts.into_iter();
        let mut strings = Strings::with_capacity(texts.size_hint().0);
        texts.for_each(|text| strings.push(text));
        strings
    }
}
