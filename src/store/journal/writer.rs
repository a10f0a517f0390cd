//! The journal's files and its one write in flight.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;

use super::aligned::{padded, Aligned, PAGE};
use super::format::{CommitHead, FileHead, COMMIT_HEAD};
use super::staging::{empty_buffer, Staging};
use crate::store::disk::DiskFile;
use crate::store::vault::{Sealer, SEALED_MORE};

/// Files and the write in flight. Calls: [`take_write`](Self::take_write), then
/// [`handle_written`](Self::handle_written) with it; [`take_request`](Self::take_request), then
/// [`handle_prepared`](Self::handle_prepared).
#[derive(Debug)]
pub(in crate::store) struct Journal {
    staging: Rc<RefCell<Staging>>,
    identity: u64,
    boot: u64,
    /// The highest commit that was written.
    written: u64,
    in_flight: bool,
    /// The buffer that is neither staged into nor written.
    idle: Option<Aligned>,
    current: Option<Current>,
    ready: Option<Prepared>,
    is_preparing: bool,
    /// The file after the current one could not be prepared; asked for again when it is needed.
    failed_ahead: bool,
    sealed: VecDeque<Sealed>,
    spare: Vec<Sealed>,
    /// Nothing needs commits up to this one.
    releasable: u64,
    /// What the write in flight says of that.
    releasing: u64,
    /// Files that can be removed.
    removable: Vec<u64>,
    /// Files up to this number may hold what was erased.
    tainted: u64,
    /// Such files that nothing needs: they are overwritten before anything else.
    to_zero: Vec<Sealed>,
    next_file: u64,
    next_size: u64,
    size_max: u64,
    failure: Option<Failure>,
    /// Nothing is committed any more.
    is_closed: bool,
    is_sealed: bool,
    /// Bytes written since somebody asked.
    bytes: u64,
}

#[derive(Debug)]
struct Current {
    number: u64,
    file: Arc<dyn DiskFile>,
    end: u64,
    size: u64,
    /// What counts in older files.
    valid_before: u64,
    sealer: Option<Box<Sealer>>,
}

/// A file that is made and may be written to.
#[derive(Debug)]
pub(in crate::store) struct Prepared {
    pub(in crate::store) number: u64,
    pub(in crate::store) file: Arc<dyn DiskFile>,
    pub(in crate::store) size: u64,
    /// Seals its commits, if the store is sealed.
    pub(in crate::store) sealer: Option<Box<Sealer>>,
}

/// A file that takes no more commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Sealed {
    pub(in crate::store) number: u64,
    pub(in crate::store) last_commit: u64,
    pub(in crate::store) size: u64,
}

/// A file that is to be made.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Request {
    pub(in crate::store) number: u64,
    pub(in crate::store) size: u64,
    /// The journal, and the life that it is made in.
    pub(in crate::store) identity: u64,
    pub(in crate::store) boot: u64,
    /// A file that is no longer needed and may be used for it.
    pub(in crate::store) spare: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    /// The last commit that counts.
    durable: u64,
    /// The failure is on disk, or nothing can be written.
    is_settled: bool,
}

/// The directory of journal files.
pub(in crate::store) const DIR: &str = "journal";

const SIZE_MIN: u64 = 1 << 20;
/// Files that wait to be used again.
const SPARE_MAX: usize = 3;

/// The path of a file.
pub(in crate::store) fn file_path(number: u64) -> String {
    format!("{DIR}/{number:016x}.journal")
}

/// A commit that the shell writes: durable, when the write completes.
#[derive(Debug)]
pub struct JournalWrite {
    file: Arc<dyn DiskFile>,
    offset: u64,
    buffer: Aligned,
    start: usize,
    commit: u64,
}

impl JournalWrite {
    /// What is written; address, offset and length are multiples of 4096.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_slice().get(self.start..).unwrap_or_default()
    }

    /// Where it is written.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The file it is written to.
    pub fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// Writes it here and now: for those without a ring.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self) -> std::io::Result<()> {
        self.file.write_at(self.offset, self.bytes())
    }

    /// The file's descriptor; only a real disk has it.
    pub fn raw_fd(&self) -> Option<RawFd> {
        self.file.raw_fd()
    }
}

