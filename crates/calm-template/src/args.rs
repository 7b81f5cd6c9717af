//! Arguments of functions.

use std::rc::Rc;

use crate::error::{Outcome, fail};
use crate::value::Value;

#[derive(Debug, Clone, Default)]
pub(crate) struct Args {
    pub(crate) positional: Vec<Value>,
    pub(crate) named: Vec<(Rc<str>, Value)>,
}

impl Args {
    /// The arguments of these parameters, those that are given.
    pub(crate) fn bind<const N: usize>(
        &self,
        function: &str,
        parameters: &[&str; N],
    ) -> Outcome<[Option<Value>; N]> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            let given = self.positional.len();
            return fail(format!(
                "{function} takes at most {N} arguments ({given} given)"
            ));
        }
        for (slot, value) in bound.iter_mut().zip(&self.positional) {
            *slot = Some(value.clone());
        }
        for (name, value) in &self.named {
            let Some(at) = parameters
                .iter()
                .position(|parameter| *parameter == &**name)
            else {
                return fail(format!(
                    "{function} got an unexpected keyword argument '{name}'"
                ));
            };
            if bound[at].replace(value.clone()).is_some() {
                return fail(format!(
                    "{function} got multiple values for argument '{name}'"
                ));
            }
        }
        Ok(bound)
    }

    /// The first argument, and the others.
    pub(crate) fn split_first(&self) -> Option<(Value, Self)> {
        let (first, rest) = self.positional.split_first()?;
        let rest = Self {
            positional: rest.to_vec(),
            named: self.named.clone(),
        };
        Some((first.clone(), rest))
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Value> {
        let found = self.named.iter().find(|(known, _)| **known == *name);
        found.map(|(_, value)| value)
    }
}

/// An argument that has to be there.
pub(crate) fn required(function: &str, name: &str, value: Option<Value>) -> Outcome<Value> {
    match value {
        Some(value) => Ok(value),
        None => fail(format!("{function} missing required argument '{name}'")),
    }
}

/// A text that has to be one.
pub(crate) fn text_of(function: &str, value: &Value) -> Outcome<Rc<str>> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        Value::Undefined(message) => fail(&**message),
        _ => fail(format!("{function} takes a str, not {}", value.type_name())),
    }
}

/// A whole number that has to be one, if it is given and not `none`.
pub(crate) fn int_of(function: &str, value: Option<Value>) -> Outcome<Option<i128>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Undefined(message)) => fail(&*message),
        Some(value) => match value.as_int() {
            Some(whole) => Ok(Some(whole)),
            None => fail(format!(
                "{function}: '{}' object cannot be interpreted as an integer",
                value.type_name()
            )),
        },
    }
}

/// A length or count: what is negative is 0.
pub(crate) fn size(value: i128) -> usize {
    usize::try_from(value.max(0)).unwrap_or(usize::MAX)
}
