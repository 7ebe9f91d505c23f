//! Sessions on disk: a line that says what it is, a description in JSON, the numbers of the cache, and a checksum over all of it. A session
//! is taken up only by the model and the position scheme that made it.
//!
//! ```text
//! "kinglet session 2\n"  u64 length of the description  description  pages  SHA-256 of all before
//! ```

use super::model::Shared;
use super::transcript::Transcript;
use super::{Logits, Model, Session, SessionOptions, Stats, budget};
use crate::error::{Error, SnapshotError, one_line};
use crate::file::replace;
use crate::forward::Positions;
use crate::kv::{Cache, CacheHeader, Shapes};
use crate::types::TokenId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

const MAGIC: &[u8; 18] = b"kinglet session 2\n";

/// Bytes of a description at most: it lists tokens and pages.
const LONGEST_DESCRIPTION: u64 = 1 << 30;

/// Bytes of a SHA-256.
const CHECKSUM: u64 = 32;

/// Everything but the numbers.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    model: String,
    positions: String,
    tokens: Transcript,
    cache: CacheHeader,
}

impl Session {
    /// Writes the session to `path`; a file that is there is replaced once the new one is complete.
    ///
    /// # Errors
    /// Where tokens that are not computed yet can't be, or the file can't be written.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        self.catch_up_if_any()?;
        let (model, positions) = (self.model.fingerprint().to_owned(), positions_fingerprint(&self.positions));
        let description = Description { model, positions, tokens: self.tokens.clone(), cache: self.cache.header() };
        let write = |file: &File| -> io::Result<()> {
            let mut out = Hashing { inner: BufWriter::new(file), hash: Sha256::new() };
            let description = serde_json::to_vec(&description)?;
            out.write_all(MAGIC)?;
            out.write_all(&(description.len() as u64).to_le_bytes())?;
            out.write_all(&description)?;
            self.cache.write_pages(&mut out)?;
            let checksum = out.hash.finalize();
            out.inner.write_all(&checksum)?;
            out.inner.flush()
        };
        Ok(replace(path, write).map_err(|source| SnapshotError::Io { doing: "write", path: path.into(), source })?)
    }
}

impl Model {
    /// Takes up a session that [`Session::save`] wrote, with its context and its pins.
    ///
    /// # Errors
    /// Where the file can't be read, is damaged, or is of another model, position scheme or cache type.
    pub fn restore(&self, path: impl AsRef<Path>) -> Result<Session, Error> {
        let path = path.as_ref();
        let (tokens, cache, positions) = read(&self.shared, path, None)?;
        let room = budget::room(&self.shared, Some(cache.bound()), |_| cache.policy())?;
        Ok(Session { model: Arc::clone(&self.shared), room, tokens, cache, positions, logits: Logits::default(), stats: Stats::default() })
    }

    /// As [`Model::restore`], with the context and the policy of `options` and without pins: for a session of which nothing has left yet.
    /// `None` where something has, or where more tokens have come than the new context holds.
    ///
    /// # Errors
    /// As [`Model::restore`] and [`Model::session`].
    pub fn restore_as(&self, path: impl AsRef<Path>, options: SessionOptions) -> Result<Option<Session>, Error> {
        let mut session = self.session(options)?;
        let (tokens, cache, _) = read(&self.shared, path.as_ref(), Some(&session.positions))?;
        let Some(cache) = cache.with_bound(session.context(), session.policy()) else { return Ok(None) };
        (session.tokens, session.cache) = (tokens, cache);
        Ok(Some(session))
    }

    /// What tells this model's sessions from those of others: the same for the same file, 64 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        self.shared.fingerprint()
    }
}

/// Reads and checks a session's file. `positions` are those it goes on with; `None` resolves them for the file's own bound.
fn read(model: &Shared, path: &Path, positions: Option<&Arc<Positions>>) -> Result<(Transcript, Cache, Arc<Positions>), Error> {
    let io = |source| SnapshotError::Io { doing: "read", path: path.into(), source };
    let damaged = |found: String, expected: &str| SnapshotError::Damaged { path: path.into(), found, expected: expected.into() };
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut from = Hashing { inner: BufReader::new(file), hash: Sha256::new() };
    let (mut magic, mut length) = ([0; MAGIC.len()], [0; 8]);
    from.read_exact(&mut magic).and_then(|()| from.read_exact(&mut length)).map_err(|_| damaged(format!("{size} bytes"), "a header"))?;
    if magic != *MAGIC {
        return Err(damaged(format!("it begins with {:?}", String::from_utf8_lossy(&magic)), "\"kinglet session 2\"").into());
    }
    let length = u64::from_le_bytes(length);
    let before = MAGIC.len() as u64 + 8 + CHECKSUM;
    let pages = size.checked_sub(before).and_then(|left| left.checked_sub(length)).filter(|_| length <= LONGEST_DESCRIPTION);
    let pages = pages.ok_or_else(|| damaged(format!("a description of {length} bytes in a file of {size}"), "one that fits"))?;
    let mut description = vec![0; length as usize];
    from.read_exact(&mut description).map_err(io)?;
    let Description { model: made_by, positions: scheme, tokens, cache } =
        serde_json::from_slice(&description).map_err(|e| damaged(one_line(&e.to_string(), 300), "a description"))?;

    let other = |what, found: String, expected: String| SnapshotError::Other { path: path.into(), what, found, expected };
    if made_by != model.fingerprint() {
        return Err(other("model", made_by, model.fingerprint().to_owned()).into());
    }
    if cache.format != model.cache_format {
        return Err(other("cache type", format!("{:?}", cache.format), format!("{:?}", model.cache_format)).into());
    }
    let positions = match positions {
        Some(positions) => Arc::clone(positions),
        None => Arc::new(model.decoder.positions(&model.file, cache.ring.bound())?),
    };
    if scheme != positions_fingerprint(&positions) {
        return Err(other("position scheme or context", scheme, positions_fingerprint(&positions)).into());
    }
    let shapes = Shapes { own: model.decoder.cache_shapes().collect(), across: model.decoder.cross_shapes().collect() };
    let n_vocab = model.decoder.spec().n_vocab;
    let in_vocabulary = |token: &TokenId| token.index() < n_vocab;
    if cache.pages_bytes(&shapes) != Some(pages) || tokens.len() != cache.len || !tokens.tokens().iter().all(in_vocabulary) {
        return Err(damaged(format!("{pages} bytes of pages for {} tokens", cache.len), "those that the description lists").into());
    }
    let cache = Cache::read_pages(cache, &shapes, &mut from).map_err(io)?;
    let mut checksum = [0; CHECKSUM as usize];
    from.inner.read_exact(&mut checksum).map_err(io)?;
    if from.hash.finalize()[..] != checksum {
        return Err(damaged("another checksum".into(), "the one that was written").into());
    }
    Ok((tokens, cache, positions))
}

impl Shared {
    /// Of the recipe, and of each tensor its name, type, shape and first bytes: enough to tell models apart without reading them.
    fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            let mut hash = Sha256::new();
            hash.update(format!("{:?}", self.decoder.spec()));
            for tensor in self.file.tensors() {
                hash.update(format!("{} {:?} {:?}", tensor.name, tensor.ty, tensor.shape));
                hash.update(&tensor.bytes[..tensor.bytes.len().min(64)]);
            }
            hex(hash)
        })
    }
}

fn positions_fingerprint(positions: &Positions) -> String {
    hex(Sha256::new_with_prefix(format!("{positions:?}")))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes what goes through.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }
}