/// What was there when the store was opened.
#[derive(Debug)]
pub(in crate::store) struct Found {
    pub(in crate::store) identity: u64,
    pub(in crate::store) boot: u64,
    /// The last commit that counts.
    pub(in crate::store) last_commit: u64,
    /// Above every number that was ever given.
    pub(in crate::store) next_commit: u64,
    pub(in crate::store) next_file: u64,
    pub(in crate::store) files: Vec<Sealed>,
}

impl Journal {
    pub(in crate::store) fn new(found: Found, size_max: u64, is_sealed: bool) -> Self {
        let staging = Rc::new(RefCell::new(Staging::new(
            found.identity,
            found.next_commit,
            found.last_commit,
        )));
        let largest = found.files.iter().map(|file| file.size).max().unwrap_or(0);
        Self {
            staging,
            identity: found.identity,
            boot: found.boot,
            written: found.last_commit,
            in_flight: false,
            idle: Some(empty_buffer()),
            current: None,
            ready: None,
            is_preparing: false,
            failed_ahead: false,
            sealed: found.files.into(),
            spare: Vec::new(),
            releasable: 0,
            releasing: 0,
            removable: Vec::new(),
            tainted: 0,
            to_zero: Vec::new(),
            next_file: found.next_file,
            next_size: largest.clamp(SIZE_MIN.min(size_max), size_max),
            size_max,
            failure: None,
            is_closed: false,
            is_sealed,
            bytes: 0,
        }
    }

    pub(in crate::store) fn staging(&self) -> &Rc<RefCell<Staging>> {
        &self.staging
    }

    pub(in crate::store) fn identity(&self) -> u64 {
        self.identity
    }

    /// The commit to be written now, if there is one and it may be.
    pub(in crate::store) fn take_write(&mut self, next_stream: u64) -> Option<JournalWrite> {
        let is_failing = match self.failure {
            Some(failure) if failure.is_settled => return None,
            Some(_) => true,
            None => false,
        };
        let has_nothing = !is_failing && !self.staging.borrow().is_ready();
        if self.in_flight || has_nothing || self.is_closed {
            return None;
        }
        let len = self.len_of_staged();
        let has_room = self.current.as_ref().is_some_and(|file| file.end + len as u64 <= file.size);
        let is_first = !has_room;
        if is_first {
            // A commit that is larger than any file makes its file longer.
            self.switch()?;
        }
        let current = self.current.as_ref()?;
        let taken = self.staging.borrow_mut().take(self.idle.take().unwrap_or_else(empty_buffer));
        let (commit, mut buffer) = (taken.commit, taken.buffer);
        let mut body = buffer.len() - PAGE - COMMIT_HEAD;
        let used = buffer.len();
        buffer.extend(PAGE + len - used).fill(0);
        let bytes = buffer.as_mut_slice();
        let (page, rest) = bytes.split_at_mut(PAGE);
        if is_first {
            let head = FileHead {
                identity: self.identity,
                file: current.number,
                boot: self.boot,
                valid_before: current.valid_before,
                next_stream,
                size: current.size,
            };
            head.write(page);
        }
        let (head, events) = rest.split_at_mut(COMMIT_HEAD);
        if let Some(sealer) = &current.sealer {
            body += SEALED_MORE;
            if sealer.seal(commit, &mut events[..body]).is_err() {
                self.fail(true);
                return None;
            }
        }
        CommitHead {
            identity: self.identity,
            file: current.number,
            boot: self.boot,
            commit,
            durable: self.written,
            valid_before: current.valid_before,
            released: self.releasable,
            len: u32::try_from(body).unwrap_or(u32::MAX),
            events: taken.events,
            crc: crc32c::crc32c(&events[..body]),
        }
        .write(head);
        self.in_flight = true;
        self.releasing = self.releasable;
        let (start, offset) = if is_first { (0, 0) } else { (PAGE, current.end) };
        Some(JournalWrite { file: Arc::clone(&current.file), offset, buffer, start, commit })
    }

