//! Streams: sizes around every border, every way to damage one, and going on from every chunk.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test fails the test")]

use std::io::{self, Cursor, Read};

use darkslide_crypto::keys::{CollectionKey, FileKey};
use darkslide_crypto::stream::{
    self, CHUNK_LEN, ChunkKind, DecryptingReader, EncryptingReader, OVERHEAD, SEALED_CHUNK_LEN,
    StreamDecryptor, StreamEncryptor, StreamError, StreamHeader, StreamPosition, blob,
};
use darkslide_crypto::{ContentHash, ContentHasher, OpenError};
use proptest::prelude::*;

const SIZES: [usize; 9] =
    [0, 1, 16, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN, 2 * CHUNK_LEN + 5, 3 * CHUNK_LEN];

fn key() -> FileKey {
    FileKey::take([7; 32])
}

fn header() -> StreamHeader {
    StreamHeader::from_slice(&[9; 24]).unwrap()
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + i / 257) % 256).unwrap()).collect()
}

/// Encrypts chunk by chunk from the start, noting the position before each.
fn encrypt(plain: &[u8]) -> (Vec<u8>, Vec<StreamPosition>) {
    let encryptor = StreamEncryptor::new(&key(), &header());
    let mut positions = Vec::new();
    let mut sealed = Vec::new();
    go_on(encryptor, plain, &mut sealed, &mut positions);
    (sealed, positions)
}

fn go_on(
    mut encryptor: StreamEncryptor,
    plain: &[u8],
    sealed: &mut Vec<u8>,
    positions: &mut Vec<StreamPosition>,
) {
    let mut rest = plain;
    while rest.len() > CHUNK_LEN {
        positions.push(encryptor.position());
        let (chunk, after) = rest.split_at(CHUNK_LEN);
        encryptor.encrypt_chunk(chunk, sealed).unwrap();
        rest = after;
    }
    positions.push(encryptor.position());
    encryptor.finish(rest, sealed).unwrap();
}

fn decrypt(sealed: &[u8]) -> Result<Vec<u8>, StreamError> {
    let mut decryptor = StreamDecryptor::new(&key(), &header());
    let mut plain = Vec::new();
    for piece in sealed.chunks(SEALED_CHUNK_LEN) {
        decryptor.decrypt_chunk(piece, &mut plain)?;
    }
    decryptor.finish()?;
    Ok(plain)
}

fn damaged(index: u32) -> StreamError {
    StreamError::Damaged { index, source: OpenError }
}

#[test]
fn every_size_comes_back() {
    for size in SIZES {
        let plain = content(size);
        let (sealed, positions) = encrypt(&plain);
        assert_eq!(Some(sealed.len() as u64), stream::ciphertext_len(size as u64), "{size} bytes");
        assert_eq!(stream::plaintext_len(sealed.len() as u64), Some(size as u64), "{size} bytes");
        assert_eq!(positions.len() as u64, stream::chunk_count(size as u64), "{size} bytes");
        assert!(decrypt(&sealed).unwrap() == plain, "{size} bytes");
    }
}

#[test]
fn going_on_from_any_chunk_gives_the_same_ciphertext() {
    for size in SIZES {
        let plain = content(size);
        let (sealed, positions) = encrypt(&plain);
        for position in positions {
            let stored = StreamPosition::from_slice(&position.to_bytes()).unwrap();
            assert_eq!(stored, position);
            let start = usize::try_from(stored.ciphertext_offset()).unwrap();
            let rest = &plain[usize::try_from(stored.plaintext_offset()).unwrap()..];
            let mut again = Vec::new();
            let encryptor = StreamEncryptor::resume(&key(), &header(), stored);
            go_on(encryptor, rest, &mut again, &mut Vec::new());
            assert!(again == sealed[start..], "{size} bytes from chunk {}", stored.chunk_index());
        }
    }
}

