//! Re-checks a plan by following what every place of the arena holds, step by step.

use std::collections::BTreeMap;
use std::ops::Range;

use super::step::Access;
use super::{BufferId, Plan, View};

impl Plan {
    /// Checks that every step reads only what earlier steps wrote and nobody overwrote since, that no
    /// step writes what it reads, that everything lies inside the arena, and that the steps of a group can run
    /// part by part.
    ///
    /// # Errors
    /// A sentence that names the first step at fault.
    pub fn verify(&self) -> Result<(), String> {
        let mut arena = Arena::default();
        for (index, step) in self.forward.iter().enumerate() {
            let mut touched = Vec::new();
            step.kernel.visit(|view, access| touched.push((view, access)));
            self.follow(&mut arena, &touched).map_err(|fault| format!("step {index}: {fault}"))?;
        }
        for (index, step) in self.backward.iter().enumerate() {
            let mut touched = Vec::new();
            step.kernel.visit(|view, access| touched.push((view, access)));
            let index = self.forward.len() + index;
            self.follow(&mut arena, &touched).map_err(|fault| format!("step {index}: {fault}"))?;
        }
        for group in self.forward_groups.iter().filter(|group| group.steps.len() > 1) {
            let mut touched = Vec::new();
            for step in &self.forward[group.steps.clone()] {
                step.kernel.visit(|view, _| touched.push(view));
            }
            self.check_group(&touched).map_err(|fault| format!("{group:?}: {fault}"))?;
        }
        for group in self.backward_groups.iter().filter(|group| group.steps.len() > 1) {
            let mut touched = Vec::new();
            for step in &self.backward[group.steps.clone()] {
                step.kernel.visit(|view, _| touched.push(view));
            }
            self.check_group(&touched).map_err(|fault| format!("backward {group:?}: {fault}"))?;
        }
        Ok(())
    }

    /// Two views of a group are the same or share no memory.
    fn check_group(&self, touched: &[View]) -> Result<(), String> {
        for (index, a) in touched.iter().enumerate() {
            for b in touched[..index].iter().filter(|b| *b != a) {
                let (range, other) = (self.range(*a, 1), self.range(*b, 1));
                if range.start < other.end && other.start < range.end {
                    return Err(format!("{a:?} and {b:?} share memory"));
                }
            }
        }
        Ok(())
    }

    fn follow(&self, arena: &mut Arena, touched: &[(View, Access)]) -> Result<(), String> {
        let mut written: Vec<Range<usize>> = Vec::new();
        for &(view, access) in touched {
            let range = self.range(view, 1);
            let buffer = &self.buffers[view.buffer.0];
            if view.channel + view.channels > buffer.ty.channels || range.end > self.arena_len {
                return Err(format!("{view:?} does not lie inside its buffer and the arena"));
            }
            if access != Access::Write && !arena.holds(&range, view.buffer) {
                return Err(format!("{view:?} is not there any more, or not yet"));
            }
            if access != Access::Read {
                written.push(range);
            }
        }
        for (index, range) in written.iter().enumerate() {
            let overlaps =
                |other: &Range<usize>| other.start < range.end && range.start < other.end;
            let reads = touched.iter().filter(|(_, access)| *access == Access::Read);
            if reads.map(|&(view, _)| self.range(view, 1)).any(|other| overlaps(&other))
                || written[..index].iter().any(overlaps)
            {
                return Err("writes what it reads or writes twice".into());
            }
        }
        for &(view, access) in touched {
            if access != Access::Read {
                arena.write(self.range(view, 1), view.buffer);
            }
        }
        Ok(())
    }
}

/// Which buffer's numbers lie where: disjoint ranges by their start.
#[derive(Default)]
struct Arena {
    ranges: BTreeMap<usize, (usize, BufferId)>,
}

impl Arena {
    fn write(&mut self, range: Range<usize>, buffer: BufferId) {
        let overlapping: Vec<(usize, (usize, BufferId))> = self
            .ranges
            .range(..range.end)
            .rev()
            .take_while(|(_, (end, _))| *end > range.start)
            .map(|(&start, &rest)| (start, rest))
            .collect();
        for (start, (end, owner)) in overlapping {
            self.ranges.remove(&start);
            if start < range.start {
                self.ranges.insert(start, (range.start, owner));
            }
            if end > range.end {
                self.ranges.insert(range.end, (end, owner));
            }
        }
        self.ranges.insert(range.start, (range.end, buffer));
    }

    fn holds(&self, range: &Range<usize>, buffer: BufferId) -> bool {
        let mut at = range.end;
        for (&start, &(end, owner)) in self.ranges.range(..range.end).rev() {
            if end < at || owner != buffer {
                return false;
            }
            at = start;
            if at <= range.start {
                return true;
            }
        }
        at <= range.start
    }
}
