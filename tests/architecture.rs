//! The house rules that a compiler does not know: floors import only floors above them, files and lines stay short, every file
//! says what it is, and `unsafe` stands only behind its doors, each time with its reason. The rules work on the sources' text, so
//! that they hold for tests, examples and code of other platforms too, and each is tested below on sources that break it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors of `src/`, top to bottom: a module imports only from its own line and from lines above it.
const FLOORS: &[&[&str]] = &[
    &["error", "types"],
    &["math"],
    &["parallel"],
    &["file"],
    &["text"],
    &["position"],
    &["attention"],
    &["kv"],
    &["forward"],
    &["generate"],
    &["session"],
    &["eval"],
    &["serve"],
    &["cli"],
];

/// Folders whose sources keep the rules.
const ROOTS: &[&str] = &["src", "quant", "models", "tests", "examples", "benches", "fuzz/src", "fuzz/fuzz_targets"];

/// Files and folders that may hold `unsafe`: intrinsics, rectangles of a matrix, the memory map, the team, the C interface, and an
/// allocator that counts, for the tests of hostile files.
const DOORS: &[&str] = &[
    "quant/src/isa/",
    "quant/src/columns.rs",
    "src/file/map.rs",
    "src/kv/slab.rs",
    "src/parallel/team.rs",
    "src/capi.rs",
    "tests/malformed/allocator.rs",
];

const MAX_LINES: usize = 500;
const MAX_COLUMNS: usize = 140;

/// A source file: its path from the project's folder, and its text.
struct Source {
    path: String,
    text: String,
}

/// An identifier or a punctuation mark (`::` is one) and the line, from 1, that it stands in.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

#[test]
fn a_floor_imports_only_what_is_above_it() {
    let root = root_names(&read("src/lib.rs"));
    check(|source| match floor_of_file(&source.path) {
        Some(floor) => upward_imports(source, floor, &root),
        None => Vec::new(),
    });
}

#[test]
fn the_crates_below_know_nothing_of_those_above() {
    check(|source| match source.path.split('/').next() {
        Some("quant") => names_used(source, &["kinglet", "kinglet_models"]),
        Some("models") => names_used(source, &["kinglet", "kinglet_quant"]),
        _ => Vec::new(),
    });
    for manifest in ["quant/Cargo.toml", "models/Cargo.toml"] {
        let dependency = read(manifest).lines().find(|line| line.starts_with("kinglet")).map(str::to_owned);
        assert_eq!(dependency, None, "{manifest} depends on a crate of ours");
    }
}

#[test]
fn files_and_lines_are_short() {
    check(too_long);
}

#[test]
fn every_file_says_what_it_is() {
    check(undocumented);
}

#[test]
fn unsafe_stands_behind_its_doors_with_its_reason() {
    check(unsafe_outside_or_unexplained);
}

