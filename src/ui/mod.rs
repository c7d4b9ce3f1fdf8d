//! Renderers of events, answers and failures; the only code that prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod plan;
mod progress;
mod style;
mod tables;

use std::io::{IsTerminal, Write};

use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::cli::Output;
use crate::engine::{Event, Events};
use crate::failure::{Exit, Failure};
use crate::plan::Plan;

pub use tables::{labelled, table};

/// Schema of every JSON document that is printed.
pub const SCHEMA: &str = "kubestrap/v1";

/// Where answers go and how they look.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    output: Output,
}

/// A running renderer of events; finish it before printing an answer.
pub struct Listener {
    sender: UnboundedSender<Event>,
    task: JoinHandle<()>,
}

/// A document with its schema.
#[derive(Serialize)]
struct Document<'a, T: Serialize> {
    schema: &'static str,
    #[serde(flatten)]
    content: &'a T,
}

impl Ui {
    /// A user interface that answers in `output` form.
    pub fn new(output: Output) -> Self {
        Self { output }
    }

    /// Whether answers are JSON.
    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Starts to render events on stderr: bars on a terminal, plain lines elsewhere, JSON lines on request.
    pub fn listen(&self, title: &str) -> Listener {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let task = match self.output {
            Output::Json => tokio::spawn(progress::json(receiver)),
            Output::Human if style::fancy() => tokio::spawn(progress::bars(receiver, title.to_owned())),
            Output::Human => tokio::spawn(progress::plain(receiver)),
        };
        Listener { sender, task }
    }

    /// Prints an answer: `human` for people, `data` as one JSON document.
    pub fn answer<T: Serialize>(&self, human: &str, data: &T) {
        match self.output {
            Output::Human => print_all(human),
            Output::Json => {
                let document = Document { schema: SCHEMA, content: data };
                let text = serde_json::to_string_pretty(&document).expect("answers are plain data");
                print_all(&format!("{text}\n"));
            }
        }
    }

    /// Prints raw data: a spec, a kubeconfig, completions.
    pub fn raw(&self, text: &str) {
        print_all(text);
    }

    /// Says something to a person, on stderr; silent in JSON.
    pub fn note(&self, text: &str) {
        if self.output == Output::Human {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Shows a plan.
    pub fn plan(&self, plan: &Plan) {
        self.answer(&plan::render(plan), plan);
    }

    /// Shows a plan as part of a command that goes on: for people, on stderr.
    pub fn preview(&self, plan: &Plan) {
        self.note(plan::render(plan).trim_end());
    }

    /// Whether somebody said yes beforehand, or is here to say it.
    pub fn can_consent(&self, yes: bool) -> Result<(), Failure> {
        let somebody_is_here = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if yes || (somebody_is_here && !self.is_json()) {
            return Ok(());
        }
        Err(Failure::new("KS-CONSENT", Exit::Usage, "nobody is here to say yes: this is not a terminal")
            .remedy("say it beforehand: --yes"))
    }

    /// Asks whether to go on. Without a terminal nobody can answer, so that is a refusal.
    pub fn consent(&self, question: &str, yes: bool) -> Result<(), Failure> {
        self.can_consent(yes)?;
        if yes {
            return Ok(());
        }
        let _ = write!(anstream::stderr(), "{question} [y/N] ");
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        match (read, line.trim()) {
            (Ok(_), "y" | "Y" | "yes") => Ok(()),
            _ => Err(Failure::new("KS-CONSENT", Exit::Failed, "not confirmed; nothing was changed")),
        }
    }

    /// Renders a failure, once.
    pub fn failure(&self, failure: &Failure) {
        match self.output {
            Output::Json => {
                let document = Document { schema: SCHEMA, content: &ErrorDocument { error: failure } };
                let _ = writeln!(
                    anstream::stderr(),
                    "{}",
                    serde_json::to_string(&document).expect("failures are plain data")
                );
            }
            Output::Human => {
                let _ = write!(anstream::stderr(), "{}", style::failure(failure));
            }
        }
    }
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: &'a Failure,
}

impl Listener {
    /// Where work sends its events.
    pub fn events(&self) -> Events {
        Events::new(self.sender.clone())
    }

    /// Renders what is left and ends.
    pub async fn finish(self) {
        drop(self.sender);
        let _ = self.task.await;
    }
}

/// Writes to stdout; a reader that went away (`| head`) is no error.
fn print_all(text: &str) {
    let mut stdout = anstream::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
