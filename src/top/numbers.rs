//! Numbers as people read them: `1.2K`, `3.4M`.

/// A number of bytes, in steps of 1,024.
pub(super) fn bytes(number: f64, raw: bool) -> String {
    scaled(number, 1024.0, &["", "K", "M", "G", "T", "P"], raw)
}

/// A number of anything else, in steps of 1,000.
pub(super) fn count(number: f64, raw: bool) -> String {
    scaled(number, 1000.0, &["", "K", "M", "B", "T", "P"], raw)
}

/// The same per second: small ones keep their fraction.
pub(super) fn rate(number: f64, raw: bool) -> String {
    if number < 1000.0 {
        format!("{number:.1}")
    } else {
        count(number, raw)
    }
}

fn scaled(number: f64, step: f64, units: &[&str], raw: bool) -> String {
    if raw || number < step {
        return format!("{number:.0}");
    }
    let mut rest = number;
    let mut unit = "";
    for name in units {
        unit = name;
        if rest < step {
            break;
        }
        if Some(name) != units.last() {
            rest /= step;
        }
    }
    format!("{rest:.1}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_get_a_unit() {
        for (number, text) in
            [(0.0, "0"), (999.0, "999"), (1000.0, "1.0K"), (1_234_567.0, "1.2M"), (2e9, "2.0B")]
        {
            assert_eq!(count(number, false), text);
        }
        assert_eq!(bytes(1023.0, false), "1023");
        assert_eq!(bytes(1536.0, false), "1.5K");
        assert_eq!(bytes(5.0 * 1024.0 * 1024.0, false), "5.0M");
        assert_eq!(bytes(1e20, false), "88817.8P");
        assert_eq!(bytes(1_234_567.0, true), "1234567");
        assert_eq!((rate(0.25, false).as_str(), rate(12_345.0, false).as_str()), ("0.2", "12.3K"));
    }
}
