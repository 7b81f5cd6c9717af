//! The pickle of a state dict, run on a machine that can make nothing else.
//!
//! All that is made lies in one list and is referred to by its number, so that nothing is followed
//! recursively, however deep a pickle nests or whether it refers to itself.

use std::collections::HashMap;
use std::rc::Rc;

/// A state dict takes some hundred bytes per tensor.
const MAX_BYTES: usize = 16 << 20;

/// Each leaves at most one value.
const MAX_STEPS: usize = 1 << 20;

/// A tensor's place in a storage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pickled {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Numbers of one type, in a file of the archive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    /// As torch names it.
    pub(super) class: &'static str,
    pub(super) key: Rc<str>,
    /// In numbers.
    pub(super) len: usize,
}

/// Names that a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(&'static str),
}

const STORAGES: [&str; 10] = [
    "FloatStorage",
    "HalfStorage",
    "BFloat16Storage",
    "DoubleStorage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
];

impl Global {
    fn named(module: &str, name: &str) -> Result<Self, String> {
        let storage = STORAGES.into_iter().find(|storage| *storage == name);
        match (module, name, storage) {
            ("collections", "OrderedDict", _) => Ok(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2", _) => Ok(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter", _) => Ok(Self::RebuildParameter),
            ("torch", _, Some(class)) => Ok(Self::Storage(class)),
            _ => Err(format!(
                "wants {}, which is no part of a state dict, and is not executed",
                format!("{module}.{name}").escape_debug()
            )),
        }
    }
}

#[derive(Debug, Clone)]
enum Value {
    Mark,
    /// Values that nothing depends on: none, truth values, floats.
    Other,
    Int(i64),
    Text(Rc<str>),
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<Pickled>),
    /// The number of a tuple, list or dict among all.
    Sequence(usize),
    Dict(usize),
}

/// Every name in the state dict, and the tensor that it has, if it has one.
pub(super) fn state_dict(pickle: &[u8]) -> Result<Vec<(String, Option<Pickled>)>, String> {
    if pickle.len() > MAX_BYTES {
        return Err(format!("has a pickle of more than {MAX_BYTES} bytes"));
    }
    let mut machine = Machine::new(pickle);
    let Value::Dict(dict) = machine.run()? else {
        return Err("is no state dict: what is pickled is no dict".to_owned());
    };
    let pairs = std::mem::take(&mut machine.made[dict]);
    let (pairs, _) = pairs.as_chunks::<2>();
    let named = pairs.iter().map(|[name, value]| {
        let Value::Text(name) = name else {
            return Err("is no state dict: a name is no text".to_owned());
        };
        let tensor = match value {
            Value::Tensor(tensor) => Some(tensor.as_ref().clone()),
            _ => None,
        };
        Ok((name.to_string(), tensor))
    });
    named.collect()
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    memo: HashMap<usize, Value>,
    /// The parts of sequences; the keys and values of dicts, one after another.
    made: Vec<Vec<Value>>,
}

