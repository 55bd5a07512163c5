//! What arrives where in a stack: outputs and their delays, skipped cells, strides, widths and groups.
//! Cells are made of one convolution each, so that the graph itself says which tensors were read.

use cellc::compile::{self, Fault, Request};
use cellc::graph::lower::{Scale, Width};
use cellc::graph::{Graph, Node, Op};
use cellc::source::SourceFile;

fn graph(stack: &str, cells: &str) -> Graph {
    graph_at(2, stack, cells).unwrap_or_else(|message| panic!("{message}"))
}

/// The graph of a net with this stack at N = `n` and base width 8, or the first fault's message.
fn graph_at(n: usize, stack: &str, cells: &str) -> Result<Graph, String> {
    let text = format!(
        "net n<N, F> {{
            let last = N - 1
            input 32x32x3
            stem  conv<3, out = 24>
            stack {stack}
            head  gap |> dense<classes>
        }}
        {cells}"
    );
    let source = SourceFile::new("stack.cell", text.as_str());
    let first = |faults: cellc::diagnostic::Diagnostics| {
        faults.into_iter().next().map_or_else(String::new, |fault| fault.message)
    };
    let module = compile::check(&source).map_err(first)?;
    let request = Request { width: Width::Base(8), ..Request::new("n", Scale { n, f: 0 }) };
    match compile::lower_only(&module, &request) {
        Ok(lowered) => Ok(lowered.graph),
        Err(Fault::Cells(faults)) => Err(first(faults)),
        Err(Fault::Request(error)) => Err(error.to_string()),
    }
}

/// The path of what the node at `path` reads.
fn reads<'g>(graph: &'g Graph, path: &str) -> &'g str {
    let node = node(graph, path);
    &graph.node(node.inputs[0]).path
}

fn node<'g>(graph: &'g Graph, path: &str) -> &'g Node {
    graph.nodes.iter().find(|node| node.path == path).unwrap_or_else(|| panic!("no node {path}"))
}

fn shape(graph: &Graph, path: &str) -> [usize; 3] {
    let ty = node(graph, path).ty;
    [ty.channels, ty.height, ty.width]
}

/// Reads each of its two inputs by a convolution of its own.
const TWO: &str = "cell two(h, prev) {
    a = h |> conv<1, stride>
    b = prev |> conv<1>
    out a |> conv<1>
}";

#[test]
fn the_one_output_of_a_cell_arrives_at_every_later_one() {
    let graph = graph("3 * two", TWO);
    assert_eq!(reads(&graph, "cells.0.a.conv1"), "stem.conv1");
    assert_eq!(reads(&graph, "cells.0.b.conv1"), "stem.conv1");
    assert_eq!(reads(&graph, "cells.1.a.conv1"), "cells.0.out.conv1");
    assert_eq!(reads(&graph, "cells.1.b.conv1"), "stem.conv1");
    assert_eq!(reads(&graph, "cells.2.a.conv1"), "cells.1.out.conv1");
    assert_eq!(reads(&graph, "cells.2.b.conv1"), "cells.0.out.conv1");
}

#[test]
fn several_outputs_arrive_where_they_are_sent() {
    // As the paper says of NASNet-B: four states in, four out, one for each of the next four cells.
    let cells = "cell four(h0, h1, h2, h3) {
        a = h0 |> conv<1>
        b = h1 |> conv<1>
        d = h2 |> conv<1>
        e = h3 |> conv<1>
        out a, b to 2, d to 3, e to 4
    }";
    let graph = graph("5 * four", cells);
    // Beside the stem, only the first output of cell 0 has arrived at cell 1.
    assert_eq!(reads(&graph, "cells.1.a.conv1"), "cells.0.a.conv1");
    assert_eq!(reads(&graph, "cells.1.b.conv1"), "stem.conv1");
    assert_eq!(reads(&graph, "cells.1.e.conv1"), "stem.conv1");
    for (input, output, from) in [("a", "a", 3), ("b", "b", 2), ("d", "d", 1), ("e", "e", 0)] {
        let read = reads(&graph, &format!("cells.4.{input}.conv1"));
        assert_eq!(read, format!("cells.{from}.{output}.conv1"));
    }
    // The head joins what the last cell gives.
    let joined: Vec<&str> = node(&graph, "cells.4.outputs.concat1")
        .inputs
        .iter()
        .map(|&input| graph.node(input).path.as_str())
        .collect();
    assert_eq!(
        joined,
        ["cells.4.a.conv1", "cells.4.b.conv1", "cells.4.d.conv1", "cells.4.e.conv1"]
    );
    assert_eq!(shape(&graph, "cells.4.outputs.concat1"), [32, 32, 32]);
}

