//! Chat templates: a conversation becomes the prompt that a model was trained on. Templates are Jinja programs that come with the model;
//! they run in minijinja, set up like Hugging Face's environment, with a bound on the time and memory they may take.
//!
//! A message's text can't become structure: before a template sees it, a marker goes in front of everything in it that spells a control
//! token, and where a marker comes out, the tokenizer makes no special token.

mod builtin;
mod environment;
mod failure;
mod guard;
mod python;

use super::guarded::guarded;
use super::json::{read_beside, read_json, token_text, unreadable};
use super::{Special, Tokenizer};
use crate::error::{Optional, TextError};
use crate::file::ModelFile;
use crate::types::TokenId;
use chrono::{Local, NaiveDateTime};
use guard::Guard;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// What `role` says.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }
}

/// How a conversation is rendered.
#[derive(Debug, Clone, Default)]
pub struct RenderOptions {
    /// End with the words that begin the assistant's answer.
    pub add_generation_prompt: bool,
    /// The local time that `strftime_now` tells; `None` is the clock's.
    pub now: Option<NaiveDateTime>,
    /// More variables for the template (`enable_thinking`, `tools`, …).
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// A compiled chat template, with the texts of the model's BOS and EOS tokens.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
}

/// The template's name inside its environment.
const NAME: &str = "chat";

