//! Templates write what transformers writes, and can do no harm.

mod hostile;
mod reference;
