//! The house rules that a machine can check. Each check is also run on something that breaks its rule.

mod source;
mod stairs;
mod texts;
