//! The server's half of SRP-6a: checks that a client knows a password, and proves that it holds the verifier.
//!
//! RFC 5054's 4096-bit group, `g = 5`, SHA-256; `PAD` = 512 bytes big-endian; `‖` = concatenation.
//!
//! ```text
//! k = H(PAD(N) ‖ PAD(g))          B = k·v + g^b              u = H(PAD(A) ‖ PAD(B))
//! S = (A·v^u)^b                   K = H(PAD(S))
//! M1 = H(PAD(A) ‖ PAD(B) ‖ PAD(S))          M2 = H(PAD(A) ‖ M1 ‖ K)
//! ```
//!
//! Not RFC 2945's M1. Every number is hashed padded; phones send A, v and M1 without leading zeros, so they are padded
//! here first. Arithmetic is constant-time with exponents of fixed, public length (`u` 256 bits, `b` 512). It never sees
//! a password, and refuses an A or v outside 1..N−1, with which a proof would prove nothing.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U512, U4096};
use darkslide_protocol::Opaque;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::LazyLock;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Length of A, B and the verifier in bytes.
pub const GROUP_BYTES: usize = 512;

/// Length of M1 and M2 in bytes.
pub const PROOF_BYTES: usize = 32;

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
    let k = hash(&[&pad(&modulus), &pad(&generator)]);
    Group {
        params,
        generator: Residue::new(&generator, &params),
        multiplier: Residue::new(&U256::from_be_slice(&k).resize(), &params),
    }
});

/// A number of the group, 1..N−1, padded to 512 bytes: A, B, or a verifier.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupNumber([u8; GROUP_BYTES]);

impl fmt::Debug for GroupNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupNumber")
    }
}

impl GroupNumber {
    /// A client's number: base64 of at most 512 bytes, big-endian, padded here if it is shorter. `None` outside 1..N−1.
    pub fn parse(text: &Opaque) -> Option<Self> {
        let bytes = text.decode().ok()?;
        let number = U4096::from_be_slice(&left_pad::<GROUP_BYTES>(&bytes)?);
        let fits = number != U4096::ZERO && number < *GROUP.params.modulus().as_ref();
        fits.then(|| Self(pad(&number)))
    }

    /// A number that nobody knows the logarithm of, from bytes that look random: the verifier of an account that does
    /// not exist.
    pub(crate) fn from_seed(seed: impl Fn(u8) -> [u8; 32]) -> Self {
        let mut bytes = [0; GROUP_BYTES];
        for (index, chunk) in (0_u8..).zip(bytes.chunks_exact_mut(32)) {
            chunk.copy_from_slice(&seed(index));
        }
        Self(pad(&Residue::new(&U4096::from_be_slice(&bytes), &GROUP.params).retrieve()))
    }

    /// As the API and the database have it: 512 bytes.
    pub fn to_opaque(&self) -> Opaque {
        Opaque::encode(self.0)
    }

    fn residue(&self) -> Residue {
        Residue::new(&U4096::from_be_slice(&self.0), &GROUP.params)
    }
}

/// The client's proof, M1, padded to 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientProof([u8; PROOF_BYTES]);

impl ClientProof {
    /// Base64 of 1 to 32 bytes, padded here if it is shorter.
    pub fn parse(text: &Opaque) -> Option<Self> {
        let bytes = text.decode().ok()?;
        if bytes.is_empty() { None } else { left_pad(&bytes).map(Self) }
    }
}

/// The server's random half of one exchange: `b`, 64 bytes.
pub struct ServerSecret(Zeroizing<[u8; 64]>);

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecret")
    }
}

impl ServerSecret {
    /// A new one from the system's randomness.
    pub fn generate() -> Self {
        Self(Zeroizing::new(crate::auth::random_bytes()))
    }

    /// As the database keeps it between two calls of one exchange.
    pub(crate) fn parse(text: &Opaque) -> Option<Self> {
        text.decode_array().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// As the database keeps it between two calls of one exchange.
    pub(crate) fn to_opaque(&self) -> Opaque {
        Opaque::encode(self.0.as_slice())
    }

    fn exponent(&self) -> Zeroizing<U512> {
        Zeroizing::new(U512::from_be_slice(self.0.as_slice()))
    }
}

/// B, which the client needs for its proof.
pub fn server_public(verifier: &GroupNumber, secret: &ServerSecret) -> GroupNumber {
    let power = GROUP.generator.pow_bounded_exp(&*secret.exponent(), U512::BITS);
    let sum = GROUP.multiplier.mul(&verifier.residue()).add(&power);
    GroupNumber(pad(&sum.retrieve()))
}

/// Checks the client's proof in constant time. `Some` is M2, the server's proof; `None` is a wrong password.
pub fn verify(
    verifier: &GroupNumber,
    secret: &ServerSecret,
    client_public: &GroupNumber,
    proof: ClientProof,
) -> Option<[u8; PROOF_BYTES]> {
    let server_public = server_public(verifier, secret);
    let u = U256::from_be_slice(&hash(&[&client_public.0, &server_public.0]));
    let base = client_public.residue().mul(&verifier.residue().pow_bounded_exp(&u, U256::BITS));
    let shared = Zeroizing::new(base.pow_bounded_exp(&*secret.exponent(), U512::BITS).retrieve());
    let shared = Zeroizing::new(pad(&shared));
    let expected = hash(&[&client_public.0, &server_public.0, shared.as_slice()]);
    if !bool::from(expected.ct_eq(&proof.0)) {
        return None;
    }
    let key = Zeroizing::new(hash(&[shared.as_slice()]));
    Some(hash(&[&client_public.0, &proof.0, key.as_slice()]))
}

/// `bytes` with zeros before them; `None` when there are too many.
fn left_pad<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut padded = [0; N];
    let (_, tail) = padded.split_at_mut(N.checked_sub(bytes.len())?);
    tail.copy_from_slice(bytes);
    Some(padded)
}

