//! The attention step of a layer at several depths, for a prompt of 512 tokens and for one token, beside the machine's limits: f32
//! multiply-accumulates for the prompt, reading the cache for the token. The layer is SmolLM2's (9 heads of 64 over 3), its weights are
//! zeros, which take as long as others. There are so many layers that a deep cache (75 MB at 8192 tokens) comes from memory.
//!
//! ```sh
//! cargo bench --bench attention
//! ```

use kinglet::file::{GgufPlan, NewValue};
use kinglet::forward::Step;
use kinglet::kv::Policy;
use kinglet::{Model, ModelOptions, SessionOptions, TokenId};
use kinglet_quant::Type;
use kinglet_quant::isa::Level;
use kinglet_quant::limits::{f32_peak, read_bandwidth};
use std::path::Path;

const LAYERS: u32 = 12;
const D_MODEL: usize = 576;
const D_FF: usize = 64;
const N_VOCAB: usize = 64;
const ROUNDS: usize = 5;

fn write(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut plan = GgufPlan::new();
    plan.set("general.architecture", &NewValue::Text("llama".into()));
    for (key, value) in [
        ("block_count", LAYERS),
        ("context_length", 1 << 17),
        ("embedding_length", D_MODEL as u32),
        ("feed_forward_length", D_FF as u32),
        ("attention.head_count", 9),
        ("attention.head_count_kv", 3),
        ("vocab_size", N_VOCAB as u32),
    ] {
        plan.set(&format!("llama.{key}"), &NewValue::U32(value));
    }
    plan.set("llama.attention.layer_norm_rms_epsilon", &NewValue::F32(1e-5));
    let matrices = [("attn_q", D_MODEL), ("attn_k", 192), ("attn_v", 192), ("attn_output", D_MODEL), ("ffn_gate", D_FF), ("ffn_up", D_FF)];
    let mut tensors = vec![("token_embd.weight".to_owned(), vec![N_VOCAB, D_MODEL]), ("output_norm.weight".to_owned(), vec![D_MODEL])];
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        tensors.extend(matrices.map(|(part, rows)| (name(part), vec![rows, D_MODEL])));
        tensors.push((name("ffn_down"), vec![D_MODEL, D_FF]));
        tensors.extend(["attn_norm", "ffn_norm"].map(|part| (name(part), vec![D_MODEL])));
    }
    tensors.iter().for_each(|(name, shape)| plan.tensor(name, Type::F32, shape));
    let mut writer = plan.create(path)?;
    for (name, shape) in &tensors {
        writer.write(name, &vec![0; 4 * shape.iter().product::<usize>()])?;
    }
    Ok(writer.finish()?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("attention.gguf");
    write(&path)?;
    let level = Level::detect()?;
    println!("threads  depth  rows  ms a layer  GMAC/s  of f32 peak   GB/s  of read bandwidth");
    for threads in [1, 2] {
        let model = Model::open_with(&path, &ModelOptions { threads: Some(threads), ..ModelOptions::default() })?;
        let (peak, bandwidth) = (f32_peak(level) * threads as f64, read_bandwidth(level, threads));
        for depth in [0, 1024, 4096, 8192] {
            let mut base = model.session(SessionOptions { context: Some(depth + 512), policy: Some(Policy::Stop) })?;
            if depth > 0 {
                base.feed(&vec![TokenId(1); depth])?;
            }
            for rows in [512, 1] {
                let mut best = f64::INFINITY;
                let mut amount = Default::default();
                for _ in 0..ROUNDS {
                    let mut session = base.fork();
                    model.start_profile();
                    session.feed(&vec![TokenId(1); rows])?;
                    let profile = model.take_profile().expect("it was started");
                    let spent = profile.of(Step::Attention);
                    (best, amount) = (best.min(spent.time.as_secs_f64()), spent.amount);
                }
                let (macs, bytes) = (amount.float as f64 / best, amount.bytes as f64 / best);
                println!(
                    "{threads:7} {depth:6} {rows:5} {:11.3} {:7.1} {:10.0} % {:7.1} {:10.0} %",
                    best * 1e3 / f64::from(LAYERS),
                    macs / 1e9,
                    100.0 * macs / peak,
                    bytes / 1e9,
                    100.0 * bytes / bandwidth,
                );
            }
        }
    }
    Ok(())
}
