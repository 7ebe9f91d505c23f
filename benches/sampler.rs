//! What choosing a token of 262 144 costs (Gemma's vocabulary) with several chains of samplers, beside what reading the logits once would
//! cost, and as a share of a token at 100 tokens/s: 3 % is 300 µs.
//!
//! ```sh
//! cargo bench --bench sampler
//! ```

use kinglet::SamplerOptions;
use kinglet::generate::Sampler;
use kinglet_quant::isa::Level;
use kinglet_quant::limits::read_bandwidth;
use std::hint::black_box;
use std::time::Instant;

const N_VOCAB: usize = 262_144;
const TOKENS: usize = 100;
/// A token at 100 tokens/s.
const TOKEN_US: f64 = 10_000.0;

/// Logits as a model's: most of them in a bell, a few far out; another one for each token.
fn logits(seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    // Three uniform numbers are nearly a bell; the fourth power of another one makes the tail.
    (0..N_VOCAB).map(|_| 4.0 * (uniform() + uniform() + uniform() - 1.5) + 12.0 * uniform().powi(40)).collect()
}

fn main() {
    let rows: Vec<Vec<f32>> = (0..8).map(logits).collect();
    let bandwidth = Level::detect().map_or(f64::NAN, |level| read_bandwidth(level, 1));
    let default = SamplerOptions { seed: Some(7), ..SamplerOptions::default() };
    let chains = [
        ("greedy", SamplerOptions { temp: 0.0, ..default.clone() }),
        ("default (top-k 40, top-p, min-p, temperature)", default.clone()),
        ("top-p 0.95 alone", SamplerOptions { top_k: 0, min_p: 0.0, ..default.clone() }),
        ("temperature alone", SamplerOptions { top_k: 0, top_p: 1.0, min_p: 0.0, ..default.clone() }),
        ("default with penalties", SamplerOptions { penalty_repeat: 1.1, penalty_freq: 0.1, ..default.clone() }),
        ("mirostat", SamplerOptions { mirostat_v2: true, ..default }),
    ];
    println!("reading {N_VOCAB} logits once: {:.0} µs", (4 * N_VOCAB) as f64 / bandwidth * 1e6);
    println!("{:<46} µs a token  of 10 ms", "chain");
    for (name, options) in chains {
        let mut sampler = Sampler::new(options, N_VOCAB).expect("the options are in their ranges");
        let mut times: Vec<f64> = (0..TOKENS)
            .map(|at| {
                let begin = Instant::now();
                let sampled = sampler.sample(black_box(&rows[at % rows.len()])).expect("some token is left");
                sampler.accept(sampled.token);
                begin.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let median = times[TOKENS / 2];
        println!("{name:<46} {median:10.0} {:7.1} %", 100.0 * median / TOKEN_US);
    }
}
