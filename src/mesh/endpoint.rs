//! One shard's end of every lane.

use std::cell::Cell;
#[cfg(not(loom))]
use std::io;
#[cfg(not(loom))]
use std::os::fd::BorrowedFd;

use super::bounded::{self, bounded};
use super::cursors::{Cursors, CONTROL, DATA, RECYCLED};
use super::linked::{self, linked};
use super::parking::{Parking, Touch};
use super::sync::{fence, Arc, Ordering};
use super::watch::Watch;

/// What one shard holds of the mesh: it pushes to and takes from every other shard, and parks.
///
/// It belongs to one thread (it can be sent there, not shared). Within a turn the caller takes data
/// before control, pushes control before data, and calls [`wake_parked`](Self::wake_parked) once
/// after its last push. An index must be below [`shards`](Self::shards); the shard's own index is
/// allowed for reading, where nothing ever arrives, and refused for pushing.
pub struct Endpoint<C, D> {
    own: usize,
    shared: Arc<Shared>,
    peers: Vec<Peer<C, D>>,
    /// Peers whose `touch` is set, each once.
    touched: Vec<usize>,
    turns: u64,
    wakes: u64,
}

/// What the whole mesh shares beside the items themselves.
pub(super) struct Shared {
    pub(super) parking: Vec<Parking>,
    /// At `from * shards + to`.
    cursors: Vec<Arc<Cursors>>,
}

/// The lanes to and from one peer.
struct Peer<C, D> {
    outbound: Outbound<C, D>,
    inbound: Inbound<C, D>,
    touch: Touch,
    /// Highest value of the peer's routed counter that the caller has been shown.
    routed_seen: Cell<u64>,
}

struct Outbound<C, D> {
    cursors: Arc<Cursors>,
    control: linked::Producer<C, CONTROL>,
    data: bounded::Producer<D, DATA>,
    recycled: bounded::Producer<D, RECYCLED>,
}

struct Inbound<C, D> {
    cursors: Arc<Cursors>,
    control: linked::Consumer<C, CONTROL>,
    data: bounded::Consumer<D, DATA>,
    recycled: bounded::Consumer<D, RECYCLED>,
}

/// Builds the lanes of `shards` shards and returns one endpoint for each, in order of their index.
///
/// `data_lane_batches` bounds each data lane and each lane of recycled buffers; `1 <=` both.
pub fn mesh<C: Send, D: Send>(shards: usize, data_lane_batches: usize) -> Vec<Endpoint<C, D>> {
    assert!(1 <= shards, "a mesh has at least one shard");
    let shared = Arc::new(Shared {
        parking: (0..shards).map(|_| Parking::new()).collect(),
        cursors: (0..shards * shards).map(|_| Arc::new(Cursors::new())).collect(),
    });
    let mut outbound: Vec<Vec<Outbound<C, D>>> = (0..shards).map(|_| Vec::new()).collect();
    let mut inbound: Vec<Vec<Inbound<C, D>>> = (0..shards).map(|_| Vec::new()).collect();
    for (from, outbound) in outbound.iter_mut().enumerate() {
        for (to, inbound) in inbound.iter_mut().enumerate() {
            // A shard's lane to itself exists only so that indices need no gap.
            let capacity = if from == to { 1 } else { data_lane_batches };
            let (output, input) = lanes(shared.cursors(from, to), capacity);
            outbound.push(output);
            inbound.push(input);
        }
    }
    let ends = outbound.into_iter().zip(inbound).enumerate();
    ends.map(|(own, (outbound, inbound))| Endpoint {
        own,
        shared: Arc::clone(&shared),
        peers: outbound.into_iter().zip(inbound).map(Peer::new).collect(),
        touched: Vec::with_capacity(shards),
        turns: 0,
        wakes: 0,
    })
    .collect()
}

impl<C, D> Endpoint<C, D> {
    /// Appends a control item to the lane to `to`. The lane never fills.
    pub fn push_control(&mut self, to: usize, item: C) {
        assert!(to != self.own, "a shard has no lane to itself");
        self.peers[to].outbound.control.push(item);
        self.touch(to, Touch::Item);
    }

    /// Takes the oldest control item that `from` pushed.
    #[inline]
    pub fn take_control(&mut self, from: usize) -> Option<C> {
        self.peers[from].inbound.control.take()
    }

    /// Appends a batch to the data lane to `to`.
    ///
    /// # Errors
    /// The batch itself, if the lane is full.
    pub fn push_data(&mut self, to: usize, batch: D) -> Result<(), D> {
        assert!(to != self.own, "a shard has no lane to itself");
        self.peers[to].outbound.data.push(batch)?;
        self.touch(to, Touch::Item);
        Ok(())
    }

    /// Takes the oldest batch that `from` pushed.
    #[inline]
    pub fn take_data(&mut self, from: usize) -> Option<D> {
        self.peers[from].inbound.data.take()
    }

    /// Returns an emptied batch to the shard that filled it; frees it if that shard has been
    /// returned as many as fit. Wakes nobody.
    pub fn recycle(&mut self, to_origin: usize, empty: D) {
        drop(self.peers[to_origin].outbound.recycled.push(empty));
    }

    /// Takes one of our own batches that `from` has emptied.
    #[inline]
    pub fn take_recycled(&mut self, from: usize) -> Option<D> {
        self.peers[from].inbound.recycled.take()
    }

    /// Tells `from` how many entries of its data lane to us have been routed since the start.
    /// Never decreases.
    pub fn publish_routed(&mut self, from: usize, upto: u64) {
        self.peers[from].outbound.cursors.publish_routed(upto);
        self.touch(from, Touch::Routed);
    }

