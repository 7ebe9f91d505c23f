//! `kinglet chat`: a conversation in the terminal. Each turn is rendered by the model's template and only what is new is computed;
//! in a pipe, every line of stdin is one turn.

mod commands;
mod conversation;
mod lines;

use super::answer::{self, Printed};
use super::flags::{AnswerFlags, ContextFlags, ModelFlags};
use super::terminal::{Paint, note, warn};
use super::{Command, Failure, interrupt, stats};
use crate::generate::FinishReason;
use crate::kv::Policy;
use crate::types::TokenId;
use crate::{Model, Session};
use commands::Next;
use conversation::Conversation;
use lines::{Line, Lines};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  kinglet chat
  kinglet chat -m gemma-3-270m --system \"You answer in one sentence.\"
  kinglet chat --load-chat holidays.json
  printf 'Hello\\nAnd in French?\\n' | kinglet chat --temp 0     one turn a line

Type /help inside for the commands. Ctrl-C stops an answer, Ctrl-D ends the chat; Alt-Enter or a backslash at the end begins a new \
line.";

/// Talk with a model.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Chat {
    /// What the model is told before the first turn
    #[arg(long, value_name = "TEXT", visible_alias = "system-prompt")]
    system: Option<String>,

    /// Let the system message leave a full context like everything else
    #[arg(long)]
    no_keep_system: bool,

    /// Go on with a conversation that /save wrote
    #[arg(long, value_name = "FILE")]
    load_chat: Option<PathBuf>,

    #[command(flatten)]
    model: ModelFlags,

    #[command(flatten)]
    context: ContextFlags,

    #[command(flatten)]
    answer: AnswerFlags,
}

/// A chat that is going on.
struct Room<'a> {
    flags: &'a Chat,
    model: &'a Model,
    session: Session,
    conversation: Conversation,
    advised_temp: Option<f32>,
    opened: Duration,
    /// Tokens of the last answer.
    generated: usize,
    /// How often the last question was asked again: another answer needs another seed.
    retries: u64,
    /// Where the last question and its answer lie.
    last: Range<usize>,
    /// What was pinned by hand.
    pins: Vec<Range<usize>>,
    /// Whether the person knows that tokens have left the context.
    told: bool,
}

impl Command for Chat {
    const NAME: &'static str = "chat";

    fn run(self) -> Result<(), Failure> {
        let path = self.model.path()?;
        let advised_temp = self.model.advised_temp(&path);
        // Wrong flags should be told before the first question, not after it.
        let options = self.answer.options(advised_temp, interrupt::listen().flag())?;
        let conversation = match &self.load_chat {
            Some(file) => Conversation::load(file)?,
            None => Conversation::default(),
        };
        let begin = Instant::now();
        let model = self.model.open_path(&path)?;
        options.check(&model)?;
        if model.has_encoder() {
            let family = model.spec().family;
            let failure = Failure::usage(format!("{family} reads a text and writes another one: it holds no conversation"));
            return Err(failure.hint("kinglet run \"translate English to German: The house is wonderful.\""));
        }
        let session = self.context.session(&model)?;
        model.chat_template().map_err(|e| Failure::from(e).hint("`kinglet run --raw` continues a text without a template"))?;
        let opened = begin.elapsed();
        let (generated, retries, last, pins, told) = (0, 0, 0..0, Vec::new(), false);
        let mut room =
            Room { flags: &self, model: &model, session, conversation, advised_temp, opened, generated, retries, last, pins, told };
        if let Some(system) = &self.system {
            room.conversation.set_system(Some(system));
        }
        room.talk()?;
        if self.answer.stats {
            stats::print(&model, &room.session, opened, room.generated);
        }
        Ok(())
    }
}

