//! When a client is asked whether it is still there.
//!
//! Facts of nats-server: the first PING comes early (it measures the round
//! trip), then one every interval unless the client was active meanwhile; a
//! client that leaves more than `ping_max` unanswered is stale.

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// A round trip measured longer ago than this is measured again.
const ROUND_TRIP_VALID: u64 = 3600 * SECOND;

/// The first PING comes after this at the latest, plus a jitter of up to 20 %.
const FIRST_PING_MAX: u64 = 2 * SECOND;

/// The configured limits.
#[derive(Clone, Copy, Debug)]
pub struct KeepaliveLimits {
    /// Nanoseconds between checks.
    pub interval: u64,
    /// Unanswered PINGs that are tolerated.
    pub outstanding_max: u32,
}

/// What a check asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Send PING.
    Ping,
    /// Nothing: the client was active.
    Skip,
    /// Close the connection: it is stale.
    Stale,
}

/// The keep-alive state of one client; all times are nanoseconds of the
/// shard's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keepalive {
    outstanding: u32,
    sent_at: u64,
    measured_at: u64,
    /// The last round trip in nanoseconds; 0 if none was measured.
    pub round_trip: u64,
    /// Nanoseconds from the connection's begin to CONNECT: a guess until a round trip is measured.
    pub estimate: u64,
    /// When the client last sent a message, SUB, UNSUB or PING.
    pub active_at: u64,
}

impl Keepalive {
    /// Delay of the first check; `random` spreads it.
    pub fn first_delay(limits: &KeepaliveLimits, random: u64) -> u64 {
        let base = limits.interval.min(FIRST_PING_MAX);
        base + random % (base / 5).max(1)
    }

    /// The last round trip in nanoseconds, or what it may be; 0 if nothing is known.
    pub fn round_trip_or_estimate(&self) -> u64 {
        if self.round_trip == 0 {
            self.estimate
        } else {
            self.round_trip
        }
    }

    /// A check at `now`.
    pub fn handle_tick(&mut self, now: u64, limits: &KeepaliveLimits) -> Tick {
        let measured = self.round_trip > 0 && now - self.measured_at < ROUND_TRIP_VALID;
        if measured && now.saturating_sub(self.active_at) < limits.interval {
            return Tick::Skip;
        }
        if self.outstanding + 1 > limits.outstanding_max {
            return Tick::Stale;
        }
        self.outstanding += 1;
        self.sent_at = now;
        Tick::Ping
    }

    /// A PONG came.
    pub fn handle_pong(&mut self, now: u64) {
        if self.outstanding > 0 {
            self.round_trip = (now - self.sent_at).max(1);
            self.measured_at = now;
        }
        self.outstanding = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: KeepaliveLimits = KeepaliveLimits { interval: 120 * SECOND, outstanding_max: 2 };

    #[test]
    fn the_first_check_comes_within_two_and_a_half_seconds() {
        for random in [0, 1, u64::MAX] {
            let delay = Keepalive::first_delay(&LIMITS, random);
            assert!((2 * SECOND..=2_400_000_000).contains(&delay));
        }
        let short = KeepaliveLimits { interval: SECOND / 10, ..LIMITS };
        assert!(Keepalive::first_delay(&short, 7) < SECOND / 8);
    }

    #[test]
    fn a_client_that_never_answers_is_stale_at_the_third_check() {
        let mut keepalive = Keepalive::default();
        let ticks = (1..=3).map(|i| keepalive.handle_tick(i * LIMITS.interval, &LIMITS));
        assert_eq!(ticks.collect::<Vec<_>>(), [Tick::Ping, Tick::Ping, Tick::Stale]);
    }

    #[test]
    fn an_active_client_is_not_asked_once_its_round_trip_is_known() {
        let mut keepalive = Keepalive { active_at: 5, ..Keepalive::default() };
        assert_eq!(keepalive.handle_tick(6, &LIMITS), Tick::Ping);
        keepalive.handle_pong(7);
        assert_eq!(keepalive.round_trip, 1);
        assert_eq!(keepalive.handle_tick(8, &LIMITS), Tick::Skip);
        keepalive.active_at = ROUND_TRIP_VALID + 6;
        assert_eq!(keepalive.handle_tick(ROUND_TRIP_VALID + 7, &LIMITS), Tick::Ping);
    }
}
