//! Calls of macros, methods and functions.

use std::rc::Rc;

use super::Machine;
use crate::args::Args;
use crate::ast::{self, Expr};
use crate::attributes;
use crate::closure::{Body, Closure};
use crate::error::{Outcome, fail};
use crate::globals;
use crate::value::{Dict, Object, Value};

impl Machine {
    pub(super) fn call(&self, function: &Value, args: &Args) -> Outcome<Value> {
        let not_callable = || {
            let name = function.type_name();
            fail(format!("'{name}' object is not callable"))
        };
        let object = match function {
            Value::Undefined(message) => return fail(&**message),
            Value::Object(object) => object,
            _ => return not_callable(),
        };
        match &**object {
            Object::Function(name) => globals::call(name, args, &self.budget),
            Object::Method(of, name) => attributes::call_method(of, name, args, &self.budget),
            Object::Macro(closure) => self.call_macro(closure, args),
            Object::Joiner { separator, is_used } => {
                args.bind("joiner", &[])?;
                Ok(match is_used.replace(true) {
                    true => separator.clone(),
                    false => Value::str(""),
                })
            }
            Object::Loop(state) => {
                let Some(closure) = &state.body else {
                    return fail(
                        "The loop must have the 'recursive' marker to be called recursively.",
                    );
                };
                let [items] = args.bind("loop", &["iterable"])?;
                let items = crate::args::required("loop", "iterable", items)?;
                self.call_loop(closure, &items)
            }
            Object::Namespace(_) | Object::Cycler { .. } => not_callable(),
        }
    }

    /// Calls a macro with the body of a `call` block.
    pub(super) fn call_with(&self, call: &Expr, caller: Value) -> Outcome<Value> {
        let Expr::Call(function, args) = call else {
            return fail("expected call");
        };
        let function = self.value(function)?;
        let mut args = self.args(args)?;
        args.named.push(("caller".into(), caller));
        self.call(&function, &args)
    }

    fn call_loop(&self, closure: &Closure, items: &Value) -> Outcome<Value> {
        let Body::Loop(node, level) = closure.body() else {
            return fail("a loop has no body");
        };
        let mut text = String::new();
        let line = self.line.get();
        self.budget.nested(|| {
            self.scoped(closure.scope(), || {
                self.loop_over(node, items, level + 1, &mut text)
            })
        })?;
        self.line.set(line);
        Ok(Value::str(text))
    }

    fn call_macro(&self, closure: &Closure, args: &Args) -> Outcome<Value> {
        let Body::Macro(definition) = closure.body() else {
            return fail("a macro has no body");
        };
        let mut text = String::new();
        let line = self.line.get();
        self.budget.nested(|| {
            self.scoped(closure.scope(), || {
                self.bind(definition, args)?;
                self.body(&definition.body, &mut text)
            })
        })?;
        self.line.set(line);
        Ok(Value::str(text))
    }

    /// Sets the parameters of a macro, and what is left of its arguments.
    fn bind(&self, definition: &ast::Macro, args: &Args) -> Outcome<()> {
        let name = &definition.name;
        let names = &definition.signature.names;
        let mut named = args.named.clone();
        let mut take = |wanted: &str| {
            let at = named.iter().position(|(known, _)| **known == *wanted)?;
            Some(named.remove(at).1)
        };
        let first_default = names.len() - definition.signature.defaults.len();
        let given = names
            .iter()
            .enumerate()
            .map(|(at, parameter)| match args.positional.get(at) {
                Some(value) => Some(value.clone()),
                None => take(parameter),
            });
        let given: Vec<Option<Value>> = given.collect();
        let caller = definition.mentions.caller.then(|| take("caller"));
        for (at, (parameter, value)) in names.iter().zip(given).enumerate() {
            let value = match (value, at.checked_sub(first_default)) {
                (Some(value), _) => value,
                (None, Some(default)) => self.value(&definition.signature.defaults[default])?,
                (None, None) => {
                    Value::undefined(format!("parameter '{parameter}' was not provided"))
                }
            };
            self.set(parameter, value);
        }
        if let Some(caller) = caller {
            let none = || Value::undefined("No caller defined");
            self.set("caller", caller.unwrap_or_else(none));
        }
        if definition.mentions.kwargs {
            let entries = named
                .into_iter()
                .map(|(name, value)| (Value::Str(name), value));
            let rest = Dict::of_distinct(entries.collect())?;
            self.set("kwargs", Value::Dict(Rc::new(rest)));
        } else if let Some((argument, _)) = named.first() {
            return fail(format!(
                "macro '{name}' takes no keyword argument '{argument}'"
            ));
        }
        let rest = args.positional.get(names.len()..).unwrap_or_default();
        if definition.mentions.varargs {
            self.set("varargs", Value::tuple(rest.to_vec())?);
        } else if !rest.is_empty() {
            let count = names.len();
            return fail(format!(
                "macro '{name}' takes not more than {count} argument(s)"
            ));
        }
        Ok(())
    }
}
