//! FNV-1a of 64 bits (Fowler, Noll and Vo; RFC 9923): equal for equal bytes on every machine. It keeps nobody
//! from choosing bytes that collide.

/// Hash of no bytes.
const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;

const PRIME: u64 = 0x0000_0100_0000_01B3;

/// A hash under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv1a(u64);

impl Fnv1a {
    /// The hash of nothing yet.
    pub const fn new() -> Self {
        Self(OFFSET)
    }

    /// Goes on from a hash.
    pub const fn resume(hash: u64) -> Self {
        Self(hash)
    }

    /// Takes in a byte.
    #[must_use]
    pub const fn byte(self, byte: u8) -> Self {
        self.word(byte as u64)
    }

    /// Takes in bytes, one by one.
    #[must_use]
    pub const fn bytes(self, bytes: &[u8]) -> Self {
        let (mut hash, mut rest) = (self, bytes);
        while let [first, others @ ..] = rest {
            hash = hash.byte(*first);
            rest = others;
        }
        hash
    }

    /// Takes in 64 bits in one step. Upper bits never reach lower ones: whoever looks at those
    /// spreads the result.
    #[must_use]
    pub const fn word(self, word: u64) -> Self {
        Self((self.0 ^ word).wrapping_mul(PRIME))
    }

    /// The hash.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for Fnv1a {
    fn default() -> Self {
        Self::new()
    }
}

/// Hashes bytes.
pub const fn hash(bytes: &[u8]) -> u64 {
    Fnv1a::new().bytes(bytes).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_test_vectors_hold() {
        assert_eq!(hash(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(hash(b"a"), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(hash(b"foobar"), 0x8594_4171_F739_67E8);
        assert_eq!(Fnv1a::new().bytes(b"foo").bytes(b"bar").finish(), hash(b"foobar"));
    }
}
