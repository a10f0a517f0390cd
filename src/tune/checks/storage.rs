//! The device below the store: its cache, its file system, how that is mounted.

use super::super::finding::{Finding, State};
use super::super::system::System;
use super::survey::Plan;

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    /// `major:minor`.
    device: &'a str,
    point: String,
    file_system: &'a str,
    /// Those of the mount and of the file system.
    options: Vec<&'a str>,
}

/// Both checks, or one line that there is nothing to check.
pub(super) fn store(plan: &Plan, system: &dyn System) -> Vec<Finding> {
    const NAME: &str = "store";
    let Some(directory) = &plan.store_dir else {
        return vec![Finding::fine(NAME, "no store directory: JetStream is off")];
    };
    let table = system.read("/proc/self/mountinfo").unwrap_or_default();
    let Some(mount) = mount_of(directory, &table) else {
        return vec![Finding::fine(NAME, format!("the mount of {directory} is not to be seen"))];
    };
    vec![file_system(directory, &mount), write_cache(&mount, system)]
}

fn file_system(directory: &str, mount: &Mount<'_>) -> Finding {
    const NAME: &str = "store-mount";
    let is = format!("{directory} on {} at {}", mount.file_system, mount.point);
    let complain = |state, problem: &str, should: &str, why, cost, hand: &str| {
        let texts = (format!("{is}: {problem}"), should.to_owned());
        Finding::of_hand(NAME, state, texts, (why, cost), hand)
    };
    if MEMORY.contains(&mount.file_system) {
        return complain(
            State::Required,
            "memory",
            "a file system on a disk",
            "what lies there is gone after a restart of the machine, whatever was acknowledged",
            "writes take the time of a disk",
            "another --store_dir",
        );
    }
    if REMOTE.contains(&mount.file_system) {
        return complain(
            State::Required,
            "not a local disk",
            "ext4 or xfs on a local or block-level remote disk",
            "its syncs and locks are only as good as the server and its mount options",
            "a disk of this machine",
            "another --store_dir",
        );
    }
    let barriers = ["nobarrier", "barrier=0"];
    if let Some(option) = mount.options.iter().find(|option| barriers.contains(option)) {
        return complain(
            State::Required,
            option,
            "barriers on",
            "syncs do not reach the disk's own cache flush, so a power cut takes back what was \
             acknowledged",
            "the time of a flush at each commit",
            &format!("mount -o remount,barrier {}", mount.point),
        );
    }
    if mount.file_system == "overlay" {
        return complain(
            State::Advised,
            "a container's writable layer",
            "a volume",
            "the layer is removed with the container, and direct writes may be refused on it",
            "a volume to look after",
            "mount a volume at the store directory",
        );
    }
    let slow = ["sync", "dirsync", "data=journal", "discard"];
    if let Some(option) = mount.options.iter().find(|option| slow.contains(option)) {
        return complain(
            State::Advised,
            option,
            "without it",
            "each write of the journal waits for more than itself: other metadata, a second copy, \
             or the trimming of freed blocks",
            "with discard gone, fstrim has to run now and then (fstrim.timer)",
            &format!("mount -o remount without {option}, and the same in fstab"),
        );
    }
    Finding::fine(NAME, format!("{is} ({})", mount.options.join(",")))
}

fn write_cache(mount: &Mount<'_>, system: &dyn System) -> Finding {
    const NAME: &str = "store-write-cache";
    let block = format!("/sys/dev/block/{}", mount.device);
    // A partition has its queue one level up.
    let queue = [format!("{block}/queue"), format!("{block}/../queue")];
    let found = queue.iter().find_map(|queue| {
        let cache = system.value(&format!("{queue}/write_cache"))?;
        Some((cache, system.number(&format!("{queue}/fua")).unwrap_or(0)))
    });
    let Some((cache, fua)) = found else {
        return Finding::fine(NAME, format!("device {} has no queue to ask", mount.device));
    };
    let is = format!("{cache}, fua={fua}");
    if cache != "write back" || fua == 1 {
        return Finding::fine(NAME, is);
    }
    Finding::of_hand(
        NAME,
        State::Advised,
        (is, "write back with fua=1, or write through".to_owned()),
        (
            "the disk holds writes in memory and cannot put one of them through: each commit \
             flushes the whole cache. A virtual disk hides here what its host does",
            "disks with power-loss protection cost more; saying write through of one without it \
             loses acknowledged messages at a power cut",
        ),
        "a disk with power-loss protection; never write to write_cache to make it look faster",
    )
}

/// The mount that a path lies in: the longest point above it, the last of several there.
fn mount_of<'a>(path: &str, table: &'a str) -> Option<Mount<'a>> {
    let mounts = table.lines().filter_map(parse_mount);
    mounts.filter(|mount| is_above(&mount.point, path)).max_by_key(|mount| mount.point.len())
}

fn is_above(point: &str, path: &str) -> bool {
    let rest = path.strip_prefix(point.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/x rw`; the fields before the dash vary.
fn parse_mount(line: &str) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (device, point, own) = (left.next()?, left.nth(1)?, left.next()?);
    let mut right = right.split(' ');
    let (file_system, shared) = (right.next()?, right.nth(1).unwrap_or_default());
    let options = own.split(',').chain(shared.split(',')).filter(|option| !option.is_empty());
    Some(Mount { device, point: unescaped(point), file_system, options: options.collect() })
}

/// The kernel writes blanks and backslashes in octal: `\040`.
fn unescaped(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

const MEMORY: [&str; 3] = ["tmpfs", "ramfs", "devtmpfs"];
const REMOTE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_above_a_path_is_its_own() {
        let table = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
                     23 22 8:1 / /data rw - xfs /dev/sda1 rw\n\
                     24 22 8:2 / /data\\040two rw master:1 - xfs /dev/sda2 rw,noquota\n\
                     nonsense\n";
        let device = |path| mount_of(path, table).map(|mount| mount.device);
        assert_eq!(device("/"), Some("254:0"));
        assert_eq!(device("/data"), Some("8:1"));
        assert_eq!(device("/data/x"), Some("8:1"));
        assert_eq!(device("/database"), Some("254:0"));
        assert_eq!(device("/data two/x"), Some("8:2"));
        assert_eq!(mount_of("/data two", table).unwrap().options, ["rw", "rw", "noquota"]);
        assert_eq!(mount_of("/x", ""), None);
    }
}
