//! Lifetimes of buffers and their places in the arena.

use super::{Buffer, Plan, View};

/// Sets every buffer's lifetime and offset, and the arena's length.
///
/// Large buffers are placed first, each into the smallest gap that is free for its whole lifetime. This
/// is not optimal, which would be hard, but close in practice.
///
/// # Cost
/// Quadratic in the number of buffers.
pub(super) fn place(plan: &mut Plan) {
    set_lifetimes(plan);
    let mut order: Vec<usize> = (0..plan.buffers.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(plan.buffers[index].ty.elements()), index));
    // Kept sorted by offset.
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    for index in order {
        let offset = best_offset(&plan.buffers, &placed, index);
        plan.buffers[index].offset = offset;
        plan.arena_len = plan.arena_len.max(offset + plan.buffers[index].ty.elements());
        let at = placed.partition_point(|&other| plan.buffers[other].offset <= offset);
        placed.insert(at, index);
    }
}

/// The offset of the tightest gap between the placed buffers that live at the same time.
fn best_offset(buffers: &[Buffer], placed: &[usize], index: usize) -> usize {
    let buffer = &buffers[index];
    let size = buffer.ty.elements();
    let mut best: Option<(usize, usize)> = None;
    let mut free = 0;
    for other in placed.iter().map(|&other| &buffers[other]).filter(|b| live_together(b, buffer)) {
        if let Some(gap) = other.offset.checked_sub(free)
            && gap >= size
            && best.is_none_or(|(smallest, _)| gap < smallest)
        {
            best = Some((gap, free));
        }
        free = free.max(other.offset + other.ty.elements());
    }
    best.map_or(free, |(_, offset)| offset)
}

fn live_together(a: &Buffer, b: &Buffer) -> bool {
    a.lifetime[0] <= b.lifetime[1] && b.lifetime[0] <= a.lifetime[1]
}

fn set_lifetimes(plan: &mut Plan) {
    let buffers = &mut plan.buffers;
    let mut touch = |view: View, step: usize| {
        let [first, last] = &mut buffers[view.buffer.0].lifetime;
        *first = step.min(*first);
        *last = step.max(*last);
    };
    // The steps of a group run at the same time, as far as memory goes.
    for group in &plan.forward_groups {
        for step in &plan.forward[group.steps.clone()] {
            let ends = [group.steps.start, group.steps.end - 1];
            step.kernel.visit(|view, _| ends.into_iter().for_each(|end| touch(view, end)));
        }
    }
    let before = plan.forward.len();
    for group in &plan.backward_groups {
        for step in &plan.backward[group.steps.clone()] {
            let ends = [before + group.steps.start, before + group.steps.end - 1];
            step.kernel.visit(|view, _| ends.into_iter().for_each(|end| touch(view, end)));
        }
    }
}
