//! How figures are shown: text, JSON, and a report for a browser.

pub mod text;
pub mod units;
