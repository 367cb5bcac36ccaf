//! What must be refused: wrong passwords and phrases, replayed and altered messages, tokens that do not count, and
//! everything that is somebody else's.

mod others;
mod sign_in;
mod tokens;
mod urls;
