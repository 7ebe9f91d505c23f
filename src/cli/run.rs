//! `kinglet run PROMPT`: one answer, as plain text on stdout, made to be used in a pipe.

use super::answer::{self, Printed};
use super::flags::{AnswerFlags, ContextFlags, ModelFlags};
use super::terminal::note;
use super::{Command, Failure, interrupt, stats};
use crate::file::ModelFile;
use crate::generate::FinishReason;
use crate::text::{Message, RenderOptions, Special};
use crate::types::TokenId;
use crate::{Model, Session};
use kinglet_models::Metadata;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  kinglet run \"Why is the sky blue?\"
  git diff | kinglet run --system \"Write a commit message for this change.\"
  kinglet run -m gemma-3-270m --raw \"Once upon a time\" -n 64
  kinglet run --temp 0 -n 16 \"The capital of France is\"       the same answer each time
  kinglet run -f question.txt --stats > answer.txt

A model with a chat template in its file answers the prompt; another one (a base model), or with --raw, continues it.";

/// Answer one prompt.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// The prompt; read from stdin where it is missing or `-`
    prompt: Option<String>,

    /// The prompt, as llama.cpp's programs take it
    #[arg(short, long = "prompt", value_name = "PROMPT", conflicts_with = "prompt", allow_hyphen_values = true)]
    p: Option<String>,

    /// Read the prompt from a file
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["prompt", "p"])]
    file: Option<PathBuf>,

    /// Understand \n, \t, \\, \" and \' in the prompt
    #[arg(short, long)]
    escape: bool,

    /// Continue the prompt as it is, without a chat template
    #[arg(long)]
    raw: bool,

    /// With --raw: let the prompt spell special tokens, as in <|im_start|>
    #[arg(long, requires = "raw")]
    special: bool,

    /// What the model is told before the prompt
    #[arg(long, value_name = "TEXT", visible_alias = "system-prompt", conflicts_with = "raw")]
    system: Option<String>,

    #[command(flatten)]
    model: ModelFlags,

    #[command(flatten)]
    context: ContextFlags,

    #[command(flatten)]
    answer: AnswerFlags,
}

impl Command for Run {
    const NAME: &'static str = "run";

    fn run(self) -> Result<(), Failure> {
        let prompt = self.prompt()?;
        let path = self.model.path()?;
        let interrupt = interrupt::listen();
        let options = self.answer.options(self.model.advised_temp(&path), interrupt.flag())?;
        let begin = Instant::now();
        let model = self.model.open_path(&path)?;
        let mut session = self.context.session(&model)?;
        let opened = begin.elapsed();
        options.check(&model)?;

        if model.has_encoder() {
            if !session.encode_until(&self.encoder_tokens(&session, &prompt)?, Some(&interrupt.flag()))? {
                return Err(Failure::Interrupted);
            }
        } else {
            let tokens = self.tokens(&model, &session, &prompt)?;
            self.context.warm(&model, &mut session, &tokens)?;
            if !answer::prefill(&mut session, &tokens, &interrupt)? {
                return Err(Failure::Interrupted);
            }
        }
        self.context.keep(&model, &mut session);
        let mut out = io::stdout().lock();
        let Printed { reason, text, generated } = answer::print(session.generate(options)?, &mut out)?;
        if !text.ends_with('\n') {
            writeln!(out)?;
        }
        if reason == FinishReason::Length && self.answer.max_tokens()? == Some(generated) && io::stderr().is_terminal() {
            note(format!("(stopped after {generated} tokens; -n takes another number, -1 none at all)"));
        }
        if self.answer.stats {
            stats::print(&model, &session, opened, generated);
        }
        if reason == FinishReason::Cancelled { Err(Failure::Interrupted) } else { Ok(()) }
    }
}

impl Run {
    fn prompt(&self) -> Result<String, Failure> {
        let given = self.prompt.as_ref().or(self.p.as_ref()).filter(|prompt| *prompt != "-");
        let prompt = match (given, &self.file) {
            (Some(prompt), _) => prompt.clone(),
            (None, Some(file)) => super::input::text_of(file)?,
            (None, None) => super::input::stdin("the prompt")?,
        };
        let prompt = if self.escape { super::input::unescape(&prompt) } else { prompt };
        if prompt.trim().is_empty() && !self.raw {
            return Err(Failure::usage("the prompt is empty").hint("kinglet run \"Why is the sky blue?\""));
        }
        Ok(prompt)
    }

    /// The prompt for a model that reads it with an encoder.
    fn encoder_tokens(&self, session: &Session, prompt: &str) -> Result<Vec<TokenId>, Failure> {
        if self.system.is_some() {
            return Err(Failure::usage("--system: this model reads one text with its encoder and has no chat template"));
        }
        Ok(session.encoder_tokens(prompt, if self.special { Special::Match } else { Special::Plain })?)
    }

    /// The prompt as the model is to see it: through the chat template where the model is made for that, else as it is.
    fn tokens(&self, model: &Model, session: &Session, prompt: &str) -> Result<Vec<TokenId>, Failure> {
        if !self.raw && (answers(model.file()) || self.system.is_some()) {
            let system = self.system.iter().map(|system| Message::new("system", system));
            let messages: Vec<Message> = system.chain([Message::new("user", prompt.trim_end_matches('\n'))]).collect();
            return Ok(session.chat_tokens(&messages, &RenderOptions { add_generation_prompt: true, ..RenderOptions::default() })?);
        }
        let tokenizer = model.tokenizer()?;
        let special = if self.special { Special::Match } else { Special::Plain };
        let bos = tokenizer.bos().filter(|_| tokenizer.add_bos());
        let tokens: Vec<TokenId> = bos.into_iter().chain(tokenizer.encode(prompt, special).map_err(crate::Error::from)?).collect();
        if tokens.is_empty() {
            return Err(Failure::usage("the prompt is empty, and this model has no token to begin a text with"));
        }
        Ok(tokens)
    }
}

/// A model whose makers put a chat template beside it is made to answer; others are made to continue.
fn answers(file: &ModelFile) -> bool {
    file.get("tokenizer.chat_template").is_some()
        || file.folder().is_some_and(|folder| {
            let tokenizer_config = std::fs::read_to_string(folder.join("tokenizer_config.json")).unwrap_or_default();
            file.gguf().is_none() && (folder.join("chat_template.jinja").is_file() || tokenizer_config.contains("\"chat_template\""))
        })
}
