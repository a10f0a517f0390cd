//! [`Log`]: what everybody holds who has something to say.

use std::fmt::Arguments;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SendError, Sender};
use std::sync::Arc;
use std::time::Duration;

use super::line::{Line, Look};
use super::sink::{LogFile, Sink};
use super::syslog::Syslog;
use super::writer::{Entry, Writer};
use super::{Level, LogError};
use crate::host;

/// Bytes of lines that may wait for the writer; each counts 64 bytes more than its text.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where the lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    #[default]
    Stderr,
    /// A file, appended to.
    File {
        /// Created with mode 0640 if missing.
        path: PathBuf,
        /// Bytes after which it is put aside and a new one begun; 0: never.
        bytes_max: u64,
        /// Files kept, the current one included; 0: all of them.
        files_max: usize,
    },
    /// A syslog daemon.
    Syslog {
        /// `udp://host:port`, `tcp://host:port` or `unix:///path`; this machine's if `None`.
        remote: Option<String>,
    },
}

/// A target that is ready to take lines.
#[derive(Debug)]
pub struct OpenTarget {
    pub(super) sink: Sink,
    /// Whether somebody looks who likes colours.
    pub(super) colour: bool,
}

impl OpenTarget {
    /// Opens a target.
    ///
    /// # Errors
    /// It does not take lines.
    pub fn open(target: &LogTarget) -> Result<Self, LogError> {
        let (sink, colour) = match target {
            LogTarget::Stderr => (Sink::Stderr, io::stderr().is_terminal()),
            LogTarget::Syslog { remote } => {
                let opened = Syslog::open(remote.as_deref()).map_err(LogError::Syslog)?;
                (Sink::Syslog(opened), false)
            }
            LogTarget::File { path, bytes_max, files_max } => {
                (Sink::File(LogFile::open(path, *bytes_max, *files_max)?), false)
            }
        };
        Ok(Self { sink, colour })
    }
}

/// How a log starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Where the lines go.
    pub target: LogTarget,
    /// Write `[DBG]` lines.
    pub debug: bool,
    /// Write `[TRC]` lines.
    pub trace: bool,
    /// Put the time into each line.
    pub time: bool,
    /// That time in UTC instead of the local time zone.
    pub utc: bool,
    /// Each line is an object of JSON; syslog has a form of its own.
    pub json: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            target: LogTarget::Stderr,
            debug: false,
            trace: false,
            time: true,
            utc: false,
            json: false,
        }
    }
}

/// A handle of the log: cheap to clone, may be held by any thread, never blocks.
#[derive(Clone, Debug)]
pub struct Log {
    entries: Sender<Entry>,
    shared: Arc<Shared>,
}

impl Log {
    /// Opens the target and starts the writer thread, which ends with the last handle.
    pub fn start(options: &LogOptions) -> Result<Self, LogError> {
        let OpenTarget { sink, colour } = OpenTarget::open(&options.target)?;
        let LogOptions { time, utc, json, .. } = *options;
        let look = Look { pid: std::process::id(), time, utc, json, colour: colour && !json };
        let log = Self::spawn(sink, look)?;
        log.set_levels(options.debug, options.trace);
        Ok(log)
    }

    /// A log nobody reads, for tests of what logs.
    pub fn discard() -> Self {
        let (entries, _nobody) = mpsc::channel();
        Self { entries, shared: Arc::default() }
    }

