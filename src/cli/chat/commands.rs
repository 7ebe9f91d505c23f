//! What begins with a slash. A command is a line in [`COMMANDS`]: its name, what `/help` says, and what it does.

use super::Room;
use super::conversation::Conversation;
use crate::cli::terminal::{Paint, note};
use crate::cli::{Failure, stats};
use std::path::Path;

/// What the chat does after a command.
#[derive(Debug)]
pub enum Next {
    /// Waits for the next line.
    Listen,
    /// Answers this question.
    Ask(String),
    /// Answers this question anew.
    Again(String),
    /// Ends.
    End,
}

struct Entry {
    name: &'static str,
    argument: &'static str,
    help: &'static str,
    run: fn(&mut Room<'_>, &str) -> Result<Next, Failure>,
}

const COMMANDS: &[Entry] = &[
    Entry { name: "help", argument: "", help: "show this list", run: help },
    Entry { name: "system", argument: "[TEXT]", help: "tell the model something for the whole chat; without a text: show it", run: system },
    Entry { name: "clear", argument: "", help: "forget all turns", run: clear },
    Entry { name: "undo", argument: "", help: "take the last turn back", run: undo },
    Entry { name: "retry", argument: "", help: "ask for another answer to the last question", run: retry },
    Entry { name: "pin", argument: "", help: "let the last turn never leave the context", run: pin },
    Entry { name: "save", argument: "FILE", help: "write the conversation as JSON", run: save },
    Entry { name: "load", argument: "FILE", help: "go on with a saved conversation", run: load },
    Entry { name: "stats", argument: "", help: "show timings and memory", run: show_stats },
    Entry { name: "quit", argument: "", help: "end (Ctrl-D does too)", run: |_, _| Ok(Next::End) },
];

/// Runs a line that began with a slash.
pub fn run(room: &mut Room<'_>, line: &str) -> Result<Next, Failure> {
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let name = if name == "exit" { "quit" } else { name };
    match COMMANDS.iter().find(|entry| entry.name == name) {
        Some(entry) => (entry.run)(room, argument.trim()),
        None => Err(Failure::error(format!("unknown command /{name}")).hint(suggestion(name))),
    }
}

/// The names, for the Tab key.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|entry| entry.name)
}

fn suggestion(name: &str) -> String {
    match names().find(|known| strsim::damerau_levenshtein(name, known) <= 2) {
        Some(known) => format!("did you mean /{known}? A question that begins with a slash can begin with a space"),
        None => "/help shows the commands; a question that begins with a slash can begin with a space".to_owned(),
    }
}

fn help(_: &mut Room<'_>, _: &str) -> Result<Next, Failure> {
    let paint = Paint::stderr();
    for Entry { name, argument, help, .. } in COMMANDS {
        note(format!("  {}  {help}", paint.bold(&format!("{:14}", format!("/{name} {argument}")))));
    }
    Ok(Next::Listen)
}

fn system(room: &mut Room<'_>, text: &str) -> Result<Next, Failure> {
    if text.is_empty() {
        note(room.conversation.system().unwrap_or("(nothing; the template may have a text of its own)"));
    } else {
        room.conversation.set_system(Some(text));
    }
    Ok(Next::Listen)
}

fn clear(room: &mut Room<'_>, _: &str) -> Result<Next, Failure> {
    room.conversation.clear();
    (room.last, room.told) = (0..0, false);
    room.pins.clear();
    note("(all turns are forgotten)");
    Ok(Next::Listen)
}

fn undo(room: &mut Room<'_>, _: &str) -> Result<Next, Failure> {
    room.last = 0..0;
    let question = room.conversation.undo().ok_or_else(|| Failure::error("there is no turn to take back"))?;
    note(format!("(taken back: {question})"));
    Ok(Next::Listen)
}

fn retry(room: &mut Room<'_>, _: &str) -> Result<Next, Failure> {
    room.conversation.undo().map(Next::Again).ok_or_else(|| Failure::error("there is no question to answer again"))
}

fn pin(room: &mut Room<'_>, _: &str) -> Result<Next, Failure> {
    if room.last.is_empty() {
        return Err(Failure::error("there is no turn to pin"));
    }
    // The answer's last token may not be computed yet.
    room.session.pin(room.last.clone())?;
    room.pins.push(room.last.clone());
    let kept: usize = room.session.pinned().iter().map(|span| span.len()).sum();
    note(format!("(pinned: {kept} of {} tokens never leave now)", room.session.context()));
    Ok(Next::Listen)
}

fn save(room: &mut Room<'_>, file: &str) -> Result<Next, Failure> {
    room.conversation.save(Path::new(named(file)?))?;
    note(format!("({} turns saved)", room.conversation.len()));
    Ok(Next::Listen)
}

fn load(room: &mut Room<'_>, file: &str) -> Result<Next, Failure> {
    room.conversation = Conversation::load(Path::new(named(file)?))?;
    note(format!("({} turns loaded)", room.conversation.len()));
    Ok(Next::Listen)
}

fn named(file: &str) -> Result<&str, Failure> {
    if file.is_empty() { Err(Failure::error("which file?").hint("/save FILE, /load FILE")) } else { Ok(file) }
}

fn show_stats(room: &mut Room<'_>, _: &str) -> Result<Next, Failure> {
    stats::print(room.model, &room.session, room.opened, room.generated);
    Ok(Next::Listen)
}
