//! The ring: queues operations, enters the kernel, reports completions.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use io_uring::{cqueue, opcode, squeue, types, EnterFlags, IoUring};

use super::buffers::{BufferId, Buffers, GROUP};
use super::completion::{Completion, End};
use super::error::{RingError, RingStep};
use super::flight::Flight;
use super::held::{Held, HeldSlots};
use super::setup::RingConfig;
use super::timer::{Timer, TimerEntry};
use super::user_data::{pack, unpack, Kind};
use super::watch::RingWatch;

/// One io_uring for a shard's sockets, used by the thread that made it.
pub struct Ring {
    // Fields drop in this order: the kernel lets go before the memory does.
    uring: IoUring,
    buffers: Buffers,
    held: HeldSlots,
    timer: Timer,
    watch: RingWatch,
    event_fd: OwnedFd,
    /// Operations that found the submission queue full; submitted before later ones.
    backlog: VecDeque<squeue::Entry>,
    /// Entries in the submission queue.
    queued: usize,
    /// Operations whose last completion is not yet reaped, queued ones included.
    outstanding: usize,
    calls: u64,
    /// The kernel accepts this ring's calls from one thread only.
    one_thread: PhantomData<*mut ()>,
}

/// How long a dropped ring waits for the kernel, in tenths of a second, before it leaks.
const DROP_WAITS: u32 = 20;

impl Ring {
    /// Makes a ring for the calling thread, with its buffers lent.
    ///
    /// # Errors
    /// What the kernel lacks or forbids, and how to allow it.
    pub fn new(config: &RingConfig) -> Result<Self, RingError> {
        let failed = |step| move |error: io::Error| RingError::from_io(step, &error);
        let uring = config.build()?;
        let buffers = Buffers::new(&uring, config.receive_buffers, config.receive_buffer_bytes)?;
        let event_fd = event_fd().map_err(failed(RingStep::EventFd))?;
        // SAFETY: the descriptor is the ring's own, open for as long as `uring` lives, which
        // outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(uring.as_raw_fd()) };
        let watch = RingWatch::new(descriptor, uring.params()).map_err(failed(RingStep::Watch))?;
        Ok(Self {
            uring,
            buffers,
            held: HeldSlots::default(),
            timer: Timer::new(),
            watch,
            event_fd,
            backlog: VecDeque::new(),
            queued: 0,
            outstanding: 0,
            calls: 0,
            one_thread: PhantomData,
        })
    }

    /// Accepts connections on `listener` until `more` is false.
    pub fn accept(&mut self, listener: RawFd, token: u64) {
        let entry = opcode::AcceptMulti::new(types::Fd(listener)).flags(libc::SOCK_CLOEXEC);
        self.push(entry.build().user_data(pack(Kind::Accept, token)));
    }

    /// Receives from `fd` until `more` is false or the receive ends. The socket must be blocking:
    /// the kernel does not wait on one that is not. Only one receive a token at a time.
    pub fn receive(&mut self, fd: RawFd, token: u64) {
        let entry = opcode::RecvMulti::new(types::Fd(fd), GROUP);
        self.push(entry.build().user_data(pack(Kind::Receive, token)));
    }

    /// Cancels the receive of this token. Bytes may still be reported until it has ended, and
    /// none are lost.
    pub fn cancel_receive(&mut self, token: u64) {
        self.cancel(Kind::Receive, token);
    }

    /// Cancels the accept of this token.
    pub fn cancel_accept(&mut self, token: u64) {
        self.cancel(Kind::Accept, token);
    }

    /// Sends what remains of a flight, which must not be done. One send a socket at a time, or
    /// their bytes interleave.
    pub fn send(&mut self, fd: RawFd, token: u64, flight: Box<Flight>) {
        let slot = self.held.insert(Held::Send { token, flight });
        // The slot is filled just above, so there is a flight.
        if let Some(Held::Send { flight, .. }) = self.held.get_mut(slot) {
            let entry = flight.entry(fd).user_data(pack(Kind::Send, slot as u64));
            self.push(entry);
        }
    }

