//! One order of sums everywhere: the same tokens give the same bits, however they are computed. On models with quantised weights of many
//! types, sliding windows, experts, norms on queries and keys.

#[path = "support/texts.rs"]
mod texts;

use kinglet::{Level, Model, ModelOptions, Session, SessionOptions, TokenId, feed_together};
use texts::{bits, tokens};

const MODELS: [&str; 6] = ["tiny.gguf", "llama-quantised.gguf", "gemma3.gguf", "mixtral.gguf", "olmo2.gguf", "smollm3.gguf"];

fn open(name: &str, threads: usize) -> Model {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name);
    Model::open_with(path, &ModelOptions { threads: Some(threads), ..ModelOptions::default() }).unwrap()
}

/// Runs `test` on each model with that many threads.
fn on_each_model(threads: usize, test: impl Fn(&Model)) {
    for name in MODELS {
        println!("{name}");
        test(&open(name, threads));
    }
}

fn session(model: &Model) -> Session {
    model.session(SessionOptions { context: Some(512), ..SessionOptions::default() }).unwrap()
}

fn after(model: &Model, tokens: &[TokenId]) -> Vec<u32> {
    let mut session = session(model);
    session.feed(tokens).unwrap();
    bits(&mut session)
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for name in MODELS {
        let one = open(name, 1);
        // So long that two threads take rows of the batch each, and more threads some of the weights.
        let prompt = tokens(&one, 450, 1);
        let expected = after(&one, &prompt);
        assert!(expected.iter().any(|&bits| f32::from_bits(bits).abs() > 1e-3), "the logits are all zero");
        for threads in [2, 3, 5] {
            assert_eq!(after(&open(name, threads), &prompt), expected, "{name} with {threads} threads");
        }
    }
}

/// The largest logit after 300 tokens, and the first four, as x86-64 computes them without any vectors.
const LOGITS: [(&str, usize, [f32; 4]); 6] = [
    ("tiny.gguf", 67, [1.8059714, -0.046642505, 0.68170625, -0.2625567]),
    ("llama-quantised.gguf", 27, [0.09123622, 0.73943776, -0.2864393, -0.140037]),
    ("gemma3.gguf", 31, [-0.10430735, -1.5053091, -0.077273905, 0.5487694]),
    ("mixtral.gguf", 38, [0.16220924, 0.29559517, -0.04213798, -0.20061028]),
    ("olmo2.gguf", 35, [3.2015216, -1.3389237, -1.7258617, 3.5930638]),
    ("smollm3.gguf", 3, [5.7896285, -1.1534122, 5.207958, 6.6427813]),
];

#[test]
fn every_level_of_instructions_gives_the_same_bits_and_every_cpu_the_same_logits() {
    for (name, largest, first) in LOGITS {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(name);
        let at = |level| {
            let options = ModelOptions { level: Some(level), threads: Some(2), ..ModelOptions::default() };
            let model = Model::open_with(&path, &options).unwrap();
            after(&model, &tokens(&model, 300, 12))
        };
        let scalar = at(Level::Scalar);
        for level in Level::available() {
            assert_eq!(at(level), scalar, "{name} with {level}");
        }
        let logits: Vec<f32> = scalar.into_iter().map(f32::from_bits).collect();
        let found = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        // Angles come from the C library's sine and cosine, which may differ in an f64's last bit.
        let near = logits.iter().zip(first).all(|(found, expected)| (found - expected).abs() <= 1e-5 * logits[largest].abs());
        assert!(found == largest && near, "{name}: {found}, {:?}", &logits[..4]);
    }
}

#[test]
fn a_level_that_the_cpu_lacks_is_refused_by_name() {
    let Some(missing) = Level::ALL.into_iter().find(|level| !Level::available().contains(level)) else { return };
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/tiny.gguf");
    let error = Model::open_with(path, &ModelOptions { level: Some(missing), ..ModelOptions::default() }).unwrap_err().to_string();
    assert!(error.contains(missing.name()) && error.contains("scalar"), "{error}");
}

