//! Bytes of a fixed length that nobody may see: wiped when dropped, silent in logs, compared in constant time.
//! No `Clone`, no serialisation: whoever needs the bytes says [`Secret::expose`], which is easy to search for.

use std::cell::RefCell;
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

/// Bytes from the operating system's generator that [`drawn_at_once`] still has.
struct Drawn(Zeroizing<Vec<u8>>);

thread_local! {
    static DRAWN: RefCell<Option<Drawn>> = const { RefCell::new(None) };
}

/// Does `work`, on this thread, with its keys, headers and nonces out of one request to the operating system's generator, as far as so
/// many bytes go; asking costs as much as sealing a short record does. Each byte is used once, and what is left is wiped.
///
/// Nothing is kept beyond the call, and `work` should neither wait nor read: a machine that is copied meanwhile (a virtual one) does
/// the very same with the same bytes in both copies, so that no two messages meet under one key and nonce.
pub fn drawn_at_once<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    /// Wipes it, whatever `work` does.
    struct Wiped;
    impl Drop for Wiped {
        fn drop(&mut self) {
            DRAWN.set(None);
        }
    }
    let mut drawn = Zeroizing::new(vec![0; bytes]);
    fill_from_system(&mut drawn);
    DRAWN.set(Some(Drawn(drawn)));
    let _wiped = Wiped;
    work()
}

/// Fills `bytes` from the operating system's generator.
///
/// No key can be made on a machine without one, so its failure ends the program.
pub fn fill_random(bytes: &mut [u8]) {
    let is_filled = DRAWN.with_borrow_mut(|drawn| drawn.as_mut().is_some_and(|drawn| drawn.give(bytes)));
    if !is_filled {
        fill_from_system(bytes);
    }
}

impl Drawn {
    /// Gives the last ones away, if there are enough.
    fn give(&mut self, bytes: &mut [u8]) -> bool {
        let Some(left) = self.0.len().checked_sub(bytes.len()) else { return false };
        let given = self.0.get_mut(left..).unwrap_or_default();
        bytes.copy_from_slice(given);
        given.zeroize();
        self.0.truncate(left);
        true
    }
}

fn fill_from_system(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system's random generator works");
}

#[cfg(test)]
mod tests {
    use super::{DRAWN, Secret, drawn_at_once};
    use std::collections::HashSet;

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

    /// Nobody gets what somebody else got, whether it is out of one draw, of another, or past its end.
    #[test]
    fn what_is_drawn_at_once_is_given_once() {
        let mut seen = HashSet::new();
        for bytes in [0, 15, 16, 160, 1000] {
            for _ in 0..3 {
                drawn_at_once(bytes, || {
                    for _ in 0..20 {
                        assert!(seen.insert(*Secret::<16>::generate().expose()));
                    }
                });
                assert!(seen.insert(*Secret::<16>::generate().expose()));
            }
        }
        assert!(!seen.contains(&[0; 16]));
    }

    #[test]
    fn nothing_that_was_drawn_outlives_the_work() {
        let left = || DRAWN.with_borrow(|drawn| drawn.as_ref().map(|drawn| drawn.0.len()));
        drawn_at_once(40, || {
            let _key = Secret::<32>::generate();
            assert_eq!(left(), Some(8));
            let _key = Secret::<32>::generate();
            assert_eq!(left(), Some(8), "a key is never of two draws");
        });
        assert_eq!(left(), None);
        let panicked = std::panic::catch_unwind(|| drawn_at_once(40, || panic!("in the middle")));
        assert!(panicked.is_err());
        assert_eq!(left(), None);
    }
}
