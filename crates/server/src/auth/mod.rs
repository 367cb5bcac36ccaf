//! Who is calling, how they prove it, and how often they may try.
//!
//! Nothing here can open what an account stores: passwords are never seen, only proofs that somebody knows one.

pub mod mail;
pub mod one_time_code;
pub mod rates;
pub mod session;
pub mod signer;
pub mod srp;
pub mod token;

/// Bytes from the system's randomness.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
