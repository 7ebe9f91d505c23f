//! Sessions on disk: what is saved goes on as if it had never been away, and nothing but a whole file of the same model is taken up.

#[path = "support/texts.rs"]
mod texts;

use kinglet::kv::{CacheFormat, CacheType, Policy};
use kinglet::{Model, ModelOptions, PromptCache, Session, SessionOptions, TokenId};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use texts::{bits, tokens};

fn open(name: &str, cache: CacheFormat, scheme: Option<&str>) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name);
    let position = scheme.map(|scheme| scheme.parse().unwrap());
    Model::open_with(path, &ModelOptions { threads: Some(1), cache: Some(cache), position, ..ModelOptions::default() }).unwrap()
}

fn saved(session: &mut Session) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.session");
    session.save(&path).unwrap();
    (folder, path)
}

#[test]
fn what_was_saved_goes_on_with_the_same_bits() {
    let types = [CacheType::F16, CacheType::F32, CacheType::Q8_0, CacheType::Q4_0];
    for (name, kind) in ["tiny.gguf", "gemma3.gguf", "mixtral.gguf"].into_iter().flat_map(|name| types.map(|kind| (name, kind))) {
        let model = open(name, CacheFormat { keys: kind, values: CacheType::F16, hadamard: true }, None);
        for (context, n) in [(600, 0), (600, 1), (600, 200), (600, 600), (200, 700), (150, 2000)] {
            let mut session = model.session(SessionOptions { context: Some(context), policy: Some(Policy::Ring { sinks: 4 }) }).unwrap();
            let text = tokens(&model, n, 1);
            session.feed(&text[..n.min(100)]).unwrap_or_else(|error| assert!(n == 0, "{error}"));
            if n >= 100 {
                session.pin(20..60).unwrap();
            }
            session.feed(&text[n.min(100)..]).unwrap_or_else(|error| assert!(n == 0, "{error}"));
            let (_folder, path) = saved(&mut session);
            let mut restored = model.restore(&path).unwrap();
            assert_eq!((restored.len(), restored.forgotten(), restored.context()), (n, session.forgotten(), context));
            assert_eq!((restored.pinned(), restored.policy()), (session.pinned(), session.policy()));
            if n > 0 {
                assert_eq!(bits(&mut restored), bits(&mut session), "{name} {kind:?} {n} of {context}");
            }
            let more = tokens(&model, 333, 2);
            session.feed(&more).unwrap();
            restored.feed(&more).unwrap();
            assert_eq!(bits(&mut restored), bits(&mut session), "{name} {kind:?} {n} of {context}, and on");
        }
    }
}

#[test]
fn a_session_may_go_on_with_another_context_while_nothing_has_left_it() {
    let model = open("tiny.gguf", CacheFormat::default(), None);
    let mut session = model.session(SessionOptions { context: Some(300), policy: None }).unwrap();
    session.feed(&tokens(&model, 200, 3)).unwrap();
    let (_folder, path) = saved(&mut session);
    let options = |context| SessionOptions { context: Some(context), policy: Some(Policy::Stop) };
    let mut larger = model.restore_as(&path, options(1000)).unwrap().unwrap();
    assert_eq!((larger.context(), larger.policy()), (1000, Policy::Stop));
    assert_eq!(bits(&mut larger), bits(&mut session));
    assert!(model.restore_as(&path, options(199)).unwrap().is_none());
    session.feed(&tokens(&model, 200, 4)).unwrap();
    let (_folder, path) = saved(&mut session);
    assert!(model.restore_as(&path, options(1000)).unwrap().is_none());
}