    /// Wakes every peer that has something new since the last call and sleeps: one fence, and one
    /// eventfd write per sleeping peer. Nothing at all if nothing was pushed.
    pub fn wake_parked(&mut self) {
        if self.touched.is_empty() {
            return;
        }
        // Between our pushes and our looks at who is parked; pairs with that of `begin_park`.
        fence(Ordering::SeqCst);
        for to in self.touched.drain(..) {
            let touch = std::mem::replace(&mut self.peers[to].touch, Touch::None);
            if self.shared.parking[to].wake_for(touch) {
                self.wakes += 1;
            }
        }
    }

    /// Publishes that this shard sleeps and looks at its lanes once more. `false`: something has
    /// arrived and the shard is not parked. `true`: whoever pushes from now on writes the eventfd;
    /// the caller checks its ring, sleeps on the eventfd and calls [`end_park`](Self::end_park).
    ///
    /// With `awaits_routed` an advance of a peer's routed counter counts as an arrival too. A
    /// shard that waits for room in a full data lane parks this way as well: room appears before
    /// the counter advances. It refuses to park for one advance only once, so the caller looks at
    /// every counter it waits for after each `false` and after each sleep.
    #[must_use = "a shard that did not park must not sleep"]
    pub fn begin_park(&mut self, awaits_routed: bool) -> bool {
        // A peer left asleep on what we pushed would sleep on.
        self.wake_parked();
        let parking = &self.shared.parking[self.own];
        parking.park(awaits_routed);
        // Between our state and our looks at the lanes; pairs with that of `wake_parked`.
        fence(Ordering::SeqCst);
        let mut arrived = false;
        for peer in &self.peers {
            arrived |= peer.inbound.control.is_waiting() || peer.inbound.data.is_waiting();
            arrived |= awaits_routed && peer.note_routed().1;
        }
        if arrived {
            parking.unpark();
        }
        !arrived
    }

    /// Whether anything waits in an inbound lane: one read per peer.
    #[inline]
    pub fn inbound_waiting(&self) -> bool {
        self.peers
            .iter()
            .any(|peer| peer.inbound.control.is_waiting() || peer.inbound.data.is_waiting())
    }

    /// The shard runs again.
    pub fn end_park(&mut self) {
        self.shared.parking[self.own].unpark();
    }

    /// Counts a turn, so that a watcher sees the shard alive.
    #[inline]
    pub fn turn(&mut self) {
        self.turns += 1;
        self.shared.parking[self.own].publish_turns(self.turns);
    }

    /// Attaches the eventfd that wakes this shard, before any peer pushes to it. The descriptor is
    /// duplicated: the caller keeps its own.
    ///
    /// # Errors
    /// That of duplicating it, or `AlreadyExists` if one was attached before.
    #[cfg(not(loom))]
    pub fn set_wake_fd(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.shared.parking[self.own].bell.attach(eventfd)
    }

    /// This shard's index.
    #[inline]
    pub fn own(&self) -> usize {
        self.own
    }

    /// Number of shards.
    #[inline]
    pub fn shards(&self) -> usize {
        self.peers.len()
    }

    /// How many entries of our data lane to `to` that shard has routed since the start.
    #[inline]
    pub fn routed(&self, to: usize) -> u64 {
        self.peers[to].note_routed().0
    }

    /// Batches that the data lane to `to` takes now. Only we push, so it can only grow.
    pub fn data_free(&self, to: usize) -> usize {
        self.peers[to].outbound.data.free()
    }

    /// Batches on their way to `to`.
    pub fn data_depth(&self, to: usize) -> usize {
        self.peers[to].outbound.data.depth()
    }

    /// Control items on their way to `to`.
    pub fn control_depth(&self, to: usize) -> usize {
        self.peers[to].outbound.control.depth()
    }

    /// Eventfd writes this shard has made.
    pub fn wakes(&self) -> u64 {
        self.wakes
    }

    /// The view of all shards for threads that are none.
    pub fn watch(&self) -> Watch {
        Watch::new(Arc::clone(&self.shared))
    }

    #[inline]
    fn touch(&mut self, to: usize, touch: Touch) {
        let peer = &mut self.peers[to];
        if peer.touch == Touch::None {
            self.touched.push(to);
        }
        peer.touch = peer.touch.max(touch);
    }

    #[cfg(all(test, loom))]
    pub(super) fn bell_has_rung(&self) -> bool {
        self.shared.parking[self.own].bell.has_rung()
    }
}

impl<C, D> Peer<C, D> {
    fn new((outbound, inbound): (Outbound<C, D>, Inbound<C, D>)) -> Self {
        Self { outbound, inbound, touch: Touch::None, routed_seen: Cell::new(0) }
    }

    /// The peer's routed counter, and whether it has advanced since the last look.
    #[inline]
    fn note_routed(&self) -> (u64, bool) {
        let routed = self.inbound.cursors.routed();
        let seen = self.routed_seen.replace(routed);
        (routed, seen < routed)
    }
}

impl Shared {
    pub(super) fn cursors(&self, from: usize, to: usize) -> &Arc<Cursors> {
        &self.cursors[from * self.parking.len() + to]
    }
}

fn lanes<C, D>(cursors: &Arc<Cursors>, capacity: usize) -> (Outbound<C, D>, Inbound<C, D>) {
    let (control_out, control_in) = linked(cursors);
    let (data_out, data_in) = bounded(cursors, capacity);
    let (recycled_out, recycled_in) = bounded(cursors, capacity);
    let outbound = Outbound {
        cursors: Arc::clone(cursors),
        control: control_out,
        data: data_out,
        recycled: recycled_out,
    };
    let inbound = Inbound {
        cursors: Arc::clone(cursors),
        control: control_in,
        data: data_in,
        recycled: recycled_in,
    };
    (outbound, inbound)
}
