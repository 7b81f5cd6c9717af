//! Runs a template.

mod calls;
mod expressions;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::ast::{self, Node, NodeKind, Target};
use crate::budget::Budget;
use crate::closure::{Body, Closure, ScopeId};
use crate::error::{Outcome, fail};
use crate::globals;
use crate::repr;
use crate::value::{Items, LoopState, Object, Value};

/// The scope of the whole template.
const OUTERMOST: ScopeId = 0;

/// Variables of a body, which sees those of the bodies around it, too.
#[derive(Debug)]
struct Scope {
    variables: Vec<(Rc<str>, Value)>,
    around: Option<ScopeId>,
    /// Whether a macro still needs it when its body has ended.
    is_captured: bool,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(crate) struct Machine {
    pub(crate) budget: Budget,
    scopes: RefCell<Vec<Scope>>,
    current: Cell<ScopeId>,
    /// Line of the statement that runs.
    line: Cell<usize>,
}

impl Machine {
    pub(crate) fn new(variables: Vec<(Rc<str>, Value)>) -> Self {
        let outermost = Scope {
            variables,
            around: None,
            is_captured: true,
        };
        Self {
            budget: Budget::new(),
            scopes: RefCell::new(vec![outermost]),
            current: Cell::new(OUTERMOST),
            line: Cell::new(1),
        }
    }

    pub(crate) fn line(&self) -> usize {
        self.line.get()
    }

    /// The text of a whole template.
    pub(crate) fn run(&self, nodes: &[Node]) -> Outcome<String> {
        let mut out = String::new();
        self.body(nodes, &mut out)?;
        Ok(out)
    }

    /// Runs in a new scope within another.
    fn scoped<T>(&self, around: ScopeId, run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let before = self.current.get();
        let own = {
            let mut scopes = self.scopes.borrow_mut();
            scopes.push(Scope {
                variables: Vec::new(),
                around: Some(around),
                is_captured: false,
            });
            scopes.len() - 1
        };
        self.current.set(own);
        let found = run();
        self.current.set(before);
        let mut scopes = self.scopes.borrow_mut();
        while scopes.len() > own && scopes.last().is_some_and(|scope| !scope.is_captured) {
            scopes.pop();
        }
        found
    }

    /// The current scope, for a macro that will need it.
    fn capture(&self) -> ScopeId {
        let mut scopes = self.scopes.borrow_mut();
        let mut at = Some(self.current.get());
        while let Some(scope) = at
            .and_then(|at| scopes.get_mut(at))
            .filter(|scope| !scope.is_captured)
        {
            scope.is_captured = true;
            at = scope.around;
        }
        self.current.get()
    }

