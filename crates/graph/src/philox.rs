//! Philox 4×32-10, the counter-based generator of Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*
//! (SC 2011).

/// The multipliers of even and odd words.
pub const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What the key words grow by each round: the golden ratio and √3 − 1.
pub const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// The number of rounds.
pub const ROUNDS: usize = 10;

/// Four random words from a counter and a key.
///
/// ```
/// // A published known-answer vector.
/// let words = bespoke_graph::philox::block([0; 4], [0; 2]);
/// assert_eq!(words, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
/// ```
pub fn block(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], mut key) = (counter, key);
    for round in 0..ROUNDS {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let even = u64::from(MULTIPLIERS[0]) * u64::from(c0);
        let odd = u64::from(MULTIPLIERS[1]) * u64::from(c2);
        (c0, c1, c2, c3) =
            ((odd >> 32) as u32 ^ c1 ^ key[0], odd as u32, (even >> 32) as u32 ^ c3 ^ key[1], even as u32);
    }
    [c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use super::block;

    /// The known-answer vectors published with the Random123 library (`kat_vectors`, philox4x32 10).
    #[test]
    fn equals_published_vectors() {
        assert_eq!(block([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(block([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let counter = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        assert_eq!(
            block(counter, [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }
}