    /// The write has completed.
    pub(in crate::store) fn handle_written(&mut self, write: JournalWrite, is_durable: bool) {
        assert!(self.in_flight, "a write comes back once");
        self.in_flight = false;
        let len = write.bytes().len() as u64;
        self.idle = Some(write.buffer);
        if !is_durable {
            self.fail(true);
            return;
        }
        self.bytes += len;
        if let Some(current) = &mut self.current {
            current.end = write.offset + len;
        }
        self.written = write.commit;
        self.release_files();
        match &mut self.failure {
            Some(failure) => failure.is_settled = true,
            None => self.staging.borrow_mut().set_durable(write.commit),
        }
    }

    /// The file to be made now, if one is needed.
    pub(in crate::store) fn take_request(&mut self) -> Option<Request> {
        if self.is_preparing || self.ready.is_some() {
            return None;
        }
        let is_failing = self.failure.is_some_and(|failure| !failure.is_settled);
        let is_ahead = !self.failed_ahead
            && self.current.as_ref().is_some_and(|file| file.end * 2 > file.size);
        if !is_failing && !self.is_stuck() && !is_ahead {
            return None;
        }
        self.is_preparing = true;
        let (identity, boot) = (self.identity, self.boot);
        let spare = self.spare.pop();
        let size = spare.map_or(self.next_size, |spare| spare.size);
        let number = self.next_file;
        self.next_file += 1;
        if self.current.is_some() {
            self.next_size = (self.next_size * 2).min(self.size_max);
        }
        Some(Request { number, size, identity, boot, spare: spare.map(|spare| spare.number) })
    }

    /// The file was made, or could not be.
    pub(in crate::store) fn handle_prepared(&mut self, prepared: Option<Prepared>) {
        self.is_preparing = false;
        match prepared {
            Some(prepared) => {
                self.ready = Some(prepared);
                self.failed_ahead = false;
            }
            None if self.failure.is_some() || self.is_stuck() => self.fail(false),
            None => self.failed_ahead = true,
        }
    }

    /// What is staged cannot be written for a reason outside the journal: it fails, as after a
    /// failed write.
    pub(in crate::store) fn refuse(&mut self) {
        if self.failure.is_none() && !self.in_flight {
            self.fail(false);
        }
    }

    /// The last commit that counts, if later ones have failed and that is settled.
    pub(in crate::store) fn failure(&self) -> Option<u64> {
        self.failure.filter(|failure| failure.is_settled).map(|failure| failure.durable)
    }

    pub(in crate::store) fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// Streams are back at what is durable.
    pub(in crate::store) fn recover(&mut self) {
        self.failure = None;
        let mut staging = self.staging.borrow_mut();
        staging.set_durable(self.written);
        staging.reopen();
    }

    /// Nothing needs commits up to `commit` any more. Their files are used again, or removed,
    /// once a commit has said so: a gap in the journal is damage otherwise.
    pub(in crate::store) fn release(&mut self, commit: u64) {
        self.releasable = self.releasable.max(commit);
    }

