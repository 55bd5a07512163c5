//! Groups and passing edges in rows, and their places.
//!
//! [`order`] finds the order within rows. For places, each row in turn is moved to where its edges ask
//! for: least squares under the order and the spaces between neighbors, which is isotonic regression.

mod order;

use super::tree::Tree;

/// Space between groups.
const GROUP_GAP: f64 = 26.0;

/// Space between a passing edge and its neighbors.
const TRUNK_GAP: f64 = 12.0;

/// Sweeps, up and down, that look for places.
const PLACE_SWEEPS: usize = 40;

/// How much more than others an edge from row to row within a column wants to be straight.
const TRUNK_WEIGHT: f64 = 8.0;

/// How much an item without links wants to stay.
const IDLE_WEIGHT: f64 = 0.05;

/// Something in a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A group.
    Group(usize),
    /// Edges from a group of a lower row to higher rows.
    Trunk(usize),
}

/// An edge from one row to the next.
struct Link {
    /// Item in the lower row.
    lower: usize,
    /// Where it leaves that item, from the item's left side.
    lower_at: f64,
    /// Item in the upper row.
    upper: usize,
    /// Where it enters that item; for one that is free, the middle of the box until it has a place.
    upper_at: f64,
    /// The port of a group it ends in, none for a trunk.
    port: Option<usize>,
}

/// Groups and passing edges in rows.
pub(super) struct Rows {
    /// Everything there is; groups first.
    pub items: Vec<Item>,
    /// Items of each row from left to right; the lowest row first.
    pub rows: Vec<Vec<usize>>,
    /// Item of the trunk from each group, by row.
    trunks: Vec<Vec<Option<usize>>>,
    widths: Vec<f64>,
    links: Vec<Link>,
    /// Links of each item to the row below.
    below: Vec<Vec<usize>>,
    /// Links of each item to the row above.
    above: Vec<Vec<usize>>,
    /// Left side of each item.
    left: Vec<f64>,
    /// Place of each item in its row.
    rank: Vec<usize>,
}

/// One of the two neighbors of a row.
#[derive(Clone, Copy)]
enum Side {
    Below,
    Above,
}

impl Rows {
    /// Groups in their rows, in the order they are given.
    pub(super) fn new(trees: &[Tree], row_of: &[usize]) -> Rows {
        let count = row_of.iter().max().map_or(0, |top| top + 1);
        let mut rows = Rows {
            items: (0..trees.len()).map(Item::Group).collect(),
            rows: vec![Vec::new(); count],
            trunks: vec![vec![None; count]; trees.len()],
            widths: trees.iter().map(|tree| tree.width).collect(),
            links: Vec::new(),
            below: Vec::new(),
            above: Vec::new(),
            left: Vec::new(),
            rank: Vec::new(),
        };
        for (group, &row) in row_of.iter().enumerate() {
            rows.rows[row].push(group);
        }
        for (group, tree) in trees.iter().enumerate() {
            for (at, port) in tree.ports.iter().enumerate() {
                let source = port.source;
                let (mut lower, mut lower_at) = (source, trees[source].top.x);
                for row in row_of[source] + 1..row_of[group] {
                    let upper = match rows.trunks[source][row] {
                        Some(trunk) => trunk,
                        None => {
                            let upper = rows.add_trunk(source, row);
                            let link = Link { lower, lower_at, upper, upper_at: 0.0, port: None };
                            rows.links.push(link);
                            upper
                        }
                    };
                    (lower, lower_at) = (upper, 0.0);
                }
                let upper_at = if port.is_free { port.middle } else { port.x() };
                rows.links.push(Link { lower, lower_at, upper: group, upper_at, port: Some(at) });
            }
        }
        rows.below = vec![Vec::new(); rows.items.len()];
        rows.above = vec![Vec::new(); rows.items.len()];
        for (index, link) in rows.links.iter().enumerate() {
            rows.below[link.upper].push(index);
            rows.above[link.lower].push(index);
        }
        rows.left = vec![0.0; rows.items.len()];
        rows.rank = vec![0; rows.items.len()];
        rows.pack();
        rows
    }

    /// Adds the trunk from `source` to `row`; gives its item.
    fn add_trunk(&mut self, source: usize, row: usize) -> usize {
        let item = self.items.len();
        self.items.push(Item::Trunk(source));
        self.widths.push(0.0);
        self.rows[row].push(item);
        self.trunks[source][row] = Some(item);
        item
    }

    /// Left side of a group.
    pub(super) fn left_of_group(&self, group: usize) -> f64 {
        self.left[group]
    }

    /// Where the edges from `source` pass `row`.
    pub(super) fn trunk_center(&self, source: usize, row: usize) -> f64 {
        let item = self.trunks[source][row].expect("an edge has a trunk in each row it passes");
        self.left[item]
    }

