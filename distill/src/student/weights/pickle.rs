//! A reader of the pickles in which PyTorch keeps a state dict. Nothing in a pickle is executed.
//!
//! A pickle is a program for a stack machine that may call any function of Python. This machine knows only the instructions that a state
//! dict needs, and of the names that a pickle may call only those in `Global::of`, each of which is a value to it and no code. All
//! values lie in one list and name each other by their place in it: a pickle that holds itself is no recursion here, and what an
//! instruction may add is bounded, so memory grows linearly with the pickle, whose length the caller bounds.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;

/// Longest name of a tensor or a storage: a pickle may repeat a name at two bytes a time.
const LONGEST_NAME: usize = 512;

/// Most axes of a tensor, for the same reason.
const MOST_AXES: usize = 8;

/// A tensor as a view of a storage. Neither is checked against the other here.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The storage.
    pub storage: Storage,
    /// First element in the storage.
    pub offset: usize,
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements of the storage between neighbours along each axis.
    pub strides: Vec<usize>,
}

/// A run of numbers in the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Its file's name in the archive's folder `data`.
    pub key: String,
    /// Its numbers.
    pub dtype: Dtype,
    /// How many.
    pub len: usize,
}

/// What a state dict may call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Dtype),
}

impl Global {
    fn of(module: &str, name: &str) -> Result<Global, String> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", "DoubleStorage") => Global::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Global::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Global::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Global::Storage(Dtype::BF16),
            ("torch", "LongStorage") => Global::Storage(Dtype::I64),
            ("torch", "IntStorage") => Global::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Global::Storage(Dtype::I16),
            ("torch", "CharStorage") => Global::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Global::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Global::Storage(Dtype::BOOL),
            _ => {
                return Err(format!(
                    "the pickle calls {}.{}, which no state dict needs; nothing was executed. Save model.state_dict() alone",
                    printable(module),
                    printable(name)
                ));
            }
        })
    }
}

/// The beginning of a name from the file, fit for a terminal.
fn printable(name: &str) -> String {
    name.chars()
        .take(80)
        .flat_map(char::escape_default)
        .collect()
}

/// Place of a value in [`Machine::values`].
type Ref = u32;

#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// A number that nothing here reads, or None.
    Other,
    Int(i64),
    Text(String),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    Global(Global),
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
}

