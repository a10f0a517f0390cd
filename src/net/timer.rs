//! The ring's one timeout.
//!
//! The kernel's timer is only ever moved to an earlier time. A deadline that moves later, or away,
//! costs nothing: the timer fires once at the old time, unreported, and is armed anew if a deadline
//! is still wanted. So a deadline that every turn pushes ahead needs no operation a turn, and an
//! idle ring has no timer.

use io_uring::{opcode, squeue, types};

use super::user_data::{pack, Kind};

pub(super) struct Timer {
    wanted: Option<u64>,
    /// What the kernel's timer is set to, or will be by the operation that is queued.
    armed: Option<u64>,
    /// An operation that reads `time` waits in the submission queue.
    queued: bool,
    /// Boxed: the kernel reads it at submission.
    time: Box<types::Timespec>,
}

/// An operation for the submission queue.
pub(super) enum TimerEntry {
    /// Completes when the timer fires.
    Arm(squeue::Entry),
    /// Completes only if it fails, because the timer has just fired.
    Update(squeue::Entry),
}

const NANOSECONDS: u64 = 1_000_000_000;

impl Timer {
    pub(super) fn new() -> Self {
        Self { wanted: None, armed: None, queued: false, time: Box::new(types::Timespec::new()) }
    }

    /// Sets or withdraws the deadline, in nanoseconds of CLOCK_MONOTONIC.
    pub(super) fn want(&mut self, deadline: Option<u64>) {
        self.wanted = deadline;
    }

    /// Whether `next_entry` has something to queue.
    pub(super) fn needs_entry(&self) -> bool {
        match (self.wanted, self.armed) {
            (Some(wanted), Some(armed)) => wanted < armed && !self.queued,
            (Some(_), None) => !self.queued,
            (None, _) => false,
        }
    }

    /// The operation that brings the kernel's timer in line, to be queued before anything else is
    /// asked of the timer.
    pub(super) fn next_entry(&mut self) -> Option<TimerEntry> {
        let wanted = self.wanted.filter(|_| self.needs_entry())?;
        // Below 10^9, so it fits.
        let nanoseconds = u32::try_from(wanted % NANOSECONDS).unwrap_or(0);
        *self.time = types::Timespec::new().sec(wanted / NANOSECONDS).nsec(nanoseconds);
        let time = std::ptr::from_ref(&*self.time);
        let absolute = types::TimeoutFlags::ABS;
        let timer = pack(Kind::Timeout, 0);
        self.queued = true;
        Some(match self.armed.replace(wanted) {
            None => {
                TimerEntry::Arm(opcode::Timeout::new(time).flags(absolute).build().user_data(timer))
            }
            Some(_) => TimerEntry::Update(
                opcode::TimeoutUpdate::new(timer, time)
                    .flags(absolute)
                    .build()
                    .user_data(pack(Kind::TimeoutUpdate, 0))
                    .flags(squeue::Flags::SKIP_SUCCESS),
            ),
        })
    }

    /// The kernel has consumed everything that was queued.
    pub(super) fn submitted(&mut self) {
        self.queued = false;
    }

    /// The kernel's timer fired. Whether the deadline has passed: a timer fires no earlier than
    /// it was armed for, and it was armed for the deadline unless that has moved later since.
    pub(super) fn fired(&mut self) -> bool {
        let armed = self.armed.take();
        let passed = self.wanted.is_some_and(|wanted| armed.is_none_or(|armed| wanted <= armed));
        if passed {
            self.wanted = None;
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(timer: &mut Timer) -> &'static str {
        match timer.next_entry() {
            None => "none",
            Some(TimerEntry::Arm(_)) => "arm",
            Some(TimerEntry::Update(_)) => "update",
        }
    }

    #[test]
    fn deadline_moves_earlier_at_once_and_later_only_when_it_fires() {
        let mut timer = Timer::new();
        assert_eq!(kind(&mut timer), "none");
        timer.want(Some(100));
        assert_eq!(kind(&mut timer), "arm");
        timer.want(Some(50));
        assert_eq!(kind(&mut timer), "none", "the first is not yet submitted");
        timer.submitted();
        assert!(timer.needs_entry());
        assert_eq!(kind(&mut timer), "update");
        timer.submitted();
        timer.want(Some(200));
        assert_eq!(kind(&mut timer), "none");
        assert!(!timer.fired(), "the deadline is later than the timer");
        assert_eq!(kind(&mut timer), "arm");
        timer.submitted();
        assert!(timer.fired());
        assert_eq!(kind(&mut timer), "none");
    }

    #[test]
    fn withdrawn_deadline_fires_unreported() {
        let mut timer = Timer::new();
        timer.want(Some(100));
        assert_eq!(kind(&mut timer), "arm");
        timer.submitted();
        timer.want(None);
        assert_eq!(kind(&mut timer), "none");
        assert!(!timer.fired());
        assert!(!timer.needs_entry());
    }

    // Goal: an update that loses the race against the firing timer loses no deadline.
    #[test]
    fn timer_that_fires_under_an_update_has_passed_the_earlier_deadline() {
        let mut timer = Timer::new();
        timer.want(Some(100));
        assert_eq!(kind(&mut timer), "arm");
        timer.submitted();
        timer.want(Some(50));
        assert_eq!(kind(&mut timer), "update");
        assert!(timer.fired());
        timer.want(Some(300));
        assert_eq!(kind(&mut timer), "none", "the update still waits in the queue");
        timer.submitted();
        assert_eq!(kind(&mut timer), "arm");
    }
}
