//! The client's half of SRP-6a: proves knowledge of the login key without showing it, and checks the server.
//!
//! RFC 5054's 4096-bit group, `g = 5`, SHA-256; `PAD` = 512 bytes big-endian; `‖` = concatenation.
//!
//! ```text
//! x = H(salt ‖ H(user ‖ ":" ‖ login key))       v = g^x          k = H(PAD(N) ‖ PAD(g))
//! A = g^a            B = k·v + g^b               u = H(PAD(A) ‖ PAD(B))
//! S = (B − k·g^x)^(a + u·x)                      K = H(PAD(S))
//! M1 = H(PAD(A) ‖ PAD(B) ‖ PAD(S))               M2 = H(PAD(A) ‖ M1 ‖ K)
//! ```
//!
//! Not RFC 2945's M1: no user name, no salt, no `H(N) xor H(g)`. Every number is hashed padded, leading zeros
//! included. Arithmetic is constant-time; exponents have a fixed bound (256 bits, 513 in `S`), which is public.

use std::fmt;
use std::sync::LazyLock;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U512, U1024, U4096, Uint};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::LengthError;
use crate::keys::LoginKey;
use crate::secret::Secret;

/// Length of A, B and the verifier in bytes.
pub const GROUP_LEN: usize = 512;

/// Length of M1 and M2 in bytes.
pub const PROOF_LEN: usize = 32;

/// Bits of `a + u·x`: a product of two 256-bit numbers, and one more for the sum.
const EXPONENT_BITS: u32 = 513;

/// RFC 5054, appendix A, 4096 bits.
const MODULUS: &str = concat!(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD",
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F",
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510",
    "15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7",
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C",
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D7",
    "88719A10BDBA5B2699C327186AF4E23C1A946834B6150BDA2583E9CA2AD44CE8DBBBC2DB04DE8EF92E8EFC141FBECAA6",
    "287C59474E6BC05D99B2964FA090C3A2233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA9",
    "93B4EA988D8FDDC186FFB7DC90A6C08F4DF435C934063199FFFFFFFFFFFFFFFF",
);

/// A number modulo N, in Montgomery form.
type Residue = FixedMontyForm<{ U4096::LIMBS }>;

/// The parts of the group that every exchange needs.
struct Group {
    params: FixedMontyParams<{ U4096::LIMBS }>,
    generator: Residue,
    multiplier: Residue,
}

static GROUP: LazyLock<Group> = LazyLock::new(|| {
    let modulus = U4096::from_be_hex(MODULUS);
    let odd = Odd::new(modulus).into_option().expect("the modulus is odd");
    let params = FixedMontyParams::new_vartime(odd);
    let generator = U4096::from_u8(5);
    let k: [u8; 32] =
        Sha256::new().chain_update(pad(&modulus)).chain_update(pad(&generator)).finalize().into();
    Group {
        params,
        generator: Residue::new(&generator, &params),
        multiplier: Residue::new(&U256::from_be_slice(&k).resize(), &params),
    }
});

/// Why the exchange failed on this side.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SrpError {
    /// The server's public number has the wrong length.
    #[error("the server's part of the sign-in is malformed")]
    Malformed(#[source] LengthError),
    /// The server's public number is one with which the exchange would prove nothing (0 mod N, or too large).
    #[error("the server's part of the sign-in is not acceptable")]
    UnacceptableServerKey,
    /// The server could not prove that it knows the verifier: it is not the server that the account is on.
    #[error("the server could not prove that it knows this account")]
    ServerNotProved,
}

/// The random half of an exchange: `a`, 32 bytes. One per exchange.
pub type EphemeralSecret = Secret<32>;

/// Who signs in: the identity string and salt exactly as stored by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrpIdentity {
    /// `srpUserID`: a random UUID in lower case, chosen at registration.
    pub user_id: String,
    /// `srpSalt`, decoded: 16 bytes.
    pub salt: Vec<u8>,
}

/// What the server stores in place of a password: `v = g^x`.
///
/// Not secret from the server, but enough for guessing passwords (at Argon2id's price): keep it from anyone else.
pub fn derive_verifier(identity: &SrpIdentity, login_key: &LoginKey) -> [u8; GROUP_LEN] {
    let x = derive_x(identity, login_key);
    pad(&power(&GROUP.generator, &x).retrieve())
}

/// An exchange begun: `a` is chosen, A is ready to send.
pub struct SrpClient {
    x: Zeroizing<U256>,
    a: Zeroizing<U256>,
    public: [u8; GROUP_LEN],
}

impl SrpClient {
    /// Begins an exchange.
    pub fn new(identity: &SrpIdentity, login_key: &LoginKey) -> Self {
        Self::with_ephemeral(identity, login_key, &EphemeralSecret::generate())
    }

