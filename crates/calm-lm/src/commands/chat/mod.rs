//! `calm chat`: a conversation in the terminal, or through a pipe.

mod conversation;
mod input;
mod reading;
mod words;

use std::io::{self, IsTerminal};
use std::time::Instant;

use calm_lm::terminal::{Stream, interrupt, silence, write_line};
use clap::Args;
use serde::Serialize;

use self::conversation::{Conversation, Turn};
use self::input::Input;
use self::words::{HELP, Words};
use super::decoding::DecodingArgs;
use super::model::OpenArgs;
use crate::cli::Common;
use crate::failure::{Failure, complain};
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  A conversation with a model that was trained for it, or with a composition over one:
    calm chat hf:HuggingFaceTB/SmolLM2-135M-Instruct --system 'Be brief.'
    calm chat composition --temperature 0.7 --top-p 0.9

  A model without a chat template, which goes on with every line as a text of its own:
    calm chat datasets/checkpoints/kv-anchor --plain

  The anchor first with what it reads of the other model, then alone, without a terminal:
    printf 'Why is the sky blue?\n/reset\n/anchor\nWhy is the sky blue?\n' | calm chat composition

In the conversation:
  /scale X   scale of the bridges' output: 0 switches them off, 1 is as trained
  /anchor    the anchor alone, and back
  /trace     tokens of the augmenting models that the last answer read most
  /system T  the system message from now on
  /reset     a new conversation
  /quit      the end, as Ctrl-D
A line that ends in \ goes on in the next one. Ctrl-C stops an answer, not the program. What
was computed is kept from turn to turn, unless a scale changes, an augmenting model reads
prompts only, or it reads them as its own chat template writes them.";

/// New tokens of an answer, if no flag says how many.
const NEW_TOKENS: usize = 512;

#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// System message before the conversation
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        conflicts_with = "plain"
    )]
    system: Option<String>,
    /// Use no chat template: go on with every line as a text of its own
    #[arg(long)]
    plain: bool,
    #[command(flatten, next_help_heading = "Decoding")]
    decoding: DecodingArgs,
}

/// A conversation that is over, for programs.
#[derive(Serialize)]
struct Transcript<'a> {
    model: &'a str,
    dtype: String,
    load_seconds: f64,
    turns: &'a [Turn],
}

pub(super) fn run(args: &ChatArgs, common: &Common) -> Result<Report, Failure> {
    common.device()?;
    let begun = Instant::now();
    let model = args.open.open(common)?;
    let load_seconds = begun.elapsed().as_secs_f64();
    let conversation = Conversation::new(model, args.system.clone(), args.plain)?;
    let mut talk = Talk {
        conversation,
        decoding: &args.decoding,
        seed: common.seed,
        is_told: !common.quiet,
        is_streamed: !common.json,
    };
    if io::stdin().is_terminal() {
        talk.tell(&format!(
            "{}, loaded in {load_seconds:.2} s; /help lists what can be typed",
            talk.conversation.model.name
        ));
    }
    talk.run()?;
    let conversation = talk.conversation;
    let transcript = Transcript {
        model: &conversation.model.name,
        dtype: conversation.model.compute_type(),
        load_seconds,
        turns: &conversation.turns,
    };
    Ok(Report::new("", transcript))
}

/// A conversation with the person at the terminal, or the program behind the pipe.
struct Talk<'a> {
    conversation: Conversation,
    decoding: &'a DecodingArgs,
    seed: u64,
    /// Whether there are lines on standard error about what goes on.
    is_told: bool,
    /// Whether answers are shown while they are written, and not in the transcript alone.
    is_streamed: bool,
}

impl Talk<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        interrupt::listen();
        let mut input = Input::new();
        while let Some(line) = input.next_line()? {
            let done = match Words::read(&line) {
                Ok(Words::Quit) => break,
                Ok(words) => self.follow(words),
                Err(reason) => Err(Failure::Chat(reason)),
            };
            match done {
                Ok(()) => {}
                // A program that talks to us learns of it by the exit code.
                Err(failure) if !input.is_terminal() => return Err(failure),
                Err(failure) => {
                    complain(&failure.to_string());
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, words: Words) -> Result<(), Failure> {
        match words {
            Words::Nothing | Words::Quit => {}
            Words::Message(text) => self.answer(&text)?,
            Words::Help => self.tell(HELP),
            Words::Trace => self.print(&reading::text(&self.conversation)?)?,
            Words::Reset => {
                self.conversation.reset();
                self.tell("a new conversation");
            }
            Words::System(text) => {
                if let Some(text) = text {
                    self.conversation.set_system(text)?;
                }
                let system = self.conversation.system().unwrap_or("none");
                self.tell(&format!("system message: {system}"));
            }
            Words::Scale(scales) => {
                if !scales.is_empty() {
                    self.conversation.set_scales(&scales)?;
                }
                self.tell(&self.conversation.scales_text()?);
            }
            Words::Anchor(is_alone) => {
                self.conversation.set_alone(is_alone)?;
                self.tell(&self.conversation.scales_text()?);
            }
        }
        Ok(())
    }

    fn answer(&mut self, text: &str) -> Result<(), Failure> {
        let mut stream = Stream::new(self.is_streamed);
        silence::doing("writing");
        let turn = self
            .conversation
            .answer(text, (self.decoding, self.seed), |piece| {
                let shown = stream.show(piece);
                match interrupt::requested() {
                    true => std::ops::ControlFlow::Break(()),
                    false => shown,
                }
            })?;
        let told = turn.text();
        // Forgets a Ctrl-C that came too late for this answer as well.
        interrupt::take();
        let _ = stream.show("\n");
        stream.finish().map_err(Failure::output)?;
        self.tell(&told);
        Ok(())
    }

    /// A result that was asked for.
    fn print(&self, text: &str) -> Result<(), Failure> {
        let mut stream = Stream::new(self.is_streamed);
        let _ = stream.show(text);
        stream.finish().map_err(Failure::output)
    }

    /// A line about what goes on.
    fn tell(&self, line: &str) {
        if self.is_told {
            silence::heard();
            write_line(line);
        }
    }
}
