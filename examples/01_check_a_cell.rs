//! Checks the text of a cell: prints what is wrong with it, then the repaired cell's shapes.
//!
//! Runs in a few milliseconds. Ends with `the repaired cell is fine: 24 operations`.

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use cellc::compile::{self, Request};
use cellc::diagnostic::render::{Style, render};
use cellc::source::SourceFile;

const CELL: &str = "\
cell normal(h, prev) {
    a  = squeeze(h)
    b  = fit(prev)
    n1 = sep<4>(a) + sepp<3>(b)
    n2 = max<3, s = 2>(a) + b
    out concat(n1, n2)
}
";

fn main() {
    let broken = SourceFile::new("mine.cell", CELL);
    if let Err(faults) = compile::check(&broken) {
        print!("{}", render(&faults, &broken, Style::Plain));
    }

    // Names first, then shapes: with the name repaired, the next kind of fault shows.
    let named = SourceFile::new("mine.cell", CELL.replace("sepp", "sep"));
    if let Err(faults) = compile::check(&named) {
        print!("{}", render(&faults, &named, Style::Plain));
    }

    let text = CELL.replace("sepp", "sep").replace("sep<4>", "sep<5>").replace(", s = 2", "");
    let reduction = "cell reduction(h, prev) stride 2 = normal\n";
    let repaired = SourceFile::new("mine.cell", text + reduction);
    let module = compile::check(&repaired).expect("every fault is repaired");
    let request = Request::new("cifar", "1@24".parse().expect("a scale"));
    let lowered = compile::network(&module, &request).expect("it fits the net");
    let operations = lowered.graph.nodes.iter().filter(|node| node.path.starts_with("cells.0."));
    println!("the repaired cell is fine: {} operations", operations.count());
}
