//! Where a number lies on an axis, and the round numbers that are written along it.

use super::Axis;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use std::ops::Range;

/// An axis over the numbers that it has to show.
#[derive(Debug, Clone)]
pub struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    /// Over all of `values` that are numbers.
    pub fn over(axis: &Axis, values: impl Iterator<Item = f64>) -> Scale {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        if values.is_empty() {
            return Scale { low: 0.0, high: 1.0, logarithmic: false };
        }
        if low > 0.0 && high / low > if axis.logarithmic { 1.0 } else { 30.0 } {
            return Scale { low: low.log10(), high: high.log10(), logarithmic: true };
        }
        // An axis that is told to be logarithmic shows what is above zero.
        let positive = || values.iter().copied().filter(|&x| x > 0.0);
        if axis.logarithmic && positive().next().is_some() {
            let low = positive().fold(f64::INFINITY, f64::min);
            return Scale { low: low.log10(), high: if high > low { high.log10() } else { low.log10() + 1.0 }, logarithmic: true };
        }
        let room = if high > low { (high - low) * 0.04 } else { high.abs().max(1.0) * 0.1 };
        Scale { low: if low >= 0.0 { (low - room).max(0.0) } else { low - room }, high: high + room, logarithmic: false }
    }

    /// From the lower end to the upper, in places.
    pub fn range(&self) -> Range<f64> {
        self.low..self.high
    }

    /// The place of a number.
    pub fn place(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10().max(self.low) } else { value }
    }

    /// Whether a number lies on the axis.
    pub fn shows(&self, value: f64) -> bool {
        (!self.logarithmic || value > 0.0) && (self.low..=self.high).contains(&self.place(value))
    }

    /// Places of round numbers.
    pub fn ticks(&self) -> Vec<f64> {
        if self.logarithmic { self.powers() } else { multiples(self.low, self.high) }
    }

    /// As plotters takes it.
    pub fn ruler(&self) -> Ruler {
        Ruler { range: self.range(), ticks: self.ticks() }
    }

    /// The powers of ten, and numbers between them where there are few.
    fn powers(&self) -> Vec<f64> {
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        let factors: &[f64] = match self.high - self.low {
            span if span < 0.7 => &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
            span if span < 3.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let every = ((self.high - self.low) / 8.0).ceil().max(1.0) as i32;
        let round =
            decades.filter(|decade| decade % every == 0).flat_map(|decade| factors.iter().map(move |f| f64::from(decade) + f.log10()));
        round.filter(|place| (self.low - 1e-9..=self.high + 1e-9).contains(place)).collect()
    }

    /// The number at a place, as a person writes it.
    pub fn written(&self, place: f64) -> String {
        let value = if self.logarithmic { 10f64.powf(place) } else { place };
        // What differs from a round number by an error of rounding is the round number.
        let value = if value.abs() < (self.high - self.low).abs() * 1e-9 && !self.logarithmic { 0.0 } else { value };
        match value.abs() {
            0.0 => "0".to_owned(),
            size if !(1e-3..1e6).contains(&size) => format!("{value:.0e}"),
            size if size >= 10.0 && (value - value.round()).abs() < 1e-6 * size => format!("{value:.0}"),
            _ => {
                let text = format!("{value:.4}");
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
    }
}

/// Places from one end to the other, of which some are written: plotters' view of an axis.
#[derive(Debug, Clone)]
pub struct Ruler {
    /// From where to where; downwards where the end is the lower.
    pub range: Range<f64>,
    /// Places that are written.
    pub ticks: Vec<f64>,
}

impl Ranged for Ruler {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        let part = (place - self.range.start) / (self.range.end - self.range.start);
        spanned(from.into(), to.into(), part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Up to ten multiples of 1, 2 or 5 times a power of ten.
fn multiples(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 8.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|&at| at <= high).take(12).collect()
}

/// The number that lies at `part` of the way from `a` to `b`.
pub fn spanned(a: f64, b: f64, part: f64) -> f64 {
    a + (b - a) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(logarithmic: bool, values: &[f64]) -> Scale {
        Scale::over(&Axis { label: String::new(), logarithmic }, values.iter().copied())
    }

    #[test]
    fn ticks_are_round_numbers() {
        let written = |scale: &Scale| scale.ticks().into_iter().map(|at| scale.written(at)).collect::<Vec<_>>();
        assert_eq!(written(&scale(false, &[0.0, 4000.0])), ["0", "1000", "2000", "3000", "4000"]);
        assert_eq!(written(&scale(true, &[1.0, 2000.0])), ["1", "10", "100", "1000"]);
        assert_eq!(written(&scale(false, &[-0.5, 0.5])), ["-0.4", "-0.2", "0", "0.2", "0.4"]);
        assert_eq!(written(&scale(true, &[1e3, 1e7])), ["1000", "10000", "100000", "1e6", "1e7"]);
    }

    #[test]
    fn numbers_of_very_different_size_make_an_axis_logarithmic() {
        assert!(scale(false, &[20.0, 30_000.0]).logarithmic);
        assert!(!scale(false, &[20.0, 200.0]).logarithmic);
        assert!(!scale(false, &[0.0, 30_000.0]).logarithmic);
        assert!(scale(true, &[0.0, 5.0, 10.0]).shows(7.0));
        assert!(!scale(true, &[0.0, 5.0, 10.0]).shows(0.0));
    }
}
