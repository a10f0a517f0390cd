//! The live view: keys in, pictures out, and a thread that asks the server meanwhile.

use std::io;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::fetch::{Client, FetchError};
use super::model::Model;
use super::sample::Sample;
use super::screen::{draw, Overlay, KEYS};
use super::settings::Settings;
use crate::host;

/// How long a key or an answer may go unnoticed.
const GLANCE: Duration = Duration::from_millis(50);

/// Lines of a page up or down.
const PAGE: usize = 20;

type Answer = Result<Sample, FetchError>;

/// Shows the server until somebody leaves.
///
/// # Errors
/// There is no terminal, or it is gone.
pub(super) fn run(client: Client, settings: Settings) -> io::Result<()> {
    let (asks, asked) = sync_channel::<Settings>(1);
    let (answers, answered) = sync_channel::<Answer>(1);
    let fetcher = std::thread::Builder::new().name("top-fetch".to_owned());
    fetcher.spawn(move || {
        while let Ok(settings) = asked.recv() {
            if answers.send(client.sample(&settings)).is_err() {
                return;
            }
        }
    })?;
    let mut terminal = ratatui::try_init()?;
    let ended = App::new(settings, asks, answered).run(&mut terminal);
    ratatui::restore();
    ended
}

/// What the keys have made of it.
struct App {
    state: State,
    model: Model,
    asks: SyncSender<Settings>,
    answers: Receiver<Answer>,
    /// Whether an answer is awaited.
    waiting: bool,
    /// When to ask again, in nanoseconds of the monotonic clock.
    due_at: u64,
}

/// Everything that a key may change. Pure.
#[derive(Clone, Debug, Default)]
struct State {
    settings: Settings,
    overlay: Overlay,
    paused: bool,
    over: bool,
    /// Digits of the number of connections that is being typed.
    typed: Option<String>,
    failed: Option<String>,
    /// Ask now, not when it is time.
    hurry: bool,
}

impl App {
    fn new(settings: Settings, asks: SyncSender<Settings>, answers: Receiver<Answer>) -> Self {
        let state = State { settings, ..State::default() };
        Self { state, model: Model::default(), asks, answers, waiting: false, due_at: 0 }
    }

    fn run(&mut self, terminal: &mut ratatui::DefaultTerminal) -> io::Result<()> {
        while !self.state.over {
            self.ask();
            let view = self.model.view(&self.state.settings);
            self.state.overlay.footer = self.state.footer();
            terminal.draw(|frame| draw(frame, &view, &self.state.overlay))?;
            while !self.take_answer()? && !self.state.over {
                if !event::poll(GLANCE)? {
                    if self.is_due() {
                        break;
                    }
                    continue;
                }
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        self.state.handle_key(key);
                    }
                    // Another size: drawn anew.
                    _ => {}
                }
                break;
            }
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let on_time = !self.state.paused && host::monotonic_ns() >= self.due_at;
        !self.waiting && (on_time || self.state.hurry)
    }

    fn ask(&mut self) {
        if self.is_due() && self.asks.try_send(self.state.settings.clone()).is_ok() {
            self.waiting = true;
            self.state.hurry = false;
            let delay = u64::try_from(self.state.settings.delay.as_nanos()).unwrap_or(u64::MAX / 2);
            self.due_at = host::monotonic_ns().saturating_add(delay);
        }
    }

    /// Whether there was an answer.
    fn take_answer(&mut self) -> io::Result<bool> {
        match self.answers.try_recv() {
            Ok(Ok(sample)) => {
                self.model.handle_sample(sample);
                self.state.failed = None;
            }
            // The last figures stay; it is asked again.
            Ok(Err(error)) => self.state.failed = Some(error.to_string()),
            Err(TryRecvError::Empty) => return Ok(false),
            Err(TryRecvError::Disconnected) => {
                return Err(io::Error::other("the thread that asks is gone"));
            }
        }
        self.waiting = false;
        Ok(true)
    }
}

impl State {
    fn footer(&self) -> String {
        match (&self.typed, &self.failed) {
            (Some(digits), _) => format!("connections: {digits}"),
            (None, Some(error)) => error.clone(),
            (None, None) if self.paused => format!("paused  {KEYS}"),
            (None, None) => KEYS.to_owned(),
        }
    }

