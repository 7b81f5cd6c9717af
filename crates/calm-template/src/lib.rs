//! Chat templates: Jinja with the values of Python, as `transformers` renders it.
//!
//! A [`Template`] is rendered like `transformers` 5 does it (`utils/chat_template_utils.py`): with
//! `trim_blocks`, `lstrip_blocks`, `break` and `continue`, `generation` blocks, `raise_exception`,
//! `strftime_now` and a `tojson` that escapes nothing. Values are printed, compared, cut and formatted
//! as Python's are, and have Python's methods. What would change a list or a dictionary is refused, as
//! in Jinja's immutable sandbox.
//!
//! A template sees its variables and nothing else. It can neither read files nor take much time or
//! memory: every step and every text is paid for out of a fixed budget before it is made.
//!
//! Not supported, and refused by name: `include`, `import`, `extends`, `autoescape`, the filters
//! `random`, `urlize` and `wordwrap`, the function `lipsum`, methods that make bytes (`encode`), whole
//! numbers of more than 38 digits.
//!
//! ```
//! use calm_template::Template;
//! use serde_json::json;
//!
//! let source = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{{ eos }}{% endfor %}";
//! let template = Template::new(source)?;
//! let variables = json!({ "messages": [{ "role": "user", "content": " Why? " }], "eos": "</s>" });
//! let variables = variables.as_object().expect("it is written as an object");
//! assert_eq!(template.render(variables)?, "<user>Why?</s>");
//! # Ok::<(), calm_template::TemplateError>(())
//! ```

mod args;
mod ast;
mod attributes;
mod budget;
mod closure;
mod compare;
mod error;
mod filters;
mod format;
mod globals;
mod json;
mod lexer;
mod machine;
mod names;
mod ops;
mod parser;
mod repr;
mod strings;
mod tests;
mod text;
mod value;

use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use serde_json::{Map, Value as Json};

pub use error::{ErrorKind, TemplateError};

use error::Outcome;

use machine::Machine;
use value::Value;

/// Room for the deepest calls that the budget allows.
const STACK_BYTES: usize = 128 << 20;

/// A template that has been read.
#[derive(Debug, Clone)]
pub struct Template {
    nodes: Arc<Vec<ast::Node>>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Syntax`] with the line, if it is none, or names what is not supported.
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        let nodes = Arc::new(parser::parse(source)?);
        Ok(Self { nodes })
    }

    /// The text of the template for these variables.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] if it refuses the variables, fails, or takes too long.
    pub fn render(&self, variables: &Map<String, Json>) -> Result<String, TemplateError> {
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            let running = thread.spawn_scoped(scope, || self.render_here(variables));
            let running = running.map_err(|error| TemplateError {
                kind: ErrorKind::Failed(format!("no thread could be started: {error}")),
                line: 1,
            })?;
            running
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn render_here(&self, variables: &Map<String, Json>) -> Result<String, TemplateError> {
        let of_json =
            |(name, value): (&String, &Json)| Ok((Rc::from(name.as_str()), Value::of_json(value)?));
        let variables = variables.iter().map(of_json).collect::<Outcome<_>>();
        let machine = Machine::new(variables.map_err(|kind| TemplateError { kind, line: 1 })?);
        machine.run(&self.nodes).map_err(|kind| TemplateError {
            kind,
            line: machine.line(),
        })
    }
}
