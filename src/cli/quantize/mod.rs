//! `kinglet quantize IN OUT TYPE`: a smaller model out of a larger one, with llama-quantize's rules and flags. One tensor after the other
//! passes through memory; the new file gets its name when it is whole.

mod plan;

use super::flags::MaskFlags;
use super::terminal::{bytes_bar, human_bytes, note};
use super::{Command, Failure, interrupt, store};
use crate::Error;
use crate::file::{GgufPlan, ModelFile, NewValue, Tensor};
use crate::parallel::machine;
use kinglet_quant::{FormatError, Type, dequantize, quantize_into};
use plan::{Source, Wish, file_type};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  kinglet quantize model-f16.gguf model-q4_k.gguf Q4_K
  kinglet quantize model-f16.gguf small.gguf Q4_0 --token-embedding-type Q8_0
  kinglet quantize gemma-3-270m tiny.gguf Q4_0 --allow-requantize

Types: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, F16, BF16, F32. As with llama-quantize the output matrix gets Q6_K where a \
coarser type is asked for, and rows that a type's blocks of 256 do not divide get a type with blocks of 32. The file works in \
llama.cpp and everything built on it.";

/// Write a model with smaller (or larger) weights.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Quantize {
    /// The model to read: a GGUF file, a short name or hf:OWNER/REPO/FILE.gguf
    #[arg(value_name = "IN")]
    input: String,

    /// The file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,

    /// The type of the matrices
    #[arg(value_name = "TYPE", value_parser = parse_type)]
    ty: Type,

    /// Another type for the token embedding
    #[arg(long, value_name = "TYPE", value_parser = parse_type)]
    token_embedding_type: Option<Type>,

    /// Another type for the output matrix
    #[arg(long, value_name = "TYPE", value_parser = parse_type)]
    output_tensor_type: Option<Type>,

    /// The same type for all matrices, the output matrix too
    #[arg(long)]
    pure: bool,

    /// Take a model that is quantised already: the result is worse than one made from the original
    #[arg(long)]
    allow_requantize: bool,

    /// Threads [default: the cores that this process may use]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    #[command(flatten)]
    mask: MaskFlags,
}

impl Command for Quantize {
    const NAME: &'static str = "quantize";

    fn run(self) -> Result<(), Failure> {
        let path = store::resolve(Some(&self.input))?;
        let file = ModelFile::open(&path).map_err(Error::from)?;
        let gguf = file.gguf().ok_or_else(|| {
            Failure::error(format!("{} is no GGUF file", path.display())).hint("llama.cpp's convert_hf_to_gguf.py makes one from a folder")
        })?;
        if same_file(&path, &self.output) {
            return Err(Failure::usage("IN and OUT are the same file"));
        }
        let targets = self.targets(&file)?;
        let mut plan = GgufPlan::like(gguf);
        plan.set("general.file_type", &NewValue::U32(file_type(self.ty)));
        plan.set("general.quantization_version", &NewValue::U32(2));
        for (tensor, ty) in &targets {
            plan.tensor(tensor.name, *ty, tensor.shape);
        }
        self.mask.confine()?;
        let threads = self.threads.map_or_else(machine::threads, usize::from);
        let interrupt = interrupt::listen();
        let mut writer = plan.create(&self.output).map_err(Error::from)?;
        let bar = bytes_bar(targets.iter().map(|(tensor, _)| tensor.bytes.len() as u64).sum(), "quantising");
        for (tensor, ty) in &targets {
            if interrupt.raised() {
                return Err(Failure::Interrupted);
            }
            if tensor.ty == *ty {
                writer.write(tensor.name, tensor.bytes).map_err(Error::from)?;
                bar.inc(tensor.bytes.len() as u64);
            } else {
                let progress = |bytes: usize| {
                    bar.inc(bytes as u64);
                    !interrupt.raised()
                };
                let bytes = convert(tensor, *ty, threads, &progress).map_err(|e| Failure::error(format!("tensor {}: {e}", tensor.name)))?;
                writer.write(tensor.name, &bytes.ok_or(Failure::Interrupted)?).map_err(Error::from)?;
            }
        }
        writer.finish().map_err(Error::from)?;
        bar.finish_and_clear();
        self.tell(&targets);
        Ok(())
    }
}