impl<'a> Machine<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            stack: Vec::new(),
            memo: HashMap::new(),
            made: Vec::new(),
        }
    }

    /// Runs to the end, and gives what is there.
    fn run(&mut self) -> Result<Value, String> {
        for _ in 0..MAX_STEPS {
            let operation = self.number(1)? as u8;
            if operation == b'.' {
                return self.pop();
            }
            self.step(operation)?;
        }
        Err(format!("has a pickle of more than {MAX_STEPS} steps"))
    }

    /// The names of operations in Python's pickletools are beside them.
    fn step(&mut self, operation: u8) -> Result<(), String> {
        match operation {
            0x80 => self.protocol()?,                                     // PROTO
            0x95 => drop(self.take(8)?),                                  // FRAME
            b'(' => self.stack.push(Value::Mark),                         // MARK
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Other),          // NONE, NEWTRUE, NEWFALSE
            b'G' => self.float()?,                                        // BINFLOAT
            b'K' => self.int(1)?,                                         // BININT1
            b'M' => self.int(2)?,                                         // BININT2
            b'J' => self.signed(4)?,                                      // BININT
            0x8a => self.long()?,                                         // LONG1
            0x8c => self.text(1)?,                                        // SHORT_BINUNICODE
            b'X' => self.text(4)?,                                        // BINUNICODE
            b')' => self.sequence(0)?,                                    // EMPTY_TUPLE
            0x85..=0x87 => self.sequence(usize::from(operation - 0x84))?, // TUPLE1 to TUPLE3
            b't' => self.marked_sequence()?,                              // TUPLE
            b']' => self.sequence(0)?,                                    // EMPTY_LIST
            b'a' => self.append()?,                                       // APPEND
            b'e' => self.extend()?,                                       // APPENDS
            b'}' => self.dict(),                                          // EMPTY_DICT
            b's' => self.set_item()?,                                     // SETITEM
            b'u' => self.set_items()?,                                    // SETITEMS
            b'q' => self.put(1)?,                                         // BINPUT
            b'r' => self.put(4)?,                                         // LONG_BINPUT
            0x94 => self.remember(self.memo.len())?,                      // MEMOIZE
            b'h' => self.get(1)?,                                         // BINGET
            b'j' => self.get(4)?,                                         // LONG_BINGET
            b'c' => self.global()?,                                       // GLOBAL
            0x93 => self.global_of_stack()?,                              // STACK_GLOBAL
            b'Q' => self.storage()?,                                      // BINPERSID
            b'R' => self.call()?,                                         // REDUCE
            b'b' => self.build()?,                                        // BUILD
            other => {
                let name = other.escape_ascii();
                return Err(format!(
                    "has the operation {name} in its pickle, which no state dict needs"
                ));
            }
        }
        Ok(())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or("has a pickle that is cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, len: usize) -> Result<usize, String> {
        let bytes = self.take(len)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.number(1)? {
            2..=5 => Ok(()),
            other => Err(format!("is pickled by protocol {other}; 2 to 5 are read")),
        }
    }

    fn float(&mut self) -> Result<(), String> {
        self.take(8)?;
        self.stack.push(Value::Other);
        Ok(())
    }

    fn int(&mut self, len: usize) -> Result<(), String> {
        let number = self.number(len)?;
        self.stack.push(Value::Int(number as i64));
        Ok(())
    }

    /// Two's complement, of at most eight bytes.
    fn signed(&mut self, len: usize) -> Result<(), String> {
        let bytes = self.take(len)?;
        let sign = bytes.last().is_some_and(|byte| *byte > 0x7F);
        let filling = if sign { -1 } else { 0_i64 };
        let bytes = bytes.iter().rev();
        let number = bytes.fold(filling, |number, byte| number << 8 | i64::from(*byte));
        self.stack.push(Value::Int(number));
        Ok(())
    }

    fn long(&mut self) -> Result<(), String> {
        match self.number(1)? {
            len @ 0..=8 => self.signed(len),
            len => Err(format!("has a number of {len} bytes in its pickle")),
        }
    }

    fn text(&mut self, len: usize) -> Result<(), String> {
        let len = self.number(len)?;
        let text = str::from_utf8(self.take(len)?);
        let text = text.map_err(|_| "has a text in its pickle that is not UTF-8".to_owned())?;
        self.stack.push(Value::Text(text.into()));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, String> {
        let value = self.stack.pop();
        value.ok_or_else(|| "has a pickle that takes more than it made".to_owned())
    }

    fn make(&mut self, parts: Vec<Value>) -> usize {
        self.made.push(parts);
        self.made.len() - 1
    }

    /// Of the last `count` values.
    fn sequence(&mut self, count: usize) -> Result<(), String> {
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            parts.push(self.pop()?);
        }
        parts.reverse();
        let made = self.make(parts);
        self.stack.push(Value::Sequence(made));
        Ok(())
    }

    /// The values above the last mark, which goes as well.
    fn above_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self
            .stack
            .iter()
            .rposition(|value| matches!(value, Value::Mark));
        let mark = mark.ok_or("has a pickle that misses a mark")?;
        let above = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(above)
    }

    fn marked_sequence(&mut self) -> Result<(), String> {
        let parts = self.above_mark()?;
        let made = self.make(parts);
        self.stack.push(Value::Sequence(made));
        Ok(())
    }

    fn append(&mut self) -> Result<(), String> {
        let value = self.pop()?;
        self.add(vec![value])
    }

    fn extend(&mut self) -> Result<(), String> {
        let values = self.above_mark()?;
        self.add(values)
    }

    fn add(&mut self, values: Vec<Value>) -> Result<(), String> {
        let Some(Value::Sequence(list)) = self.stack.last() else {
            return Err("has a pickle that appends to no list".to_owned());
        };
        self.made[*list].extend(values);
        Ok(())
    }

    fn dict(&mut self) {
        let made = self.make(Vec::new());
        self.stack.push(Value::Dict(made));
    }

    fn set_item(&mut self) -> Result<(), String> {
        let (value, key) = (self.pop()?, self.pop()?);
        self.set(vec![key, value])
    }

    fn set_items(&mut self) -> Result<(), String> {
        let pairs = self.above_mark()?;
        self.set(pairs)
    }

    fn set(&mut self, pairs: Vec<Value>) -> Result<(), String> {
        match self.stack.last() {
            Some(Value::Dict(dict)) if pairs.len().is_multiple_of(2) => {
                self.made[*dict].extend(pairs);
                Ok(())
            }
            _ => Err("has a pickle that sets items of no dict".to_owned()),
        }
    }

    fn put(&mut self, len: usize) -> Result<(), String> {
        let place = self.number(len)?;
        self.remember(place)
    }

    fn remember(&mut self, place: usize) -> Result<(), String> {
        let value = self
            .stack
            .last()
            .ok_or("has a pickle that remembers nothing")?;
        self.memo.insert(place, value.clone());
        Ok(())
    }

    fn get(&mut self, len: usize) -> Result<(), String> {
        let place = self.number(len)?;
        let value = self.memo.get(&place).cloned();
        self.stack
            .push(value.ok_or("has a pickle that refers to what is not there")?);
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let len = self.rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(len.ok_or("has a pickle that is cut short")?)?;
        self.take(1)?;
        str::from_utf8(line).map_err(|_| "has a name in its pickle that is not UTF-8".to_owned())
    }

    fn global(&mut self) -> Result<(), String> {
        let (module, name) = (self.line()?, self.line()?);
        self.stack.push(Value::Global(Global::named(module, name)?));
        Ok(())
    }

    fn global_of_stack(&mut self) -> Result<(), String> {
        let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
            return Err("has a pickle that wants something without a name".to_owned());
        };
        self.stack
            .push(Value::Global(Global::named(&module, &name)?));
        Ok(())
    }

    /// The parts of the sequence on top, which goes.
    fn pop_sequence(&mut self) -> Result<Vec<Value>, String> {
        match self.pop()? {
            // It may be remembered, and be needed again.
            Value::Sequence(sequence) if self.made[sequence].len() <= 16 => {
                Ok(self.made[sequence].clone())
            }
            _ => Err("has a pickle that calls something with no arguments".to_owned()),
        }
    }

    fn storage(&mut self) -> Result<(), String> {
        let parts = self.pop_sequence()?;
        let [
            Value::Text(kind),
            Value::Global(Global::Storage(class)),
            Value::Text(key),
            Value::Text(_),
            Value::Int(len),
        ] = &parts[..]
        else {
            return Err(
                "has a storage in its pickle that is described otherwise than by torch.save"
                    .to_owned(),
            );
        };
        let (class, key) = (*class, key.clone());
        match usize::try_from(*len) {
            Ok(len) if **kind == *"storage" => {
                self.stack
                    .push(Value::Storage(Rc::new(Storage { class, key, len })));
                Ok(())
            }
            _ => Err("has a storage of no size in its pickle".to_owned()),
        }
    }

    fn call(&mut self) -> Result<(), String> {
        let arguments = self.pop_sequence()?;
        let Value::Global(global) = self.pop()? else {
            return Err("has a pickle that calls what is no function".to_owned());
        };
        match (global, &arguments[..]) {
            (Global::OrderedDict, []) => self.dict(),
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor([storage, offset, shape, strides])?;
                self.stack.push(Value::Tensor(Rc::new(tensor)));
            }
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => {
                self.stack.push(tensor.clone());
            }
            _ => {
                return Err(
                    "has a pickle that calls torch otherwise than torch.save does".to_owned(),
                );
            }
        }
        Ok(())
    }

    fn tensor(&self, [storage, offset, shape, strides]: [&Value; 4]) -> Result<Pickled, String> {
        let sizes = |value: &Value| match value {
            Value::Sequence(sequence) => self.made[*sequence].iter().map(size).collect(),
            _ => None,
        };
        let described = match storage {
            Value::Storage(storage) => (|| {
                Some(Pickled {
                    storage: storage.as_ref().clone(),
                    offset: size(offset)?,
                    shape: sizes(shape)?,
                    strides: sizes(strides)?,
                })
            })(),
            _ => None,
        };
        let is_sound = |tensor: &Pickled| {
            tensor.shape.len() == tensor.strides.len() && tensor.shape.len() <= 8
        };
        let described: Option<Pickled> = described.filter(is_sound);
        described.ok_or_else(|| "has a tensor in its pickle whose shape makes no sense".to_owned())
    }

    /// Sets attributes: of a dict, what torch notes of modules, which nothing depends on.
    fn build(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.stack.last() {
            Some(Value::Dict(_)) => Ok(()),
            _ => Err("has a pickle that sets attributes of what is no dict".to_owned()),
        }
    }
}

fn size(value: &Value) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}
