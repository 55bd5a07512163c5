//! Which block of the new cell is which of the old one.
//!
//! Names are evidence, structure is too, and either can mislead: blocks get renamed, and new blocks get
//! old names. So there are two matchings, one that believes names first and one that believes structure
//! first, and the caller takes the one with fewer changes.
//!
//! Both take the most similar pair of unmatched blocks, match it, and look again, since two blocks that
//! read matched blocks are more alike. Blocks in the same role (equal colors after a pass of color
//! refinement down and up the cell) are preferred among equally similar ones.

use std::collections::BTreeMap;

use super::cells::CellView;
use super::names::{ADDED, Names};
use super::term::{Term, similarity};

/// How alike two blocks of different names must be to be one block renamed.
const THRESHOLD: f64 = 0.35;

/// What two names count that are matched with nothing yet.
const UNDECIDED: f64 = 0.4;

/// Pairs of blocks that are looked at; larger cells, which never check, are matched by name alone.
const MOST_PAIRS: usize = 1 << 17;

/// For each block of the new cell, its index in the old one.
pub(super) type Pairs = Vec<Option<usize>>;

/// The matchings worth trying: names first, then structure first.
pub(super) fn candidates(old: &CellView<'_>, new: &CellView<'_>) -> [Pairs; 2] {
    if old.blocks.len().saturating_mul(new.blocks.len()) > MOST_PAIRS {
        let mut by_name = Matcher::without_scores(old, new);
        by_name.match_names();
        return [by_name.pairs.clone(), by_name.pairs];
    }
    [Matcher::new(old, new).run(true), Matcher::new(old, new).run(false)]
}

/// How alike two cells are, 0 to 1: the share of blocks that have a like one, names aside.
pub(super) fn cells(old: &CellView<'_>, new: &CellView<'_>) -> f64 {
    let shapes = |view: &CellView<'_>| -> Vec<Term> {
        let terms = view.blocks.iter().map(|block| Term::of(&block.value, false));
        terms.map(|term| term.canonical(&|_| String::new())).collect()
    };
    let (mut old, new) = (shapes(old), shapes(new));
    let most = old.len().max(new.len()).max(1);
    let shared = new.iter().filter(|shape| {
        let at = old.iter().position(|other| other == *shape);
        at.map(|at| old.swap_remove(at)).is_some()
    });
    shared.count() as f64 / most as f64
}

/// The old names of a new cell's tensors under a matching. Inputs are matched by position.
pub(super) fn names(old: &CellView<'_>, new: &CellView<'_>, pairs: &Pairs) -> Names {
    let mut names = BTreeMap::new();
    for (index, input) in new.cell.inputs.iter().enumerate() {
        let known = old.cell.inputs.get(index).map(|input| input.name.clone());
        names.insert(input.name.clone(), known.unwrap_or_else(|| format!("{ADDED}{}", input.name)));
    }
    for (block, pair) in new.blocks.iter().zip(pairs) {
        let bound = block.bound();
        let known = pair.map_or(Vec::new(), |index| old.blocks[index].bound());
        for (index, name) in bound.into_iter().enumerate() {
            let old = known.get(index).cloned().unwrap_or_else(|| format!("{ADDED}{name}"));
            names.insert(name, old);
        }
    }
    Names { old: names, ..Names::default() }
}

/// What a name in a cell stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Referent {
    Input(usize),
    Block(usize),
}

/// One of the two cells.
struct Side {
    names: Vec<String>,
    terms: Vec<Term>,
    referents: BTreeMap<String, Referent>,
    /// For each block, the blocks that read it.
    readers: Vec<Vec<usize>>,
}

impl Side {
    fn new(view: &CellView<'_>) -> Side {
        let mut referents = BTreeMap::new();
        for (index, input) in view.cell.inputs.iter().enumerate() {
            referents.insert(input.name.clone(), Referent::Input(index));
        }
        for (index, block) in view.blocks.iter().enumerate() {
            for name in block.bound() {
                referents.insert(name, Referent::Block(index));
            }
        }
        let mut readers = vec![Vec::new(); view.blocks.len()];
        for (reader, names) in view.block_reads().into_iter().enumerate() {
            for name in names {
                if let Some(Referent::Block(read)) = referents.get(name) {
                    readers[*read].push(reader);
                }
            }
        }
        Side {
            names: view.blocks.iter().map(|block| block.name.name.clone()).collect(),
            terms: view.blocks.iter().map(|block| Term::of(&block.value, false)).collect(),
            referents,
            readers,
        }
    }

