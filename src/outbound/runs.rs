//! Frames that several connections get, written once.
//!
//! A wide fan-out writes each frame into the open **run**, and every subscriber
//! notes which stretch of it is its own: consecutive frames extend the stretch.
//! When flights are loaded, at the end of a turn, the run is closed, and each
//! flight carries a reference to it. The frames are then copied once for all
//! subscribers, and the kernel reads them from the cache instead of from as
//! many places in memory as there are subscribers.
//!
//! Invariants:
//! - the open run has one owner, this module; a closed run never changes;
//! - a stretch names a run of this turn: it becomes a segment, or is copied,
//!   when its connection's flight is loaded or would be.
//!
//! Bounds: a run has [`RUN_BYTES`], or the size of its one larger frame. What a
//! connection keeps beyond its flight are stretches of at least
//! [`STRETCH_KEPT_MIN`] bytes; smaller ones are copied into its own chunk. So it
//! pins at most twice what its `max_pending` counts, and as a rule shares even that.

use std::ops::Range;
use std::rc::Rc;

use crate::net::Segment;

/// Bytes of a run: what one receive brings, with longer lines, and room to spare.
pub(super) const RUN_BYTES: usize = 96 * 1024;

/// The smallest stretch that a queue keeps as it is.
pub(super) const STRETCH_KEPT_MIN: usize = RUN_BYTES / 2;

/// Runs kept when nobody uses them: 3 MiB a shard at most.
const RUNS_KEPT_MAX: usize = 32;

/// A stretch of a run of this turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedFrame {
    /// Which run; the first one is 1, so that the default is no frame of any.
    pub(super) run: u64,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl SharedFrame {
    /// Bytes of the frame.
    #[inline]
    pub fn bytes(self) -> usize {
        self.end - self.start
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// The open run, and the closed ones of this turn.
#[derive(Debug)]
pub(super) struct Runs {
    open: Option<Rc<Vec<u8>>>,
    /// Number of the open run, or of the next one.
    number: u64,
    /// Those closed this turn; the last one has the number before `number`.
    closed: Vec<Rc<Vec<u8>>>,
    spare: Vec<Rc<Vec<u8>>>,
}

impl Default for Runs {
    fn default() -> Self {
        Self { open: None, number: 1, closed: Vec::new(), spare: Vec::new() }
    }
}

impl Runs {
    #[inline]
    pub(super) fn write(&mut self, prefix: &[u8], rest: &[u8]) -> SharedFrame {
        let bytes = prefix.len() + rest.len();
        let room = self.open.as_ref().map_or(0, |open| open.capacity() - open.len());
        if room < bytes {
            self.make_room(bytes);
        }
        let open = self.open.as_mut().and_then(Rc::get_mut);
        assert!(open.is_some(), "an open run has one owner, and a frame is not empty");
        let Some(open) = open else { return SharedFrame::default() };
        let start = open.len();
        open.extend_from_slice(prefix);
        open.extend_from_slice(rest);
        SharedFrame { run: self.number, start, end: start + bytes }
    }

    /// The bytes of a stretch of this turn.
    pub(super) fn bytes(&self, stretch: SharedFrame) -> &[u8] {
        let run = match &self.open {
            Some(open) if stretch.run == self.number => open,
            _ => self.closed(stretch),
        };
        &run[stretch.range()]
    }

    /// A stretch as a flight carries it; the run is closed if it is open.
    pub(super) fn segment(&mut self, stretch: SharedFrame) -> Segment {
        if stretch.run == self.number {
            self.close();
        }
        Segment::Shared(Rc::clone(self.closed(stretch)), stretch.range())
    }

    /// Whether more may be written behind a stretch.
    pub(super) fn is_open(&self, stretch: SharedFrame) -> bool {
        stretch.run == self.number
    }

    pub(super) fn end(&mut self) {
        self.close();
        while let Some(run) = self.closed.pop() {
            self.take_back(run);
        }
    }

    /// Keeps a run for reuse if this was the last reference to it.
    pub(super) fn take_back(&mut self, mut run: Rc<Vec<u8>>) {
        if let Some(buffer) = Rc::get_mut(&mut run) {
            if buffer.capacity() == RUN_BYTES && self.spare.len() < RUNS_KEPT_MAX {
                buffer.clear();
                self.spare.push(run);
            }
        }
    }

    pub(super) fn spare_bytes(&self) -> usize {
        self.spare.len() * RUN_BYTES
    }

    fn closed(&self, stretch: SharedFrame) -> &Rc<Vec<u8>> {
        let age = usize::try_from(self.number - stretch.run).unwrap_or(usize::MAX);
        &self.closed[self.closed.len() - age]
    }

    #[cold]
    fn make_room(&mut self, bytes: usize) {
        self.close();
        let spare = if bytes <= RUN_BYTES { self.spare.pop() } else { None };
        self.open =
            Some(spare.unwrap_or_else(|| Rc::new(Vec::with_capacity(bytes.max(RUN_BYTES)))));
    }

    fn close(&mut self) {
        if let Some(run) = self.open.take() {
            self.closed.push(run);
            self.number += 1;
        }
    }
}
