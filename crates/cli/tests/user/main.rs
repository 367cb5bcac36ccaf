//! The binary as a user runs it: whole processes, real folders, nothing but the command line.
//!
//! It reaches into nothing: what cannot be seen from outside is not tested here.

mod accounts;
mod corpus;
mod crash;
mod machine;
mod operator;
mod quickstart;
mod vault;
