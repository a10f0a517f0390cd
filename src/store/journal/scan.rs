//! Reading journal files back: which commits count, what is missing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use super::aligned::{padded, PAGE};
use super::format::{event_salt, CommitHead, Event, FileHead, COMMIT_HEAD, EVENT_HEAD};
use super::writer::{file_path, Sealed, DIR};
use crate::store::disk::{read_into, Disk, Open};
use crate::store::vault::{unseal_commit, Area, Vault};
use crate::store::Damage;

/// What journal files hold.
#[derive(Debug, Default)]
pub(in crate::store) struct Scan {
    /// 0 if there is no journal.
    pub(in crate::store) identity: u64,
    pub(in crate::store) boot: u64,
    /// The last commit that counts.
    pub(in crate::store) last_commit: u64,
    /// The highest number that a commit ever had, as far as is known.
    pub(in crate::store) highest: u64,
    pub(in crate::store) next_file: u64,
    pub(in crate::store) next_stream: u64,
    /// In order of commits.
    pub(in crate::store) spans: Vec<Span>,
    pub(in crate::store) files: Vec<Sealed>,
    pub(in crate::store) damage: Vec<Damage>,
    /// The file that was read last, for those who go on with it.
    pub(in crate::store) open: OpenFile,
}

/// One file's bytes at a time, in the same memory.
#[derive(Debug, Default)]
pub(in crate::store) struct OpenFile {
    number: Option<u64>,
    bytes: Vec<u8>,
}

impl OpenFile {
    /// The bytes of a file; none if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub(in crate::store) fn get(&mut self, disk: &dyn Disk, number: u64) -> io::Result<&[u8]> {
        if self.number != Some(number) {
            self.number = None;
            read_into(disk, &file_path(number), &mut self.bytes)?;
            self.number = Some(number);
        }
        Ok(&self.bytes)
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) enum Span {
    /// A whole commit.
    Commit { file: u64, offset: usize, commit: u64 },
    /// Bytes where commits are missing that were durable.
    Lost { file: u64, from: usize, to: usize, first: u64, last: u64 },
}

impl Span {
    pub(in crate::store) fn file(&self) -> u64 {
        match self {
            Self::Commit { file, .. } | Self::Lost { file, .. } => *file,
        }
    }
}

/// A file that was read.
struct File {
    number: u64,
    size: usize,
    head: Option<FileHead>,
    /// Commits that fit, with where they stand.
    commits: Vec<(usize, CommitHead)>,
    /// Where something like a commit stands that does not fit.
    broken: Vec<usize>,
    /// What counts in older files, as the file says.
    valid_before: Option<u64>,
}

/// Reads all journal files; `identity` is the store's, if something else knows it.
///
/// # Errors
/// What the system says: what cannot be read is not taken for missing.
pub(in crate::store) fn scan(disk: &dyn Disk, identity: Option<u64>) -> io::Result<Scan> {
    let numbers = file_numbers(disk)?;
    let mut scan = Scan::default();
    let next_file = numbers.last().map_or(1, |last| last + 1);
    let mut files = Vec::new();
    let mut later = Later::default();
    for number in numbers.into_iter().rev() {
        if let Some(file) = read_file(disk, number, identity, &mut later, &mut scan.open)? {
            files.push(file);
        }
    }
    files.reverse();
    let found = identity.or_else(|| most_common(&files));
    scan.identity = found.unwrap_or(0);
    let files: Vec<File> = files
        .into_iter()
        .map(|(number, size, found)| own(number, size, found, scan.identity))
        .collect();
    scan.next_file = next_file;
    if let Some((file, end)) = scan.assemble(files) {
        // A commit without its head shows only in its events.
        let next = (scan.last_commit + 1, scan.last_commit + 2);
        let bytes = scan.open.get(disk, file)?;
        let rest = bytes.get(end..).unwrap_or_default();
        let rest = &rest[..rest.len().min(TAIL_MAX)];
        let mut is_torn = false;
        salvage(rest, scan.identity, next, |_, _, _| is_torn = true);
        if is_torn {
            let file = file_path(file);
            scan.damage.push(Damage::TornTail { file, offset: end as u64 });
        }
    }
    Ok(scan)
}

