//! Targets a run must meet: `p99.9<1ms`, `rate>1M`, `ratio.rate>=2`.

use std::fmt;
use std::str::FromStr;

/// One target.
#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    /// The figure's name.
    pub metric: String,
    order: Order,
    bound: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Assertion {
    /// True if `value` meets the target.
    pub fn holds(&self, value: f64) -> bool {
        match self.order {
            Order::Less => value < self.bound,
            Order::LessOrEqual => value <= self.bound,
            Order::Greater => value > self.bound,
            Order::GreaterOrEqual => value >= self.bound,
        }
    }
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text
            .find(['<', '>'])
            .ok_or_else(|| format!("`{text}` has no comparison: write it like `p99.9<1ms`"))?;
        let (metric, rest) = text.split_at(at);
        let (order, bound) = match (rest.strip_prefix("<="), rest.strip_prefix(">=")) {
            (Some(bound), _) => (Order::LessOrEqual, bound),
            (_, Some(bound)) => (Order::GreaterOrEqual, bound),
            _ if rest.starts_with('<') => (Order::Less, &rest[1..]),
            _ => (Order::Greater, &rest[1..]),
        };
        let metric = metric.trim();
        if metric.is_empty() {
            return Err(format!("`{text}` names no figure"));
        }
        let bound = quantity(bound)?;
        Ok(Self { metric: metric.to_owned(), order, bound, text: text.to_owned() })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a number with a unit: times in seconds, sizes in bytes, `k M G` as powers of 1000.
pub fn quantity(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a number"))?;
    let factor = match unit.trim() {
        "" | "s" | "B" | "%" | "x" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" => 1e-6,
        "ns" => 1e-9,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        other => return Err(format!("`{other}` is not a unit")),
    };
    Ok(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Assertion {
        text.parse().unwrap()
    }

    #[test]
    fn targets_with_units_are_read_and_held() {
        assert!(read("p99.9<1ms").holds(0.000_999));
        assert!(!read("p99.9<1ms").holds(0.001));
        assert!(read("p99.9<=1ms").holds(0.001));
        assert!(read("rate>1M").holds(1_000_001.0));
        assert!(!read("rate > 1.5M").holds(1_400_000.0));
        assert!(read("bytes_per_connection<=4KiB").holds(4096.0));
        assert_eq!(read("ratio.rate>=2").metric, "ratio.rate");
        assert_eq!(read("cpu<250ns").to_string(), "cpu<250ns");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["p99", "<5", "rate>", "rate>fast", "rate>5 parsecs", "p99<1.2.3ms"] {
            assert!(bad.parse::<Assertion>().is_err(), "{bad}");
        }
    }
}
