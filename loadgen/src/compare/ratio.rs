//! Medians and spreads of repeated figures and of the ratios of pairs.

use serde::Serialize;

/// A median with the lowest and highest value around it.
#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub struct Spread {
    /// The middle value, or the mean of the two in the middle.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// How many values there were.
    pub count: usize,
}

impl Spread {
    /// Of the values that are numbers; nothing if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let count = values.len();
        let (min, max) = (*values.first()?, *values.last()?);
        let median = (values[(count - 1) / 2] + values[count / 2]) / 2.0;
        Some(Self { median, min, max, count })
    }

    /// Of the ratios `a / b`, pair by pair; pairs whose `b` is zero are left out.
    pub fn of_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        Self::of(pairs.into_iter().filter(|&(_, b)| b != 0.0).map(|(a, b)| a / b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        let odd = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max, odd.count), (2.0, 1.0, 3.0, 3));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, 1.0]).unwrap().count, 1);
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        // The machine slowed down between the pairs; within each, A is twice as fast.
        let ratio = Spread::of_ratios([(20.0, 10.0), (10.0, 5.0), (4.0, 2.0), (1.0, 0.0)]);
        assert_eq!(ratio, Spread::of([2.0, 2.0, 2.0]));
    }
}
