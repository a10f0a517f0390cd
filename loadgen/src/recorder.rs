//! Phases of a run and what is measured in the middle one.
//!
//! A run warms up, measures, then drains. Counts, processor time and the rate over time belong to
//! the span of measuring. Latencies belong to it by their send time, so a message sent in it and
//! received while draining still counts: the slowest are not cut off.

use hdrhistogram::Histogram;

use crate::progress::Progress;
use crate::result::{Latency, Usage};
use crate::sys::{clock, process::Process};

/// Width of one step of the rate over time.
pub const STEP_NS: u64 = 100_000_000;

/// When to measure.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Length of the warm-up.
    pub warmup_ns: u64,
    /// Length of the measured span; unlimited if a count is given.
    pub measure_ns: u64,
    /// Ends the span when this many messages were sent in it.
    pub count: Option<u64>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Load runs, nothing is recorded.
    Warmup,
    /// Load runs and is recorded.
    Measure,
    /// No more load; what is outstanding comes in.
    Drain,
}

/// Totals at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    at_ns: u64,
    sent: u64,
    received: u64,
    generator_cpu: u64,
    generator_waited: u64,
    server_cpu: Option<u64>,
}

/// Records one run.
pub struct Recorder {
    span: Span,
    server: Option<Process>,
    progress: Progress,
    phase: Phase,
    started_ns: u64,
    begin: Mark,
    end: Mark,
    steps: Vec<u64>,
    step_received: u64,
    step_ends_ns: u64,
    histogram: Histogram<u64>,
    sent_at_begin: u64,
}

impl Recorder {
    /// Begins the warm-up now.
    pub fn start(span: Span, server: Option<Process>, progress: Progress) -> Self {
        let now = clock::now();
        Self {
            span,
            server,
            progress,
            phase: Phase::Warmup,
            started_ns: now,
            begin: Mark::default(),
            end: Mark::default(),
            steps: Vec::new(),
            step_received: 0,
            step_ends_ns: u64::MAX,
            histogram: new_histogram(),
            sent_at_begin: 0,
        }
    }

    /// Tells the totals so far; moves the phase on when its time has come, and returns it.
    pub fn advance(&mut self, now_ns: u64, sent: u64, received: u64) -> Phase {
        match self.phase {
            Phase::Warmup if now_ns >= self.started_ns + self.span.warmup_ns => {
                self.phase = Phase::Measure;
                self.begin = self.mark(now_ns, sent, received);
                self.sent_at_begin = sent;
                self.step_received = received;
                self.step_ends_ns = now_ns + STEP_NS;
            }
            Phase::Measure => {
                if now_ns >= self.step_ends_ns {
                    self.end_step(now_ns, received);
                }
                if now_ns >= self.begin.at_ns.saturating_add(self.span.measure_ns) {
                    self.end = self.mark(now_ns, sent, received);
                    self.phase = Phase::Drain;
                }
            }
            _ => {}
        }
        self.phase
    }

    /// Messages that may still be sent before a given count is reached.
    pub fn sends_left(&self, sent: u64) -> u64 {
        match (self.span.count, self.phase) {
            (Some(count), Phase::Measure) => (self.sent_at_begin + count).saturating_sub(sent),
            (_, Phase::Drain) => 0,
            _ => u64::MAX,
        }
    }

    /// Ends the measured span now; used when a count is complete, or by the drain.
    pub fn finish(&mut self, now_ns: u64, sent: u64, received: u64) {
        if self.phase != Phase::Drain {
            self.end = self.mark(now_ns, sent, received);
            self.phase = Phase::Drain;
        }
    }

    /// Records a latency, if the message was sent in the measured span.
    #[inline]
    pub fn latency(&mut self, received_ns: u64, latency_ns: u64) {
        let sent_ns = received_ns - latency_ns;
        let measured = match self.phase {
            Phase::Warmup => false,
            Phase::Measure => sent_ns >= self.begin.at_ns,
            Phase::Drain => sent_ns >= self.begin.at_ns && sent_ns < self.end.at_ns,
        };
        if measured {
            self.histogram.saturating_record(latency_ns.max(1));
        }
    }

    /// What was measured: seconds, messages sent and received, and the processors' part.
    pub fn summary(&self) -> Summary {
        let wall_ns = self.end.at_ns.saturating_sub(self.begin.at_ns).max(1);
        let received = self.end.received - self.begin.received;
        let usage = |cpu_ns: u64| Usage::new(cpu_ns, wall_ns, received);
        let server_ns = self.end.server_cpu.zip(self.begin.server_cpu);
        Summary {
            seconds: wall_ns as f64 / 1e9,
            sent: self.end.sent - self.begin.sent,
            received,
            generator: usage(self.end.generator_cpu - self.begin.generator_cpu),
            waited_percent: (self.end.generator_waited - self.begin.generator_waited) as f64
                * 100.0
                / wall_ns as f64,
            server: server_ns.map(|(end, begin)| usage(end.saturating_sub(begin))),
            latency: Latency::from_histogram(&self.histogram),
            rate_over_time: self.steps.iter().map(|&n| n as f64 * 1e9 / STEP_NS as f64).collect(),
        }
    }

    fn mark(&self, at_ns: u64, sent: u64, received: u64) -> Mark {
        Mark {
            at_ns,
            sent,
            received,
            generator_cpu: clock::thread_cpu(),
            generator_waited: clock::thread_waited(),
            server_cpu: self.server.and_then(|server| server.cpu_ns()),
        }
    }

    #[cold]
    fn end_step(&mut self, now_ns: u64, received: u64) {
        // A step that ended late stands for more than its width: scale it back.
        let width = now_ns - (self.step_ends_ns - STEP_NS);
        let count = (received - self.step_received) as u128 * u128::from(STEP_NS);
        self.steps.push((count / u128::from(width)) as u64);
        self.step_received = received;
        self.step_ends_ns = now_ns + STEP_NS;
        let done = (now_ns - self.begin.at_ns) as f64;
        let share = match self.span.count {
            Some(count) => (received - self.begin.received) as f64 / count.max(1) as f64,
            None => done / self.span.measure_ns.max(1) as f64,
        };
        let rate = self.steps.last().map_or(0.0, |&n| n as f64 * 1e9 / STEP_NS as f64);
        self.progress.update(share, rate);
    }
}

/// Figures of the measured span.
pub struct Summary {
    /// Its length.
    pub seconds: f64,
    /// Messages sent in it.
    pub sent: u64,
    /// Messages received in it.
    pub received: u64,
    /// Our own use of the processor.
    pub generator: Usage,
    /// Share of the span in which others kept us off our processor.
    pub waited_percent: f64,
    /// The server's, if we may look.
    pub server: Option<Usage>,
    /// Latencies, if any were recorded.
    pub latency: Option<Latency>,
    /// Messages a second in steps of [`STEP_NS`].
    pub rate_over_time: Vec<f64>,
}

/// A histogram from 1 ns to 100 s with three digits.
pub fn new_histogram() -> Histogram<u64> {
    const BOUNDS: (u64, u64, u8) = (1, 100_000_000_000, 3);
    Histogram::new_with_bounds(BOUNDS.0, BOUNDS.1, BOUNDS.2)
        .unwrap_or_else(|_| unreachable!("the bounds are constants in the allowed range"))
}
