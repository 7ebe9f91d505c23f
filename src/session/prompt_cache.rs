//! Prompts that have been computed once, on disk: a folder of saved sessions named by model and token prefix, so that a long system prompt
//! or document is read from a file instead of being computed again. The folder has a bound; what was not used for longest goes first.

use super::transcript::Digest;
use super::{Model, Session, SessionOptions};
use crate::error::{Error, SnapshotError};
use crate::types::TokenId;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const EXTENSION: &str = "session";

/// Tokens below which computing is as fast as reading.
const SHORTEST: usize = 32;

/// A folder of prompts.
#[derive(Debug, Clone)]
pub struct PromptCache {
    folder: PathBuf,
    bytes: u64,
}

/// A prompt in the folder.
struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl PromptCache {
    /// The prompts in `folder`, which is made when it is needed and holds at most `bytes`.
    pub fn new(folder: impl Into<PathBuf>, bytes: u64) -> PromptCache {
        PromptCache { folder: folder.into(), bytes }
    }

    /// A session that holds as long a beginning of `tokens` as any that was stored; `None` where there is none. A file that turns out to be
    /// damaged is removed.
    ///
    /// # Errors
    /// Where a session can't be made with `options`.
    pub fn restore(&self, model: &Model, options: &SessionOptions, tokens: &[TokenId]) -> Result<Option<Session>, Error> {
        let names: HashSet<OsString> = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        let (made_by, mut digest) = (prefix(model), Digest::default());
        let mut candidates = Vec::new();
        for (i, &token) in tokens.iter().enumerate() {
            digest.push(token);
            if i + 1 >= SHORTEST {
                candidates.extend(names.get(OsStr::new(&name(&made_by, digest, i + 1))).map(|name| self.folder.join(name)));
            }
        }
        for path in candidates.into_iter().rev() {
            match model.restore_as(&path, options.clone()) {
                Ok(Some(session)) if tokens.starts_with(session.tokens()) => {
                    // When it was used last decides what is kept; a folder that can't be written to is no reason to fail.
                    let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                    return Ok(Some(session));
                }
                Ok(_) => {}
                Err(Error::Snapshot(SnapshotError::Damaged { .. })) => drop(fs::remove_file(&path)),
                Err(Error::Snapshot(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Stores what `session` holds, unless it is short, depends on an encoder's text too, has let go of tokens, is there already or is
    /// larger than the folder may be.
    ///
    /// # Errors
    /// Where the folder can't be made or written to.
    pub fn store(&self, model: &Model, session: &mut Session) -> Result<(), Error> {
        if session.len() < SHORTEST || session.encoded() > 0 || session.forgotten() > 0 || session.cache_bytes() as u64 > self.bytes {
            return Ok(());
        }
        let mut digest = Digest::default();
        session.tokens().iter().for_each(|&token| digest.push(token));
        let path = self.folder.join(name(&prefix(model), digest, session.len()));
        if path.exists() {
            return Ok(());
        }
        let failed = |source| SnapshotError::Io { doing: "write", path: self.folder.clone(), source };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        session.save(&path)?;
        Ok(self.make_room(&path).map_err(failed)?)
    }

    /// Removes what was not used for longest, until the rest fits the bound. `newest` stays.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let (path, about) = (entry.path(), entry.metadata()?);
            if about.is_file() && path.extension().is_some_and(|extension| extension == EXTENSION) && path != newest {
                entries.push(Entry { path, bytes: about.len(), used: about.modified()? });
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let mut total = fs::metadata(newest)?.len();
        for Entry { path, bytes, .. } in entries {
            total += bytes;
            if total > self.bytes {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// The name of a prompt of `n` tokens.
fn name(made_by: &str, digest: Digest, n: usize) -> String {
    format!("{made_by}-{}-{n}.{EXTENSION}", digest.name())
}

/// What the names of a model's prompts begin with: enough of its fingerprint and of how its cache stores numbers.
fn prefix(model: &Model) -> String {
    let format = model.cache_format();
    let mixed = if format.hadamard { "" } else { "-plain" };
    format!("{}-{}-{}{mixed}", &model.fingerprint()[..16], format.keys.name(), format.values.name())
}