impl Room<'_> {
    fn talk(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::open()?;
        if lines.interactive() {
            let (family, context) = (self.model.spec().family, self.session.context());
            note(Paint::stderr().dim(&format!("{family}, {context} tokens of context. /help shows the commands, Ctrl-D ends.")));
        }
        loop {
            let text = match lines.next()? {
                Line::Text(text) => text,
                Line::Empty => continue,
                Line::End => return Ok(()),
            };
            let next = match text.strip_prefix('/') {
                Some(command) => commands::run(self, command),
                None => Ok(Next::Ask(text)),
            };
            let answered = match next {
                Ok(Next::Ask(question)) => self.ask(&question),
                Ok(Next::Again(question)) => self.ask_again(&question),
                Ok(Next::Listen) => continue,
                Ok(Next::End) => return Ok(()),
                Err(failure) => Err(failure),
            };
            match answered {
                Ok(()) => {}
                Err(Failure::Closed) => return Err(Failure::Closed),
                // In a script a turn that fails is an error; a person can go on.
                Err(failure) if lines.interactive() => {
                    failure.report();
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn ask(&mut self, question: &str) -> Result<(), Failure> {
        self.retries = 0;
        self.turn(question)
    }

    fn ask_again(&mut self, question: &str) -> Result<(), Failure> {
        self.retries += 1;
        self.turn(question)
    }

    /// One question, one answer; both join the conversation only if there is an answer.
    fn turn(&mut self, question: &str) -> Result<(), Failure> {
        let interrupt = interrupt::listen();
        let mut options = self.flags.answer.options(self.advised_temp, interrupt.flag())?;
        options.sampler.seed = options.sampler.seed.map(|seed| seed.wrapping_add(self.retries));
        let tokens = self.conversation.tokens(&self.session, question)?;
        self.flags.context.warm(self.model, &mut self.session, &tokens)?;
        self.keep_opening(&tokens)?;
        let start = self.session.shared_prefix(&tokens);
        if !answer::prefill(&mut self.session, &tokens, &interrupt)? {
            note("(stopped)");
            return Ok(());
        }
        self.pin_again();
        self.flags.context.keep(self.model, &mut self.session);
        let mut out = io::stdout().lock();
        let Printed { reason, text, generated } = answer::print(self.session.generate(options)?, &mut out)?;
        if !text.ends_with('\n') {
            writeln!(out)?;
        }
        out.flush()?;
        self.generated = generated;
        self.last = start..self.session.len();
        self.tell_forgotten();
        match reason {
            FinishReason::Cancelled => note("(stopped)"),
            FinishReason::Length => note(format!("(cut off after {generated} tokens; see -n and -c)")),
            _ => {}
        }
        self.conversation.add(question, &text);
        Ok(())
    }

    /// Pins what comes before the first question, before anything can push it out.
    fn keep_opening(&mut self, tokens: &[TokenId]) -> Result<(), Failure> {
        if self.flags.no_keep_system || self.session.policy() == Policy::Stop {
            return Ok(());
        }
        let opening = self.conversation.opening(&self.session)?;
        if opening > self.session.context() / 2 {
            if !self.told {
                warn(format!("the system message takes {opening} of {} tokens and will not stay for ever", self.session.context()));
                self.told = true;
            }
            return Ok(());
        }
        if self.session.shared_prefix(tokens) < opening {
            self.pins.clear();
            self.session.replace(&tokens[..opening], None, |_| ())?;
        }
        Ok(self.session.pin(0..opening)?)
    }

    /// What was pinned by hand stays so, although the end of an answer is computed anew as a part of the conversation.
    fn pin_again(&mut self) {
        let Room { pins, session, .. } = self;
        pins.retain(|pin| session.pin(pin.clone()).is_ok());
    }

    /// Says once that the oldest tokens have begun to leave.
    fn tell_forgotten(&mut self) {
        if self.session.forgotten() > 0 && !self.told {
            self.told = true;
            let context = self.session.context();
            note(format!(
                "(more than {context} tokens have been said: from now on the oldest are forgotten; /pin keeps a turn, /stats counts)"
            ));
        }
    }
}