#[test]
fn going_on_from_a_wrong_position_does_not_fit() {
    let plain = content(2 * CHUNK_LEN + 5);
    let (sealed, positions) = encrypt(&plain);
    let mut bytes = positions[1].to_bytes();
    bytes[11] ^= 1;
    let wrong = StreamPosition::from_slice(&bytes).unwrap();
    let mut spliced = sealed[..SEALED_CHUNK_LEN].to_vec();
    let encryptor = StreamEncryptor::resume(&key(), &header(), wrong);
    go_on(encryptor, &plain[CHUNK_LEN..], &mut spliced, &mut Vec::new());
    assert_eq!(decrypt(&spliced), Err(damaged(1)));
}

#[test]
fn a_stream_cut_anywhere_is_refused() {
    let (sealed, _) = encrypt(&content(2 * CHUNK_LEN + 5));
    for (cut, error) in [
        (0, StreamError::Truncated),
        (1, StreamError::Truncated),
        (OVERHEAD - 1, StreamError::Truncated),
        (OVERHEAD, damaged(0)),
        (SEALED_CHUNK_LEN - 1, damaged(0)),
        (SEALED_CHUNK_LEN, StreamError::Truncated),
        (SEALED_CHUNK_LEN + 1, StreamError::Truncated),
        (2 * SEALED_CHUNK_LEN - 1, damaged(1)),
        (2 * SEALED_CHUNK_LEN, StreamError::Truncated),
        (sealed.len() - 1, damaged(2)),
    ] {
        assert_eq!(decrypt(&sealed[..cut]), Err(error), "cut to {cut} bytes");
    }
}

#[test]
fn chunks_in_another_order_are_refused() {
    let (sealed, _) = encrypt(&content(3 * CHUNK_LEN));
    let chunk = |index: usize| &sealed[index * SEALED_CHUNK_LEN..(index + 1) * SEALED_CHUNK_LEN];
    for (order, error) in [
        (vec![1, 0, 2], damaged(0)),
        (vec![0, 2, 1], damaged(1)),
        (vec![0, 0, 1, 2], damaged(1)),
        (vec![0, 2], damaged(1)),
        (vec![0, 1, 1, 2], damaged(2)),
        (vec![2], damaged(0)),
        (vec![0, 1, 2, 2], StreamError::TrailingData),
    ] {
        let moved: Vec<u8> = order.iter().flat_map(|index| chunk(*index).to_vec()).collect();
        assert_eq!(decrypt(&moved), Err(error), "chunks {order:?}");
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    for size in [0, 1, CHUNK_LEN] {
        let (sealed, _) = encrypt(&content(size));
        let mut decryptor = StreamDecryptor::new(&key(), &header());
        assert_eq!(decryptor.decrypt_chunk(&sealed, &mut Vec::new()), Ok(ChunkKind::Last));
        assert_eq!(decryptor.decrypt_chunk(&[0], &mut Vec::new()), Err(StreamError::TrailingData));

        let mut longer = sealed;
        longer.push(0);
        let mut reader = DecryptingReader::new(Cursor::new(longer), &key(), &header());
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{size} bytes");
    }
}

#[test]
fn every_flipped_bit_of_a_small_file_is_noticed() {
    let (sealed, _) = encrypt(&content(33));
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decrypt(&altered), Err(damaged(0)), "bit {bit}");
    }
}

#[test]
fn flipped_bits_of_a_large_file_are_noticed_in_their_chunk() {
    let (sealed, _) = encrypt(&content(2 * CHUNK_LEN + 5));
    for byte in [0, 1, 64, CHUNK_LEN, SEALED_CHUNK_LEN - 1, SEALED_CHUNK_LEN, sealed.len() - 1] {
        let mut altered = sealed.clone();
        altered[byte] ^= 0x80;
        let index = u32::try_from(byte / SEALED_CHUNK_LEN).unwrap();
        assert_eq!(decrypt(&altered), Err(damaged(index)), "byte {byte}");
    }
}

