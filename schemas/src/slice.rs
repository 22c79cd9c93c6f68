//! Slices and partitions: which part of the work a recipient belongs to.
//!
//! There are 4,096 slices, for ever. A deployment groups them into `P` partitions,
//! a power of two; a partition is one range of slices, so changing `P` never moves
//! a recipient to another slice and no id has to change.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How many slices there are.
pub const SLICES: u16 = 4_096;

/// One of the 4,096 slices: the first 12 bits of SHA-256 over a recipient's E.164
/// digits without the `+`. Published, so that other systems can compute it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slice(u16);

impl Slice {
    /// The slice of a number's digits.
    pub fn of_digits(digits: &str) -> Self {
        let hash = Sha256::digest(digits.as_bytes());
        Self(u16::from(hash[0]) << 4 | u16::from(hash[1]) >> 4)
    }

    /// The slice with this number; the bits above the twelfth are dropped.
    pub const fn from_low_bits(number: u16) -> Self {
        Self(number & (SLICES - 1))
    }

    /// 0 to 4,095.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The shard of stored rows: bits 3 to 8. Row keys carry the shard and never the
    /// partition, so that rows stay where they are when `P` changes. 64 shards keep one
    /// day of ten million messages under 160,000 rows a shard. The top bits, which tell
    /// partitions apart, are not among them: all partitions go through their slices at
    /// about the same pace, so what they write at one time lies in few shards, side by
    /// side, and the store merges it with its neighbours only.
    pub const fn shard(self) -> u8 {
        (self.0 >> 3 & 63) as u8
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "slice {}", self.0)
    }
}

/// One partition of a deployment: a range of slices with one owner.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Partition(pub u16);

/// How many partitions a deployment has: a power of two from 1 to 4,096.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct PartitionCount(u16);

/// The count is not a power of two from 1 to 4,096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the number of partitions must be a power of two from 1 to 4096, not {0}")]
pub struct InvalidPartitionCount(pub u16);

impl PartitionCount {
    /// The default of an embedded node.
    pub const EMBEDDED: Self = Self(8);

    /// Not divided at all.
    pub const ONE: Self = Self(1);

    /// Takes a count.
    ///
    /// # Errors
    /// [`InvalidPartitionCount`] unless it is a power of two from 1 to 4,096.
    pub const fn new(count: u16) -> Result<Self, InvalidPartitionCount> {
        if count.is_power_of_two() && count <= SLICES {
            Ok(Self(count))
        } else {
            Err(InvalidPartitionCount(count))
        }
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The partition that holds `slice`: its top log2(P) bits.
    pub const fn of(self, slice: Slice) -> Partition {
        Partition(slice.0 / (SLICES / self.0))
    }

    /// All partitions in order.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.0).map(Partition)
    }

    /// First and last slice of `partition`.
    pub const fn slices(self, partition: Partition) -> (Slice, Slice) {
        let width = SLICES / self.0;
        let first = partition.0 * width;
        (Slice(first), Slice(first + (width - 1)))
    }
}

/// Partitions that one node owns together: one of so many equal ranges, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionRange {
    all: PartitionCount,
    place: u16,
    of: PartitionCount,
}

impl PartitionRange {
    /// All partitions.
    pub const fn whole(all: PartitionCount) -> Self {
        Self {
            all,
            place: 0,
            of: PartitionCount::ONE,
        }
    }

    /// All partitions, divided into `into` ranges, or one for each if there are fewer partitions.
    pub fn divide(all: PartitionCount, into: PartitionCount) -> impl Iterator<Item = Self> {
        let of = into.min(all);
        (0..of.get()).map(move |place| Self { all, place, of })
    }

    /// How many partitions there are in all.
    pub const fn all(self) -> PartitionCount {
        self.all
    }

    /// Which of the ranges it is, from 0.
    pub const fn place(self) -> u16 {
        self.place
    }

    /// How many ranges there are.
    pub const fn ranges(self) -> u16 {
        self.of.get()
    }

    /// Its first partition.
    pub const fn first(self) -> Partition {
        Partition(self.place * (self.all.get() / self.of.get()))
    }

    /// Its partitions in order.
    pub fn partitions(self) -> impl Iterator<Item = Partition> {
        let count = self.all.get() / self.of.get();
        let first = self.first().0;
        (first..first + count).map(Partition)
    }

    /// The one of its partitions where something is at home that has no recipient, by the last bytes
    /// of its id.
    pub fn home_of(self, id: &[u8; 16]) -> Partition {
        let count = self.all.get() / self.of.get();
        Partition(self.first().0 + u16::from_be_bytes([id[14], id[15]]) % count)
    }

    /// Whether a partition is one of its.
    pub const fn holds(self, partition: Partition) -> bool {
        partition.0 / (self.all.get() / self.of.get()) == self.place
    }
}

impl TryFrom<u16> for PartitionCount {
    type Error = InvalidPartitionCount;

    fn try_from(count: u16) -> Result<Self, Self::Error> {
        Self::new(count)
    }
}

impl From<PartitionCount> for u16 {
    fn from(count: PartitionCount) -> Self {
        count.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Partition, PartitionCount, PartitionRange, SLICES, Slice};

    /// Golden vectors: `printf 15005550006 | sha256sum`, the first three hex digits.
    #[test]
    fn the_hash_is_published() {
        assert_eq!(Slice::of_digits("15005550006").number(), 0xaf4);
        assert_eq!(Slice::of_digits("251911234567").number(), 0x03e);
        assert_eq!(Slice::of_digits("447700900000").number(), 0x63e);
    }

    #[test]
    fn each_partition_is_in_one_range() {
        for bits in (0..=12).flat_map(|all| (0..=12).map(move |into| (all, into))) {
            let (all, into) = (1 << bits.0, 1 << bits.1);
            let count = |of| PartitionCount::new(of).expect("a power of two");
            let ranges: Vec<_> = PartitionRange::divide(count(all), count(into)).collect();
            assert_eq!(ranges.len(), usize::from(all.min(into)));
            let each = ranges.iter().flat_map(|range| range.partitions());
            assert!(each.eq(count(all).all()), "in order, each once");
            for range in &ranges {
                assert_eq!(range.partitions().next(), Some(range.first()));
                let held = count(all).all().filter(|each| range.holds(*each));
                assert!(held.eq(range.partitions()));
            }
        }
        let whole = PartitionRange::whole(PartitionCount::EMBEDDED);
        assert!(whole.partitions().eq(PartitionCount::EMBEDDED.all()));
    }

    #[test]
    fn a_partition_is_one_range_of_slices() {
        for bits in 0..=12 {
            let count = PartitionCount::new(1 << bits).expect("a power of two");
            let mut next = 0;
            for partition in count.all() {
                let (first, last) = count.slices(partition);
                assert_eq!(first.number(), next);
                assert_eq!(count.of(first), partition);
                assert_eq!(count.of(last), partition);
                next = last.number() + 1;
            }
            assert_eq!(next, SLICES);
        }
        assert_eq!(
            PartitionCount::EMBEDDED.of(Slice::from_low_bits(4_095)),
            Partition(7)
        );
    }
}
