//! The pages that people read: each link between them leads to a file, and to a heading of it, that is there. (Their commands are run
//! by `.ci/run`, the README's program by `cargo test --doc`.)

use std::fs;
use std::path::{Path, PathBuf};

/// README.md, CONTRIBUTING.md and everything in `docs/`.
fn pages() -> Vec<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inside = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = inside(home.to_owned()).chain(inside(home.join("docs")));
    all.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// What `[text](target)` points to, outside code.
fn links(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    prose.flat_map(|prose| prose.split("](").skip(1)).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

/// The names by which a page's headings can be linked to.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim().to_lowercase());
    headings.map(|heading| heading.replace(' ', "-").replace(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'), "")).collect()
}

/// Why `target` leads nowhere from `page`.
fn broken(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { page.to_owned() } else { page.parent()?.join(path) };
    if !file.exists() {
        return Some(format!("{}: {target}: no such file", page.display()));
    }
    let known = anchor.is_empty() || anchors(&fs::read_to_string(&file).unwrap()).iter().any(|name| name == anchor);
    (!known).then(|| format!("{}: {target}: no such heading", page.display()))
}

#[test]
fn links_lead_to_files_and_headings_that_are_there() {
    let pages = pages();
    assert!(pages.len() >= 3, "{pages:?}");
    let text = |page: &PathBuf| fs::read_to_string(page).unwrap();
    let broken: Vec<String> =
        pages.iter().flat_map(|page| links(&text(page)).iter().filter_map(|t| broken(page, t)).collect::<Vec<_>>()).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn a_link_to_nowhere_is_found() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    assert_eq!(links("[a](b.md) ```rust\nx[0](y)\n``` and [c](d#e)"), ["b.md", "d#e"]);
    assert!(broken(&page, "docs/no-such-page.md").is_some());
    assert!(broken(&page, "docs/architecture.md#no-such-heading").is_some());
    assert!(broken(&page, "docs/architecture.md#one-order-of-sums").is_none());
}
