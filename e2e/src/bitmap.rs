//! Pictures that cost nothing to make, and that every decoder reads.

/// A picture of one colour in the simplest of all formats, which everybody can decode; `side` in pixels.
pub fn bitmap(side: u32, colour: u8) -> Vec<u8> {
    let pixels = vec![colour; (side * side * 3) as usize];
    let (head, length) = (54_u32, u32::try_from(pixels.len()).unwrap());
    let mut bytes = b"BM".to_vec();
    for number in [head + length, 0, head, 40, side, side, 1 | 24 << 16, 0, length, 0, 0, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(pixels);
    bytes
}