    fn set(&self, name: &str, value: Value) {
        let mut scopes = self.scopes.borrow_mut();
        let variables = &mut scopes[self.current.get()].variables;
        match variables.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, variable)) => *variable = value,
            None => variables.push((name.into(), value)),
        }
    }

    fn get(&self, name: &str) -> Value {
        let scopes = self.scopes.borrow();
        let mut at = Some(self.current.get());
        while let Some(scope) = at.and_then(|at| scopes.get(at)) {
            let found = scope.variables.iter().find(|(known, _)| **known == *name);
            if let Some((_, value)) = found {
                return value.clone();
            }
            at = scope.around;
        }
        let undefined = || Value::undefined(format!("'{name}' is undefined"));
        globals::find(name).unwrap_or_else(undefined)
    }

    fn assign(&self, target: &Target, value: Value) -> Outcome<()> {
        match target {
            Target::Name(name) => {
                self.set(name, value);
                Ok(())
            }
            Target::Field(name, field) => match self.get(name) {
                Value::Object(object) => match &*object {
                    Object::Namespace(namespace) => namespace.set(field, value),
                    _ => fail("cannot assign attribute on non-namespace object"),
                },
                Value::Undefined(message) => fail(&*message),
                _ => fail("cannot assign attribute on non-namespace object"),
            },
            Target::Tuple(targets) => {
                let values = value.iterate(&self.budget)?;
                let (wanted, given) = (targets.len(), values.len());
                if given < wanted {
                    return fail(format!(
                        "not enough values to unpack (expected {wanted}, got {given})"
                    ));
                }
                if given > wanted {
                    return fail(format!("too many values to unpack (expected {wanted})"));
                }
                let mut pairs = targets.iter().zip(values);
                pairs.try_for_each(|(target, value)| self.assign(target, value))
            }
        }
    }

    fn body(&self, nodes: &[Node], out: &mut String) -> Outcome<Flow> {
        self.budget.nested(|| {
            for node in nodes {
                self.line.set(node.line);
                let flow = self.node(node, out)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    /// The text of a body, in a scope of its own.
    fn captured(&self, nodes: &[Node]) -> Outcome<String> {
        let mut text = String::new();
        self.scoped(self.current.get(), || self.body(nodes, &mut text))?;
        Ok(text)
    }

    fn node(&self, node: &Node, out: &mut String) -> Outcome<Flow> {
        self.budget.step()?;
        match &node.kind {
            NodeKind::Text(text) => self.write(out, text)?,
            NodeKind::Print(value) => {
                let text = repr::text(&self.value(value)?, &self.budget)?;
                self.write(out, &text)?;
            }
            NodeKind::Set(target, value) => self.assign(target, self.value(value)?)?,
            NodeKind::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.value(condition)?.is_true() {
                        return self.body(body, out);
                    }
                }
                return self.body(otherwise, out);
            }
            NodeKind::For(node) => return self.for_(node, out),
            NodeKind::Break => return Ok(Flow::Break),
            NodeKind::Continue => return Ok(Flow::Continue),
            NodeKind::SetBlock(target, filters, body) => {
                let mut value = Value::str(self.captured(body)?);
                if let Some(filters) = filters {
                    value = self.filtered(filters, value)?;
                }
                self.assign(target, value)?;
            }
            NodeKind::With(values, body) => {
                let around = self.current.get();
                let given = values.iter().map(|(_, value)| self.value(value));
                let given = given.collect::<Outcome<Vec<Value>>>()?;
                return self.scoped(around, || {
                    for ((target, _), value) in values.iter().zip(given) {
                        self.assign(target, value)?;
                    }
                    self.body(body, out)
                });
            }
            NodeKind::Filter(filters, body) => {
                let value = self.filtered(filters, Value::str(self.captured(body)?))?;
                let text = repr::text(&value, &self.budget)?;
                self.write(out, &text)?;
            }
            NodeKind::Macro(definition) => {
                let closure = Closure::new(Body::Macro(definition.clone()), self.capture());
                let name = &definition.name;
                self.set(name, Value::Object(Rc::new(Object::Macro(closure))));
            }
            NodeKind::Call(call, body) => {
                let closure = Closure::new(Body::Macro(body.clone()), self.capture());
                let caller = Value::Object(Rc::new(Object::Macro(closure)));
                let text = repr::text(&self.call_with(call, caller)?, &self.budget)?;
                self.write(out, &text)?;
            }
            NodeKind::Scope(body) => {
                return self.scoped(self.current.get(), || self.body(body, out));
            }
            NodeKind::Block(body) => return self.scoped(OUTERMOST, || self.body(body, out)),
        }
        Ok(Flow::Next)
    }

    fn write(&self, out: &mut String, text: &str) -> Outcome<()> {
        self.budget.text(text.len())?;
        out.push_str(text);
        Ok(())
    }

    fn for_(&self, node: &Arc<ast::For>, out: &mut String) -> Outcome<Flow> {
        let items = self.value(&node.items)?;
        self.loop_over(node, &items, 0, out)?;
        Ok(Flow::Next)
    }

    /// Runs the body of a loop for each value, at this level of recursion.
    fn loop_over(
        &self,
        node: &Arc<ast::For>,
        items: &Value,
        level: usize,
        out: &mut String,
    ) -> Outcome<()> {
        let around = self.current.get();
        let mut values = items.iterate(&self.budget)?;
        if let Some(condition) = &node.condition {
            let mut kept = Vec::new();
            for value in values {
                let is_kept = self.scoped(around, || {
                    self.assign(&node.target, value.clone())?;
                    Ok(self.value(condition)?.is_true())
                })?;
                if is_kept {
                    kept.push(value);
                }
            }
            values = kept;
        }
        if values.is_empty() {
            self.scoped(around, || self.body(&node.otherwise, out))?;
            return Ok(());
        }
        let body = match node.is_recursive {
            true => Some(Closure::new(
                Body::Loop(node.clone(), level),
                self.capture(),
            )),
            false => None,
        };
        let state = Rc::new(Object::Loop(LoopState {
            items: Rc::new(Items::new(values)?),
            at: Cell::new(0),
            level,
            changed: RefCell::new(None),
            body,
        }));
        let Object::Loop(current) = &*state else {
            return Ok(());
        };
        for (at, value) in current.items.values.iter().enumerate() {
            self.budget.step()?;
            current.at.set(at);
            let flow = self.scoped(around, || {
                self.set("loop", Value::Object(state.clone()));
                self.assign(&node.target, value.clone())?;
                self.body(&node.body, out)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(())
    }
}