    fn handle_key(&mut self, key: KeyEvent) {
        let is_control_c =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control_c {
            self.over = true;
        } else if self.typed.is_some() {
            self.handle_typed(key.code);
        } else if self.overlay.help {
            self.overlay.help = false;
        } else {
            self.handle_command(key.code);
        }
    }

    fn handle_typed(&mut self, code: KeyCode) {
        let Some(digits) = &mut self.typed else { return };
        match code {
            KeyCode::Char(digit) if digit.is_ascii_digit() && digits.len() < 7 => {
                digits.push(digit)
            }
            KeyCode::Backspace => drop(digits.pop()),
            KeyCode::Enter => {
                if let Some(limit) = digits.parse().ok().filter(|limit| *limit > 0) {
                    self.settings.limit = limit;
                    self.hurry = true;
                }
                self.typed = None;
            }
            KeyCode::Esc => self.typed = None,
            _ => {}
        }
    }

    fn handle_command(&mut self, code: KeyCode) {
        let settings = &mut self.settings;
        let scrolled = &mut self.overlay.scrolled;
        match code {
            KeyCode::Char('q') | KeyCode::Esc => self.over = true,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('?' | 'h') => self.overlay.help = true,
            KeyCode::Char('o') => {
                settings.sort = settings.sort.next();
                self.hurry = true;
            }
            KeyCode::Char('O') => {
                settings.sort = settings.sort.previous();
                self.hurry = true;
            }
            KeyCode::Char('s') => {
                settings.subscriptions = !settings.subscriptions;
                self.hurry = true;
            }
            KeyCode::Char('r') => settings.rates = !settings.rates,
            KeyCode::Char('b') => settings.raw = !settings.raw,
            KeyCode::Char('n') => self.typed = Some(String::new()),
            KeyCode::Char('+') => settings.delay = (settings.delay * 2).min(DELAY_MAX),
            KeyCode::Char('-') => settings.delay = (settings.delay / 2).max(DELAY_MIN),
            KeyCode::Down => *scrolled += 1,
            KeyCode::Up => *scrolled = scrolled.saturating_sub(1),
            KeyCode::PageDown => *scrolled += PAGE,
            KeyCode::PageUp => *scrolled = scrolled.saturating_sub(PAGE),
            KeyCode::Home => *scrolled = 0,
            KeyCode::End => *scrolled = settings.limit,
            _ => {}
        }
        *scrolled = (*scrolled).min(settings.limit);
    }
}

const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn press(state: &mut State, keys: &str) {
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                other => KeyCode::Char(other),
            };
            state.handle_key(KeyEvent::new(code, KeyModifiers::NONE));
        }
    }

    #[test]
    fn keys_change_what_is_asked_and_shown() {
        let mut state = State::default();
        press(&mut state, "oos");
        assert_eq!(state.settings.sort.name(), "subs");
        assert!(state.settings.subscriptions && state.hurry);
        press(&mut state, "Orb+");
        assert_eq!(state.settings.sort.name(), "start");
        assert!(state.settings.rates && state.settings.raw);
        assert_eq!(state.settings.delay, Duration::from_secs(2));
        press(&mut state, "n12");
        assert_eq!(state.footer(), "connections: 12");
        press(&mut state, "\n ");
        assert_eq!(state.settings.limit, 12);
        assert!(state.paused && state.footer().starts_with("paused"));
        press(&mut state, "?x");
        assert!(!state.overlay.help && !state.over);
        press(&mut state, "q");
        assert!(state.over);
    }

    #[test]
    fn control_c_leaves_whatever_is_being_done() {
        let mut state = State { typed: Some("1".to_owned()), ..State::default() };
        state.handle_key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(state.over);
    }

    #[test]
    fn what_failed_is_told_and_scrolling_has_bounds() {
        let mut state = State { failed: Some("no".to_owned()), ..State::default() };
        assert_eq!(state.footer(), "no");
        for _ in 0..3 {
            state.handle_key(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
            state.handle_key(KeyEvent::new(KeyCode::PageDown, KeyModifiers::NONE));
        }
        assert_eq!(state.overlay.scrolled, state.settings.limit);
        state.handle_key(KeyEvent::new(KeyCode::Up, KeyModifiers::NONE));
        assert_eq!(state.overlay.scrolled, state.settings.limit - 1);
    }
}
