//! The writer thread: takes lines from the queue, renders them, writes them in batches.

use std::fmt::Arguments;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::Arc;

use super::handle::{OpenTarget, Shared};
use super::line::{CivilTime, Line, Look};
use super::sink::Sink;
use super::Level;
use crate::host;

/// What goes through the queue.
#[derive(Debug)]
pub(super) enum Entry {
    Line(Line),
    /// Open the log file anew.
    Reopen,
    /// Write what is rendered, and then elsewhere.
    Target(OpenTarget),
    /// Put the time into each line, and in UTC.
    Look {
        time: bool,
        utc: bool,
    },
    /// Write a batch now and answer.
    Flush(Sender<()>),
}

/// State of the thread.
pub(super) struct Writer {
    pub(super) sink: Sink,
    pub(super) look: Look,
    pub(super) shared: Arc<Shared>,
    batch: String,
    batch_lines: u64,
}

impl Writer {
    pub(super) fn new(sink: Sink, look: Look, shared: Arc<Shared>) -> Self {
        Self { sink, look, shared, batch: String::new(), batch_lines: 0 }
    }

    /// Runs until the last handle is gone.
    pub(super) fn run(mut self, entries: &Receiver<Entry>) {
        while let Ok(entry) = entries.recv() {
            self.handle(entry);
            while let Ok(entry) = entries.try_recv() {
                self.handle(entry);
            }
            self.report_dropped();
            self.write_batch();
        }
    }

    fn handle(&mut self, entry: Entry) {
        match entry {
            Entry::Line(line) => {
                self.shared.give_back(&line);
                self.add(&line);
                if self.batch.len() >= BATCH_BYTES {
                    self.write_batch();
                }
            }
            Entry::Reopen => self.reopen(),
            Entry::Target(OpenTarget { sink, colour }) => {
                self.write_batch();
                self.sink = sink;
                self.look.colour = colour && !self.look.json;
            }
            Entry::Look { time, utc } => self.look = Look { time, utc, ..self.look },
            Entry::Flush(done) => {
                self.report_dropped();
                self.write_batch();
                // Whoever asked may have stopped waiting.
                let _gone_is_fine = done.send(());
            }
        }
    }

    fn add(&mut self, line: &Line) {
        if let Sink::Syslog(syslog) = &mut self.sink {
            if syslog.send(line, host::local_utc_offset_s).is_err() {
                self.shared.count_dropped(1);
            }
            return;
        }
        self.look.render(line, host::local_utc_offset_s, &mut self.batch);
        self.batch_lines += 1;
    }

    fn say(&mut self, level: Level, text: Arguments<'_>) {
        let at = host::wall_clock_since_epoch();
        self.add(&Line { level, at, text: text.to_string() });
    }

    fn report_dropped(&mut self) {
        let dropped = self.shared.dropped_unreported.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.say(
                Level::Warning,
                format_args!("{dropped} log lines dropped: the log could not keep up"),
            );
        }
    }

    /// Writes what is rendered, and what a rotation behind it has to say.
    fn write_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        self.write_rendered();
        if self.rotate_if_due() {
            self.write_rendered();
        }
    }

    fn write_rendered(&mut self) {
        if self.sink.write(self.batch.as_bytes()).is_err() {
            self.shared.count_dropped(self.batch_lines);
        }
        self.batch.clear();
        self.batch_lines = 0;
    }

    fn rotate_if_due(&mut self) -> bool {
        let Sink::File(file) = &mut self.sink else { return false };
        if !file.wants_rotation() {
            return false;
        }
        let offset = if self.look.utc { |_| 0 } else { host::local_utc_offset_s };
        match file.rotate(CivilTime::new(host::wall_clock_since_epoch(), offset)) {
            Ok(backup) => self.say_rotated(&backup),
            Err(error) => {
                let error = host::go_error_text(&error);
                self.say(Level::Error, format_args!("Unable to rotate the logfile: {error}"));
            }
        }
        true
    }

    fn say_rotated(&mut self, backup: &Path) {
        self.say(Level::Info, format_args!("Rotated log, backup saved as {backup:?}"));
    }

    fn reopen(&mut self) {
        self.write_batch();
        let reopened = match &mut self.sink {
            Sink::File(file) => file.reopen(),
            Sink::Stderr | Sink::Syslog(_) => {
                self.say(Level::Info, format_args!("File log re-open ignored, not a file logger"));
                return;
            }
        };
        match reopened {
            Ok(()) => self.say(Level::Info, format_args!("File log re-opened")),
            // The file that was open stays in use.
            Err(error) => self.say(Level::Error, format_args!("{error}")),
        }
    }
}

/// Rendered bytes after which a batch is written even if more lines wait.
const BATCH_BYTES: usize = 64 * 1024;
