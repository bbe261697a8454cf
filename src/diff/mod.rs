//! Differences of trees and of texts.
