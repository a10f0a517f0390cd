//! Lists of subscriptions that nearly always hold one.

use super::ids::index32;
use super::SubId;

/// A list of 16 bytes: up to three subscriptions in place, more in a vector.
///
/// The order is not kept: removing puts the last one in the gap. Each
/// subscription knows its position, so removing is O(1) however long the list.
#[derive(Debug)]
pub(super) enum SubList {
    /// `length <= INLINE_MAX`.
    Inline { length: u8, ids: [SubId; INLINE_MAX] },
    #[expect(clippy::box_collection, reason = "a vector in place would double every pattern node")]
    Heap(Box<Vec<SubId>>),
}

impl SubList {
    pub(super) const fn new() -> Self {
        Self::Inline { length: 0, ids: [SubId(0); INLINE_MAX] }
    }

    /// Adds a subscription and returns its position.
    pub(super) fn push(&mut self, id: SubId) -> u32 {
        match self {
            Self::Inline { length, ids } => {
                let position = usize::from(*length);
                if position < INLINE_MAX {
                    ids[position] = id;
                    *length += 1;
                } else {
                    let mut list = Vec::with_capacity(2 * INLINE_MAX);
                    list.extend_from_slice(ids);
                    list.push(id);
                    *self = Self::Heap(Box::new(list));
                }
                index32(position)
            }
            Self::Heap(list) => {
                list.push(id);
                index32(list.len() - 1)
            }
        }
    }

    /// Takes out the subscription at a position and returns the one that has
    /// this position now, if there is one.
    pub(super) fn swap_remove(&mut self, position: u32) -> Option<SubId> {
        let position = position as usize;
        match self {
            Self::Inline { length, ids } => {
                let last = usize::from(*length) - 1;
                assert!(position <= last, "a position beyond the list");
                ids[position] = ids[last];
                *length -= 1;
            }
            Self::Heap(list) => {
                list.swap_remove(position);
                if let [only] = list[..] {
                    *self = Self::Inline { length: 1, ids: [only; INLINE_MAX] };
                } else if list.len() < list.capacity() / 4 {
                    list.shrink_to(2 * list.len());
                }
            }
        }
        self.as_slice().get(position).copied()
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[SubId] {
        match self {
            Self::Inline { length, ids } => &ids[..usize::from(*length)],
            Self::Heap(list) => list,
        }
    }

    pub(super) fn len(&self) -> u32 {
        index32(self.as_slice().len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

/// The most subscriptions that need no allocation.
const INLINE_MAX: usize = 3;

const _: () = assert!(size_of::<SubList>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_stay_right_while_the_list_grows_and_shrinks() {
        // Goal: whatever is removed, each subscription is found at the position
        // it was told. Method: a map of positions, updated as a caller would.
        let mut list = SubList::new();
        let mut positions = Vec::new();
        for id in 0..50 {
            positions.push(list.push(SubId(id)));
        }
        for id in [0, 49, 25, 1, 2, 3, 48, 47].into_iter().chain(4..25).chain(26..47) {
            let position = positions[id as usize];
            assert_eq!(list.as_slice()[position as usize], SubId(id));
            if let Some(moved) = list.swap_remove(position) {
                positions[moved.0 as usize] = position;
            }
            assert!(!list.as_slice().contains(&SubId(id)));
        }
        assert!(list.is_empty());
    }
}
