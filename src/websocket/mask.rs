//! Masking: payload XORed with a key of four bytes.

/// Unmasks `bytes` in place, and turns `key` so that it fits what follows.
pub(super) fn unmask(bytes: &mut [u8], key: &mut [u8; 4]) {
    if *key == [0; 4] {
        return;
    }
    let [a, b, c, d] = *key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    key.rotate_left(rest.len() % 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_gives_the_same_bytes() {
        let plain: Vec<u8> = (0..100).collect();
        let key = [0x12, 0x34, 0x56, 0x78];
        let masked: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
        for cut in 0..=plain.len() {
            let (mut bytes, mut turned) = (masked.clone(), key);
            let (one, two) = bytes.split_at_mut(cut);
            unmask(one, &mut turned);
            unmask(two, &mut turned);
            assert_eq!(bytes, plain, "cut at {cut}");
        }
    }
}
