//! Pareto fronts: non-dominated sorting and crowding distances.
//!
//! A point is a list of coordinates, all to be maximized; costs are negative in it. One point dominates
//! another if it is at least as good in every coordinate and better in one.
//!
//! # Source
//! Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II" (2002), section III.

/// A point of the plane or space of objectives.
pub type Point = Vec<f64>;

/// True if `a` is at least as good as `b` everywhere and better somewhere.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    let pairs = || a.iter().zip(b);
    pairs().all(|(a, b)| a >= b) && pairs().any(|(a, b)| a > b)
}

/// For each point the number of its front, 0 for those that none dominates, 1 for those that only points of
/// front 0 dominate, and so on: fast non-dominated sorting.
///
/// # Cost
/// The square of the number of points.
pub fn ranks(points: &[Point]) -> Vec<usize> {
    let mut ranks = vec![0; points.len()];
    let mut dominated: Vec<Vec<usize>> = vec![Vec::new(); points.len()];
    let mut dominators = vec![0_usize; points.len()];
    for (index, point) in points.iter().enumerate() {
        for (other, rival) in points.iter().enumerate() {
            if dominates(point, rival) {
                dominated[index].push(other);
                dominators[other] += 1;
            }
        }
    }
    let mut front: Vec<usize> = (0..points.len()).filter(|&index| dominators[index] == 0).collect();
    let mut rank = 0;
    while !front.is_empty() {
        let mut next = Vec::new();
        for &index in &front {
            ranks[index] = rank;
            for &other in &dominated[index] {
                dominators[other] -= 1;
                if dominators[other] == 0 {
                    next.push(other);
                }
            }
        }
        (front, rank) = (next, rank + 1);
    }
    ranks
}

/// For each point how far its neighbors within its front are apart, summed over the coordinates, each
/// relative to the front's extent; infinite for the ends of a front.
pub fn crowding(points: &[Point], ranks: &[usize]) -> Vec<f64> {
    let mut distances = vec![0.0; points.len()];
    let fronts = ranks.iter().max().map_or(0, |last| last + 1);
    for rank in 0..fronts {
        let mut front: Vec<usize> =
            (0..points.len()).filter(|&index| ranks[index] == rank).collect();
        let coordinates = points[front[0]].len();
        let columns =
            (0..coordinates).map(|i| points.iter().map(|point| point[i]).collect::<Vec<_>>());
        for column in columns {
            let at = |index: usize| column[index];
            front.sort_by(|&a, &b| at(a).total_cmp(&at(b)));
            let (first, last) = (front[0], front[front.len() - 1]);
            distances[first] = f64::INFINITY;
            distances[last] = f64::INFINITY;
            let extent = at(last) - at(first);
            if extent > 0.0 && extent.is_finite() {
                for triple in front.windows(3) {
                    distances[triple[1]] += (at(triple[2]) - at(triple[0])) / extent;
                }
            }
        }
    }
    distances
}

/// The points that no other dominates, by index and from the best first coordinate on; of equal points the
/// first alone.
///
/// # Cost
/// The number of points times that of the front.
pub fn front(points: &[Point]) -> Vec<usize> {
    let descending = |a: &usize, b: &usize| {
        let mut pairs = points[*a].iter().zip(&points[*b]);
        let first = pairs.find_map(|(a, b)| Some(b.total_cmp(a)).filter(|order| order.is_ne()));
        first.unwrap_or_else(|| a.cmp(b))
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(descending);
    let mut kept: Vec<usize> = Vec::new();
    // Whatever dominates a point comes before it in this order.
    for index in order {
        let is_covered = |&other: &usize| {
            points[other] == points[index] || dominates(&points[other], &points[index])
        };
        if !kept.iter().any(is_covered) {
            kept.push(index);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};
    use rand::Rng;

    fn points(count: usize, coordinates: usize, values: i32) -> Vec<Point> {
        let mut rng = stream(3, Purpose::Sample, count as u64);
        let mut coordinate = || f64::from(rng.gen_range(0..values));
        (0..count).map(|_| (0..coordinates).map(|_| coordinate()).collect()).collect()
    }

    /// Takes one front away after the other.
    fn peeled(points: &[Point]) -> Vec<usize> {
        let mut ranks = vec![usize::MAX; points.len()];
        for rank in 0.. {
            let left: Vec<usize> =
                (0..points.len()).filter(|&index| ranks[index] == usize::MAX).collect();
            if left.is_empty() {
                break;
            }
            for &index in &left {
                if !left.iter().any(|&other| dominates(&points[other], &points[index])) {
                    ranks[index] = rank;
                }
            }
        }
        ranks
    }

    #[test]
    fn sorting_takes_one_front_away_after_the_other() {
        for (count, coordinates, values) in [(0, 2, 5), (1, 2, 5), (60, 2, 8), (80, 3, 6)] {
            let points = points(count, coordinates, values);
            assert_eq!(ranks(&points), peeled(&points));
        }
    }

    #[test]
    fn a_front_has_no_point_twice_and_none_that_is_dominated() {
        let points = points(120, 2, 9);
        let front = front(&points);
        for pair in front.windows(2) {
            let [a, b] = [&points[pair[0]], &points[pair[1]]];
            assert!(a[0] > b[0] && a[1] < b[1], "{a:?} {b:?}");
        }
        for point in &points {
            let is_covered =
                |&index: &usize| points[index] == *point || dominates(&points[index], point);
            assert!(front.iter().any(is_covered), "{point:?}");
        }
    }

    #[test]
    fn crowding_is_the_extent_of_the_box_between_neighbors() {
        // Front 0 by hand: (0, 10), (2, 6), (4, 5), (10, 0); (1, 1) is dominated.
        let points =
            vec![vec![2.0, 6.0], vec![0.0, 10.0], vec![1.0, 1.0], vec![10.0, 0.0], vec![4.0, 5.0]];
        let ranks = ranks(&points);
        assert_eq!(ranks, [0, 0, 1, 0, 0]);
        let distances = crowding(&points, &ranks);
        assert_eq!([distances[1], distances[2], distances[3]], [f64::INFINITY; 3]);
        assert!((distances[0] - (0.4 + 0.5)).abs() < 1e-12, "{distances:?}");
        assert!((distances[4] - (0.8 + 0.6)).abs() < 1e-12, "{distances:?}");
    }

    #[test]
    fn a_point_without_a_score_is_behind_all_others() {
        let none = vec![f64::NEG_INFINITY; 2];
        let points = vec![none.clone(), vec![0.1, -9.0], vec![0.0, -1.0], none];
        assert_eq!(ranks(&points), [1, 0, 0, 1]);
        assert!(crowding(&points, &ranks(&points)).iter().all(|distance| !distance.is_nan()));
        assert_eq!(front(&points), [1, 2]);
    }
}