    /// Reads at most `bytes` from a descriptor that is not a socket, at its current position: a
    /// signalfd, a pipe. `bytes <= 1 MiB`.
    pub fn read(&mut self, fd: RawFd, token: u64, bytes: u32) {
        assert!(bytes <= 1 << 20, "a ring's read is small");
        let buffer = vec![0; bytes as usize].into_boxed_slice();
        let slot = self.held.insert(Held::Read { token, buffer });
        if let Some(Held::Read { buffer, .. }) = self.held.get_mut(slot) {
            let entry = opcode::Read::new(types::Fd(fd), buffer.as_mut_ptr(), bytes)
                .offset(u64::MAX)
                .build()
                .user_data(pack(Kind::Read, slot as u64));
            self.push(entry);
        }
    }

    /// Writes `bytes` to a file at `offset`. For a file opened with `O_DIRECT` they start at an
    /// aligned address. They stay where they are, and as they are, as long as they are shared.
    pub fn write(&mut self, fd: RawFd, token: u64, offset: u64, bytes: Rc<dyn AsRef<[u8]>>) {
        let (address, length) = ((*bytes).as_ref().as_ptr(), (*bytes).as_ref().len());
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let slot = self.held.insert(Held::Write { token, bytes });
        let entry = opcode::Write::new(types::Fd(fd), address, length)
            .offset(offset)
            .build()
            .user_data(pack(Kind::Write, slot as u64));
        self.push(entry);
    }

    /// Sets the one deadline, in nanoseconds of CLOCK_MONOTONIC, replacing the last; `None`
    /// withdraws it. Queues an operation, at the next `enter`, only if the deadline is earlier
    /// than the kernel's timer.
    pub fn timeout(&mut self, deadline: Option<u64>) {
        self.timer.want(deadline);
    }

    /// Submits what is queued and lets the kernel deliver completions: one system call, or none if
    /// there is nothing of either (more than one only for a backlog). Never waits.
    ///
    /// # Errors
    /// Only those that make the ring unusable. A full completion queue, a signal or a lack of
    /// memory leave [`has_work`](Self::has_work) true: reap, and enter again.
    pub fn enter(&mut self) -> io::Result<()> {
        self.publish_buffers();
        loop {
            self.fill();
            if self.queued == 0 && !self.watch.needs_enter() {
                return Ok(());
            }
            self.call(0)?;
            if self.backlog.is_empty() || self.queued > 0 {
                return Ok(());
            }
        }
    }