/// The tensors of a pickled state dict, or of the one that it holds as `state_dict`, `model_state_dict` or `model`.
///
/// # Errors
/// The pickle is damaged, is no state dict, or asks for something that state dicts do not need.
pub fn state_dict(pickle: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let mut machine = Machine {
        rest: pickle,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let top = machine.run()?;
    let mut found = machine.tensors(top)?;
    for key in ["state_dict", "model_state_dict", "model"] {
        if found.is_empty()
            && let Some(inner) = machine.item(top, key)
        {
            found = machine.tensors(inner)?;
        }
    }
    if found.is_empty() {
        return Err("the pickle holds no dict of tensors; save model.state_dict()".to_owned());
    }
    Ok(found)
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Ref>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
}

impl<'a> Machine<'a> {
    /// Runs to the end: what is on top of the stack then.
    fn run(&mut self) -> Result<Ref, String> {
        loop {
            let [code] = self.take()?;
            match code {
                b'.' => return self.pop(),
                // PROTO and FRAME say how the rest was written.
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'(' => self.marks.push(self.stack.len()),
                b'N' | 0x88 | 0x89 => self.push(Value::Other)?,
                b'G' => {
                    self.take::<8>()?;
                    self.push(Value::Other)?;
                }
                b'J' => {
                    let n = i32::from_le_bytes(self.take()?);
                    self.push(Value::Int(n.into()))?;
                }
                b'K' => {
                    let [n] = self.take()?;
                    self.push(Value::Int(n.into()))?;
                }
                b'M' => {
                    let n = u16::from_le_bytes(self.take()?);
                    self.push(Value::Int(n.into()))?;
                }
                0x8a => self.long()?,
                b'X' | b'T' => {
                    let len = u32::from_le_bytes(self.take()?);
                    self.text(len as usize)?;
                }
                0x8c | b'U' => {
                    let [len] = self.take()?;
                    self.text(len.into())?;
                }
                b')' => self.push(Value::Tuple(Vec::new()))?,
                0x85..=0x87 => {
                    let items = self.cut(self.stack.len().checked_sub(usize::from(code - 0x84)))?;
                    self.push(Value::Tuple(items))?;
                }
                b't' => {
                    let items = self.marked()?;
                    self.push(Value::Tuple(items))?;
                }
                b']' => self.push(Value::List(Vec::new()))?,
                b'}' => self.push(Value::Dict(Vec::new()))?,
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.marked()?;
                    self.append(items)?;
                }
                b's' => {
                    let items = self.cut(self.stack.len().checked_sub(2))?;
                    self.set(&items)?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.set(&items)?;
                }
                b'q' => {
                    let [n] = self.take()?;
                    self.memo.insert(n.into(), self.top()?);
                }
                b'r' => {
                    let n = u32::from_le_bytes(self.take()?);
                    self.memo.insert(n, self.top()?);
                }
                0x94 => {
                    let n = u32::try_from(self.memo.len()).map_err(|_| damaged())?;
                    self.memo.insert(n, self.top()?);
                }
                b'h' => {
                    let [n] = self.take()?;
                    self.recall(n.into())?;
                }
                b'j' => {
                    let n = u32::from_le_bytes(self.take()?);
                    self.recall(n)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Value::Global(Global::of(module, name)?))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let global = match (self.value(module)?, self.value(name)?) {
                        (Value::Text(module), Value::Text(name)) => Global::of(module, name)?,
                        _ => return Err(damaged()),
                    };
                    self.push(Value::Global(global))?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.push(Value::Storage(Box::new(storage)))?;
                }
                b'R' => {
                    let (arguments, global) = (self.pop()?, self.pop()?);
                    let value = self.call(global, arguments)?;
                    self.push(value)?;
                }
                // BUILD gives an object attributes: of a state dict its `_metadata`, which nothing reads.
                b'b' => {
                    self.pop()?;
                    let top = self.top()?;
                    if !matches!(self.value(top)?, Value::Dict(_)) {
                        return Err(damaged());
                    }
                }
                _ => {
                    return Err(format!(
                        "the pickle holds the instruction {code:#04x}, which no state dict needs"
                    ));
                }
            }
        }
    }

    /// What REDUCE makes of a global and its arguments.
    fn call(&self, global: Ref, arguments: Ref) -> Result<Value, String> {
        let (Value::Global(global), Value::Tuple(arguments)) =
            (self.value(global)?, self.value(arguments)?)
        else {
            return Err(damaged());
        };
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => Ok(Value::Dict(Vec::new())),
            (Global::RebuildParameter, [data, ..]) => match self.value(*data)? {
                Value::Tensor(tensor) => Ok(Value::Tensor(tensor.clone())),
                _ => Err(damaged()),
            },
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = self.value(*storage)? else {
                    return Err(damaged());
                };
                let tensor = Tensor {
                    storage: storage.as_ref().clone(),
                    offset: self.number(*offset)?,
                    shape: self.extents(*shape)?,
                    strides: self.extents(*strides)?,
                };
                if tensor.shape.len() != tensor.strides.len() {
                    return Err(damaged());
                }
                Ok(Value::Tensor(Box::new(tensor)))
            }
            _ => Err(damaged()),
        }
    }

    /// The storage that a persistent id names: ("storage", its type, key, device, number of elements).
    fn storage(&self, id: Ref) -> Result<Storage, String> {
        let Value::Tuple(id) = self.value(id)? else {
            return Err(damaged());
        };
        let [kind, dtype, key, _, len] = id.as_slice() else {
            return Err(damaged());
        };
        match (self.value(*kind)?, self.value(*dtype)?, self.value(*key)?) {
            (Value::Text(kind), Value::Global(Global::Storage(dtype)), Value::Text(key))
                if kind == "storage" && key.len() <= LONGEST_NAME =>
            {
                Ok(Storage {
                    key: key.clone(),
                    dtype: *dtype,
                    len: self.number(*len)?,
                })
            }
            _ => Err(damaged()),
        }
    }

    fn tensors(&self, dict: Ref) -> Result<BTreeMap<String, Tensor>, String> {
        let Value::Dict(items) = self.value(dict)? else {
            return Ok(BTreeMap::new());
        };
        let mut found = BTreeMap::new();
        for (key, value) in items {
            if let (Value::Text(key), Value::Tensor(tensor)) =
                (self.value(*key)?, self.value(*value)?)
            {
                if key.len() > LONGEST_NAME {
                    return Err(format!(
                        "a tensor's name has {} bytes, more than {LONGEST_NAME}",
                        key.len()
                    ));
                }
                found.insert(key.clone(), tensor.as_ref().clone());
            }
        }
        Ok(found)
    }

    /// An item of a dict.
    fn item(&self, dict: Ref, key: &str) -> Option<Ref> {
        let Value::Dict(items) = self.value(dict).ok()? else {
            return None;
        };
        let is_key =
            |of: Ref| matches!(self.value(of), Ok(Value::Text(text)) if text.as_str() == key);
        let (_, value) = items.iter().find(|(of, _)| is_key(*of))?;
        Some(*value)
    }

    fn extents(&self, of: Ref) -> Result<Vec<usize>, String> {
        match self.value(of)? {
            Value::Tuple(axes) if axes.len() <= MOST_AXES => {
                axes.iter().map(|axis| self.number(*axis)).collect()
            }
            Value::Tuple(axes) => Err(format!(
                "a tensor has {} axes, more than {MOST_AXES}",
                axes.len()
            )),
            _ => Err(damaged()),
        }
    }

    fn number(&self, of: Ref) -> Result<usize, String> {
        match self.value(of)? {
            Value::Int(n) => usize::try_from(*n).map_err(|_| damaged()),
            _ => Err(damaged()),
        }
    }

    fn append(&mut self, items: Vec<Ref>) -> Result<(), String> {
        let top = self.top()?;
        match self.values.get_mut(top as usize) {
            Some(Value::List(list)) => list.extend(items),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    /// Sets keys and values in turn of the dict on top of the stack.
    fn set(&mut self, items: &[Ref]) -> Result<(), String> {
        let top = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(damaged());
        };
        match self.values.get_mut(top as usize) {
            Some(Value::Dict(dict)) => dict.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    /// LONG1: an integer of up to 255 bytes, of which 8 suffice for any extent.
    fn long(&mut self) -> Result<(), String> {
        let [len] = self.take()?;
        let bytes = self.slice(len.into())?;
        if bytes.len() > 8 {
            return Err("the pickle holds an integer of more than 64 bits".to_owned());
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, len: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.slice(len)?).map_err(|_| damaged())?;
        self.push(Value::Text(text.to_owned()))
    }

    /// Up to the next line feed, which is passed over.
    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let line = self.slice(end.ok_or_else(damaged)?)?;
        self.take::<1>()?;
        std::str::from_utf8(line).map_err(|_| damaged())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let of = *self.memo.get(&key).ok_or_else(damaged)?;
        self.stack.push(of);
        Ok(())
    }

    /// What was pushed since the last mark, which is taken away.
    fn marked(&mut self) -> Result<Vec<Ref>, String> {
        let mark = self.marks.pop();
        self.cut(mark)
    }

    fn cut(&mut self, height: Option<usize>) -> Result<Vec<Ref>, String> {
        match height {
            Some(height) if height <= self.stack.len() => Ok(self.stack.split_off(height)),
            _ => Err(damaged()),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        let of = Ref::try_from(self.values.len()).map_err(|_| damaged())?;
        self.values.push(value);
        self.stack.push(of);
        Ok(())
    }

    fn pop(&mut self) -> Result<Ref, String> {
        self.stack.pop().ok_or_else(damaged)
    }

    fn top(&self) -> Result<Ref, String> {
        self.stack.last().copied().ok_or_else(damaged)
    }

    fn value(&self, of: Ref) -> Result<&Value, String> {
        self.values.get(of as usize).ok_or_else(damaged)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(damaged)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(taken)
    }
}

fn damaged() -> String {
    "the pickle is damaged or no state dict of PyTorch".to_owned()
}

#[cfg(test)]
mod tests;
