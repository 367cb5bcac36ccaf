//! How fast the pipeline's two bounds are on this machine: the content hash, and the cipher in each direction.
//!
//! `cargo run --release -p darkslide-crypto --example throughput` prints each beside a floor from the same run:
//! copying the same bytes. One core, 4 MiB chunks, buffers used again.

use std::hint::black_box;
use std::time::Instant;

use darkslide_crypto::ContentHasher;
use darkslide_crypto::keys::{FileKey, LoginKey};
use darkslide_crypto::srp::{SrpClient, SrpIdentity};
use darkslide_crypto::stream::{
    CHUNK_LEN, SEALED_CHUNK_LEN, StreamDecryptor, StreamEncryptor, StreamError, StreamHeader,
};

/// 1 GiB.
const CHUNKS: u32 = 256;

fn main() -> Result<(), StreamError> {
    let chunk = vec![0x5A; CHUNK_LEN];
    let mut copied = vec![0; CHUNK_LEN];
    let floor = measure("copy", 0.0, || {
        copied.copy_from_slice(&chunk);
        black_box(&copied);
        Ok(())
    })?;
    let mut hasher = ContentHasher::new();
    measure("content hash", floor, || {
        hasher.update(&chunk);
        Ok(())
    })?;
    black_box(hasher.finish());
    encryption(&chunk, floor)?;
    decryption(&chunk, floor)?;
    sign_in();
    Ok(())
}

fn encryption(chunk: &[u8], floor: f64) -> Result<(), StreamError> {
    let (key, header) = (FileKey::generate(), StreamHeader::generate());
    let mut sealed = Vec::with_capacity(SEALED_CHUNK_LEN);
    let mut encryptor = StreamEncryptor::new(&key, &header);
    measure("encrypt from the start", floor, || {
        sealed.clear();
        encryptor.encrypt_chunk(chunk, &mut sealed)
    })?;
    let mut encryptor = StreamEncryptor::resume(&key, &header, encryptor.position());
    measure("encrypt from a position", floor, || {
        sealed.clear();
        encryptor.encrypt_chunk(chunk, &mut sealed)
    })?;
    Ok(())
}

/// The first chunk of a stream again and again: opening each costs the same as opening the next.
fn decryption(chunk: &[u8], floor: f64) -> Result<(), StreamError> {
    let (key, header) = (FileKey::generate(), StreamHeader::generate());
    let mut sealed = Vec::with_capacity(SEALED_CHUNK_LEN);
    StreamEncryptor::new(&key, &header).encrypt_chunk(chunk, &mut sealed)?;
    let mut plain = Vec::with_capacity(CHUNK_LEN);
    measure("decrypt", floor, || {
        plain.clear();
        StreamDecryptor::new(&key, &header).decrypt_chunk(&sealed, &mut plain).map(|_| ())
    })?;
    Ok(())
}

/// Prints and returns GB a second.
fn measure(
    name: &str,
    floor: f64,
    mut step: impl FnMut() -> Result<(), StreamError>,
) -> Result<f64, StreamError> {
    let start = Instant::now();
    for _ in 0..CHUNKS {
        step()?;
    }
    let rate = f64::from(CHUNKS) * 4.194_304e6 / start.elapsed().as_secs_f64() / 1e9;
    let ratio = if floor > 0.0 { format!("  {:.2} of copying", rate / floor) } else { String::new() };
    println!("{name:<24} {rate:6.2} GB/s{ratio}");
    Ok(rate)
}

fn sign_in() {
    let identity = SrpIdentity { user_id: "bench".to_owned(), salt: vec![0; 16] };
    let login_key = LoginKey::take([7; 16]);
    let start = Instant::now();
    for _ in 0..10 {
        let client = SrpClient::new(&identity, &login_key);
        black_box(client.respond(&[3; 512]).is_ok());
    }
    println!("{:<24} {:6.1} ms", "SRP, client's half", start.elapsed().as_secs_f64() * 100.0);
}
