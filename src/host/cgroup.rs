//! How much processor time the control group grants, in cores.
//!
//! Version 2 keeps it in `cpu.max` of the group and of each group above it, version 1 in two
//! files of the `cpu` hierarchy. A container usually sees its own group as the root of the
//! mount, so the path in `/proc/self/cgroup` may not exist: the mount itself is asked as well.
//! The tightest limit found counts.

use std::path::{Path, PathBuf};

/// Processor time per unit of time that this process may use: 1.5 is one core and a half.
/// `None` without a limit.
pub fn cpu_quota() -> Option<f64> {
    cpu_quota_from(&read("/proc/self/cgroup".as_ref()).unwrap_or_default(), &read)
}

/// The same over any file system: `membership` is the content of `/proc/self/cgroup`, and `read`
/// answers with the content of a file, if there is one.
pub fn cpu_quota_from(membership: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<f64> {
    let quotas = group_dirs(membership).into_iter().filter_map(|dir| {
        let unified = read(&dir.join("cpu.max")).and_then(|text| parse_cpu_max(&text));
        unified.or_else(|| {
            let quota = read(&dir.join("cpu.cfs_quota_us"))?;
            parse_cfs(&quota, &read(&dir.join("cpu.cfs_period_us"))?)
        })
    });
    quotas.reduce(f64::min)
}

/// The directories that may limit us, from the lines `id:controllers:path` of `/proc/self/cgroup`.
fn group_dirs(membership: &str) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mounts: &[&str] = if controllers.is_empty() {
            &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            &["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"]
        } else {
            &[]
        };
        for mount in mounts {
            let group = Path::new(path.trim_start_matches('/'));
            dirs.extend(group.ancestors().map(|above| Path::new(mount).join(above)));
        }
    }
    dirs
}

/// `"150000 100000"` is 1.5 cores, `"max 100000"` no limit.
fn parse_cpu_max(text: &str) -> Option<f64> {
    let mut fields = text.split_ascii_whitespace();
    ratio(fields.next()?, fields.next()?)
}

/// Version 1: a quota of -1 is no limit.
fn parse_cfs(quota_us: &str, period_us: &str) -> Option<f64> {
    ratio(quota_us.trim(), period_us.trim())
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let quota: u32 = quota.parse().ok().filter(|quota| *quota > 0)?;
    let period: u32 = period.parse().ok().filter(|period| *period > 0)?;
    Some(f64::from(quota) / f64::from(period))
}

#[expect(clippy::disallowed_methods, reason = "read once, before the first shard starts")]
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&Path) -> Option<String> + 'a {
        move |path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        }
    }

    #[test]
    fn version_two_takes_the_tightest_group_above_us() {
        let system = files(&[
            ("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/cpu.max", "300000 100000\n"),
        ]);
        assert_eq!(cpu_quota_from("0::/a/b\n", &system), Some(1.5));
    }

    #[test]
    fn version_two_in_a_container_asks_the_mount_itself() {
        let system = files(&[("/sys/fs/cgroup/cpu.max", "20000 100000\n")]);
        assert_eq!(cpu_quota_from("0::/docker/0123\n", &system), Some(0.2));
        assert_eq!(cpu_quota_from("0::/\n", &system), Some(0.2));
    }

    #[test]
    fn version_one_reads_quota_and_period() {
        let membership = "5:cpu,cpuacct:/slice\n4:memory:/slice\n";
        let limited = files(&[
            ("/sys/fs/cgroup/cpu/slice/cpu.cfs_quota_us", "250000\n"),
            ("/sys/fs/cgroup/cpu/slice/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(cpu_quota_from(membership, &limited), Some(2.5));
        let unlimited = files(&[
            ("/sys/fs/cgroup/cpu/slice/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu/slice/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(cpu_quota_from(membership, &unlimited), None);
    }

    #[test]
    fn nonsense_is_no_limit() {
        for text in ["", "max", "0 100000", "100000 0", "x y", "100000"] {
            assert_eq!(parse_cpu_max(text), None, "{text:?}");
        }
        assert_eq!(cpu_quota_from("garbage\n::\n0::/x", &files(&[])), None);
    }
}