#[test]
fn another_key_or_header_opens_nothing() {
    let (sealed, _) = encrypt(&content(100));
    let other_header = StreamHeader::from_slice(&[8; 24]).unwrap();
    for (key, header) in [(FileKey::generate(), header()), (key(), other_header)] {
        let mut plain = Vec::new();
        let opened = StreamDecryptor::new(&key, &header).decrypt_chunk(&sealed, &mut plain);
        assert_eq!(opened, Err(damaged(0)));
        assert_eq!(plain, [], "no byte that is not authentic");
    }
}

#[test]
fn a_damaged_chunk_may_be_fetched_again() {
    let plain = content(CHUNK_LEN + 5);
    let (sealed, _) = encrypt(&plain);
    let (first, last) = sealed.split_at(SEALED_CHUNK_LEN);
    let mut altered = last.to_vec();
    altered[3] ^= 1;
    let mut out = b"kept".to_vec();
    let mut decryptor = StreamDecryptor::new(&key(), &header());
    assert_eq!(decryptor.decrypt_chunk(first, &mut out), Ok(ChunkKind::Middle));
    assert_eq!(decryptor.decrypt_chunk(&altered, &mut out), Err(damaged(1)));
    assert_eq!(out.len(), 4 + CHUNK_LEN);
    assert_eq!(decryptor.decrypt_chunk(last, &mut out), Ok(ChunkKind::Last));
    assert_eq!(decryptor.finish(), Ok(()));
    assert!(out[4..] == plain);
}

/// Messages that the key made but no writer of files makes.
#[test]
fn authentic_messages_of_another_kind_are_refused() {
    use dryoc::classic::crypto_secretstream_xchacha20poly1305 as library;
    for (tag, length, expected) in [
        (0, 5, Err(damaged(0))),
        (1, CHUNK_LEN, Err(damaged(0))),
        (2, CHUNK_LEN, Err(damaged(0))),
        (0, CHUNK_LEN, Ok(ChunkKind::Middle)),
        (3, 5, Ok(ChunkKind::Last)),
        (3, CHUNK_LEN + 1, Err(StreamError::ChunkLength { actual: SEALED_CHUNK_LEN + 1 })),
    ] {
        let mut state = library::State::new();
        library::crypto_secretstream_xchacha20poly1305_init_pull(
            &mut state,
            header().as_bytes(),
            key().expose(),
        );
        let mut sealed = vec![0; length + OVERHEAD];
        library::crypto_secretstream_xchacha20poly1305_push(
            &mut state,
            &mut sealed,
            &content(length),
            None,
            tag,
        )
        .unwrap();
        let mut plain = Vec::new();
        let opened = StreamDecryptor::new(&key(), &header()).decrypt_chunk(&sealed, &mut plain);
        assert_eq!(opened, expected, "tag {tag}, {length} bytes");
        assert_eq!(plain.is_empty(), opened.is_err(), "tag {tag}, {length} bytes");
        if length <= CHUNK_LEN {
            assert_eq!(blob::open(&key(), &sealed, &header()).is_ok(), tag == 3, "tag {tag}");
        }
    }
}

#[test]
fn files_cut_wrongly_by_the_caller_are_refused() {
    let mut sealed = Vec::new();
    let mut encryptor = StreamEncryptor::new(&key(), &header());
    for length in [0, 1, CHUNK_LEN - 1, CHUNK_LEN + 1] {
        let refused = encryptor.encrypt_chunk(&content(length), &mut sealed);
        assert_eq!(refused, Err(StreamError::ChunkLength { actual: length }));
    }
    encryptor.encrypt_chunk(&content(CHUNK_LEN), &mut sealed).unwrap();
    assert_eq!(encryptor.finish(&[], &mut sealed), Err(StreamError::ChunkLength { actual: 0 }));
    let encryptor = StreamEncryptor::new(&key(), &header());
    let refused = encryptor.finish(&content(CHUNK_LEN + 1), &mut sealed);
    assert_eq!(refused, Err(StreamError::ChunkLength { actual: CHUNK_LEN + 1 }));
    assert_eq!(sealed.len(), SEALED_CHUNK_LEN, "nothing was written for what was refused");
}

