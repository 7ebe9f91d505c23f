//! Files that we write appear whole or not at all: written under another name in the same folder, then renamed.

use std::fs::File;
use std::io;
use std::path::Path;

/// Writes `path` by `fill`. What was there stays until the new file is complete; where `fill` fails nothing is left behind.
pub fn replace(path: &Path, fill: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    // A pipe or a device (/dev/stdout) can't be renamed over.
    if path.exists() && !path.is_file() {
        return fill(&File::options().write(true).open(path)?);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kinglet-");
    #[cfg(unix)]
    {
        // What the user's umask makes of an ordinary new file; tempfile's own default is for secrets.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder)?;
    fill(file.as_file())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
