//! A bar on the terminal; silent when standard error is not one.

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::units;

/// Progress of one run.
#[derive(Clone)]
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// A bar with a label, or nothing if not wanted.
    pub fn new(label: &str, wanted: bool) -> Self {
        if !wanted {
            return Self(None);
        }
        let bar = ProgressBar::new(1000);
        let style = ProgressStyle::with_template("{prefix:28} [{bar:30}] {percent:>3}% {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(label.to_owned());
        Self(Some(bar))
    }

    /// Shows the share done (0 to 1) and the rate of the last moments.
    pub fn update(&self, share: f64, rate: f64) {
        if let Some(bar) = &self.0 {
            bar.set_position((share.clamp(0.0, 1.0) * 1000.0) as u64);
            bar.set_message(format!("{}/s", units::count(rate)));
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
