//! Subject numbers in the byte order of their names.
//!
//! Chunks of at most [`CHUNK_MAX`] numbers: an insertion moves one chunk, and a
//! number costs four to eight bytes.

/// See the module's documentation. Names are looked up by the caller's function.
#[derive(Debug, Default)]
pub(super) struct Order {
    chunks: Vec<Vec<u32>>,
}

const CHUNK_MAX: usize = 512;

impl Order {
    /// Adds `subject`, which is not there yet.
    pub(super) fn insert<'n>(&mut self, subject: u32, name: impl Fn(u32) -> &'n [u8]) {
        let (mut chunk, mut at) = self.lower_bound(name(subject), &name);
        if chunk > 0 && (chunk == self.chunks.len() || at == 0) {
            // Rather at the end of a chunk than at the start of the next.
            chunk -= 1;
            at = self.chunks[chunk].len();
        }
        let Some(numbers) = self.chunks.get_mut(chunk) else {
            self.chunks.push(vec![subject]);
            return;
        };
        if numbers.len() < CHUNK_MAX {
            numbers.insert(at, subject);
            return;
        }
        // Names that only ascend fill chunks to the brim.
        let middle = if at == CHUNK_MAX { CHUNK_MAX } else { CHUNK_MAX / 2 };
        let mut upper = numbers.split_off(middle);
        numbers.shrink_to_fit();
        if at >= middle {
            upper.insert(at - middle, subject);
        } else {
            numbers.insert(at, subject);
        }
        self.chunks.insert(chunk + 1, upper);
    }

    /// Removes `subject`, which is there.
    pub(super) fn remove<'n>(&mut self, subject: u32, name: impl Fn(u32) -> &'n [u8]) {
        let (chunk, at) = self.lower_bound(name(subject), &name);
        let Some(numbers) = self.chunks.get_mut(chunk) else { return };
        if numbers.get(at) == Some(&subject) {
            numbers.remove(at);
            if numbers.is_empty() {
                self.chunks.remove(chunk);
            }
        }
    }

    /// Subjects whose name is `from` or after it, in order.
    pub(super) fn starting_at<'s, 'n>(
        &'s self,
        from: &[u8],
        name: impl Fn(u32) -> &'n [u8],
    ) -> impl Iterator<Item = u32> + 's {
        let (chunk, at) = self.lower_bound(from, &name);
        let first = self.chunks.get(chunk).map(|numbers| &numbers[at..]).unwrap_or_default();
        let rest = self.chunks.iter().skip(chunk + 1).flatten();
        first.iter().chain(rest).copied()
    }

    /// Subjects whose name is `from` or after it and before `to`, in order; no other name than
    /// those at the ends is looked at.
    pub(super) fn between<'s, 'n>(
        &'s self,
        from: &[u8],
        to: Option<&[u8]>,
        name: impl Fn(u32) -> &'n [u8],
    ) -> impl Iterator<Item = u32> + 's {
        let (first, start) = self.lower_bound(from, &name);
        let (last, end) = to.map_or((self.chunks.len(), 0), |to| self.lower_bound(to, &name));
        let part = move |at: usize| {
            let numbers = self.chunks.get(at).map(Vec::as_slice).unwrap_or_default();
            let start = if at == first { start } else { 0 };
            let end = if at == last { end } else { numbers.len() };
            numbers.get(start..end).unwrap_or_default()
        };
        (first..=last).flat_map(part).copied()
    }

    fn lower_bound<'n>(&self, wanted: &[u8], name: &impl Fn(u32) -> &'n [u8]) -> (usize, usize) {
        let chunk = self
            .chunks
            .partition_point(|numbers| numbers.last().is_some_and(|last| name(*last) < wanted));
        let at = self
            .chunks
            .get(chunk)
            .map_or(0, |numbers| numbers.partition_point(|number| name(*number) < wanted));
        (chunk, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_the_order_of_their_names() {
        let mut names: Vec<String> =
            (0..5000).map(|n: u32| format!("{}", n * 7919 % 5000)).collect();
        names.extend((0..2000).map(|n| format!("z{n:05}")));
        let name = |subject: u32| names[subject as usize].as_bytes();
        let mut order = Order::default();
        let mut sorted = Vec::new();
        for subject in 0..7000 {
            order.insert(subject, name);
            sorted.push(subject);
        }
        for subject in (0..7000).step_by(3) {
            order.remove(subject, name);
            sorted.retain(|kept| *kept != subject);
        }
        sorted.sort_by_key(|subject| &names[*subject as usize]);
        assert_eq!(order.starting_at(b"", name).collect::<Vec<_>>(), sorted);
        let from = sorted.partition_point(|subject| names[*subject as usize].as_str() < "3");
        assert_eq!(order.starting_at(b"3", name).collect::<Vec<_>>(), sorted[from..]);
        assert_eq!(order.starting_at(b"zz", name).count(), 0);
        for (low, high) in [("", "zz"), ("1", "2"), ("3", "3"), ("z", "z001"), ("z01", "zz")] {
            let expected = sorted.iter().copied().filter(|subject| {
                let name = names[*subject as usize].as_str();
                low <= name && name < high
            });
            let between = order.between(low.as_bytes(), Some(high.as_bytes()), name);
            assert!(between.eq(expected), "{low} to {high}");
        }
        assert_eq!(order.between(b"", None, name).collect::<Vec<_>>(), sorted);
    }
}
