//! Bytes of a fixed length that nobody may see: wiped when dropped, silent in logs, compared in constant time.
//! No `Clone`, no serialisation: whoever needs the bytes says [`Secret::expose`], which is easy to search for.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::{LengthError, exactly};

/// `N` secret bytes, on the heap so that moving the value leaves no copy behind on the stack.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// `N` bytes from the operating system's generator.
    pub fn generate() -> Self {
        let mut secret = Self::zeroed();
        fill_random(secret.expose_mut());
        secret
    }

    /// Takes over `bytes` and wipes the caller's copy.
    pub fn take(mut bytes: [u8; N]) -> Self {
        let secret = Self(Box::new(bytes));
        bytes.zeroize();
        secret
    }

    /// Copies a slice of exactly `N` bytes; `what` names it in the error.
    pub fn from_slice(what: &'static str, bytes: &[u8]) -> Result<Self, LengthError> {
        let array = Zeroizing::new(exactly::<N>(what, bytes)?);
        Ok(Self(Box::new(*array)))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// All zero: a buffer for a derivation to fill.
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// The bytes, to be filled.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> ConstantTimeEq for Secret<N> {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.expose().as_slice().ct_eq(other.expose().as_slice())
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{N} secret bytes]")
    }
}

/// Fills `bytes` from the operating system's generator.
///
/// No key can be made on a machine without one, so its failure ends the program.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system's random generator works");
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_no_byte() {
        assert_eq!(format!("{:?}", Secret::take([0xAB; 4])), "[4 secret bytes]");
    }

    #[test]
    fn equality_looks_at_every_byte() {
        for position in 0..32 {
            let mut other = [7_u8; 32];
            other[position] ^= 1;
            assert_ne!(Secret::take([7; 32]), Secret::take(other), "byte {position}");
        }
        assert_eq!(Secret::take([7; 32]), Secret::take([7; 32]));
    }

    #[test]
    fn two_generated_secrets_differ() {
        assert_ne!(Secret::<32>::generate(), Secret::<32>::generate());
    }

    #[test]
    fn a_slice_must_have_the_length() {
        let error = Secret::<32>::from_slice("a key", &[0; 31]).unwrap_err();
        assert_eq!(error.to_string(), "a key must be 32 bytes, not 31");
    }
}