#[test]
fn what_is_sealed_over_other_bytes_is_what_is_appended() {
    for length in [0, 1, 63, 64, 1000, CHUNK_LEN] {
        let mut appended = Vec::new();
        StreamEncryptor::new(&key(), &header()).finish(&content(length), &mut appended).unwrap();
        let mut over = vec![0xA5; length + stream::OVERHEAD];
        stream::seal_whole(&key(), &header(), &content(length), &mut over).unwrap();
        assert_eq!(over, appended, "{length} bytes");
    }
    for (length, room) in [
        (CHUNK_LEN + 1, CHUNK_LEN + 1 + stream::OVERHEAD),
        (5, 4 + stream::OVERHEAD),
        (5, 6 + stream::OVERHEAD),
    ] {
        let mut over = vec![0xA5; room];
        let refused = stream::seal_whole(&key(), &header(), &content(length), &mut over);
        assert_eq!(refused, Err(StreamError::ChunkLength { actual: length }));
        assert!(over.iter().all(|byte| *byte == 0xA5), "nothing was written for what was refused");
    }
}

#[test]
fn a_stream_ends_before_its_counter_comes_round() {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&stream::MAX_CHUNKS.to_le_bytes());
    let beyond = StreamPosition::from_slice(&bytes).unwrap();
    let encryptor = StreamEncryptor::resume(&key(), &header(), beyond);
    assert_eq!(encryptor.finish(b"x", &mut Vec::new()), Err(StreamError::TooLong));
    bytes[..4].copy_from_slice(&(stream::MAX_CHUNKS - 1).to_le_bytes());
    let last = StreamPosition::from_slice(&bytes).unwrap();
    let encryptor = StreamEncryptor::resume(&key(), &header(), last);
    assert_eq!(encryptor.finish(b"x", &mut Vec::new()), Ok(()));
}

#[test]
fn buffers_are_not_allocated_again() {
    let chunk = content(CHUNK_LEN);
    let mut sealed = Vec::with_capacity(SEALED_CHUNK_LEN + 63);
    let mut plain = Vec::with_capacity(CHUNK_LEN);
    let (sealed_at, plain_at) = (sealed.as_ptr(), plain.as_ptr());
    let mut encryptor = StreamEncryptor::new(&key(), &header());
    let mut decryptor = StreamDecryptor::new(&key(), &header());
    for resumed in [false, false, true] {
        if resumed {
            encryptor = StreamEncryptor::resume(&key(), &header(), encryptor.position());
        }
        sealed.clear();
        plain.clear();
        encryptor.encrypt_chunk(&chunk, &mut sealed).unwrap();
        decryptor.decrypt_chunk(&sealed, &mut plain).unwrap();
        assert_eq!((sealed.as_ptr(), plain.as_ptr()), (sealed_at, plain_at));
    }
}

#[test]
fn readers_agree_with_the_chunk_by_chunk_interface() {
    for size in SIZES {
        let plain = content(size);
        let (sealed, positions) = encrypt(&plain);
        let mut reader = EncryptingReader::new(plain.as_slice(), size as u64, &key(), &header());
        assert_eq!(reader.position(), Some(positions[0]));
        let mut again = Vec::new();
        reader.read_to_end(&mut again).unwrap();
        assert!(again == sealed, "{size} bytes");
        assert_eq!(reader.position(), None);

        let last = *positions.last().unwrap();
        let rest = &plain[usize::try_from(last.plaintext_offset()).unwrap()..];
        let mut reader = EncryptingReader::resume(rest, rest.len() as u64, &key(), &header(), last);
        let mut tail = Vec::new();
        reader.read_to_end(&mut tail).unwrap();
        assert!(tail == sealed[usize::try_from(last.ciphertext_offset()).unwrap()..], "{size} bytes");

        let mut back = Vec::new();
        DecryptingReader::new(sealed.as_slice(), &key(), &header()).read_to_end(&mut back).unwrap();
        assert!(back == plain, "{size} bytes");
    }
}