/// The numbers of the journal's files, ascending.
///
/// # Errors
/// What the system says.
pub(in crate::store) fn file_numbers(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> =
        disk.list(DIR)?.iter().filter_map(|name| parse_name(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What files with higher numbers say of the one before them.
#[derive(Default)]
struct Later {
    /// Nothing needs commits up to this one.
    released: u64,
    /// The lowest number that a commit of theirs has.
    first: Option<u64>,
}

/// Reads a file; of one that only has commits that nothing needs, the head alone.
fn read_file(
    disk: &dyn Disk,
    number: u64,
    identity: Option<u64>,
    later: &mut Later,
    open: &mut OpenFile,
) -> io::Result<Option<(u64, usize, Heads)>> {
    if later.first.is_some_and(|first| first <= later.released.saturating_add(1)) {
        let file = match disk.open(&file_path(number), Open::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut page = vec![0; PAGE];
        let read = file.read_at(0, &mut page)?;
        let size = usize::try_from(file.size()?).unwrap_or(usize::MAX);
        return Ok(Some((number, size, heads(number, &page[..read]))));
    }
    let bytes = open.get(disk, number)?;
    let found = heads(number, bytes);
    for (_, head) in found.commits.iter().filter(|(_, head)| Some(head.identity) == identity) {
        later.released = later.released.max(head.released);
        later.first = Some(later.first.map_or(head.commit, |first| first.min(head.commit)));
    }
    Ok(Some((number, bytes.len(), found)))
}

impl Scan {
    /// Returns where the last commit ends, unless something unfinished is known to stand there.
    fn assemble(&mut self, files: Vec<File>) -> Option<(u64, usize)> {
        let mut limit = u64::MAX;
        let mut limits = BTreeMap::new();
        for file in files.iter().rev() {
            limits.insert(file.number, limit);
            limit = limit.min(file.valid_before.unwrap_or(u64::MAX));
        }
        let mut last: Option<Place> = None;
        let heads = files.iter().flat_map(|file| &file.commits);
        let released = heads.map(|(_, head)| head.released).max().unwrap_or(0);
        for file in &files {
            let limit = limits.get(&file.number).copied().unwrap_or(u64::MAX);
            for (offset, head) in &file.commits {
                // What nothing needs may be there in parts.
                let counts = head.commit <= limit && head.commit > released;
                if counts && last.is_none_or(|last| head.commit > last.commit) {
                    self.add(&files, file, (*offset, head), released, &mut last);
                }
            }
            self.boot = self.boot.max(file.head.map_or(0, |head| head.boot));
            self.next_stream = self.next_stream.max(file.head.map_or(0, |head| head.next_stream));
            if file.head.map_or(file.size < PAGE, |head| (file.size as u64) < head.size) {
                self.damage.push(Damage::FileShort { file: file_path(file.number) });
            }
            let last_commit = file.commits.iter().map(|(_, head)| head.commit).max().unwrap_or(0);
            self.files.push(Sealed {
                number: file.number,
                last_commit: last_commit.min(limit),
                size: file.size as u64,
            });
        }
        self.last_commit = last.map_or(released, |last| last.commit);
        self.keep_damaged_files();
        let is_torn = self.name_torn_tail(&files, last);
        // Numbers that failed commits had are not used again.
        let highest = files.iter().flat_map(|file| &file.commits).map(|(_, head)| head.commit);
        let named = files.iter().filter_map(|file| file.valid_before);
        self.highest = highest.chain(named).max().unwrap_or(0);
        last.filter(|_| !is_torn).map(|last| (last.file, last.end))
    }

    fn add(
        &mut self,
        files: &[File],
        file: &File,
        (offset, head): (usize, &CommitHead),
        released: u64,
        last: &mut Option<Place>,
    ) {
        let commit = head.commit;
        let is_next = match *last {
            // Older commits are released.
            None => {
                let starts_after = file.valid_before.filter(|_| offset == PAGE);
                commit <= released + 1 || starts_after.is_some_and(|before| before <= released)
            }
            // With one write in flight the commit before this one was durable when it was written.
            Some(last) => head.durable == last.commit,
        };
        if !is_next {
            let first = last.map_or(released, |last| last.commit) + 1;
            self.lose(files, *last, Place { file: file.number, end: offset, commit }, first);
        }
        self.spans.push(Span::Commit { file: file.number, offset, commit });
        let end = offset + padded(COMMIT_HEAD + head.len as usize);
        *last = Some(Place { file: file.number, end, commit });
    }

    /// Commits `first..to.commit` are missing between two places.
    fn lose(&mut self, files: &[File], from: Option<Place>, to: Place, first: u64) {
        let last = to.commit.saturating_sub(1);
        self.damage.push(Damage::CommitsLost { file: file_path(to.file), first, last });
        let from_file = from.map_or(to.file, |from| from.file);
        for file in files.iter().filter(|file| (from_file..=to.file).contains(&file.number)) {
            let start = from.filter(|from| from.file == file.number).map_or(PAGE, |from| from.end);
            let end = if file.number == to.file { to.end } else { file.size };
            if start < end {
                let (file, from, to) = (file.number, start, end);
                self.spans.push(Span::Lost { file, from, to, first, last });
            }
        }
    }

    /// A file with lost commits is needed until everything known now is covered.
    fn keep_damaged_files(&mut self) {
        let lost = self.spans.iter().filter_map(|span| match span {
            Span::Lost { file, .. } => Some(*file),
            Span::Commit { .. } => None,
        });
        if let Some(first) = lost.min() {
            let last_commit = self.last_commit;
            for file in self.files.iter_mut().filter(|file| file.number >= first) {
                file.last_commit = last_commit;
            }
        }
    }

    fn name_torn_tail(&mut self, files: &[File], last: Option<Place>) -> bool {
        let (number, end) = last.map_or((0, PAGE), |last| (last.file, last.end));
        for file in files.iter().filter(|file| file.number >= number) {
            let end = if file.number == number { end } else { PAGE };
            // A head is written with the first commit.
            let is_first = file.head.is_some() && file.commits.is_empty();
            let broken = file.broken.iter().copied().find(|offset| *offset >= end);
            if let Some(offset) = broken.or_else(|| is_first.then_some(PAGE)) {
                let path = file_path(file.number);
                self.damage.push(Damage::TornTail { file: path, offset: offset as u64 });
                return true;
            }
        }
        false
    }
}

#[derive(Clone, Copy)]
struct Place {
    file: u64,
    end: usize,
    commit: u64,
}

/// The events of a commit that [`scan`] found, with where each stands.
///
/// Returns whether it could be read; one that is sealed may have been changed on purpose.
pub(in crate::store) fn events(
    bytes: &[u8],
    offset: usize,
    vault: Option<&Vault>,
    mut visit: impl FnMut(u64, &Event<'_>),
) -> bool {
    let commit = bytes.get(offset..).unwrap_or_default();
    let Some(head) = CommitHead::parse(commit) else { return false };
    let Some(body) = head.body(commit) else { return false };
    let body = match vault {
        Some(vault) => {
            let area = Area::Journal(head.identity, head.file, head.boot);
            let Some(body) = unseal_commit(vault, area, body) else { return false };
            Cow::Owned(body)
        }
        None => Cow::Borrowed(body),
    };
    let mut rest = &*body;
    while !rest.is_empty() {
        let at = (body.len() - rest.len()) as u64;
        let Some(event) = Event::take(&mut rest) else { return false };
        visit(at, &event);
    }
    true
}

/// The events that are left of lost commits, with the commit and where they stand, about.
pub(in crate::store) fn salvage(
    bytes: &[u8],
    identity: u64,
    (first, last): (u64, u64),
    mut visit: impl FnMut(u64, u64, &Event<'_>),
) {
    let salts: Vec<(u64, u32)> = (first..=last)
        .take(SALVAGED_COMMITS_MAX)
        .map(|commit| (commit, event_salt(identity, commit)))
        .collect();
    let mut at = 0;
    let mut next = 0;
    while at + EVENT_HEAD <= bytes.len() {
        let rest = &bytes[at..];
        // The kind and two zeros: most bytes are not worth a checksum.
        let is_likely = (1..=7).contains(&rest[8]) && rest[10] == 0 && rest[11] == 0;
        let found = salts.iter().skip(next).filter(|_| is_likely).enumerate().find_map(
            |(index, (commit, salt))| {
                Event::find(rest, *salt).map(|(event, size)| (index, *commit, event, size))
            },
        );
        match found {
            Some((index, commit, event, size)) => {
                visit(commit, at as u64, &event);
                // Commits ascend.
                next += index;
                at += size;
            }
            None => at += 1,
        }
    }
}

/// Bytes behind the last commit that are looked at.
const TAIL_MAX: usize = 256 << 10;

/// Lost commits in a row that events are looked for.
const SALVAGED_COMMITS_MAX: usize = 64;

struct Heads {
    head: Option<FileHead>,
    commits: Vec<(usize, CommitHead)>,
    broken: Vec<usize>,
}

fn heads(number: u64, bytes: &[u8]) -> Heads {
    let head = FileHead::parse(bytes).filter(|head| head.file == number);
    let mut found = Heads { head, commits: Vec::new(), broken: Vec::new() };
    let mut offset = PAGE;
    while let Some(commit) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        match CommitHead::parse(commit) {
            Some(head) if head.file == number && head.body(commit).is_some() => {
                found.commits.push((offset, head));
                offset += padded(COMMIT_HEAD + head.len as usize);
                continue;
            }
            Some(head) if head.file == number => found.broken.push(offset),
            // Of an earlier life of the file.
            Some(_) => {}
            None if CommitHead::resembles(commit, number) => found.broken.push(offset),
            None => {}
        }
        offset += PAGE;
    }
    found
}

fn own(number: u64, size: usize, found: Heads, identity: u64) -> File {
    let Heads { head, mut commits, broken } = found;
    let head = head.filter(|head| head.identity == identity);
    commits.retain(|(_, head)| head.identity == identity);
    let valid_before = head
        .map(|head| head.valid_before)
        .or_else(|| commits.iter().map(|(_, head)| head.valid_before).min());
    File { number, size, head, commits, broken, valid_before }
}

/// The identity that most commits have.
fn most_common(files: &[(u64, usize, Heads)]) -> Option<u64> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, _, found) in files {
        let heads = found.head.iter().map(|head| head.identity);
        for identity in heads.chain(found.commits.iter().map(|(_, head)| head.identity)) {
            *counts.entry(identity).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(identity, _)| identity)
}

fn parse_name(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".journal")?, 16).ok()
}
