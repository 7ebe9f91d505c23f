//! A turn of a conversation: the messages go through the model's template, and only what the session does not hold already is computed.

use super::{GenerateOptions, Generation, Session};
use crate::error::Error;
use crate::text::{Message, RenderOptions};
use crate::types::TokenId;
use std::sync::Arc;

impl Session {
    /// The tokens of a conversation, ready for the model's answer. Special tokens of the template are matched; those that a message's own
    /// text spells are text.
    ///
    /// # Errors
    /// Where the model has no chat template or the template refuses the messages.
    pub fn chat_tokens(&self, messages: &[Message], render: &RenderOptions) -> Result<Vec<TokenId>, Error> {
        Ok(self.model.chat_template()?.tokens(self.model.tokenizer()?, messages, render)?)
    }

    /// Answers the last of `messages`. What the session holds is replaced by the conversation; the longest prefix that both share is not
    /// computed again.
    ///
    /// # Errors
    /// As [`Session::chat_tokens`], [`Session::feed`] and [`Session::generate`].
    pub fn chat(&mut self, messages: &[Message], options: GenerateOptions) -> Result<Generation<'_>, Error> {
        options.check_for(self.model.decoder.spec().n_vocab)?;
        let tokens = self.chat_tokens(messages, &RenderOptions { add_generation_prompt: true, ..RenderOptions::default() })?;
        let cancel = options.cancel.clone();
        self.replace(&tokens, cancel.as_ref().map(Arc::as_ref), |_| ())?;
        self.generate(options)
    }
}
