//! How figures are shown: text on the terminal, and a report for a browser.

pub mod report;
pub mod text;
pub mod units;