    /// A number for each block, equal for blocks that do the same in the same surroundings, within
    /// this cell and another one that is given the same `palette`.
    fn colors(&self, palette: &mut BTreeMap<String, usize>) -> Vec<usize> {
        let mut color = |text: String| {
            let next = palette.len();
            *palette.entry(text).or_insert(next)
        };
        let mut down: Vec<usize> = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            // Blocks are read below where they are bound, so those read have their colors.
            let named = term.canonical(&|name| match self.referents.get(name) {
                Some(Referent::Input(index)) => format!("input {index}"),
                Some(Referent::Block(index)) => match down.get(*index) {
                    Some(color) => format!("#{color}"),
                    None => "later".into(),
                },
                None => name.into(),
            });
            down.push(color(format!("{named:?}")));
        }
        let mut up = down.clone();
        for index in (0..up.len()).rev() {
            let mut above: Vec<usize> = self.readers[index].iter().map(|&at| up[at]).collect();
            above.sort_unstable();
            up[index] = color(format!("{} under {above:?}", down[index]));
        }
        up
    }
}

struct Matcher {
    old: Side,
    new: Side,
    /// Matched blocks, from the new side and from the old one.
    pairs: Pairs,
    taken: Vec<Option<usize>>,
    /// What names, roles and places say for a pair: old block, then new block. Less than any
    /// difference in structure.
    bonus: Vec<Vec<f64>>,
    scores: Vec<Vec<f64>>,
}

impl Matcher {
    fn without_scores(old: &CellView<'_>, new: &CellView<'_>) -> Matcher {
        Matcher {
            pairs: vec![None; new.blocks.len()],
            taken: vec![None; old.blocks.len()],
            scores: Vec::new(),
            bonus: Vec::new(),
            old: Side::new(old),
            new: Side::new(new),
        }
    }

    fn new(old: &CellView<'_>, new: &CellView<'_>) -> Matcher {
        let matcher = Matcher::without_scores(old, new);
        let (old, new) = (&matcher.old, &matcher.new);
        let mut palette = BTreeMap::new();
        let (old_colors, new_colors) = (old.colors(&mut palette), new.colors(&mut palette));
        let most = old.terms.len().max(new.terms.len()).max(1) as f64;
        let bonus = |i: usize, j: usize| {
            0.06 * f64::from(old_colors[i] == new_colors[j])
                + 0.03 * f64::from(old.names[i] == new.names[j])
                + 0.01 * (1.0 - (i as f64 - j as f64).abs() / most)
        };
        let bonus = (0..old.terms.len())
            .map(|i| (0..new.terms.len()).map(|j| bonus(i, j)).collect())
            .collect();
        let scores = vec![vec![0.0; new.terms.len()]; old.terms.len()];
        Matcher { scores, bonus, ..matcher }
    }

    fn run(mut self, names_first: bool) -> Pairs {
        if names_first {
            self.match_names();
        }
        for i in 0..self.old.terms.len() {
            for j in 0..self.new.terms.len() {
                self.score(i, j);
            }
        }
        while let Some((i, j)) = self.best() {
            self.pairs[j] = Some(i);
            self.taken[i] = Some(j);
            for &above in &self.old.readers[i].clone() {
                for &new_above in &self.new.readers[j].clone() {
                    self.score(above, new_above);
                }
            }
        }
        self.match_names();
        self.pairs
    }

    /// Matches unmatched blocks of equal names.
    fn match_names(&mut self) {
        let mut by_name = BTreeMap::new();
        for (i, name) in self.old.names.iter().enumerate() {
            by_name.entry(name.as_str()).or_insert(i);
        }
        for (j, name) in self.new.names.iter().enumerate() {
            if let Some(&i) = by_name.get(name.as_str())
                && self.taken[i].is_none()
                && self.pairs[j].is_none()
            {
                self.pairs[j] = Some(i);
                self.taken[i] = Some(j);
            }
        }
    }

    fn score(&mut self, i: usize, j: usize) {
        let (pairs, taken) = (&self.pairs, &self.taken);
        let leaf = |old: &str, new: &str| {
            let (old_is, new_is) = (self.old.referents.get(old), self.new.referents.get(new));
            match (old_is, new_is) {
                (Some(Referent::Block(i)), Some(Referent::Block(j))) => {
                    match (taken[*i], pairs[*j]) {
                        (None, None) => UNDECIDED,
                        (_, pair) => f64::from(pair == Some(*i)),
                    }
                }
                (Some(Referent::Input(old)), Some(Referent::Input(new))) => f64::from(old == new),
                (None, None) => f64::from(old == new),
                (None | Some(Referent::Input(_) | Referent::Block(_)), _) => 0.0,
            }
        };
        self.scores[i][j] = similarity(&self.old.terms[i], &self.new.terms[j], &leaf);
    }

    /// The most similar unmatched pair, if it is similar enough.
    fn best(&self) -> Option<(usize, usize)> {
        let mut best: Option<(f64, usize, usize)> = None;
        for i in (0..self.scores.len()).filter(|&i| self.taken[i].is_none()) {
            for j in (0..self.pairs.len()).filter(|&j| self.pairs[j].is_none()) {
                let score = self.scores[i][j] + self.bonus[i][j];
                if self.scores[i][j] >= THRESHOLD && best.is_none_or(|(most, ..)| score > most) {
                    best = Some((score, i, j));
                }
            }
        }
        best.map(|(_, i, j)| (i, j))
    }
}