    /// Submits what is queued and sleeps until something completes, the deadline
    /// passes or somebody writes the eventfd: one system call. Returns at once
    /// if completions wait already.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub fn wait(&mut self) -> io::Result<()> {
        self.publish_buffers();
        self.fill();
        let sleeps = self.watch.completions() == 0 && self.backlog.is_empty();
        self.call(u32::from(sleeps))
    }

    /// Has writes of the eventfd end a [`wait`](Self::wait) from now on, whoever
    /// writes it.
    pub fn arm_wake(&mut self) {
        // A multishot poll reports each write; the counter need not be read.
        let events = libc::POLLIN.unsigned_abs().into();
        let entry = opcode::PollAdd::new(types::Fd(self.event_fd.as_raw_fd()), events).multi(true);
        self.push(entry.build().user_data(pack(Kind::Wake, 0)));
    }

    /// Moves at most `max` completions to `out` and says how many there were, those not reported
    /// included. Zero means that none wait.
    pub fn reap(&mut self, out: &mut Vec<Completion>, max: usize) -> usize {
        let mut reaped = 0;
        while reaped < max {
            let Some(entry) = self.uring.completion().next() else {
                break;
            };
            reaped += 1;
            out.extend(self.complete(&entry));
        }
        reaped
    }

    /// What a receive brought. The buffer must not have been released.
    #[inline]
    pub fn buffer(&self, id: BufferId) -> &[u8] {
        self.buffers.filled(id)
    }

    /// What a receive brought, to be changed in place.
    #[inline]
    pub fn buffer_mut(&mut self, id: BufferId) -> &mut [u8] {
        self.buffers.filled_mut(id)
    }

    /// Gives a buffer back, once. The kernel gets it with the next `publish_buffers` or `enter`.
    #[inline]
    pub fn release(&mut self, id: BufferId) {
        self.buffers.release(id);
    }

    /// Shows the kernel the released buffers. `enter` does so by itself.
    #[inline]
    pub fn publish_buffers(&mut self) {
        self.buffers.publish();
    }

    /// Whether an `enter` or a `reap` would do something.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.queued > 0
            || !self.backlog.is_empty()
            || self.timer.needs_entry()
            || self.watch.has_work()
    }

    /// The eventfd whose writes end a [`wait`](Self::wait) once [`arm_wake`](Self::arm_wake) was
    /// called; it stays the ring's.
    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.event_fd.as_fd()
    }

    /// Operations beyond the submission queue.
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Receive buffers that the caller does not hold.
    pub fn buffers_free(&self) -> usize {
        self.buffers.free()
    }

    /// Flights and reads that the kernel holds.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// System calls made by `enter` and `wait`.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    fn cancel(&mut self, kind: Kind, token: u64) {
        let entry = opcode::AsyncCancel::new(pack(kind, token)).build();
        self.push(entry.user_data(pack(Kind::Cancel, token)));
    }

    /// Queues an operation that will complete.
    #[inline]
    fn push(&mut self, entry: squeue::Entry) {
        self.outstanding += 1;
        self.queue(entry);
    }

    #[inline]
    fn queue(&mut self, entry: squeue::Entry) {
        if !self.backlog.is_empty() || !self.try_submit(&entry) {
            self.backlog.push_back(entry);
        }
    }

    #[inline]
    fn try_submit(&mut self, entry: &squeue::Entry) -> bool {
        let mut submission = self.uring.submission();
        // SAFETY: what entries point to is held until they complete: flights and buffers in
        // `held`, the timer's time in `timer`; receives point to nothing.
        let submitted = unsafe { submission.push(entry) }.is_ok();
        self.queued = submission.len();
        submitted
    }

    /// Queues the timer's operation and moves the backlog up.
    fn fill(&mut self) {
        match self.timer.next_entry() {
            None => {}
            Some(TimerEntry::Arm(entry)) => self.push(entry),
            Some(TimerEntry::Update(entry)) => self.queue(entry),
        }
        while let Some(entry) = self.backlog.pop_front() {
            if !self.try_submit(&entry) {
                self.backlog.push_front(entry);
                break;
            }
        }
    }

    /// The system call.
    fn call(&mut self, wait_for: u32) -> io::Result<()> {
        self.calls += 1;
        // The queue has at most 32768 entries.
        let submit = u32::try_from(self.queued).unwrap_or(u32::MAX);
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: the counts are within the queue, no argument is passed, and what the queued
        // entries point to is held until they complete.
        let result = unsafe { self.uring.submitter().enter::<()>(submit, wait_for, flags, None) };
        self.queued = self.uring.submission().len();
        if self.queued == 0 && self.backlog.is_empty() {
            self.timer.submitted();
        }
        match result {
            Ok(_) => Ok(()),
            // Interrupted, short of memory, or the completion queue must be reaped first.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn complete(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let (result, flags) = (entry.result(), entry.flags());
        let more = cqueue::more(flags);
        let (kind, token) = unpack(entry.user_data())?;
        if !more && kind != Kind::TimeoutUpdate {
            self.outstanding -= 1;
        }
        let outcome = usize::try_from(result).map_err(|_| -result);
        match kind {
            Kind::Accept => {
                let result = if result < 0 {
                    Err(-result)
                } else {
                    // SAFETY: the kernel has just opened this descriptor for us alone.
                    Ok(unsafe { OwnedFd::from_raw_fd(result) })
                };
                Some(Completion::Accepted { token, result, more })
            }
            Kind::Receive => Some(self.complete_receive(token, result, flags)),
            Kind::Send => match self.held.remove(slot(token))? {
                Held::Send { token, flight } => {
                    Some(Completion::Sent { token, flight, result: outcome })
                }
                Held::Read { .. } | Held::Write { .. } => None,
            },
            Kind::Write => match self.held.remove(slot(token))? {
                Held::Write { token, bytes } => {
                    // The caller's copy is the last one from now on.
                    drop(bytes);
                    Some(Completion::Written { token, result: outcome })
                }
                Held::Read { .. } | Held::Send { .. } => None,
            },
            Kind::Read => match self.held.remove(slot(token))? {
                Held::Read { token, buffer } => {
                    let result = outcome.map(|bytes| {
                        let mut buffer = buffer.into_vec();
                        buffer.truncate(bytes);
                        buffer
                    });
                    Some(Completion::Read { token, result })
                }
                Held::Send { .. } | Held::Write { .. } => None,
            },
            Kind::Timeout => self.timer.fired().then_some(Completion::Timeout),
            Kind::TimeoutUpdate => None,
            Kind::Cancel => Some(Completion::Cancelled { token, found: result >= 0 }),
            Kind::Wake => {
                if !more && result >= 0 {
                    self.arm_wake();
                }
                None
            }
        }
    }

    /// Drops what nobody will handle: sockets close, flights free their buffers.
    fn discard(&mut self, completions: &mut Vec<Completion>) {
        for completion in completions.drain(..) {
            if let Completion::Received { buffer, .. } = completion {
                self.buffers.release(buffer);
            }
        }
    }

    /// Waits for a completion; errors show as operations that stay outstanding.
    fn wait_tenth_of_a_second(&mut self) {
        let time = types::Timespec::new().nsec(100_000_000);
        let arguments = types::SubmitArgs::new().timespec(&time);
        // ETIME is the ordinary end of the wait; any other failure ends in the leak.
        drop(self.uring.submitter().submit_with_args(1, &arguments));
        self.queued = self.uring.submission().len();
    }

    fn complete_receive(&mut self, token: u64, result: i32, flags: u32) -> Completion {
        let more = cqueue::more(flags);
        match (cqueue::buffer_select(flags), u32::try_from(result)) {
            (Some(id), Ok(len)) if len > 0 => {
                let buffer = self.buffers.receive(id, len);
                Completion::Received { token, buffer, len: len as usize, more }
            }
            (id, _) => {
                // The kernel may attach the buffer it had picked for nothing.
                if let Some(id) = id {
                    let buffer = self.buffers.receive(id, 0);
                    self.buffers.release(buffer);
                }
                Completion::Ended { token, reason: End::from_result(result) }
            }
        }
    }
}