#[test]
fn a_file_that_changed_length_is_not_encrypted_to_its_end() {
    for (size, said) in
        [(5, 6), (6, 5), (0, 1), (1, 0), (CHUNK_LEN, CHUNK_LEN + 1), (CHUNK_LEN + 1, CHUNK_LEN)]
    {
        let plain = content(size);
        let mut reader = EncryptingReader::new(plain.as_slice(), said as u64, &key(), &header());
        let mut sealed = Vec::new();
        let error = reader.read_to_end(&mut sealed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{size} bytes, said to be {said}");
        assert_eq!(decrypt(&sealed), Err(StreamError::Truncated), "no final chunk was made");
    }
}

/// Fails once, after `good` bytes, and then goes on as if nothing had happened.
struct FailsOnce<R> {
    inner: R,
    good: usize,
}

impl<R: Read> Read for FailsOnce<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.good == 0 {
            self.good = usize::MAX;
            return Err(io::ErrorKind::TimedOut.into());
        }
        let length = buffer.len().min(self.good);
        let count = self.inner.read(&mut buffer[..length])?;
        self.good -= count;
        Ok(count)
    }
}

/// Bytes read before the error are gone: the rest of the file must not be encrypted in their place.
#[test]
fn a_reader_that_failed_stays_failed() {
    let plain = content(3 * CHUNK_LEN);
    for good in [1, CHUNK_LEN, CHUNK_LEN + 1] {
        let inner = FailsOnce { inner: plain.as_slice(), good };
        let mut reader = EncryptingReader::new(inner, plain.len() as u64, &key(), &header());
        let mut sealed = Vec::new();
        let error = reader.read_to_end(&mut sealed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "after {good} bytes");
        let written = sealed.len();
        assert!(reader.read_to_end(&mut sealed).is_err(), "after {good} bytes");
        assert_eq!(sealed.len(), written, "after {good} bytes");
    }
}

#[test]
fn a_truncated_stream_is_an_error_to_a_reader_too() {
    let (sealed, _) = encrypt(&content(CHUNK_LEN + 5));
    for cut in [0, 1, SEALED_CHUNK_LEN, sealed.len() - 1] {
        let mut plain = Vec::new();
        let error = DecryptingReader::new(&sealed[..cut], &key(), &header()).read_to_end(&mut plain);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidData, "cut to {cut} bytes");
    }
}

/// Gives at most `step` bytes at a time, and is interrupted before each.
struct Halting<R> {
    inner: R,
    step: usize,
    interrupt: bool,
}

impl<R: Read> Read for Halting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = buffer.len().min(self.step);
        self.inner.read(&mut buffer[..length])
    }
}

#[test]
fn readers_bear_short_and_interrupted_reads() {
    let plain = content(CHUNK_LEN + 5);
    let (sealed, _) = encrypt(&plain);
    let slow = Halting { inner: plain.as_slice(), step: 100_003, interrupt: false };
    let encrypting = EncryptingReader::new(slow, plain.len() as u64, &key(), &header());
    let slow = Halting { inner: encrypting, step: 70_001, interrupt: false };
    let mut back = Vec::new();
    DecryptingReader::new(slow, &key(), &header()).read_to_end(&mut back).unwrap();
    assert!(back == plain);
    assert_eq!(decrypt(&sealed).unwrap().len(), back.len());
}