    fn spawn(sink: Sink, look: Look) -> Result<Self, LogError> {
        let (entries, queue) = mpsc::channel();
        let shared = Arc::<Shared>::default();
        let writer = Writer::new(sink, look, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name(String::from("log"));
        thread.spawn(move || writer.run(&queue)).map_err(LogError::Thread)?;
        Ok(Self { entries, shared })
    }

    /// The process is about to leave: say why, and wait up to a second until it is written.
    pub fn fatal(&self, text: Arguments<'_>) {
        let text = text.to_string();
        self.shared.queued_bytes.fetch_add(text.len() + LINE_OVERHEAD_BYTES, Ordering::Relaxed);
        self.send(Level::Fatal, text);
        self.flush(FATAL_WAIT);
    }

    /// Something failed.
    pub fn error(&self, text: Arguments<'_>) {
        self.say(Level::Error, text);
    }

    /// Something is not as it should be.
    pub fn warning(&self, text: Arguments<'_>) {
        self.say(Level::Warning, text);
    }

    /// What an operator wants to know.
    pub fn info(&self, text: Arguments<'_>) {
        self.say(Level::Info, text);
    }

    /// What a developer wants to know. Costs one load if `debug` is off.
    pub fn debug(&self, text: Arguments<'_>) {
        if self.debug_enabled() {
            self.say(Level::Debug, text);
        }
    }

    /// A protocol line. Costs one load if `trace` is off.
    pub fn trace(&self, text: Arguments<'_>) {
        if self.trace_enabled() {
            self.say(Level::Trace, text);
        }
    }

    /// Whether `[DBG]` lines are written.
    pub fn debug_enabled(&self) -> bool {
        self.shared.debug.load(Ordering::Relaxed)
    }

    /// Whether `[TRC]` lines are written; ask before preparing one.
    pub fn trace_enabled(&self) -> bool {
        self.shared.trace.load(Ordering::Relaxed)
    }

    /// Changes what is written, for all handles.
    pub fn set_levels(&self, debug: bool, trace: bool) {
        self.shared.debug.store(debug, Ordering::Relaxed);
        self.shared.trace.store(trace, Ordering::Relaxed);
    }

    /// Changes how the lines that follow begin.
    pub fn set_look(&self, time: bool, utc: bool) {
        // Without a writer there are no lines.
        let _no_writer = self.entries.send(Entry::Look { time, utc });
    }

    /// Lines that follow go elsewhere.
    pub fn set_target(&self, target: OpenTarget) {
        // Without a writer there are no lines.
        let _no_writer = self.entries.send(Entry::Target(target));
    }

    /// Opens the log file anew and says so in it; on standard error it says that it does not.
    pub fn reopen(&self) {
        // Without a writer there is no file.
        let _no_writer = self.entries.send(Entry::Reopen);
    }

    /// Waits until everything said so far is written, at most `wait`. Answers whether it is.
    pub fn flush(&self, wait: Duration) -> bool {
        let (done, written) = mpsc::channel();
        self.entries.send(Entry::Flush(done)).is_ok() && written.recv_timeout(wait).is_ok()
    }

    /// Lines dropped since the start, because the queue was full or the sink refused them.
    pub fn dropped_lines(&self) -> u64 {
        self.shared.dropped_total.load(Ordering::Relaxed)
    }

    fn say(&self, level: Level, text: Arguments<'_>) {
        let text = text.to_string();
        if self.shared.admit(&text) {
            self.send(level, text);
        } else {
            self.shared.count_dropped(1);
        }
    }

    fn send(&self, level: Level, text: String) {
        let at = host::wall_clock_since_epoch();
        // Only a log that nobody reads has no writer; then nothing waits in its queue either.
        if let Err(SendError(Entry::Line(line))) =
            self.entries.send(Entry::Line(Line { level, at, text }))
        {
            self.shared.give_back(&line);
        }
    }
}

/// What handles and writer share: switches, and counters for the bound and the metric. Nothing
/// is ordered by them, so all accesses are relaxed; the queue itself orders the lines.
#[derive(Debug, Default)]
pub(super) struct Shared {
    debug: AtomicBool,
    trace: AtomicBool,
    /// `<= QUEUE_BYTES_MAX`, but for fatal lines and for lines being refused at this moment.
    queued_bytes: AtomicUsize,
    dropped_total: AtomicU64,
    pub(super) dropped_unreported: AtomicU64,
}

impl Shared {
    fn admit(&self, text: &str) -> bool {
        let cost = text.len() + LINE_OVERHEAD_BYTES;
        let before = self.queued_bytes.fetch_add(cost, Ordering::Relaxed);
        let fits = before + cost <= QUEUE_BYTES_MAX;
        if !fits {
            self.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
        }
        fits
    }

    pub(super) fn give_back(&self, line: &Line) {
        self.queued_bytes.fetch_sub(line.text.len() + LINE_OVERHEAD_BYTES, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, lines: u64) {
        self.dropped_total.fetch_add(lines, Ordering::Relaxed);
        self.dropped_unreported.fetch_add(lines, Ordering::Relaxed);
    }
}

/// How long a fatal line may keep a process that is leaving.
const FATAL_WAIT: Duration = Duration::from_secs(1);

/// What a line costs besides its text.
const LINE_OVERHEAD_BYTES: usize = 64;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests read the files they made")]
mod tests {
    use std::io::BufRead;
    use std::path::Path;

    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn temporary(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("midge-log-{}-{name}", std::process::id()));
        let _missing_is_fine = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn file_log(path: &Path, bytes_max: u64, files_max: usize) -> Log {
        let target = LogTarget::File { path: path.to_owned(), bytes_max, files_max };
        Log::start(&LogOptions { target, time: false, ..LogOptions::default() }).unwrap()
    }

    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let without_pid = text.lines().map(|line| line.split_once("] ").unwrap().1.to_owned());
        without_pid.collect()
    }

