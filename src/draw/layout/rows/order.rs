//! The order of items within rows: sweeps by barycenter, each followed by exchanges of neighbors, of which
//! the one with the fewest crossings is kept.

use super::{Link, Rows, Side};

/// Sweeps, up and down, that look for an order.
const ORDER_SWEEPS: usize = 12;

/// Passes of exchanges in a row.
const EXCHANGES: usize = 8;

impl Rows {
    /// Finds an order with few crossings.
    pub(in crate::draw::layout) fn order(&mut self) {
        let mut best = (self.crossings(), self.rows.clone());
        for _ in 0..ORDER_SWEEPS {
            for side in [Side::Below, Side::Above] {
                let all: Vec<usize> = match side {
                    Side::Below => (0..self.rows.len()).collect(),
                    Side::Above => (0..self.rows.len()).rev().collect(),
                };
                for row in all {
                    self.sort(row, side);
                    self.exchange(row);
                }
                let crossings = self.crossings();
                if crossings < best.0 {
                    best = (crossings, self.rows.clone());
                }
            }
        }
        self.rows = best.1;
        self.pack();
    }

    /// Sorts a row by where the links to one side end on average.
    fn sort(&mut self, row: usize, side: Side) {
        let mut keyed: Vec<(f64, usize)> = self.rows[row]
            .iter()
            .map(|&item| {
                let center = self.left[item] + self.widths[item] / 2.0;
                let wishes: Vec<f64> = self.wishes(item, side).map(|(left, _)| left).collect();
                let count = wishes.len() as f64;
                let sum: f64 = wishes.iter().sum();
                (if count > 0.0 { sum / count + self.widths[item] / 2.0 } else { center }, item)
            })
            .collect();
        keyed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        self.rows[row] = keyed.into_iter().map(|(_, item)| item).collect();
        self.pack_row(row);
    }

    /// Exchanges neighbors of a row as long as that makes fewer crossings.
    fn exchange(&mut self, row: usize) {
        for _ in 0..EXCHANGES {
            let mut has_changed = false;
            for at in 1..self.rows[row].len() {
                let (a, b) = (self.rows[row][at - 1], self.rows[row][at]);
                if self.crossings_of(b, a) < self.crossings_of(a, b) {
                    self.rows[row].swap(at - 1, at);
                    has_changed = true;
                }
            }
            if !has_changed {
                break;
            }
        }
        self.pack_row(row);
    }

    /// Crossings between the links of two items if the first is left of the second.
    fn crossings_of(&self, first: usize, second: usize) -> usize {
        let count = |a: &[usize], b: &[usize], end: &dyn Fn(&Link) -> (usize, f64)| {
            a.iter()
                .flat_map(|a| b.iter().map(move |b| (a, b)))
                .filter(|&(&a, &b)| end(&self.links[a]) > end(&self.links[b]))
                .count()
        };
        let lower = |link: &Link| (self.rank[link.lower], link.lower_at);
        let upper = |link: &Link| (self.rank[link.upper], link.upper_at);
        count(&self.below[first], &self.below[second], &lower)
            + count(&self.above[first], &self.above[second], &upper)
    }

    /// All crossings between links.
    fn crossings(&self) -> usize {
        let mut count = 0;
        for row in &self.rows {
            // Upper ends so far, in order.
            let mut seen: Vec<(usize, f64)> = Vec::new();
            for &item in row {
                let ends = self.above[item].iter().map(|&link| {
                    let link = &self.links[link];
                    (self.rank[link.upper], link.upper_at)
                });
                let ends: Vec<(usize, f64)> = ends.collect();
                count += ends
                    .iter()
                    .map(|end| seen.len() - seen.partition_point(|other| other <= end))
                    .sum::<usize>();
                for end in ends {
                    seen.insert(seen.partition_point(|other| *other <= end), end);
                }
            }
        }
        count
    }
}
