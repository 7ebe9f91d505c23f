//! `kinglet inspect`: what is in a model's file and what it means: metadata, tensors, the position scheme, the memory that a context takes.
//! A file of an unknown family, or with a vocabulary alone, is shown as far as it goes.

mod position;

use super::store;
use super::terminal::{Paint, escaped, human_bytes};
use super::{Command, Failure};
use crate::file::ModelFile;
use crate::{Error, Model, ModelOptions};
use kinglet_models::Spec;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  kinglet inspect
  kinglet inspect -m gemma-3-270m -c 32768
  kinglet inspect model.gguf --tensors
  kinglet inspect model.gguf --json | jq '.tensors[] | select(.type == \"Q6_K\") | .name'";

/// Show what is in a model's file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// A GGUF file, a folder, a short name or hf:OWNER/REPO/FILE.gguf [default: the default model]
    path: Option<String>,

    /// The same, as other commands take it
    #[arg(short, long, value_name = "MODEL", conflicts_with = "path")]
    model: Option<String>,

    /// Tokens for which the cache's memory is shown [default: what a session takes by itself]
    #[arg(short, long, value_name = "N", visible_alias = "ctx-size")]
    context: Option<usize>,

    /// List every tensor
    #[arg(long)]
    tensors: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One tensor's row.
struct Row {
    name: String,
    ty: &'static str,
    shape: Vec<usize>,
    bytes: u64,
}

/// How many tensors have a type, and how much they weigh.
struct Sum {
    ty: &'static str,
    tensors: usize,
    weights: u64,
    bytes: u64,
}

impl Command for Inspect {
    const NAME: &'static str = "inspect";

    fn run(self) -> Result<(), Failure> {
        let path = store::resolve(self.path.as_deref().or(self.model.as_deref()))?;
        let file = ModelFile::open(&path).map_err(Error::from)?;
        let rows: Vec<Row> = file
            .tensors()
            .map(|tensor| Row {
                name: tensor.name.to_owned(),
                ty: tensor.ty.name(),
                shape: tensor.shape.to_vec(),
                bytes: tensor.bytes.len() as u64,
            })
            .collect();
        // One thread: nothing is computed.
        let model = Model::open_with(&path, &ModelOptions { threads: Some(1), ..ModelOptions::default() });
        let mut out = io::BufWriter::new(io::stdout().lock());
        if self.json {
            serde_json::to_writer_pretty(&mut out, &self.json(&path, &file, &rows, model.as_ref())).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            self.text(&mut out, &path, &file, &rows, model.as_ref())?;
        }
        out.flush()?;
        Ok(())
    }
}

impl Inspect {
    fn text(
        &self,
        out: &mut impl Write,
        path: &Path,
        file: &ModelFile,
        rows: &[Row],
        model: Result<&Model, &Error>,
    ) -> Result<(), Failure> {
        let paint = Paint::stdout();
        writeln!(out, "{}  {}", paint.bold("file"), path.display())?;
        writeln!(out, "      {}, {} tensors", human_bytes(file.bytes()), rows.len())?;
        writeln!(out, "\n{}", paint.bold("metadata"))?;
        for entry in file.metadata() {
            writeln!(out, "  {} {} {}", escaped(&entry.key), paint.dim(&format!("({})", entry.kind)), entry.value)?;
        }
        writeln!(out, "\n{}", paint.bold("tensors"))?;
        for Sum { ty, tensors, weights, bytes } in sums(rows) {
            writeln!(out, "  {ty:7} {tensors:>5} tensors {:>10.2} M weights {:>10}", weights as f64 / 1e6, human_bytes(bytes))?;
        }
        if self.tensors {
            let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
            for row in rows {
                writeln!(out, "  {:width$}  {:7} {:>10}  {:?}", escaped(&row.name), row.ty, human_bytes(row.bytes), row.shape)?;
            }
        }
        match model {
            Ok(model) => self.model_text(out, model, paint)?,
            Err(e) => writeln!(out, "\n{}  kinglet can't run this: {e}", paint.bold("model"))?,
        }
        Ok(())
    }

