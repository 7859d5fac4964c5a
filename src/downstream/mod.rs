//! The side that faces the miners.

pub mod vardiff;
