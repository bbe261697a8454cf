//! Differences of trees, of texts and of agents' states.

pub mod facts;
mod ops;
pub mod text;
pub mod tree;
mod words;