#[test]
fn another_model_scheme_or_cache_is_refused_by_name() {
    let model = open("tiny.gguf", CacheFormat::default(), None);
    let mut session = model.session(SessionOptions::default()).unwrap();
    session.feed(&tokens(&model, 50, 5)).unwrap();
    let (_folder, path) = saved(&mut session);
    let refused = |model: &Model| model.restore(&path).map(|_| ()).unwrap_err().to_string();
    assert!(refused(&open("llama.gguf", CacheFormat::default(), None)).contains("another model"));
    assert!(refused(&open("tiny.gguf", CacheFormat::of(CacheType::Q8_0), None)).contains("cache type"));
    assert!(refused(&open("tiny.gguf", CacheFormat::default(), Some("rope:yarn=4"))).contains("another model"));
    let absent = model.restore("no such file").map(|_| ()).unwrap_err().to_string();
    assert!(absent.contains("no such file"), "{absent}");
}

#[test]
fn a_prompt_is_read_back_as_far_as_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let model = open("tiny.gguf", CacheFormat::default(), None);
    let prompts = PromptCache::new(folder.path().join("prompts"), 100 << 20);
    let options = SessionOptions { context: Some(1000), policy: None };
    let text = tokens(&model, 500, 7);
    assert!(prompts.restore(&model, &options, &text).unwrap().is_none());
    for n in [100, 300, 20] {
        let mut session = model.session(options.clone()).unwrap();
        session.feed(&text[..n]).unwrap();
        prompts.store(&model, &mut session).unwrap();
    }
    let found = |model: &Model, text: &[TokenId]| prompts.restore(model, &options, text).unwrap().map(|session| session.len());
    assert_eq!(found(&model, &text), Some(300));
    assert_eq!(found(&model, &text[..299]), Some(100));
    assert_eq!(found(&model, &tokens(&model, 500, 8)), None);
    assert_eq!(found(&open("tiny.gguf", CacheFormat::of(CacheType::Q8_0), None), &text), None);
    let mut session = prompts.restore(&model, &options, &text).unwrap().unwrap();
    session.replace(&text, None, |_| ()).unwrap();
    let mut anew = model.session(options.clone()).unwrap();
    anew.feed(&text).unwrap();
    assert_eq!(bits(&mut session), bits(&mut anew));
    assert_eq!(session.stats().prompt_tokens, 200);
}

#[test]
fn the_folder_of_prompts_keeps_its_bound_and_mends_itself() {
    let folder = tempfile::tempdir().unwrap();
    let model = open("tiny.gguf", CacheFormat::default(), None);
    let options = SessionOptions::default();
    let stored = |salt: usize, bytes: u64| {
        let mut session = model.session(options.clone()).unwrap();
        session.feed(&tokens(&model, 100, salt)).unwrap();
        PromptCache::new(folder.path(), bytes).store(&model, &mut session).unwrap();
    };
    stored(1, 1 << 30);
    let files = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let size = std::fs::metadata(&files()[0]).unwrap().len();
    (2..6).for_each(|salt| stored(salt, 3 * size + size / 2));
    assert_eq!(files().len(), 3);
    // One that is larger than the folder is not stored.
    stored(9, 100);
    assert_eq!(files().len(), 3);
    for file in files() {
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }
    let prompts = PromptCache::new(folder.path(), 1 << 30);
    assert!(prompts.restore(&model, &options, &tokens(&model, 200, 5)).unwrap().is_none());
    assert_eq!(files().len(), 2, "the damaged one is gone");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_damaged_file_is_refused_whatever_the_damage(at in 0.0f64..1.0, byte in any::<u8>(), cut in any::<bool>()) {
        let model = open("tiny.gguf", CacheFormat::default(), None);
        let mut session = model.session(SessionOptions { context: Some(150), policy: Some(Policy::Ring { sinks: 2 }) }).unwrap();
        session.feed(&tokens(&model, 300, 6)).unwrap();
        let (_folder, path) = saved(&mut session);
        let mut bytes = std::fs::read(&path).unwrap();
        // Half of the damage is to the description, where it is worst.
        let range = if byte % 2 == 0 { bytes.len() } else { bytes.len().min(4096) };
        let at = (at * range as f64) as usize;
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= byte | 1;
        }
        std::fs::write(&path, &bytes).unwrap();
        let error = model.restore(&path).map(|_| ()).unwrap_err().to_string();
        prop_assert!(error.contains("one.session"), "{}", error);
    }
}
