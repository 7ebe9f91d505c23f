//! What is compared: position schemes, and what a full context does. Each pair of them is a subject, measured by itself.

use super::report::Report;
use crate::cli::Failure;
use crate::cli::flags::{Full, ModelFlags};
use crate::kv::Policy;
use crate::position::Scheme;
use crate::{Model, Session, SessionOptions};
use serde_json::Value;
use std::path::PathBuf;

/// Which schemes are compared.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Compared")]
pub struct SchemeFlags {
    /// Position schemes, with semicolons between or the flag repeated: "file;rope:yarn=4;alibi;none" [default: file]
    #[arg(long, value_name = "SCHEMES", visible_alias = "schemes", value_delimiter = ';')]
    scheme: Vec<Scheme>,
}

/// Which caches are compared.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Compared")]
pub struct PolicyFlags {
    /// What happens when the context is full, with commas between or the flag repeated: ring,window,stop
    #[arg(long, value_name = "HOW", visible_alias = "policies", value_delimiter = ',', value_enum)]
    policy: Vec<Full>,

    /// Tokens that attention sees at most
    #[arg(short, long, value_name = "N", visible_alias = "ctx-size", value_parser = super::positive)]
    context: Option<usize>,

    /// First tokens that never leave a ring [default: 4]
    #[arg(long, value_name = "N")]
    sinks: Option<usize>,
}

/// A cache that is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Cache {
    /// As it was written on the command line.
    pub name: &'static str,
    /// What happens when the context is full.
    pub policy: Policy,
}

/// The model's file, and the schemes it is opened with.
#[derive(Debug)]
pub struct Subjects {
    path: PathBuf,
    schemes: Vec<Scheme>,
}

impl SchemeFlags {
    /// The model's path (fetched where it has to be) and the schemes: those asked for, or `--position`, or the file's.
    pub fn subjects(&self, model: &ModelFlags) -> Result<Subjects, Failure> {
        let schemes = match (self.scheme.as_slice(), model.position()) {
            ([], None) => vec!["file".parse().map_err(crate::Error::from)?],
            ([], Some(scheme)) => vec![scheme.clone()],
            (several, None) => several.to_vec(),
            (_, Some(scheme)) => {
                return Err(
                    Failure::usage("--position and --scheme both name schemes").hint(format!("compare with --scheme \"{scheme};…\""))
                );
            }
        };
        let twice = schemes.iter().enumerate().find(|(index, scheme)| schemes[..*index].contains(scheme));
        if let Some((_, scheme)) = twice {
            return Err(Failure::usage(format!("--scheme {scheme} is given twice, expected each once")));
        }
        Ok(Subjects { path: model.path()?, schemes })
    }
}

impl PolicyFlags {
    /// Whether a policy was named.
    pub fn named(&self) -> bool {
        !self.policy.is_empty()
    }

    /// Whether anything was said about a bounded cache.
    pub fn given(&self) -> bool {
        !self.policy.is_empty() || self.context.is_some() || self.sinks.is_some()
    }

    /// The bound, where one was given.
    pub fn context(&self) -> Option<usize> {
        self.context
    }

    /// The caches; `otherwise` where none was named.
    pub fn caches(&self, otherwise: Full) -> Result<Vec<Cache>, Failure> {
        let named = if self.policy.is_empty() { &[otherwise][..] } else { &self.policy };
        if self.sinks.is_some() && !named.contains(&Full::Ring) {
            return Err(Full::has_no_sinks());
        }
        if let (Some(context), Some(sinks)) =
            (self.context, self.sinks.filter(|&sinks| self.context.is_some_and(|context| sinks >= context)))
        {
            let most = context - 1;
            return Err(Failure::usage(format!("--sinks {sinks} leaves no room in a context of {context}, expected at most {most}")));
        }
        let mut caches: Vec<Cache> = Vec::new();
        for full in named {
            let name = match full {
                Full::Ring => "ring",
                Full::Window => "window",
                Full::Stop => "stop",
            };
            let cache = Cache { name, policy: full.policy(self.sinks) };
            if caches.contains(&cache) {
                return Err(Failure::usage(format!("--policy {} is given twice, expected each once", cache.name)));
            }
            caches.push(cache);
        }
        Ok(caches)
    }
}

impl Cache {
    /// A session of `model` with a bound of `context` tokens.
    pub fn session(&self, model: &Model, context: usize) -> Result<Session, Failure> {
        Ok(model.session(SessionOptions { context: Some(context), policy: Some(self.policy) })?)
    }
}

impl Subjects {
    /// The model with each of the schemes, which share its pages: all are opened before anything is measured, so that a scheme that
    /// it can't take is told at once.
    pub fn open(&self, flags: &ModelFlags) -> Result<Vec<(String, Model)>, Failure> {
        self.schemes.iter().map(|scheme| Ok((scheme.to_string(), flags.open_as(&self.path, scheme)?))).collect()
    }

    /// A report about the model.
    pub fn report(&self, measurement: &str, model: &Model) -> Report {
        let mut report = Report::default();
        let name = self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let about = &mut report.about;
        about.insert("measurement".into(), measurement.into());
        about.insert("model".into(), name.clone().into());
        about.insert("family".into(), Value::from(model.spec().family.to_string()));
        about.insert("trained_context".into(), model.spec().trained_context.into());
        about.insert("threads".into(), model.threads().into());
        report.figure.title = name;
        report
    }
}
