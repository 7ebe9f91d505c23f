//! `kinglet embed`: texts as vectors, to be searched, grouped and compared.

use super::flags::ModelFlags;
use super::{Command, Failure, input};
use crate::{EmbedOptions, Model, Pooling, TokenId};
use clap::ValueEnum;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  kinglet embed -m bge-small-en-v1.5-q8_0.gguf \"a small bird\" > bird.txt
  kinglet embed -m ./nomic-embed -f sentences.txt --json > vectors.json
  kinglet embed -m bge-small.gguf --similarity \"a small bird\" \"a kinglet\" \"a tax return\"
  sort -u names.txt | kinglet embed -m bge-small.gguf --truncate

Texts are arguments, or the lines of -f FILE or of stdin. Without --json a text's vector is a line of numbers.

Vectors have length 1, so that the product of two (the sum over v[i] * w[i]) is their cosine: near 1 for texts that mean the same, \
near 0 for texts that have nothing in common. Compare vectors of one model and one --pooling only. Many models want to be told what a text \
is for, as in \"search_query: small birds\" and \"search_document: The kinglet is …\" (see the model's page): write it before the text.

Encoders (bert, nomic-bert, jina-bert-v2, modernbert) are made for this. Of a decoder the last token's hidden state is taken.";

/// Turn texts into vectors.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Embed {
    /// The texts; without any, and without -f, the lines of stdin
    texts: Vec<String>,

    /// A file with a text on each line
    #[arg(short, long, value_name = "FILE", conflicts_with = "texts")]
    file: Option<PathBuf>,

    /// How the vectors of a text's tokens become one [default: as the model's files say, else mean for encoders and last for decoders]
    #[arg(long, value_name = "HOW", value_enum)]
    pooling: Option<How>,

    /// Leave vectors as long as they are
    #[arg(long, visible_alias = "no-normalize")]
    no_normalise: bool,

    /// Cut texts that have more tokens than the model takes
    #[arg(long)]
    truncate: bool,

    /// Print JSON: model, pooling, normalised, data (index, tokens, embedding), and with --similarity the matrix
    #[arg(long)]
    json: bool,

    /// Print how alike the texts are, each with each: a matrix of cosines
    #[arg(long)]
    similarity: bool,

    #[command(flatten)]
    model: ModelFlags,
}

/// How tokens' vectors become one.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum How {
    /// Their mean
    Mean,
    /// The first one, [CLS]
    Cls,
    /// The last one
    Last,
}

impl From<How> for Pooling {
    fn from(how: How) -> Pooling {
        match how {
            How::Mean => Pooling::Mean,
            How::Cls => Pooling::Cls,
            How::Last => Pooling::Last,
        }
    }
}

impl Command for Embed {
    const NAME: &'static str = "embed";

    fn run(self) -> Result<(), Failure> {
        let texts = self.texts()?;
        let model = self.model.open()?;
        let tokens = self.tokens(&model, &texts)?;
        let pooling = self.pooling.map_or_else(|| model.pooling(), |how| Ok(how.into()))?;
        let options = EmbedOptions { pooling: Some(pooling), normalise: !self.no_normalise };
        let vectors = model.embed(&tokens, &options)?;
        let matrix = self.similarity.then(|| cosines(&vectors));
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            let data = tokens.iter().zip(&vectors).enumerate();
            let data = data.map(|(index, (text, vector))| serde_json::json!({ "index": index, "tokens": text.len(), "embedding": vector }));
            let mut all = serde_json::json!({
                "model": model.spec().family, "pooling": pooling.name(), "normalised": options.normalise, "data": data.collect::<Vec<_>>(),
            });
            if let Some(matrix) = matrix {
                all["similarity"] = matrix.into();
            }
            writeln!(out, "{all}")?;
        } else if let Some(matrix) = matrix {
            for row in matrix {
                writeln!(out, "{}", row.iter().map(|cosine| format!("{cosine:7.4}")).collect::<Vec<_>>().join(" "))?;
            }
        } else {
            for vector in vectors {
                writeln!(out, "{}", vector.iter().map(f32::to_string).collect::<Vec<_>>().join(" "))?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

impl Embed {
    fn texts(&self) -> Result<Vec<String>, Failure> {
        if !self.texts.is_empty() {
            return Ok(self.texts.clone());
        }
        let all = match &self.file {
            Some(file) => input::text_of(file)?,
            None => input::stdin("a text on each line")?,
        };
        match all.lines().map(str::to_owned).collect::<Vec<_>>() {
            texts if texts.is_empty() => Err(Failure::error("there is no text to embed")),
            texts => Ok(texts),
        }
    }

    /// The tokens of each text, no more than the model takes.
    fn tokens(&self, model: &Model, texts: &[String]) -> Result<Vec<Vec<TokenId>>, Failure> {
        let longest = model.longest_text();
        let mut all = Vec::with_capacity(texts.len());
        for (number, text) in (1..).zip(texts) {
            let tokens = model.whole_text(text, self.truncate.then_some(longest))?;
            if tokens.is_empty() {
                return Err(Failure::error(format!("text {number} has no tokens, and the model's tokenizer adds none")));
            }
            if tokens.len() > longest {
                return Err(Failure::error(format!("text {number} has {} tokens, the model takes {longest}", tokens.len()))
                    .hint("cut the text into passages, or --truncate it"));
            }
            all.push(tokens);
        }
        Ok(all)
    }
}

/// The cosine of each vector with each.
fn cosines(vectors: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths: Vec<f64> = vectors.iter().map(|vector| dot(vector, vector).sqrt()).collect();
    let cosine = |i: usize, j: usize| match lengths[i] * lengths[j] {
        0.0 => 0.0,
        product => dot(&vectors[i], &vectors[j]) / product,
    };
    (0..vectors.len()).map(|i| (0..vectors.len()).map(|j| cosine(i, j)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::cosines;

    #[test]
    fn cosines_do_not_depend_on_lengths() {
        let matrix = cosines(&[vec![1.0, 0.0], vec![3.0, 4.0], vec![0.0, 0.0]]);
        assert_eq!(matrix, [[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 0.0]]);
    }
}