#[test]
fn the_architecture_page_says_why_each_door_is_sound() {
    let page = read("docs/architecture.md");
    for door in DOORS.iter().filter(|door| home().join(door).exists()) {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{door}` |")));
        let cells: Vec<&str> = row.unwrap_or_else(|| panic!("{door} is not in the table of doors")).split(" | ").collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| cell.len() > 10), "{door}: a reason and a test are wanted");
    }
}

#[test]
fn the_architecture_page_lists_the_floors_in_their_order() {
    let page = read("docs/architecture.md");
    let table = page.lines().skip_while(|line| !line.starts_with("| `src/")).map_while(|line| line.strip_prefix("| `src/"));
    let rows: Vec<&str> = table.filter_map(|line| line.split(['`', '/', '.']).next()).collect();
    assert_eq!(rows, FLOORS.concat());
}

/// Fails with everything that `rule` finds in any source.
fn check(rule: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(sources.len() > 50, "only {} sources were found: is this the project's folder?", sources.len());
    let found: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(home().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    ROOTS.iter().for_each(|root| collect(&home().join(root), &mut sources));
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let from_home = path.strip_prefix(home()).unwrap().to_string_lossy().replace('\\', "/");
            sources.push(Source { path: from_home, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

/// The floor that a file of `src/` belongs to; the crate's two roots belong to none.
fn floor_of_file(path: &str) -> Option<&str> {
    let name = path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&name)).then_some(name)
}

fn height(floor: &str) -> Option<usize> {
    FLOORS.iter().position(|names| names.contains(&floor))
}

/// What can be named as `crate::NAME`, and the floor it comes from: modules, and what `pub use` lifts out of them.
fn root_names(lib: &str) -> BTreeMap<String, String> {
    let tokens = tokens(lib);
    let mut names = BTreeMap::new();
    for (at, token) in tokens.iter().enumerate() {
        let rest = &tokens[at + 1..];
        if token.text == "mod" {
            names.insert(rest[0].text.clone(), rest[0].text.clone());
        } else if token.text == "use" {
            let item: Vec<&Token> = rest.iter().take_while(|token| token.text != ";").filter(|token| is_name(&token.text)).collect();
            if let Some(floor) = item.iter().find(|token| height(&token.text).is_some()) {
                names.extend(item.iter().map(|token| (token.text.clone(), floor.text.clone())));
            }
        }
    }
    names
}

/// Paths from the crate's root that lead to a floor further down.
fn upward_imports(source: &Source, floor: &str, root: &BTreeMap<String, String>) -> Vec<String> {
    let Some(own) = height(floor) else { return vec![format!("{}: `{floor}` is not in the list of floors", source.path)] };
    let mut found = Vec::new();
    for Token { text: name, line } in names_from_root(source) {
        let target = root.get(&name).map_or(&name, |floor| floor);
        match height(target) {
            Some(other) if other <= own => {}
            Some(_) => found.push(format!("{}:{line}: `{floor}` imports `{name}` of `{target}`, which is not above it", source.path)),
            None => found.push(format!("{}:{line}: `crate::{name}` is not in the list of floors", source.path)),
        }
    }
    found
}

/// The first names of all paths that begin at the crate's root, spelled `crate::` or with as many `super::` as it takes.
fn names_from_root(source: &Source) -> Vec<Token> {
    let folders = source.path.matches('/').count();
    let depth = if source.path.ends_with("/mod.rs") { folders - 1 } else { folders };
    let tokens = tokens(&source.text);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut names, mut open, mut inline, mut at) = (Vec::new(), 0, Vec::new(), 0);
    while at < tokens.len() {
        let mut supers = 0;
        while text(at + 2 * supers) == "super" && text(at + 2 * supers + 1) == "::" {
            supers += 1;
        }
        match text(at) {
            "mod" if text(at + 2) == "{" => inline.push(open),
            "{" => open += 1,
            "}" => {
                open -= 1;
                inline.pop_if(|before| *before == open);
            }
            "crate" if text(at + 1) == "::" => first_names(&tokens[at + 2..], &mut names),
            "super" if supers > 0 && supers == depth + inline.len() => first_names(&tokens[at + 2 * supers..], &mut names),
            _ => {}
        }
        at += if supers > 0 { 2 * supers } else { 1 };
    }
    names
}

/// The name that a path goes on with, or those of its group: `a::b` is `a`, `{a::b, c, d::{e, f}}` is `a`, `c`, `d`.
fn first_names(path: &[Token], names: &mut Vec<Token>) {
    if path.first().is_none_or(|token| token.text != "{") {
        return names.extend(path.first().cloned());
    }
    let mut depth = 0;
    for (at, token) in path.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && is_name(&token.text) && ["{", ","].contains(&path[at - 1].text.as_str()) {
            names.push(token.clone());
        }
    }
}

fn names_used(source: &Source, forbidden: &[&str]) -> Vec<String> {
    let used = tokens(&source.text).into_iter().filter(|token| forbidden.contains(&token.text.as_str()));
    used.map(|token| format!("{}:{}: names `{}`", source.path, token.line, token.text)).collect()
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let length = (lines > MAX_LINES).then(|| format!("{}: {lines} lines, at most {MAX_LINES}", source.path));
    let wide = source.text.lines().enumerate().filter(|(_, line)| line.chars().count() > MAX_COLUMNS);
    length.into_iter().chain(wide.map(|(at, _)| format!("{}:{}: more than {MAX_COLUMNS} characters", source.path, at + 1))).collect()
}

/// The comment that opens a file.
fn opening(source: &Source) -> String {
    let lines = source.text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(str::trim).collect::<Vec<_>>().join("\n")
}

fn undocumented(source: &Source) -> Vec<String> {
    let doc = opening(source);
    let sentence = doc.ends_with('.') || doc.contains(". ") || doc.contains(".\n");
    if sentence && doc.split_whitespace().count() >= 3 {
        vec![]
    } else {
        vec![format!("{}: does not open with a sentence of `//!`", source.path)]
    }
}

fn unsafe_outside_or_unexplained(source: &Source) -> Vec<String> {
    let door = DOORS.iter().any(|door| source.path.starts_with(door));
    // An ISA level is some dozens of intrinsics that one reason serves; it stands at the top of the file.
    let for_all = source.path.starts_with("quant/src/isa/") && opening(source).contains("\nSAFETY");
    let lines: Vec<&str> = source.text.lines().collect();
    let places = tokens(&source.text).into_iter().filter(|token| token.text == "unsafe").map(|token| token.line);
    places
        .filter_map(|line| match (door, for_all || explained(&lines, line - 1)) {
            (false, _) => Some(format!("{}:{line}: `unsafe` outside its doors", source.path)),
            (true, false) => Some(format!("{}:{line}: `unsafe` without `// SAFETY:` (or `# Safety`) before it", source.path)),
            (true, true) => None,
        })
        .collect()
}

/// Whether the statement of line `at` has a comment before it that says why it is sound. A method of an `unsafe impl` shares its reason.
fn explained(lines: &[&str], at: usize) -> bool {
    for line in lines[..at].iter().rev().map(|line| line.trim()) {
        let comment = line.starts_with("//");
        if comment && (line.contains("SAFETY:") || line.contains("# Safety")) {
            return true;
        }
        if line.is_empty() || (!comment && line.ends_with([';', '{', '}', ','])) {
            break;
        }
    }
    let outer = lines[..at].iter().rposition(|line| !line.trim().is_empty() && indent(line) < indent(lines[at]));
    let method = lines[at].trim_start().starts_with("unsafe fn");
    method && outer.is_some_and(|outer| lines[outer].trim_start().starts_with("unsafe impl") && explained(lines, outer))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The tokens of a source, without comments and without what literals hold.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (at, line) in code(source).lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let name = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let len = if name > 0 {
                name
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(Token { text: rest[..len].to_owned(), line: at + 1 });
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// `source` with comments and literals blanked, line by line.
fn code(source: &str) -> String {
    let (mut out, mut rest, mut in_name) = (String::with_capacity(source.len()), source, false);
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else {
            literal(rest, in_name)
        };
        in_name = first.is_alphanumeric() || first == '_';
        let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
        match skip {
            0 => out.push(first),
            _ => out.extend(rest[..skip].chars().map(blank)),
        }
        rest = &rest[skip.max(first.len_utf8())..];
    }
    out
}

/// Bytes of the block comment that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match text.as_bytes()[at..] {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Bytes of the string or character literal that `text` begins with; 0 where there is none (a lifetime is none).
fn literal(text: &str, in_name: bool) -> usize {
    let raw = ["r", "br", "cr"].iter().filter(|_| !in_name).find_map(|prefix| {
        let hashes = text.strip_prefix(prefix)?.bytes().take_while(|&byte| byte == b'#').count();
        text[prefix.len() + hashes..].starts_with('"').then_some((prefix.len() + hashes + 1, format!("\"{}", "#".repeat(hashes))))
    });
    if let Some((start, end)) = raw {
        return text[start..].find(&end).map_or(text.len(), |at| start + at + end.len());
    }
    let quote = match text.as_bytes() {
        [b'"', ..] => b'"',
        [b'\'', b'\\', ..] => b'\'',
        [b'\'', ..] if text.chars().nth(2) == Some('\'') => b'\'',
        _ => return 0,
    };
    let (mut at, bytes) = (1, text.as_bytes());
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

mod the_rules_can_fail {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// The lines in which a floor of `path` imports upwards.
    fn upwards(path: &str, text: &str) -> usize {
        let lib = "pub mod kv;\npub mod session;\nmod math;\npub use session::{Model, Session as Talk};\npub use kinglet_quant::Type;";
        upward_imports(&source(path, text), floor_of_file(path).unwrap(), &root_names(lib)).len()
    }

    #[test]
    fn imports_of_floors_above_and_of_the_own_floor_are_allowed() {
        assert_eq!(upwards("src/kv/layer.rs", "use crate::math::row;\nuse crate::kv::Cache;\nuse super::LayerShape;"), 0);
        assert_eq!(upwards("src/session/mod.rs", "fn f() -> crate::Model { crate::forward::run() }"), 0);
        assert_eq!(upwards("src/error/mod.rs", "use crate::types::TokenId;"), 0);
    }

    #[test]
    fn imports_of_floors_below_are_found_however_they_are_spelled() {
        assert_eq!(upwards("src/kv/layer.rs", "use crate::forward::Rows;"), 1);
        assert_eq!(upwards("src/kv/layer.rs", "use crate::{math::row, forward::{self, Rows}, session};"), 2);
        assert_eq!(upwards("src/kv/layer.rs", "fn f() { crate::serve::start() }"), 1);
        assert_eq!(upwards("src/kv/layer.rs", "use super::super::cli;"), 1);
        assert_eq!(upwards("src/kv/mod.rs", "use super::cli;\nmod tests { use super::super::cli; use super::cli; }"), 2);
        assert_eq!(upwards("src/math/row.rs", "#[cfg(test)]\nmod tests {\n    use crate::kv::Cache;\n}"), 1);
    }

    #[test]
    fn what_the_root_lifts_out_of_a_floor_belongs_to_it() {
        assert_eq!(upwards("src/kv/mod.rs", "use crate::Model;"), 1);
        assert_eq!(upwards("src/kv/mod.rs", "use crate::Talk;"), 1);
        assert_eq!(upwards("src/session/mod.rs", "use crate::Talk;"), 0);
    }

    #[test]
    fn a_floor_that_nobody_listed_is_found() {
        assert_eq!(upwards("src/kv/mod.rs", "use crate::cellar::Wine;"), 1);
        assert_eq!(upwards("src/cellar.rs", ""), 1);
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "// unsafe\n/* unsafe /* unsafe */ unsafe */ \"unsafe \\\" unsafe\" r#\"unsafe \" unsafe\"# '\\'' 'u' b\"unsafe\"";
        assert!(tokens(text).iter().all(|token| token.text != "unsafe"), "{:?}", tokens(text));
        let lifetimes = tokens("fn f<'a>(x: &'a str) -> &'a str { unsafe_code(var\"\") }");
        assert_eq!(lifetimes.iter().filter(|token| token.text == "a").count(), 3);
        assert!(lifetimes.iter().any(|token| token.text == "unsafe_code"));
    }

    #[test]
    fn unsafe_needs_a_door_and_a_reason() {
        let found = |path: &str, text: &str| unsafe_outside_or_unexplained(&source(path, text)).len();
        let explained = "//! A door.\n\nfn f() {\n    // SAFETY: x is alive.\n    // Always.\n    let y = g(\n        unsafe { *x });\n}\n";
        assert_eq!(found("quant/src/columns.rs", explained), 0);
        assert_eq!(found("src/kv/mod.rs", explained), 1);
        assert_eq!(found("quant/src/columns.rs", "// SAFETY: this one.\nlet y = 1;\nlet z = unsafe { *x };"), 1);
        assert_eq!(found("src/capi.rs", "/// Frees.\n///\n/// # Safety\n/// Once.\n#[inline]\npub unsafe fn free() {}"), 0);
        assert_eq!(found("src/capi.rs", "/// Frees.\npub unsafe fn free() {}"), 1);
        let methods = "unsafe impl A for B {\n    fn f() {}\n\n    unsafe fn g() {}\n}";
        assert_eq!(found("src/capi.rs", &format!("// SAFETY: g changes nothing.\n{methods}")), 0);
        assert_eq!(found("src/capi.rs", methods), 2);
        let level = "//! Vectors.\n//!\n//! SAFETY of all: the token.\nfn f() { unsafe { g() } }";
        assert_eq!(found("quant/src/isa/avx2.rs", level), 0);
        assert_eq!(found("quant/src/columns.rs", level), 1);
    }

    #[test]
    fn long_files_long_lines_and_missing_openings_are_found() {
        let found = |text: &str| (too_long(&source("src/a.rs", text)).len(), undocumented(&source("src/a.rs", text)).len());
        assert_eq!(found("//! What this is.\n"), (0, 0));
        assert_eq!(found(&"//! What this is, in a line.\n".repeat(MAX_LINES + 1)), (1, 0));
        assert_eq!(found(&format!("//! What this is. {}", "é".repeat(MAX_COLUMNS))), (1, 0));
        assert_eq!(found("use std::fs;\n//! Too late for a doc.\n"), (0, 1));
        assert_eq!(found("//! kv\n"), (0, 1));
    }

    #[test]
    fn other_crates_are_found_by_name() {
        let quant = |text: &str| names_used(&source("quant/src/a.rs", text), &["kinglet", "kinglet_models"]).len();
        assert_eq!(quant("use kinglet_models::Spec;"), 1);
        assert_eq!(quant("// kinglet::Model\nuse kinglet_quant::Type;"), 0);
    }
}