impl Quantize {
    /// Every tensor with the type that it is to have.
    fn targets<'a>(&self, file: &'a ModelFile) -> Result<Vec<(Tensor<'a>, Type)>, Failure> {
        let wish = Wish { ty: self.ty, embedding: self.token_embedding_type, output: self.output_tensor_type, pure: self.pure };
        let tied = file.tensor("output.weight").is_err();
        let mut targets = Vec::new();
        for tensor in file.tensors() {
            let ty = wish.choose(Source { name: tensor.name, ty: tensor.ty, shape: tensor.shape }, tied);
            if ty != tensor.ty && tensor.ty.block_len() > 1 && !self.allow_requantize {
                return Err(Failure::error(format!(
                    "{} is quantised already (tensor {} is {})",
                    self.input,
                    tensor.name,
                    tensor.ty.name()
                ))
                .hint("start from an F16 or F32 model, or say --allow-requantize"));
            }
            targets.push((tensor, ty));
        }
        Ok(targets)
    }

    fn tell(&self, targets: &[(Tensor<'_>, Type)]) {
        let before: u64 = targets.iter().map(|(tensor, _)| tensor.bytes.len() as u64).sum();
        let weights: usize = targets.iter().map(|(tensor, _)| tensor.shape.iter().product::<usize>()).sum();
        let bytes_of = |(tensor, ty): &(Tensor<'_>, Type)| ty.bytes_for(tensor.shape.iter().product()).unwrap_or(0) as u64;
        let after: u64 = targets.iter().map(bytes_of).sum();
        let bits = after as f64 * 8.0 / weights.max(1) as f64;
        note(format!("{}: {} from {}, {bits:.2} bits a weight", self.output.display(), human_bytes(after), human_bytes(before)));
    }
}

/// The tensor's bytes as `ty`: rows are cut among the threads, and a row passes through f32. `progress` hears how many bytes were read with
/// each row; where it says no, the work ends without a result.
fn convert(
    tensor: &Tensor<'_>,
    ty: Type,
    threads: usize,
    progress: &(impl Fn(usize) -> bool + Sync),
) -> Result<Option<Vec<u8>>, FormatError> {
    let weights: usize = tensor.shape.iter().product();
    let cols = tensor.shape.last().copied().unwrap_or(1).max(1);
    let rows = weights / cols;
    let part_block = |ty| FormatError::PartBlock { ty, weights: cols };
    let row_in = tensor.ty.bytes_for(cols).ok_or_else(|| part_block(tensor.ty))?;
    let row_out = ty.bytes_for(cols).ok_or_else(|| part_block(ty))?;
    let mut out = vec![0; rows * row_out];
    let share = rows.div_ceil(threads).max(1);
    let complete = std::thread::scope(|scope| {
        let parts = tensor.bytes.chunks(share * row_in).zip(out.chunks_mut(share * row_out));
        let work = |(from, to): (&[u8], &mut [u8])| {
            let mut row = vec![0.0; cols];
            for (from, to) in from.chunks_exact(row_in).zip(to.chunks_exact_mut(row_out)) {
                dequantize(tensor.ty, from, &mut row)?;
                quantize_into(ty, &row, to)?;
                if !progress(from.len()) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let workers: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ends.collect::<Result<Vec<bool>, FormatError>>()
    })?;
    Ok(complete.into_iter().all(|complete| complete).then_some(out))
}

fn parse_type(name: &str) -> Result<Type, String> {
    match Type::from_name(name) {
        Ok(ty) if ty.can_quantize() => Ok(ty),
        Ok(ty) => Err(format!("kinglet reads {} but does not write it; it writes {}", ty.name(), written().join(", "))),
        // llama-quantize's mixes are named after the type that most of their matrices have.
        Err(_) => match name.to_ascii_uppercase().rsplit_once("_K_").and_then(|(stem, _)| Type::from_name(&format!("{stem}_K")).ok()) {
            Some(ty) => Err(format!("{name} is a mix of types; {} is the nearest single one", ty.name())),
            None => Err(format!("unknown type; there are {}", written().join(", "))),
        },
    }
}

fn written() -> Vec<&'static str> {
    Type::ALL.iter().filter(|ty| ty.can_quantize()).map(|ty| ty.name()).collect()
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