impl Drop for Ring {
    /// Cancels everything and waits until the kernel has let go of every buffer.
    fn drop(&mut self) {
        let any = types::CancelBuilder::any();
        let cancel = opcode::AsyncCancel2::new(any).build().user_data(pack(Kind::Cancel, 0));
        self.timer.want(None);
        self.push(cancel);
        let mut discarded = Vec::new();
        for _ in 0..DROP_WAITS {
            if self.enter().is_err() {
                break;
            }
            while self.reap(&mut discarded, 64) > 0 {
                self.discard(&mut discarded);
            }
            if self.outstanding == 0 {
                return;
            }
            self.wait_tenth_of_a_second();
        }
        // The kernel may still write to a buffer or read a flight, so they stay for good. This
        // happens only if the ring fails at the end of the process.
        std::mem::forget(std::mem::take(&mut self.held));
        self.buffers.leak();
    }
}

fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The slot of a held flight or buffer: its index was a `usize` when it was packed.
fn slot(packed: u64) -> usize {
    usize::try_from(packed).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::forbidden;
    use super::*;

    // Goal: a container's filter is named as the cause. Method: a process of its own forbids
    // itself the call, as the default seccomp profile of container runtimes does.
    #[test]
    fn seccomp_filter_is_named_as_the_cause() {
        if std::env::var_os("MIDGE_WITHOUT_IO_URING").is_some() {
            forbidden::refuse(libc::SYS_io_uring_setup, None, libc::EPERM);
            let error = Ring::new(&RingConfig::default()).err().unwrap();
            assert_eq!(error, RingError::Forbidden { errno: "EPERM" });
            return;
        }
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "net::ring::tests::seccomp_filter_is_named_as_the_cause"])
            .env("MIDGE_WITHOUT_IO_URING", "1")
            .status();
        assert!(status.unwrap().success());
    }
}
