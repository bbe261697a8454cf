//! Differences of trees and of texts.

pub mod text;
mod words;
