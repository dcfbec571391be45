//! Which blocks of prompts a host still has the KV of: least recently used out first.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use evenkeel_numbers::random::GOLDEN;

/// Mixes a block id by one multiplication (Fibonacci hashing): the same on every run and
/// machine, unlike the standard library's hasher. The map is never iterated.
#[derive(Clone, Default)]
struct BlockHasher(u64);

impl Hasher for BlockHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, block: u64) {
        let mixed = (self.0 ^ block).wrapping_mul(GOLDEN);
        self.0 = mixed ^ (mixed >> 32);
    }
}

type BlockMap = HashMap<u64, u32, BuildHasherDefault<BlockHasher>>;

/// One block, in a list from the most to the least recently used.
#[derive(Clone, Copy, Debug)]
struct Node {
    block: u64,
    newer: u32,
    older: u32,
}

const NONE: u32 = u32::MAX;

/// A least-recently-used set of block ids.
#[derive(Debug)]
pub struct PrefixCache {
    capacity: usize,
    nodes: Vec<Node>,
    places: BlockMap,
    newest: u32,
    oldest: u32,
}

impl PrefixCache {
    /// An empty cache for `capacity` blocks.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, nodes: Vec::new(), places: BlockMap::default(), newest: NONE, oldest: NONE }
    }

    /// Leading blocks of a prompt that are cached. Leaves the order of use as it is.
    pub fn cached_blocks(&self, prefix: &[u64]) -> usize {
        prefix.iter().take_while(|block| self.places.contains_key(block)).count()
    }

    /// Marks the blocks of a prompt as used, adding those that are not there. The first
    /// block counts as the most recently used: a prefix is worth nothing without its start.
    pub fn touch(&mut self, prefix: &[u64]) {
        if self.capacity == 0 {
            return;
        }
        // Blocks beyond the capacity would only push out the prefix's own start.
        for &block in prefix[..prefix.len().min(self.capacity)].iter().rev() {
            match self.places.get(&block) {
                Some(&place) => self.unlink(place),
                None => self.make_room(block),
            }
            self.link_newest(self.places[&block]);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.places.clear();
        self.newest = NONE;
        self.oldest = NONE;
    }

    /// Gives a new block a node, the oldest one's if the cache is full.
    fn make_room(&mut self, block: u64) {
        let place = if self.nodes.len() < self.capacity {
            self.nodes.push(Node { block, newer: NONE, older: NONE });
            (self.nodes.len() - 1) as u32
        } else {
            let place = self.oldest;
            self.unlink(place);
            self.places.remove(&self.nodes[place as usize].block);
            self.nodes[place as usize].block = block;
            place
        };
        self.places.insert(block, place);
    }

    fn unlink(&mut self, place: u32) {
        let Node { newer, older, .. } = self.nodes[place as usize];
        match newer {
            NONE => self.newest = older,
            _ => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            _ => self.nodes[older as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, place: u32) {
        let older = self.newest;
        self.nodes[place as usize].newer = NONE;
        self.nodes[place as usize].older = older;
        match older {
            NONE => self.oldest = place,
            _ => self.nodes[older as usize].newer = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use super::PrefixCache;

    #[test]
    fn evicts_the_least_recently_used_block() {
        let mut cache = PrefixCache::new(4);
        cache.touch(&[1, 2]);
        cache.touch(&[3, 4]);
        assert_eq!(cache.cached_blocks(&[1, 2, 9]), 2);
        cache.touch(&[1, 2]);
        cache.touch(&[5]);
        assert_eq!(cache.cached_blocks(&[3, 4]), 1, "the end of the older prefix goes first");
        assert_eq!(cache.cached_blocks(&[1, 2]), 2);
        assert_eq!(cache.cached_blocks(&[5]), 1);
    }

    #[test]
    fn keeps_the_start_of_a_prefix_larger_than_itself() {
        let mut cache = PrefixCache::new(3);
        cache.touch(&[1, 2, 3, 4, 5]);
        assert_eq!(cache.cached_blocks(&[1, 2, 3, 4, 5]), 3);
        cache.clear();
        assert_eq!(cache.cached_blocks(&[1]), 0);
    }

    #[test]
    fn no_capacity_caches_nothing() {
        let mut cache = PrefixCache::new(0);
        cache.touch(&[1]);
        assert_eq!(cache.cached_blocks(&[1]), 0);
    }
}
