//! Where models are kept and how their names are understood: a path, a short name of the [`catalogue`], or a file of the hub.
//! Whatever else runs only sees the path that comes out.

pub mod catalogue;
mod fetch;
mod hub;
mod packages;

use super::Failure;
use catalogue::{CATALOGUE, DEFAULT, Entry};
use std::path::{Path, PathBuf};

/// A model that may have to be fetched first.
#[derive(Debug)]
pub enum Wanted {
    /// A model of the catalogue.
    Listed(&'static Entry),
    /// `hf:owner/repo/path/file.gguf`.
    Hub {
        /// `owner/repo`.
        repo: String,
        /// `path/file.gguf`.
        file: String,
    },
}

/// The folder with the models: `$KINGLET_MODELS`, else `kinglet/models` in the user's cache folder.
pub fn folder() -> Result<PathBuf, Failure> {
    if let Some(folder) = std::env::var_os("KINGLET_MODELS").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let cache = dirs::cache_dir().ok_or_else(|| {
        Failure::error("there is no cache folder for this user (no home folder)").hint("set KINGLET_MODELS to a folder for models")
    })?;
    Ok(cache.join("kinglet").join("models"))
}

/// True where the person forbade the network.
pub fn offline() -> bool {
    std::env::var_os("KINGLET_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The path of the model that `-m` names; the default one where it names none. Fetches what is not there yet.
pub fn resolve(name: Option<&str>) -> Result<PathBuf, Failure> {
    let Some(name) = name else { return obtain(&Wanted::Listed(find_default()?)) };
    if name.is_empty() {
        return Err(Failure::usage("the model's name is empty").hint("leave -m out for the default model"));
    }
    let path = Path::new(name);
    if path.exists() {
        return Ok(path.to_path_buf());
    }
    if looks_like_a_path(name) {
        // A file of the models folder may be called by its name alone.
        if path.components().count() == 1 && folder()?.join(path).is_file() {
            return Ok(folder()?.join(path));
        }
        return Err(Failure::error(format!("no such file: {name}")).hint("`kinglet list` shows the models that have a short name"));
    }
    obtain(&wanted(name)?)
}

/// Understands a short name or `hf:…`.
pub fn wanted(name: &str) -> Result<Wanted, Failure> {
    if let Some(place) = name.strip_prefix("hf:") {
        return hub_place(place)
            .ok_or_else(|| Failure::usage(format!("{name:?} is no file of the hub")).hint("write hf:OWNER/REPO/FILE.gguf"));
    }
    if let Some(entry) = catalogue::find(name) {
        return Ok(Wanted::Listed(entry));
    }
    let failure = Failure::error(format!("unknown model {name:?}"));
    Err(match nearest(name) {
        Some(entry) => failure.hint(format!("did you mean {}? `kinglet list` shows all", entry.name)),
        None => failure.hint("`kinglet list` shows the known names; hf:OWNER/REPO/FILE.gguf takes any file of the hub"),
    })
}

/// The path of a wanted model, fetched where it is missing.
fn obtain(wanted: &Wanted) -> Result<PathBuf, Failure> {
    let path = place(wanted)?;
    let there = match wanted {
        Wanted::Listed(entry) => std::fs::metadata(&path).is_ok_and(|file| file.len() == entry.bytes),
        Wanted::Hub { .. } => path.is_file(),
    };
    if !there {
        fetch::fetch(wanted, &path)?;
    }
    Ok(path)
}

/// Makes sure that a model is there and whole, by its sum; says where. `Ok(false)`: it was there already.
pub fn pull(wanted: &Wanted) -> Result<(PathBuf, bool), Failure> {
    let path = place(wanted)?;
    let whole = match wanted {
        Wanted::Listed(entry) => path.is_file() && fetch::sha256_of(&path)? == entry.sha256,
        Wanted::Hub { .. } => path.is_file(),
    };
    if !whole {
        fetch::fetch(wanted, &path)?;
    }
    Ok((path, !whole))
}

/// Where a model lies, or will lie.
pub fn place(wanted: &Wanted) -> Result<PathBuf, Failure> {
    let folder = folder()?;
    Ok(match wanted {
        Wanted::Listed(entry) => folder.join(entry.file),
        Wanted::Hub { repo, file } => folder.join("hf").join(repo).join(file),
    })
}

fn find_default() -> Result<&'static Entry, Failure> {
    catalogue::find(DEFAULT).ok_or_else(|| Failure::error("the catalogue has no default model"))
}

fn looks_like_a_path(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.starts_with("hf:")
        && (name.contains(['/', '\\']) || lower.ends_with(".gguf") || lower.ends_with(".safetensors") || name.starts_with('.'))
}

/// `owner/repo/path/file.gguf` in two halves; `None` where a part could leave the folder or is no name of the hub.
fn hub_place(place: &str) -> Option<Wanted> {
    let parts: Vec<&str> = place.split('/').collect();
    let [owner, repo, path @ ..] = parts.as_slice() else { return None };
    let plain = |part: &&str| {
        !part.is_empty()
            && part.len() <= 200
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
    };
    let is_model = path.last()?.to_ascii_lowercase().ends_with(".gguf");
    (is_model && parts.iter().all(plain)).then(|| Wanted::Hub { repo: format!("{owner}/{repo}"), file: path.join("/") })
}

/// The entry whose name is most like `name`, where one is like it at all.
fn nearest(name: &str) -> Option<&'static Entry> {
    let name = name.to_ascii_lowercase();
    let likeness = |entry: &Entry| strsim::jaro_winkler(&name, entry.name);
    let best = CATALOGUE.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.75).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_hub_has_owner_repository_and_path() {
        let Some(Wanted::Hub { repo, file }) = hub_place("owner/Repo-GGUF/sub/model.Q4_0.gguf") else { panic!("refused") };
        assert_eq!((repo.as_str(), file.as_str()), ("owner/Repo-GGUF", "sub/model.Q4_0.gguf"));
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for bad in [
            "",
            "a",
            "a/b",
            "a/b/",
            "../b/c.gguf",
            "a/../c.gguf",
            "a/b/../../../c.gguf",
            "a//c.gguf",
            "a/b/.c.gguf",
            "a/b/c",
            "a/b/c\\d.gguf",
            "/a/b/c.gguf",
            "a/b/c.gguf?x=1",
            "a/b/-c.gguf",
            "a/b/c.gguf\0",
        ] {
            assert!(hub_place(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        assert_eq!(nearest("smollm2").map(|e| e.name), Some("smollm2-135m-instruct"));
        assert_eq!(nearest("gemma3-270m").map(|e| e.name), Some("gemma-3-270m"));
        assert_eq!(nearest("Gemma-270").map(|e| e.name), Some("gemma-3-270m"));
        assert!(nearest("xyzzy").is_none());
    }
}
