//! What one run measured, under the names that assertions, comparisons and JSON use.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::recorder::Summary;
use crate::wire::ledger::Faults;

/// Figures of one run against one server.
#[derive(Clone, Debug, Serialize)]
pub struct RunResult {
    /// Which workload.
    pub workload: String,
    /// An open loop: messages follow a schedule, and the generator may wait awake for it.
    pub paced: bool,
    /// Length of the measured span.
    pub seconds: f64,
    /// Messages (or requests) sent in the span.
    pub sent: u64,
    /// Messages (or replies) received in the span.
    pub received: u64,
    /// Received a second.
    pub rate: f64,
    /// Sent a second.
    pub sent_rate: f64,
    /// Payload bytes received a second.
    pub bytes_rate: f64,
    /// Latencies in nanoseconds.
    pub latency: Option<Latency>,
    /// Processor time of the generator.
    pub generator: Usage,
    /// Percent of the span in which the generator was ready but other processes had its processor.
    pub waited_percent: f64,
    /// Processor time of the server, if its process is known.
    pub server: Option<Usage>,
    /// Further figures of the workload, such as `sub_rate` or `bytes_per_connection`.
    pub extra: BTreeMap<String, f64>,
    /// What went wrong with messages over the whole run, warm-up included.
    pub faults: Faults,
    /// Messages checked over the whole run.
    pub verified: u64,
    /// Messages a second in steps of 100 ms.
    pub rate_over_time: Vec<f64>,
}

/// Processor time over the measured span.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Usage {
    /// Seconds of processor time.
    pub cpu_seconds: f64,
    /// Nanoseconds of it for each message received.
    pub ns_per_message: f64,
    /// Share of one processor in percent.
    pub busy_percent: f64,
}

impl Usage {
    /// From processor time, wall time and messages.
    pub fn new(cpu_ns: u64, wall_ns: u64, messages: u64) -> Self {
        Self {
            cpu_seconds: cpu_ns as f64 / 1e9,
            ns_per_message: cpu_ns as f64 / messages.max(1) as f64,
            busy_percent: cpu_ns as f64 * 100.0 / wall_ns.max(1) as f64,
        }
    }
}

/// Latency figures in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// How many were recorded.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half are at most this.
    pub p50: u64,
    /// 90 % are at most this.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// 99.99 %.
    pub p9999: u64,
    /// The slowest.
    pub max: u64,
    /// The whole curve as (quantile, nanoseconds).
    pub curve: Vec<(f64, u64)>,
}

impl Latency {
    /// Takes the figures off a histogram; nothing if it is empty.
    pub fn from_histogram(histogram: &Histogram<u64>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        let curve = histogram
            .iter_quantiles(4)
            .map(|step| (step.quantile_iterated_to(), step.value_iterated_to()))
            .collect();
        Some(Self {
            count: histogram.len(),
            mean: histogram.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max(),
            curve,
        })
    }
}

impl RunResult {
    /// Assembles the figures of a run that moved messages of `size` bytes.
    pub fn new(workload: &str, size: usize, summary: Summary, faults: Faults) -> Self {
        let rate = summary.received as f64 / summary.seconds;
        Self {
            workload: workload.to_owned(),
            paced: false,
            seconds: summary.seconds,
            sent: summary.sent,
            received: summary.received,
            rate,
            sent_rate: summary.sent as f64 / summary.seconds,
            bytes_rate: rate * size as f64,
            latency: summary.latency,
            generator: summary.generator,
            waited_percent: summary.waited_percent,
            server: summary.server,
            extra: BTreeMap::new(),
            faults,
            verified: 0,
            rate_over_time: summary.rate_over_time,
        }
    }

    /// True if the generator, rather than the server, may have been the limit.
    pub fn generator_is_full(&self) -> bool {
        !self.paced && self.generator.busy_percent >= BUSY_PERCENT
    }

    /// A figure by name: `rate`, `p99.9`, `cpu`, or one of [`RunResult::extra`].
    ///
    /// Latencies are in seconds, as is `cpu` (the server's time for each message).
    pub fn metric(&self, name: &str) -> Option<f64> {
        let latency = |pick: fn(&Latency) -> f64| self.latency.as_ref().map(|l| pick(l) / 1e9);
        match name {
            "rate" => Some(self.rate),
            "sent_rate" => Some(self.sent_rate),
            "bytes_rate" => Some(self.bytes_rate),
            "cpu" => self.server.map(|usage| usage.ns_per_message / 1e9),
            "generator_cpu" => Some(self.generator.ns_per_message / 1e9),
            "waited" => Some(self.waited_percent),
            "busy" => Some(self.generator.busy_percent),
            "mean" => latency(|l| l.mean),
            "p50" => latency(|l| l.p50 as f64),
            "p90" => latency(|l| l.p90 as f64),
            "p99" => latency(|l| l.p99 as f64),
            "p99.9" => latency(|l| l.p999 as f64),
            "p99.99" => latency(|l| l.p9999 as f64),
            "max" => latency(|l| l.max as f64),
            "faults" => Some(self.faults.total() as f64),
            other => self.extra.get(other).copied(),
        }
    }

    /// Names of the figures worth comparing between two servers.
    pub fn compared_metrics(&self) -> Vec<String> {
        let fixed = ["rate", "cpu", "p50", "p99", "p99.9", "p99.99", "max"];
        let extra = self.extra.keys().map(String::as_str);
        fixed
            .into_iter()
            .chain(extra)
            .filter(|name| self.metric(name).is_some())
            .map(str::to_owned)
            .collect()
    }
}

/// Share of its core from which a closed loop's generator may be the limit.
const BUSY_PERCENT: f64 = 95.0;
