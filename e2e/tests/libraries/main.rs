//! Libraries: what every one of them promises to the engine, and folder trees as one of them.

#![expect(clippy::unwrap_used, reason = "an expectation that does not hold fails the test right there")]

mod conformance;
mod folders;
mod rules;
mod tree;