    #[test]
    fn lines_arrive_in_order_and_levels_gate() {
        let dir = temporary("order");
        let path = dir.join("log");
        let log = file_log(&path, 0, 0);
        log.info(format_args!("one"));
        log.debug(format_args!("hidden"));
        log.set_levels(true, false);
        log.debug(format_args!("two"));
        log.trace(format_args!("hidden"));
        log.fatal(format_args!("three"));
        assert_eq!(lines(&path), ["[INF] one", "[DBG] two", "[FTL] three"]);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn reopen_follows_the_path_and_says_so() {
        let dir = temporary("reopen");
        let path = dir.join("log");
        let log = file_log(&path, 0, 0);
        log.info(format_args!("old"));
        assert!(log.flush(WAIT));
        std::fs::rename(&path, dir.join("moved")).unwrap();
        log.reopen();
        assert!(log.flush(WAIT));
        assert_eq!(lines(&dir.join("moved")), ["[INF] old"]);
        assert_eq!(lines(&path), ["[INF] File log re-opened"]);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn lines_go_where_they_are_sent_last() {
        let dir = temporary("target");
        let (old, new) = (dir.join("old"), dir.join("new"));
        let log = file_log(&old, 0, 0);
        log.info(format_args!("one"));
        let target = LogTarget::File { path: new.clone(), bytes_max: 0, files_max: 0 };
        log.set_target(OpenTarget::open(&target).unwrap());
        log.info(format_args!("two"));
        assert!(log.flush(WAIT));
        assert_eq!(
            (lines(&old), lines(&new)),
            (vec!["[INF] one".into()], vec!["[INF] two".into()])
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn rotation_keeps_the_newest_files() {
        let dir = temporary("rotate");
        let path = dir.join("log");
        let log = file_log(&path, 100, 3);
        std::fs::write(dir.join("log.mine"), "a stranger").unwrap();
        for number in 0..20 {
            log.info(format_args!("{number:0100}"));
            assert!(log.flush(WAIT));
        }
        let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.count(), 3 + 1, "three of ours and the stranger");
        assert!(lines(&path)[0].starts_with("[INF] Rotated log, backup saved as \""));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_error_at_start() {
        let target =
            LogTarget::File { path: "/nonexistent/log".into(), bytes_max: 0, files_max: 0 };
        let error = Log::start(&LogOptions { target, ..LogOptions::default() }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "error opening file: open /nonexistent/log: no such file or directory"
        );
    }

    /// Goal: a sink that takes nothing neither blocks who logs nor grows the queue. Method: a
    /// log file that is a pipe nobody reads; then someone does, and the gap is told.
    #[test]
    fn an_unread_pipe_blocks_nobody_and_the_gap_is_told() {
        let dir = temporary("pipe");
        let path = dir.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        // Opened for both, so that neither open waits for the other side.
        let reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let log = file_log(&path, 0, 0);
        let text = "x".repeat(1000);
        for _ in 0..QUEUE_BYTES_MAX / 1000 * 2 {
            log.info(format_args!("{text}"));
        }
        assert!(log.dropped_lines() > 0);
        assert!(!log.flush(Duration::from_millis(50)), "nobody reads yet");
        let told = thread_that_finds(reader, "log lines dropped: the log could not keep up");
        assert!(log.flush(WAIT));
        assert!(told.join().unwrap());
        std::fs::remove_dir_all(dir).unwrap();
    }

    fn thread_that_finds(pipe: std::fs::File, text: &'static str) -> std::thread::JoinHandle<bool> {
        std::thread::spawn(move || {
            let mut lines = io::BufReader::new(pipe).lines();
            lines.any(|line| line.unwrap().contains(text))
        })
    }

    #[test]
    fn a_discarded_log_takes_everything() {
        let log = Log::discard();
        log.info(format_args!("x"));
        log.reopen();
        assert!(!log.flush(Duration::ZERO));
    }
}