    fn model_text(&self, out: &mut impl Write, model: &Model, paint: Paint) -> Result<(), Failure> {
        let spec = model.spec();
        writeln!(out, "\n{}", paint.bold("model"))?;
        writeln!(
            out,
            "  {}: {} layers of width {}, vocabulary {}, trained on {} tokens",
            spec.family,
            spec.layers.len(),
            spec.d_model,
            spec.n_vocab,
            spec.trained_context
        )?;
        let mut shapes: Vec<String> = spec.layers.iter().map(position::layer_words).collect();
        shapes.dedup();
        for shape in shapes {
            writeln!(out, "  {shape}")?;
        }
        if let Some(convolution) = &spec.convolution {
            writeln!(out, "  a convolution over {} tokens beside the first layer", convolution.kernel)?;
        }
        if let Some(encoder) = &spec.encoder {
            writeln!(
                out,
                "  an encoder of {} layers reads first; the decoder begins with token {}",
                encoder.layers.len(),
                encoder.decoder_start
            )?;
        }
        writeln!(out, "\n{}", paint.bold("position"))?;
        if let Some(positions) = &spec.positions {
            writeln!(out, "  {}", position::embedding_words(positions))?;
        }
        for group in position::groups(&spec.layers) {
            writeln!(out, "  {}", group.words(spec.positions.is_some()))?;
        }
        for group in position::groups(spec.encoder.as_ref().map_or(&[], |encoder| &encoder.layers)) {
            writeln!(out, "  encoder's {}", group.words(spec.positions.is_some()))?;
        }
        let context = self.context(model);
        writeln!(out, "\n{}", paint.bold("memory"))?;
        writeln!(out, "  cache of {context} tokens: {} at most, taken as it fills", human_bytes(model.cache_bytes(context) as u64))?;
        writeln!(out, "  weights read for a token: {}", human_bytes(model.bytes_per_token() as u64))?;
        Ok(())
    }

    fn json(&self, path: &Path, file: &ModelFile, rows: &[Row], model: Result<&Model, &Error>) -> Value {
        let metadata: serde_json::Map<String, Value> =
            file.metadata().map(|entry| (entry.key, json!({ "kind": entry.kind, "value": entry.value }))).collect();
        let tensors: Vec<Value> =
            rows.iter().map(|row| json!({ "name": row.name, "type": row.ty, "shape": row.shape, "bytes": row.bytes })).collect();
        let types: Vec<Value> = sums(rows)
            .into_iter()
            .map(|sum| json!({ "type": sum.ty, "tensors": sum.tensors, "weights": sum.weights, "bytes": sum.bytes }))
            .collect();
        json!({
            "path": PathBuf::from(path), "bytes": file.bytes(), "metadata": metadata, "types": types, "tensors": tensors,
            "model": model.ok().map(|model| self.model_json(model)),
            "error": model.err().map(|e| e.to_string()),
        })
    }

    fn model_json(&self, model: &Model) -> Value {
        let Spec { family, d_model, n_vocab, trained_context, layers, .. } = model.spec();
        let position: Vec<Value> = position::groups(layers).iter().map(position::Group::json).collect();
        let encoder = model.spec().encoder.as_ref().map(|encoder| {
            let position: Vec<Value> = position::groups(&encoder.layers).iter().map(position::Group::json).collect();
            json!({ "layers": encoder.layers.len(), "position": position, "decoder_start": encoder.decoder_start })
        });
        let context = self.context(model);
        json!({
            "family": family, "layers": layers.len(), "d_model": d_model, "n_vocab": n_vocab, "trained_context": trained_context,
            "position": position, "encoder": encoder, "position_embedding": model.spec().positions.as_ref().map(position::embedding_json),
            "context": context, "cache_bytes": model.cache_bytes(context), "bytes_per_token": model.bytes_per_token(),
        })
    }

    fn context(&self, model: &Model) -> usize {
        self.context.unwrap_or_else(|| model.default_context())
    }
}

/// By type, the heaviest first.
fn sums(rows: &[Row]) -> Vec<Sum> {
    let mut sums: Vec<Sum> = Vec::new();
    for row in rows {
        let weights = row.shape.iter().product::<usize>() as u64;
        match sums.iter_mut().find(|sum| sum.ty == row.ty) {
            Some(sum) => {
                sum.tensors += 1;
                sum.weights += weights;
                sum.bytes += row.bytes;
            }
            None => sums.push(Sum { ty: row.ty, tensors: 1, weights, bytes: row.bytes }),
        }
    }
    sums.sort_by_key(|sum| std::cmp::Reverse(sum.bytes));
    sums
}
