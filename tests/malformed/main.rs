//! Model files as they come from the internet: whole ones are read exactly, and whatever is wrong with one is an error that names the file,
//! the place, what was expected and what was found. Nothing panics, nothing takes memory on a file's word.

mod allocator;
mod corpus;
mod folders;
mod ggufs;
mod inputs;
mod models;
mod mutations;
mod opened;
mod parameters;
mod places;
mod sessions;
mod support;
mod texts;
mod written;
