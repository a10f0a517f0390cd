//! Numbers for people: counts, bytes and times with a unit.

/// `12.3M` for a count or a rate.
pub fn count(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => format!("{:.2}G", value / 1e9),
        v if v >= 1e6 => format!("{:.2}M", value / 1e6),
        v if v >= 1e4 => format!("{:.1}k", value / 1e3),
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

/// `1.50 KiB` for bytes.
pub fn bytes(value: f64) -> String {
    const KIB: f64 = 1024.0;
    match value.abs() {
        v if v >= KIB * KIB * KIB => format!("{:.2} GiB", value / KIB / KIB / KIB),
        v if v >= KIB * KIB => format!("{:.2} MiB", value / KIB / KIB),
        v if v >= KIB => format!("{:.2} KiB", value / KIB),
        _ => format!("{value:.0} B"),
    }
}

/// `12.3 us` for a time in seconds.
pub fn time(seconds: f64) -> String {
    match seconds.abs() {
        v if v >= 1.0 => format!("{seconds:.2} s"),
        v if v >= 1e-3 => format!("{:.2} ms", seconds * 1e3),
        v if v >= 1e-6 => format!("{:.1} us", seconds * 1e6),
        _ => format!("{:.1} ns", seconds * 1e9),
    }
}

/// A figure by the name it has in results.
pub fn metric(name: &str, value: f64) -> String {
    match name {
        "cpu" | "generator_cpu" | "mean" | "max" => time(value),
        _ if name.starts_with("p9") || name == "p50" || name.ends_with("_seconds") => time(value),
        "busy" | "waited" => format!("{value:.1} %"),
        _ if name.contains("bytes") => bytes(value),
        _ => count(value),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn figures_have_fitting_units() {
        assert_eq!(super::count(12_345_678.0), "12.35M");
        assert_eq!(super::count(0.0), "0");
        assert_eq!(super::bytes(1536.0), "1.50 KiB");
        assert_eq!(super::time(1.25e-5), "12.5 us");
        assert_eq!(super::metric("p99.9", 0.0012), "1.20 ms");
        assert_eq!(super::metric("bytes_per_connection", 2048.0), "2.00 KiB");
    }
}
