//! The arena: one block of memory in which buffers share bytes when they are not alive together.

/// When a buffer is alive: launches `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// The launch that writes it first.
    pub first: usize,
    /// The last launch that uses it.
    pub last: usize,
    /// Its size.
    pub bytes: usize,
}

/// Places buffers: an offset for each, multiples of 64, and the size of the arena. The largest first, each at the lowest
/// offset that is free while it lives (Pisarchyk & Lee, *Efficient memory management for deep neural net inference*, 2020).
pub fn place(lifetimes: &[Lifetime]) -> (Vec<usize>, usize) {
    let size = |i: usize| lifetimes[i].bytes.div_ceil(64).max(1) * 64;
    let mut by_size: Vec<usize> = (0..lifetimes.len()).collect();
    by_size.sort_by_key(|&i| (std::cmp::Reverse(size(i)), i));
    let mut offsets = vec![0; lifetimes.len()];
    let mut placed: Vec<usize> = vec![]; // ascending offsets
    let mut total = 0;
    for i in by_size {
        let overlaps = |j: &usize| {
            let (a, b) = (lifetimes[i], lifetimes[*j]);
            a.first <= b.last && b.first <= a.last
        };
        let mut offset = 0;
        for &j in placed.iter().filter(|j| overlaps(j)) {
            if offset + size(i) <= offsets[j] {
                break;
            }
            offset = offset.max(offsets[j] + size(j));
        }
        offsets[i] = offset;
        total = total.max(offset + size(i));
        let at = placed.partition_point(|&j| (offsets[j], j) < (offset, i));
        placed.insert(at, i);
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_memory_of_the_dead_only() {
        let lifetime = |first, last, bytes| Lifetime { first, last, bytes };
        let lifetimes = [
            lifetime(0, 1, 100),
            lifetime(1, 2, 64),
            lifetime(2, 3, 128),
            lifetime(0, 3, 1),
            lifetime(4, 4, 0),
        ];
        let (offsets, total) = place(&lifetimes);
        for (i, a) in lifetimes.iter().enumerate() {
            assert_eq!(offsets[i] % 64, 0);
            assert!(offsets[i] + a.bytes <= total);
            for (j, b) in lifetimes.iter().enumerate().skip(i + 1) {
                let together = a.first <= b.last && b.first <= a.last;
                let overlap = offsets[i] < offsets[j] + b.bytes && offsets[j] < offsets[i] + a.bytes;
                assert!(!(together && overlap), "{i} and {j} share memory while both live");
            }
        }
        // 128 + 64 + 64: the first and third buffer share.
        assert_eq!(total, 256);
    }
}