fn pad(number: &U4096) -> [u8; GROUP_BYTES] {
    number.to_be_bytes().as_ref().try_into().expect("4096 bits are 512 bytes")
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::session::hex;
    use serde_json::Value;

    fn unhex(text: &Value) -> Vec<u8> {
        let text = text.as_str().unwrap();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn opaque(text: &Value) -> Opaque {
        Opaque(text.as_str().unwrap().to_owned())
    }

    fn fixture() -> Value {
        serde_json::from_str::<Value>(include_str!("../../tests/vectors/account-fixture.json")).unwrap()
            ["account"]
            .take()
    }

    fn client_public(a: &Value) -> GroupNumber {
        let a = U512::from_be_slice(&left_pad::<64>(&unhex(a)).unwrap());
        GroupNumber(pad(&GROUP.generator.pow_bounded_exp(&a, U512::BITS).retrieve()))
    }

    fn secret(b: &Value) -> ServerSecret {
        ServerSecret(Zeroizing::new(unhex(b).try_into().unwrap()))
    }

    /// One exchange, whose A, B, M1 and M2 are known.
    fn check(v: &Value, a: &Value, b: &Value, sha_a: &Value, sha_b: &Value, m1: &Value, m2: &Value) {
        let (verifier, client_public, secret) =
            (GroupNumber::parse(&opaque(v)).unwrap(), client_public(a), secret(b));
        assert_eq!(hex(&hash(&[&client_public.0])), sha_a.as_str().unwrap());
        let public = server_public(&verifier, &secret);
        assert_eq!(hex(&hash(&[&public.0])), sha_b.as_str().unwrap());
        let proof = ClientProof::parse(&opaque(m1)).unwrap();
        let server_proof = verify(&verifier, &secret, &client_public, proof).unwrap();
        assert_eq!(Opaque::encode(server_proof), opaque(m2));
        let mut wrong = proof.0;
        wrong[31] ^= 1;
        assert_eq!(verify(&verifier, &secret, &client_public, ClientProof(wrong)), None);
    }

    #[test]
    fn the_group_is_rfc_5054() {
        let vectors: Value =
            serde_json::from_str(include_str!("../../tests/vectors/account-fixture.json")).unwrap();
        assert_eq!(MODULUS.to_lowercase(), vectors["N_hex"].as_str().unwrap());
        let fixture = &vectors["account"];
        assert_eq!(
            hex(&hash(&[&pad(GROUP.params.modulus().as_ref())])),
            fixture["N_sha256"].as_str().unwrap()
        );
        let k = GROUP.multiplier.retrieve();
        assert_eq!(hex(&pad(&k)[480..]), fixture["k"].as_str().unwrap());
    }

    #[test]
    fn known_exchanges() {
        let fixture = fixture();
        let (account, other) = (&fixture["acct"], &fixture["srp2"]);
        let srp = &account["srp"];
        check(&srp["v"], &account["a"], &account["b"], &srp["sha_A"], &srp["sha_B"], &srp["M1"], &srp["M2"]);
        check(
            &other["v"],
            &other["a"],
            &other["b"],
            &other["sha_A"],
            &other["sha_B"],
            &other["M1"],
            &other["M2"],
        );
    }

    #[test]
    fn leading_zeros_of_s_a_m1_and_b() {
        let fixture = fixture();
        let (account, srp) = (&fixture["acct"], &fixture["acct"]["srp"]);
        for name in ["S0", "A0", "M0", "B0"] {
            let case = &fixture["edge"][name];
            let or = |own: &str, usual: &Value| case.get(own).unwrap_or(usual).clone();
            check(
                &srp["v"],
                &or("a", &account["a"]),
                &or("b", &account["b"]),
                &or("sha_A", &srp["sha_A"]),
                &or("sha_B", &srp["sha_B"]),
                &case["M1"],
                &case["M2"],
            );
        }
    }

    #[test]
    fn numbers_without_leading_zeros_are_padded() {
        let fixture = fixture();
        let case = &fixture["edge"]["A0"];
        let public = client_public(&case["a"]);
        assert_eq!(public.0[0], 0);
        assert_eq!(GroupNumber::parse(&Opaque::encode(&public.0[1..])).unwrap(), public);
        let m1 = opaque(&fixture["edge"]["M0"]["M1"]).decode().unwrap();
        assert_eq!(m1[0], 0);
        assert_eq!(ClientProof::parse(&Opaque::encode(&m1[1..])).unwrap().0.as_slice(), m1);
    }

    #[test]
    fn numbers_that_would_prove_nothing_are_refused() {
        let modulus = U4096::from_be_hex(MODULUS);
        let refused = |bytes: &[u8]| GroupNumber::parse(&Opaque::encode(bytes)).is_none();
        assert!(refused(&[]));
        assert!(refused(&[0; 512]));
        assert!(refused(&pad(&modulus)));
        assert!(refused(&[0xff; 512]));
        assert!(refused(&[1; 513]));
        assert!(!refused(&[1]));
        assert!(!refused(&pad(&modulus.wrapping_sub(&U4096::ONE))));
        assert!(GroupNumber::parse(&Opaque("not base64".to_owned())).is_none());
        assert!(ClientProof::parse(&Opaque::encode([0; 33])).is_none());
        assert!(ClientProof::parse(&Opaque::encode([])).is_none());
    }

    #[test]
    fn a_made_up_verifier_is_a_number_of_the_group() {
        let made_up = GroupNumber::from_seed(|index| [index ^ 0xff; 32]);
        assert!(GroupNumber::parse(&made_up.to_opaque()).is_some());
    }
}