#[test]
fn any_split_of_a_prompt_gives_the_same_bits() {
    on_each_model(2, |model| {
        let prompt = tokens(model, 300, 2);
        let expected = after(model, &prompt);
        for batch in [1, 2, 3, 4, 5, 7, 16, 17, 64, 129, 299] {
            let mut session = session(model);
            prompt.chunks(batch).for_each(|batch| session.feed(batch).unwrap());
            assert_eq!(bits(&mut session), expected, "batches of {batch}");
        }
    });
}

#[test]
fn a_sequence_gives_the_same_bits_alone_and_beside_others() {
    on_each_model(2, |model| {
        let prompts = [tokens(model, 40, 3), tokens(model, 133, 4), tokens(model, 1, 5), tokens(model, 3, 6)];
        let expected: Vec<_> = prompts.iter().map(|prompt| after(model, prompt)).collect();
        let mut sessions: Vec<Session> = prompts.iter().map(|_| session(model)).collect();
        let longest = prompts.iter().map(Vec::len).max().unwrap();
        // Interleaved: three tokens of each at a time, as long as each has some.
        for at in (0..longest).step_by(3) {
            let with_tokens = sessions.iter_mut().zip(&prompts).filter(|(_, prompt)| at < prompt.len());
            let mut step: Vec<_> = with_tokens.map(|(session, prompt)| (session, &prompt[at..(at + 3).min(prompt.len())])).collect();
            feed_together(&mut step).unwrap();
        }
        for (session, expected) in sessions.iter_mut().zip(&expected) {
            assert_eq!(&bits(session), expected);
        }
        // All at once.
        let mut sessions: Vec<Session> = prompts.iter().map(|_| session(model)).collect();
        let mut step: Vec<_> = sessions.iter_mut().zip(&prompts).map(|(session, prompt)| (session, &prompt[..])).collect();
        feed_together(&mut step).unwrap();
        for (session, expected) in sessions.iter_mut().zip(&expected) {
            assert_eq!(&bits(session), expected);
        }
    });
}

#[test]
fn a_reused_prefix_gives_the_same_bits() {
    on_each_model(2, |model| {
        let prompt = tokens(model, 200, 7);
        let expected = after(model, &prompt);
        let mut session = session(model);
        session.feed(&prompt[..150]).unwrap();
        session.feed(&tokens(model, 60, 8)).unwrap();
        session.replace(&prompt, None, |_| ()).unwrap();
        assert_eq!(bits(&mut session), expected);
        session.replace(&prompt, None, |_| ()).unwrap();
        assert_eq!(bits(&mut session), expected);
        session.replace(&prompt[..100], None, |_| ()).unwrap();
        assert_eq!(bits(&mut session), after(model, &prompt[..100]));
    });
}

#[test]
fn a_fork_goes_on_as_the_original_would_have() {
    on_each_model(2, |model| {
        let (beginning, one, two) = (tokens(model, 140, 9), tokens(model, 30, 10), tokens(model, 30, 11));
        let mut session = session(model);
        session.feed(&beginning).unwrap();
        let mut fork = session.fork();
        session.feed(&one).unwrap();
        fork.feed(&two).unwrap();
        assert_eq!(bits(&mut session), after(model, &[beginning.clone(), one].concat()));
        assert_eq!(bits(&mut fork), after(model, &[beginning, two].concat()));
    });
}

#[test]
fn sessions_on_several_threads_do_not_disturb_each_other() {
    on_each_model(2, |model| {
        let prompts: Vec<_> = (0..4).map(|salt| tokens(model, 50 + salt, salt)).collect();
        let expected: Vec<_> = prompts.iter().map(|prompt| after(model, prompt)).collect();
        std::thread::scope(|scope| {
            for (prompt, expected) in prompts.iter().zip(&expected) {
                scope.spawn(move || {
                    for _ in 0..3 {
                        assert_eq!(&after(model, prompt), expected);
                    }
                });
            }
        });
    });
}