impl ChatTemplate {
    /// A model's template: the file's own, the one beside it (`chat_template.jinja` or tokenizer_config.json), or the one that its
    /// special tokens or its architecture call for.
    ///
    /// # Errors
    /// Where there is none, or it has a syntax error.
    pub fn from_model(file: &ModelFile, tokenizer: &Tokenizer) -> Result<ChatTemplate, TextError> {
        let bos = tokenizer.bos().and_then(|id| tokenizer.piece(id));
        let eos = tokenizer.eos().and_then(|id| tokenizer.piece(id));
        let source: Cow<'_, str> = match file.gguf() {
            Some(gguf) => match gguf.text("tokenizer.chat_template").optional()? {
                Some(source) => source.into(),
                None => {
                    let architecture = gguf.text("general.architecture").optional()?.unwrap_or_default();
                    builtin::find(tokenizer, architecture).ok_or_else(builtin::none)?.into()
                }
            },
            None => match file.folder().map(beside).transpose()?.flatten() {
                Some(source) => source.into(),
                None => builtin::find(tokenizer, &architecture(file.folder())?).ok_or_else(builtin::none)?.into(),
            },
        };
        ChatTemplate::new(&source, bos.as_deref(), eos.as_deref())
    }

    /// A template from its Jinja source, for a model with these BOS and EOS tokens.
    ///
    /// ```
    /// use kinglet::text::{ChatTemplate, Message, RenderOptions};
    /// # fn main() -> Result<(), kinglet::error::TextError> {
    /// let source = "{% for m in messages %}{{ m.role }}: {{ m.content.strip() }}{{ eos_token }}{% endfor %}";
    /// let template = ChatTemplate::new(source, None, Some("</s>"))?;
    /// let text = template.render(&[Message::new("user", " Hello! ")], &RenderOptions::default())?;
    /// assert_eq!(text, "user: Hello!</s>");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the source has a syntax error.
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<ChatTemplate, TextError> {
        let mut environment = environment::hugging_face();
        let source = environment::without_generation_tags(source);
        // The compiler panics on what its parser lets through, such as `{% import "x" as -y %}`.
        let added = guarded(|| environment.add_template_owned(NAME, source.into_owned()));
        added.map_err(|why| TextError::TemplateSyntax { line: 1, why })?.map_err(|error| failure::explain(&error))?;
        Ok(ChatTemplate { environment, bos: bos.map(str::to_owned), eos: eos.map(str::to_owned) })
    }

    /// A built-in template by its name: `chatml`, `llama3`, …
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn named(name: &str, bos: Option<&str>, eos: Option<&str>) -> Result<ChatTemplate, TextError> {
        ChatTemplate::new(builtin::named(name).ok_or_else(builtin::none)?, bos, eos)
    }

    /// The names of the built-in templates.
    pub fn names() -> impl Iterator<Item = &'static str> {
        builtin::BUILTIN.iter().map(|template| template.name)
    }

    /// The conversation as text. Its special tokens are spelled out, so that [`ChatTemplate::tokens`] is the way to a prompt: in this
    /// text nobody can tell the template's special tokens from those a user has typed.
    ///
    /// # Errors
    /// Where the template fails or refuses these messages.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String, TextError> {
        self.run(Serde(messages).into(), Serde(&options.variables).into(), options)
    }

    /// The conversation as tokens, beginning with BOS where the model wants one. Special tokens of the template are matched; those that a
    /// message's own text spells are text.
    ///
    /// # Errors
    /// Where the template fails or refuses these messages, or the text can't be tokenized.
    pub fn tokens(&self, tokenizer: &Tokenizer, messages: &[Message], options: &RenderOptions) -> Result<Vec<TokenId>, TextError> {
        let guard = Guard::new(tokenizer);
        let messages: Vec<Message> =
            messages.iter().map(|message| Message { role: guard.mark(&message.role), content: guard.mark(&message.content) }).collect();
        let variables: serde_json::Map<_, _> =
            options.variables.iter().map(|(name, value)| (name.clone(), guard.mark_all(value))).collect();
        let marked = self.run(Serde(&messages).into(), Serde(&variables).into(), options)?;
        let (text, barriers) = guard::unmark(&marked);
        let mut tokens = tokenizer.encode_between(&text, Special::Match, &barriers)?;
        if let Some(bos) = tokenizer.bos().filter(|bos| tokenizer.add_bos() && tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    fn run(&self, messages: Value, variables: Value, options: &RenderOptions) -> Result<String, TextError> {
        let now = options.now.unwrap_or_else(|| Local::now().naive_local());
        // A model without BOS has the variable undefined.
        let tokens = [("bos_token", &self.bos), ("eos_token", &self.eos)];
        let tokens: BTreeMap<_, _> = tokens.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))).collect();
        // Of several values for a name the first counts.
        let context = minijinja::context! {
            messages,
            add_generation_prompt => options.add_generation_prompt,
            strftime_now => Value::from_function(move |format: &str| python::strftime(now, format)),
            ..minijinja::context! { ..variables, ..Value::from(Serde(tokens)), ..minijinja::context! { tools => (), documents => () } }
        };
        let template = self.environment.get_template(NAME).map_err(|error| failure::explain(&error))?;
        template.render(context).map_err(|error| failure::explain(&error))
    }
}

/// The template in a folder: chat_template.jinja, or tokenizer_config.json's (of several, the one called `default`).
fn beside(folder: &Path) -> Result<Option<String>, TextError> {
    if let Some(source) = read_beside(folder, JINJA)? {
        return String::from_utf8(source).map(Some).map_err(|error| unreadable(&folder.join(JINJA), error));
    }
    let config = read_json(folder, "tokenizer_config.json")?;
    let Some(template) = config.as_ref().and_then(|config| config.get("chat_template")) else { return Ok(None) };
    let of_several = || {
        let default = template.as_array()?.iter().find(|template| template["name"] == "default")?;
        token_text(default, "template")
    };
    Ok(template.as_str().or_else(of_several).map(str::to_owned))
}

/// The name of a template's own file.
const JINJA: &str = "chat_template.jinja";

/// `model_type` of a folder's config.json.
fn architecture(folder: Option<&Path>) -> Result<String, TextError> {
    let config = folder.map(|folder| read_json(folder, "config.json")).transpose()?.flatten();
    Ok(config.and_then(|config| Some(config.get("model_type")?.as_str()?.to_owned())).unwrap_or_default())
}