#[test]
fn outputs_without_to_go_to_the_next_cell() {
    let cells = "cell both(x, y) {
        a = x |> conv<1>
        b = y |> conv<1>
        out a, b
    }";
    let graph = graph("2 * both", cells);
    assert_eq!(reads(&graph, "cells.1.a.conv1"), "cells.0.a.conv1");
    assert_eq!(reads(&graph, "cells.1.b.conv1"), "cells.0.b.conv1");
}

#[test]
fn more_states_than_inputs_are_a_fault() {
    let cells = "cell one(x) {
        a = x |> conv<1>
        out a, a
    }";
    let message = graph_at(2, "2 * one", cells).expect_err("two arrive at a cell that takes one");
    assert_eq!(message, "cell `one` takes 1 states, but 2 arrive");
}

#[test]
fn the_cell_behind_a_skipped_one_takes_what_that_one_took() {
    let stack = "2 * two, skip two stride 2 * 2, 2 * two";
    let graph = graph(stack, TWO);
    // Cell 2 is skipped: it took cell 0 as its second input, and so does cell 3.
    assert_eq!(reads(&graph, "cells.2.b.conv1"), "cells.0.out.conv1");
    assert_eq!(reads(&graph, "cells.3.a.conv1"), "cells.2.out.conv1");
    assert_eq!(reads(&graph, "cells.3.b.conv1"), "cells.0.out.conv1");
    assert_eq!(reads(&graph, "cells.4.b.conv1"), "cells.2.out.conv1");
}

#[test]
fn a_stack_gives_a_cell_its_stride_and_width() {
    let stack = "two at base / 2, two stride 2 * 3, two at 10, two stride 2 * 2";
    let graph = graph(stack, TWO);
    assert_eq!(shape(&graph, "cells.0.out.conv1"), [4, 32, 32]);
    assert_eq!(shape(&graph, "cells.1.out.conv1"), [12, 16, 16]);
    assert_eq!(shape(&graph, "cells.2.out.conv1"), [10, 16, 16]);
    assert_eq!(shape(&graph, "cells.3.out.conv1"), [20, 8, 8]);
}

#[test]
fn a_group_repeats_its_entries_in_order() {
    let cells = format!("{TWO}\ncell down(h, prev) stride 2 = two");
    let names = |n| {
        let graph = graph_at(n, "two, N * (down * 2, last * two)", &cells).expect("builds");
        let cells = graph.sections.iter().filter_map(|section| section.cell.clone());
        let last = graph.nodes.iter().rfind(|node| node.path.ends_with("out.conv1")).unwrap();
        (cells.collect::<Vec<String>>(), last.ty.channels)
    };
    assert_eq!(names(1), (vec!["two".into(), "down".into()], 16));
    let (two, down) = ("two".to_string(), "down".to_string());
    let cells = [&two, &down, &two, &two, &down, &two, &two, &down, &two, &two].map(Clone::clone);
    assert_eq!(names(3), (cells.to_vec(), 64));
}

#[test]
fn attributes_of_a_cell_come_from_the_stack() {
    let cells = "cell wide<k, out_of = 2>(h, prev) {
        let inner = max(c / out_of, 1)
        a = h |> conv<k, out = inner>
        out a |> conv<1>
    }
    cell thin(h, prev) = wide<1, out_of = 8>";
    let graph = graph("wide<3>, wide<5, out_of = N>, wide<last>, thin", cells);
    let window = |cell: usize| {
        let node = node(&graph, &format!("cells.{cell}.a.conv1"));
        let Op::Conv { window, .. } = node.op else { panic!("a convolution") };
        (window.kernel, node.ty.channels)
    };
    assert_eq!(window(0), ([3, 3], 4));
    assert_eq!(window(1), ([5, 5], 4));
    assert_eq!(window(2), ([1, 1], 4));
    assert_eq!(window(3), ([1, 1], 1));
}

#[test]
fn conditions_of_a_net_are_about_the_scale_asked_for() {
    let text = "net n<N, F> {
        let third = N / 3
        require third * 3 == N : \"N must be a multiple of 3, got {third} thirds\"
        input 32x32x3
        stem  conv<3>
        stack third * two
        head  gap |> dense<classes>
    }";
    let source = SourceFile::new("net.cell", format!("{text}\n{TWO}"));
    let module = compile::check(&source).expect("another scale may meet it");
    let build = |n| {
        let request = Request { width: Width::Base(8), ..Request::new("n", Scale { n, f: 0 }) };
        compile::lower_only(&module, &request)
    };
    assert!(build(6).is_ok());
    let Err(Fault::Cells(faults)) = build(7) else { panic!("7 is no multiple of 3") };
    let messages: Vec<String> = faults.into_iter().map(|fault| fault.message).collect();
    assert_eq!(messages, ["N must be a multiple of 3, got 2 thirds"]);
}
