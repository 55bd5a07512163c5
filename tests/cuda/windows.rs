//! Graphs of one operation, or a few, for sizes that networks have and for those at the borders.

use cellc::graph::{Graph, Op, Padding, TensorType, Window};

use crate::graphs::Wirer;

/// Kernel, stride, dilation and padding of a window, and the map's sizes.
type Spec = ([usize; 2], [usize; 2], [usize; 2], Padding, [usize; 2]);

const WINDOWS: [Spec; 11] = [
    ([3, 3], [1, 1], [1, 1], Padding::Same, [9, 7]),
    ([5, 5], [1, 1], [1, 1], Padding::Same, [12, 13]),
    ([7, 7], [1, 1], [1, 1], Padding::Same, [8, 8]),
    ([3, 3], [2, 2], [1, 1], Padding::Same, [9, 8]),
    ([5, 5], [2, 2], [1, 1], Padding::Same, [16, 16]),
    ([7, 7], [2, 2], [1, 1], Padding::Same, [17, 11]),
    // Windows that only the general kernel takes: dilated, of unequal sides, without padding.
    ([3, 3], [1, 1], [2, 2], Padding::Same, [9, 9]),
    ([1, 7], [2, 1], [1, 1], Padding::Same, [6, 9]),
    ([2, 4], [3, 2], [2, 1], Padding::Valid, [9, 10]),
    ([3, 3], [1, 1], [1, 1], Padding::Valid, [5, 6]),
    // Larger than the map.
    ([7, 7], [1, 1], [1, 1], Padding::Same, [2, 3]),
];

/// Names, graphs and batches.
pub fn all() -> Vec<(String, Graph, Vec<usize>)> {
    let mut graphs = Vec::new();
    for (index, (kernel, stride, dilation, padding, size)) in WINDOWS.into_iter().enumerate() {
        let window = |size| {
            Window::new(kernel, stride, dilation, padding, size).expect("the window fits the map")
        };
        // Some with more images than a warp has lanes, and a number that no vector divides.
        let batch = if index % 4 == 0 { 33 } else { 3 };
        graphs.push((format!("windows-{index}"), windowed(size, window(size)), vec![batch]));
    }
    // A kernel as large as a map that does not fit shared memory.
    let huge = [90, 130];
    let window = Window::new(huge, [1, 1], [1, 1], Padding::Valid, huge).expect("it fits");
    let mut w = Wirer::new(TensorType::new(1, huge[0], huge[1]));
    let x = w.graph.input;
    w.graph.output = w.add(Op::DepthwiseConv { window }, &[x]);
    graphs.push(("huge".into(), w.graph, vec![1]));
    graphs.push(("rest".into(), rest(), vec![2]));
    graphs
}

/// Convolutions of all kinds, with and without a rectified input, and pools with one window.
fn windowed([height, width]: [usize; 2], window: Window) -> Graph {
    let mut w = Wirer::new(TensorType::new(4, height, width));
    let image = w.graph.input;
    let x = w.bn(image);
    let rectified = w.relu(x);
    let mut parts = vec![
        w.add(Op::DepthwiseConv { window }, &[x]),
        w.add(Op::DepthwiseConv { window }, &[rectified]),
        w.add(Op::Conv { window, out_channels: 3, groups: 1 }, &[rectified]),
        w.add(Op::Conv { window, out_channels: 6, groups: 2 }, &[x]),
        w.add(Op::Conv { window, out_channels: 4, groups: 2 }, &[rectified]),
    ];
    // What every window holds is a number, and more than one where it can be.
    if window.kernel[0] == window.kernel[1] {
        parts.push(w.add(Op::MaxPool { window }, &[x]));
        parts.push(w.add(Op::AvgPool { window }, &[x]));
        let zeros = Window { zeros: true, ..window };
        if window.pad != [0, 0] {
            parts.push(w.add(Op::MaxPool { window: zeros }, &[x]));
            parts.push(w.add(Op::AvgPool { window: zeros }, &[x]));
        }
    }
    let all = w.add(Op::Concat, &parts);
    w.graph.output = w.head(all, 3);
    w.graph
}

/// What the others leave out: mixes, drop path, 1x1 convolutions with and without a rectified input and in groups, a
/// long row for sums in several splits, clipping beside a sigmoid.
fn rest() -> Graph {
    let mut w = Wirer::new(TensorType::new(2, 40, 41));
    let image = w.graph.input;
    let a = w.conv(image, 1, 1, 4);
    let a = w.bn(a);
    let b = w.dwconv(a, 3, 1);
    let mixed = w.add(Op::Mix, &[a, b]);
    let rectified = w.relu(mixed);
    let c = w.grouped(rectified, 1, 4, 2);
    let dropped = w.add(Op::DropPath, &[c]);
    let sum = w.add(Op::Add, &[dropped, mixed]);
    let clipped = w.add(Op::Relu6, &[sum]);
    let smooth = w.add(Op::Sigmoid, &[sum]);
    let product = w.add(Op::Mul, &[clipped, smooth]);
    let shifted = w.add(Op::Shift, &[product]);
    let both = w.add(Op::Add, &[shifted, product]);
    w.graph.output = w.head(both, 4);
    w.graph
}