    /// Files that can be removed.
    pub(in crate::store) fn take_removable(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.removable)
    }

    /// The number of the file that is made next.
    pub(in crate::store) fn next_file(&self) -> u64 {
        self.next_file
    }

    /// Files up to `number` may hold what was erased.
    pub(in crate::store) fn taint(&mut self, number: u64) {
        self.tainted = self.tainted.max(number);
        let tainted = self.tainted;
        self.to_zero.extend(self.spare.extract_if(.., |file| file.number <= tainted));
    }

    /// A file that is to be overwritten with zeros; it comes back with
    /// [`handle_zeroed`](Self::handle_zeroed).
    pub(in crate::store) fn take_tainted(&mut self) -> Option<Sealed> {
        self.to_zero.pop()
    }

    /// Whether there are such files.
    pub(in crate::store) fn has_tainted(&self) -> bool {
        !self.to_zero.is_empty()
    }

    /// The file has nothing but zeros, or could not be written to.
    pub(in crate::store) fn handle_zeroed(&mut self, file: Sealed, is_done: bool) {
        if is_done {
            self.keep_or_remove(file);
        } else {
            self.removable.push(file.number);
        }
    }

    fn keep_or_remove(&mut self, file: Sealed) {
        if self.spare.len() < SPARE_MAX && file.size >= self.next_size {
            self.spare.push(file);
        } else {
            self.removable.push(file.number);
        }
    }

    /// Commits nothing any more; what is staged from now on goes nowhere.
    pub(in crate::store) fn close(&mut self) {
        self.is_closed = true;
        self.staging.borrow_mut().close();
    }

    /// What the journal is, for the mark of a clean stop: as a start would find it.
    pub(in crate::store) fn found(&self) -> Found {
        let current = self.current.as_ref().map(|current| (current.number, current.size));
        let ready = self.ready.as_ref().map(|ready| (ready.number, ready.size));
        let unsealed = [current, ready].into_iter().flatten().map(|(number, size)| Sealed {
            number,
            last_commit: self.written,
            size,
        });
        let unneeded = self.spare.iter().chain(&self.to_zero);
        let mut files: Vec<Sealed> = unneeded.chain(&self.sealed).copied().collect();
        files.extend(unsealed);
        files.sort_by_key(|file| file.number);
        Found {
            identity: self.identity,
            boot: self.boot,
            last_commit: self.written,
            next_commit: self.staging.borrow().position().commit,
            next_file: self.next_file,
            files,
        }
    }

    fn release_files(&mut self) {
        while self.sealed.front().is_some_and(|file| file.last_commit <= self.releasing) {
            let Some(file) = self.sealed.pop_front() else { break };
            if file.number <= self.tainted {
                self.to_zero.push(file);
            } else {
                self.keep_or_remove(file);
            }
        }
    }

    pub(in crate::store) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes written since the last call of [`start_count`](Self::start_count).
    pub(in crate::store) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Size of all files.
    pub(in crate::store) fn size(&self) -> u64 {
        let waiting = self.sealed.iter().chain(&self.spare).map(|file| file.size).sum::<u64>();
        let current = self.current.as_ref().map_or(0, |file| file.size);
        waiting + current + self.ready.as_ref().map_or(0, |file| file.size)
    }

    pub(in crate::store) fn start_count(&mut self) {
        self.bytes = 0;
    }

    /// Whether nothing is in flight.
    pub(in crate::store) fn is_idle(&self) -> bool {
        !self.in_flight && !self.is_preparing
    }

    /// Bytes that a commit of all that is staged takes.
    fn len_of_staged(&self) -> usize {
        let more = if self.is_sealed { SEALED_MORE } else { 0 };
        padded(COMMIT_HEAD + self.staging.borrow().bytes() + more)
    }

    /// Something waits, and there is no file for it.
    fn is_stuck(&self) -> bool {
        let len = self.len_of_staged() as u64;
        let staging = self.staging.borrow();
        let has_room = self.current.as_ref().is_some_and(|file| file.end + len <= file.size);
        staging.is_ready() && !has_room && self.ready.is_none()
    }

    fn switch(&mut self) -> Option<()> {
        let ready = self.ready.take()?;
        self.seal_current();
        self.current = Some(Current {
            number: ready.number,
            file: ready.file,
            end: 0,
            size: ready.size,
            valid_before: self.written,
            sealer: ready.sealer,
        });
        Some(())
    }

    fn seal_current(&mut self) {
        if let Some(current) = self.current.take() {
            self.sealed.push_back(Sealed {
                number: current.number,
                last_commit: self.written,
                size: current.size,
            });
        }
    }

    /// Commits above `written` fail, those that are staged too. The file is not used again until
    /// it is recycled; the next one says what counts in it.
    fn fail(&mut self, can_write: bool) {
        self.seal_current();
        self.staging.borrow_mut().close();
        let durable = self.failure.map_or_else(|| self.staging.borrow().durable(), |f| f.durable);
        // The file that tells of the failure comes next, if one can be made.
        let is_settled = self.failure.is_some() || !can_write;
        self.failure = Some(Failure { durable, is_settled });
    }
}