    /// Begins an exchange with a given `a`: for known-answer tests. Never use one twice.
    pub fn with_ephemeral(identity: &SrpIdentity, login_key: &LoginKey, ephemeral: &EphemeralSecret) -> Self {
        let a = Zeroizing::new(U256::from_be_slice(ephemeral.expose()));
        let public = pad(&power(&GROUP.generator, &a).retrieve());
        Self { x: derive_x(identity, login_key), a, public }
    }

    /// A, padded: what the server needs first (`srpA`).
    pub fn public_key(&self) -> &[u8; GROUP_LEN] {
        &self.public
    }

    /// Answers the server's B (`srpB`): 512 bytes, or fewer if the server dropped leading zeros.
    pub fn respond(self, server_public: &[u8]) -> Result<SrpProof, SrpError> {
        let server_public = read_server_public(server_public)?;
        let u = hash(&[&self.public, &pad(&server_public)]);
        let shared = self.shared_secret(&server_public, &U256::from_be_slice(&u));
        let key = Zeroizing::new(hash(&[shared.as_slice()]));
        let proof = hash(&[&self.public, &pad(&server_public), shared.as_slice()]);
        let expected = hash(&[&self.public, &proof, key.as_slice()]);
        Ok(SrpProof { proof, expected: Secret::take(expected) })
    }

    /// PAD(S), where `S = (B − k·g^x)^(a + u·x)`.
    fn shared_secret(&self, server_public: &U4096, u: &U256) -> Zeroizing<[u8; GROUP_LEN]> {
        let product: Zeroizing<U512> = Zeroizing::new(u.concatenating_mul(&*self.x));
        let exponent: Zeroizing<U1024> =
            Zeroizing::new(product.resize::<{ U1024::LIMBS }>().wrapping_add(&self.a.resize()));
        let verifier = Zeroizing::new(power(&GROUP.generator, &self.x));
        let masked = Zeroizing::new(GROUP.multiplier.mul(&verifier));
        let base = Zeroizing::new(Residue::new(server_public, &GROUP.params).sub(&masked));
        let shared = Zeroizing::new(base.pow_bounded_exp(&exponent, EXPONENT_BITS));
        let shared = Zeroizing::new(shared.retrieve());
        Zeroizing::new(pad(&shared))
    }
}

impl fmt::Debug for SrpClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SrpClient")
    }
}

/// The client's proof, and what the server's must be.
#[derive(Debug)]
pub struct SrpProof {
    proof: [u8; PROOF_LEN],
    expected: Secret<PROOF_LEN>,
}

impl SrpProof {
    /// M1: what the server needs next (`srpM1`).
    pub fn client_proof(&self) -> &[u8; PROOF_LEN] {
        &self.proof
    }

    /// Checks M2 (`srpM2`), in constant time. Until this has passed, the server is a stranger.
    pub fn verify_server(&self, server_proof: &[u8]) -> Result<(), SrpError> {
        let same = self.expected.expose().as_slice().ct_eq(server_proof);
        if bool::from(same) { Ok(()) } else { Err(SrpError::ServerNotProved) }
    }
}

/// `x = H(salt ‖ H(user ‖ ":" ‖ login key))`.
fn derive_x(identity: &SrpIdentity, login_key: &LoginKey) -> Zeroizing<U256> {
    let inner = Zeroizing::new(hash(&[identity.user_id.as_bytes(), b":", login_key.expose()]));
    let outer = Zeroizing::new(hash(&[&identity.salt, inner.as_slice()]));
    Zeroizing::new(U256::from_be_slice(outer.as_slice()))
}

/// B as a number in 1..N. Anything else would make S a number that needs no password.
fn read_server_public(bytes: &[u8]) -> Result<U4096, SrpError> {
    let mut padded = [0; GROUP_LEN];
    let start = GROUP_LEN
        .checked_sub(bytes.len())
        .filter(|_| !bytes.is_empty())
        .ok_or(SrpError::Malformed(LengthError { what: "srpB", expected: GROUP_LEN, actual: bytes.len() }))?;
    let (_, tail) = padded.split_at_mut(start);
    tail.copy_from_slice(bytes);
    let number = U4096::from_be_slice(&padded);
    let modulus = GROUP.params.modulus().as_ref();
    if number == U4096::ZERO || number >= *modulus {
        return Err(SrpError::UnacceptableServerKey);
    }
    Ok(number)
}

/// `base^exponent`, in a time that depends only on the exponent's type.
fn power(base: &Residue, exponent: &U256) -> Residue {
    base.pow_bounded_exp(exponent, U256::BITS)
}

fn pad<const LIMBS: usize>(number: &Uint<LIMBS>) -> [u8; GROUP_LEN] {
    let bytes = number.resize::<{ U4096::LIMBS }>().to_be_bytes();
    bytes.as_ref().try_into().expect("4096 bits are 512 bytes")
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