    /// How far to the side the edges between `row` and the next go at most.
    pub(super) fn widest_step(&self, row: usize) -> f64 {
        let links = self.rows[row].iter().flat_map(|&item| &self.above[item]);
        links
            .map(|&link| {
                let link = &self.links[link];
                let from = self.left[link.lower] + link.lower_at;
                (self.left[link.upper] + link.upper_at - from).abs()
            })
            .fold(0.0, f64::max)
    }

    /// Gives edges that are free to arrive in any order one without crossings.
    pub(super) fn untangle(&mut self, trees: &mut [Tree]) {
        for (group, tree) in trees.iter_mut().enumerate() {
            let mut from = vec![0.0; tree.ports.len()];
            for &link in &self.below[group] {
                let Link { lower, lower_at, port, .. } = self.links[link];
                if let Some(port) = port {
                    from[port] = self.left[lower] + lower_at;
                }
            }
            tree.untangle(|port| from[port]);
            for &link in &self.below[group] {
                if let Some(port) = self.links[link].port {
                    self.links[link].upper_at = tree.ports[port].x();
                }
            }
        }
    }

    /// For each link of an item to one side: the left side at which it would be straight, and its weight.
    fn wishes(&self, item: usize, side: Side) -> impl Iterator<Item = (f64, f64)> {
        let links = match side {
            Side::Below => &self.below[item],
            Side::Above => &self.above[item],
        };
        links.iter().map(move |&link| {
            let link = &self.links[link];
            let left = match side {
                Side::Below => self.left[link.lower] + link.lower_at - link.upper_at,
                Side::Above => self.left[link.upper] + link.upper_at - link.lower_at,
            };
            let is_trunk = |item: usize| matches!(self.items[item], Item::Trunk(_));
            let straight = is_trunk(link.lower) && is_trunk(link.upper);
            (left, if straight { TRUNK_WEIGHT } else { 1.0 })
        })
    }

    /// Puts the items of every row close to each other, around 0.
    fn pack(&mut self) {
        (0..self.rows.len()).for_each(|row| self.pack_row(row));
    }

    fn pack_row(&mut self, row: usize) {
        let mut x = 0.0;
        for (rank, at) in self.offsets(row).into_iter().enumerate() {
            let item = self.rows[row][rank];
            self.rank[item] = rank;
            self.left[item] = at;
            x = at + self.widths[item];
        }
        for &item in &self.rows[row] {
            self.left[item] -= x / 2.0;
        }
    }

    /// The least left sides of a row's items if the first is at 0.
    fn offsets(&self, row: usize) -> Vec<f64> {
        let mut offsets = Vec::new();
        let mut x = 0.0;
        let mut before: Option<usize> = None;
        for &item in &self.rows[row] {
            if let Some(before) = before {
                let is_group = |item: usize| matches!(self.items[item], Item::Group(_));
                let gap = if is_group(before) && is_group(item) { GROUP_GAP } else { TRUNK_GAP };
                x += self.widths[before] + gap;
            }
            offsets.push(x);
            before = Some(item);
        }
        offsets
    }

    /// Finds places in the order at hand.
    pub(super) fn place(&mut self) {
        for _ in 0..PLACE_SWEEPS {
            for row in (0..self.rows.len()).chain((0..self.rows.len()).rev()) {
                self.settle(row);
            }
        }
        // Whole pixels; what is rounded apart stays apart, as all spaces are whole.
        self.left.iter_mut().for_each(|left| *left = left.round());
    }

    /// Moves a row's items to the places nearest to what their links ask for.
    fn settle(&mut self, row: usize) {
        let offsets = self.offsets(row);
        // Runs of items that touch: how many, where they want to be less their offset, and how much so.
        let mut runs: Vec<(usize, f64, f64)> = Vec::new();
        for (rank, &item) in self.rows[row].iter().enumerate() {
            let wishes = self.wishes(item, Side::Below).chain(self.wishes(item, Side::Above));
            let (sum, weight) = wishes
                .fold((0.0, 0.0), |(sum, all), (left, weight)| (sum + weight * left, all + weight));
            let (wish, weight) =
                if weight > 0.0 { (sum / weight, weight) } else { (self.left[item], IDLE_WEIGHT) };
            let mut run = (1, wish - offsets[rank], weight);
            while let Some(&(count, wish, weight)) = runs.last()
                && wish >= run.1
            {
                runs.pop();
                let both = weight + run.2;
                run = (count + run.0, (wish * weight + run.1 * run.2) / both, both);
            }
            runs.push(run);
        }
        let mut rank = 0;
        for (count, wish, _) in runs {
            for _ in 0..count {
                self.left[self.rows[row][rank]] = wish + offsets[rank];
                rank += 1;
            }
        }
    }
}