#[test]
fn lengths_of_no_file() {
    let (sealed, chunk) = (SEALED_CHUNK_LEN as u64, CHUNK_LEN as u64);
    for (ciphertext, expected) in [
        (0, None),
        (16, None),
        (17, Some(0)),
        (18, Some(1)),
        (sealed - 1, Some(chunk - 1)),
        (sealed, Some(chunk)),
        (sealed + 1, None),
        (sealed + 17, None),
        (sealed + 18, Some(chunk + 1)),
        (2 * sealed, Some(2 * chunk)),
    ] {
        assert_eq!(stream::plaintext_len(ciphertext), expected, "{ciphertext} bytes");
    }
    assert_eq!(stream::ciphertext_len(u64::MAX), None);
}

#[test]
fn blobs_refuse_what_is_not_theirs() {
    let key = CollectionKey::generate();
    let sealed = blob::seal(&key, b"{}");
    assert_eq!(*blob::open(&key, &sealed.ciphertext, &sealed.header).unwrap(), b"{}");
    for length in 0..OVERHEAD {
        assert_eq!(blob::open(&key, &sealed.ciphertext[..length], &sealed.header), Err(OpenError));
    }
    let mut longer = sealed.ciphertext.clone();
    longer.push(0);
    assert_eq!(blob::open(&key, &longer, &sealed.header), Err(OpenError));
    assert_eq!(blob::open(&CollectionKey::generate(), &sealed.ciphertext, &sealed.header), Err(OpenError));
}

proptest! {
    #[test]
    fn any_record_survives_a_blob(record: Vec<u8>) {
        let key = FileKey::generate();
        let sealed = blob::seal(&key, &record);
        prop_assert_eq!(&*blob::open(&key, &sealed.ciphertext, &sealed.header).unwrap(), &record);
    }

    #[test]
    fn no_bytes_make_the_decryptor_panic(pieces: Vec<Vec<u8>>) {
        let mut decryptor = StreamDecryptor::new(&key(), &header());
        for piece in pieces {
            prop_assert!(decryptor.decrypt_chunk(&piece, &mut Vec::new()).is_err());
        }
    }

    /// The seam between both implementations of a chunk, at every length of the last one.
    #[test]
    fn a_last_chunk_of_any_length_goes_on(last in prop::collection::vec(any::<u8>(), 1..2000)) {
        let mut plain = content(CHUNK_LEN);
        plain.extend(&last);
        let (sealed, positions) = encrypt(&plain);
        let mut again = Vec::new();
        StreamEncryptor::resume(&key(), &header(), positions[1]).finish(&last, &mut again).unwrap();
        prop_assert_eq!(&again[..], &sealed[SEALED_CHUNK_LEN..]);
    }

    #[test]
    fn lengths_invert(length in 0..u64::MAX / 2) {
        prop_assert_eq!(stream::plaintext_len(stream::ciphertext_len(length).unwrap()), Some(length));
    }

    #[test]
    fn any_chunking_gives_the_same_content_hash(pieces: Vec<Vec<u8>>) {
        let mut hasher = ContentHasher::new();
        for piece in &pieces {
            hasher.update(piece);
        }
        prop_assert_eq!(hasher.finish(), ContentHash::of(&pieces.concat()));
        prop_assert_eq!(hasher.finish().to_string().parse(), Ok(hasher.finish()));
    }
}

#[test]
fn texts_that_are_no_content_hash() {
    let good = ContentHash::of(b"abc").to_string();
    for bad in [
        "",
        ":",
        "abc",
        &good[1..],
        &format!("{good}:"),
        &format!("{good}:{good}:{good}"),
        &format!("{good} "),
    ] {
        assert!(bad.parse::<ContentHash>().is_err(), "{bad:?}");
    }
    let live = ContentHash::live_photo(ContentHash::of(b"a"), ContentHash::of(b"b")).unwrap();
    assert_eq!(ContentHash::live_photo(live, ContentHash::of(b"b")), None);
}
