//! Differences of trees and of texts.

pub mod text;
pub mod tree;
mod words;
