//! Values of expressions.

use std::rc::Rc;

use super::Machine;
use crate::args::Args;
use crate::ast::{CallArgs, CompareOp, Const, Expr, UnaryOp};
use crate::attributes;
use crate::compare::{equal, order};
use crate::error::{Outcome, fail};
use crate::filters;
use crate::ops;
use crate::repr;
use crate::tests;
use crate::value::{Dict, Value};

impl Machine {
    pub(super) fn value(&self, expr: &Expr) -> Outcome<Value> {
        self.budget.step()?;
        self.budget.nested(|| self.value_of(expr))
    }

    fn values(&self, exprs: &[Expr]) -> Outcome<Vec<Value>> {
        exprs.iter().map(|expr| self.value(expr)).collect()
    }

    fn value_of(&self, expr: &Expr) -> Outcome<Value> {
        let budget = &self.budget;
        match expr {
            Expr::Const(value) => Ok(match value {
                Const::None => Value::None,
                Const::Bool(value) => Value::Bool(*value),
                Const::Int(value) => Value::Int(*value),
                Const::Float(value) => Value::Float(*value),
                Const::Str(text) => {
                    budget.text(text.len())?;
                    Value::str(text.as_str())
                }
            }),
            Expr::Name(name) => Ok(self.get(name)),
            Expr::Tuple(items) => Value::tuple(self.values(items)?),
            Expr::List(items) => Value::list(self.values(items)?),
            Expr::Dict(entries) => {
                let entry =
                    |(key, value): &(Expr, Expr)| Ok((self.value(key)?, self.value(value)?));
                let entries = entries.iter().map(entry).collect::<Outcome<Vec<_>>>()?;
                Ok(Value::Dict(Rc::new(Dict::of(entries, budget)?)))
            }
            Expr::Attribute(value, name) => {
                attributes::attribute(&self.value(value)?, name, budget)
            }
            Expr::Item(value, index) => {
                let value = self.value(value)?;
                attributes::item(&value, &self.value(index)?, budget)
            }
            Expr::Slice(value, parts) => self.slice(value, parts),
            Expr::Call(function, args) => {
                let function = self.value(function)?;
                self.call(&function, &self.args(args)?)
            }
            Expr::Filter(value, name, args) => {
                let value = match value {
                    Some(value) => self.value(value)?,
                    None => return fail("a filter has no value"),
                };
                filters::run(name, &value, &self.args(args)?, budget)
            }
            Expr::Test(value, name, args) => {
                let value = self.value(value)?;
                Ok(Value::Bool(tests::run(
                    name,
                    &value,
                    &self.args(args)?,
                    budget,
                )?))
            }
            Expr::Unary(UnaryOp::Not, value) => Ok(Value::Bool(!self.value(value)?.is_true())),
            Expr::Unary(op, value) => ops::negated(&self.value(value)?, *op == UnaryOp::Neg),
            Expr::Binary(first, rest) => {
                let mut found = self.value(first)?;
                for (op, operand) in rest {
                    found = ops::binary(*op, &found, &self.value(operand)?, budget)?;
                }
                Ok(found)
            }
            Expr::And(terms) => self.first_where(terms, |value| !value.is_true()),
            Expr::Or(terms) => self.first_where(terms, Value::is_true),
            Expr::Compare(first, rest) => self.compare(first, rest),
            Expr::Concat(terms) => {
                let mut text = String::new();
                for term in terms {
                    let part = repr::text(&self.value(term)?, budget)?;
                    budget.text(part.len())?;
                    text += &part;
                }
                Ok(Value::str(text))
            }
            Expr::Choice(condition, value, otherwise) => {
                match (self.value(condition)?.is_true(), otherwise) {
                    (true, _) => self.value(value),
                    (false, Some(otherwise)) => self.value(otherwise),
                    (false, None) => Ok(Value::undefined(
                        "the inline if-expression evaluated to false and no else section was defined.",
                    )),
                }
            }
        }
    }

    /// The first value of which that holds, or else the last.
    fn first_where(&self, terms: &[Expr], holds: impl Fn(&Value) -> bool) -> Outcome<Value> {
        let mut last = Value::None;
        for term in terms {
            last = self.value(term)?;
            if holds(&last) {
                break;
            }
        }
        Ok(last)
    }

    fn compare(&self, first: &Expr, rest: &[(CompareOp, Expr)]) -> Outcome<Value> {
        let budget = &self.budget;
        let mut left = self.value(first)?;
        for (op, right) in rest {
            let right = self.value(right)?;
            let ordered = |sign, fits: fn(std::cmp::Ordering) -> bool| {
                Ok(order(&left, &right, sign, budget)?.is_some_and(fits))
            };
            let holds = match op {
                CompareOp::Eq => equal(&left, &right, budget)?,
                CompareOp::Ne => !equal(&left, &right, budget)?,
                CompareOp::Lt => ordered("<", std::cmp::Ordering::is_lt)?,
                CompareOp::Le => ordered("<=", std::cmp::Ordering::is_le)?,
                CompareOp::Gt => ordered(">", std::cmp::Ordering::is_gt)?,
                CompareOp::Ge => ordered(">=", std::cmp::Ordering::is_ge)?,
                CompareOp::In => ops::contains(&right, &left, budget)?,
                CompareOp::NotIn => !ops::contains(&right, &left, budget)?,
            };
            if !holds {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn slice(&self, value: &Expr, parts: &[Option<Box<Expr>>; 3]) -> Outcome<Value> {
        let value = self.value(value)?;
        let part =
            |part: &Option<Box<Expr>>| part.as_ref().map(|part| self.value(part)).transpose();
        let parts = [part(&parts[0])?, part(&parts[1])?, part(&parts[2])?];
        if let Value::Undefined(message) = &value {
            return fail(&**message);
        }
        let found = ops::slice(&value, &parts, &self.budget)?;
        let name = value.type_name();
        found.map_or_else(|| fail(format!("'{name}' object cannot be sliced")), Ok)
    }

    pub(super) fn args(&self, args: &CallArgs) -> Outcome<Args> {
        let mut positional = self.values(&args.positional)?;
        let mut named: Vec<(Rc<str>, Value)> = Vec::new();
        for (name, value) in &args.named {
            if named.iter().any(|(known, _)| **known == **name) {
                return fail(format!("keyword argument repeated: {name}"));
            }
            named.push((name.as_str().into(), self.value(value)?));
        }
        if let Some(more) = &args.more {
            positional.extend(self.value(more)?.iterate(&self.budget)?);
        }
        if let Some(more) = &args.more_named {
            let Value::Dict(dict) = self.value(more)? else {
                return fail("argument after ** must be a mapping");
            };
            for (key, value) in &dict.entries {
                let Value::Str(key) = key else {
                    return fail("keywords must be strings");
                };
                if named.iter().any(|(known, _)| known == key) {
                    return fail(format!("got multiple values for keyword argument '{key}'"));
                }
                named.push((key.clone(), value.clone()));
            }
        }
        self.budget.items(positional.len() + named.len())?;
        Ok(Args { positional, named })
    }

    /// Applies the filters at the head of a block.
    pub(super) fn filtered(&self, filters: &Expr, value: Value) -> Outcome<Value> {
        let Expr::Filter(inner, name, args) = filters else {
            return fail("a block has no filter");
        };
        let value = match inner {
            Some(inner) => self.budget.nested(|| self.filtered(inner, value))?,
            None => value,
        };
        filters::run(name, &value, &self.args(args)?, &self.budget)
    }
}
