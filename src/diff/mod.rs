//! Differences of trees and of texts.

mod ops;
pub mod text;
pub mod tree;
mod words;
