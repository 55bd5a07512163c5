//! What the tests draw.

use std::fs;

use cellc::compile;
use cellc::draw::{self, Figure, Options, Subject};
use cellc::ir::Module;
use cellc::rng::{Purpose, stream};
use cellc::source::{Folders, SourceFile};
use cellc::space::Genotype;

/// A module and what is drawn of it.
pub struct Case {
    pub name: String,
    pub module: Module,
    pub genotype: Option<Genotype>,
}

impl Case {
    pub fn figure(&self) -> Figure {
        let options = Options { subject: Subject::Cells, genotype: self.genotype.clone() };
        draw::figure(&self.module, &options)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

pub fn checked(name: &str, text: &str) -> Module {
    compile::check_with(&SourceFile::new(name, text), &Folders)
        .unwrap_or_else(|faults| panic!("{name}: {faults}"))
}

pub fn embedded(name: &str) -> Module {
    checked(name, compile::embedded(name).expect("in the library"))
}

/// Every file with cells of the library and of the valid corpus, with open holes.
pub fn files() -> Vec<Case> {
    let library = compile::EMBEDDED.iter().map(|(name, text)| (name.to_string(), text.to_string()));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cells/valid/checked");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let corpus = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("readable");
        (path.to_string_lossy().into_owned(), text)
    });
    let cases: Vec<Case> = library
        .chain(corpus)
        .map(|(name, text)| Case { module: checked(&name, &text), name, genotype: None })
        .filter(|case| !case.module.cells.is_empty())
        .collect();
    assert!(cases.len() > 10, "{} files", cases.len());
    cases
}

/// Points of the space of a file of the library or the corpus.
pub fn sampled(points: u64) -> Vec<Case> {
    let with_spaces: Vec<Case> =
        files().into_iter().filter(|case| case.module.space.is_some()).collect();
    assert!(with_spaces.len() >= 3);
    let mut cases = Vec::new();
    for case in &with_spaces {
        let space = &case.module.space.as_ref().expect("a space").decisions;
        for point in 0..points {
            let genotype = space.sample(&mut stream(11, Purpose::Sample, point));
            cases.push(Case {
                name: format!("{}, point {point}", case.name),
                module: case.module.clone(),
                genotype: Some(genotype),
            });
        }
    }
    cases
}

/// A cell as large as they come, each block reading two before it and the output reading all.
pub fn large(blocks: usize) -> Case {
    let mut text =
        String::from("cell normal(h, prev) {\n    n0 = squeeze(h)\n    n1 = fit(prev)\n");
    for block in 2..blocks {
        text += &format!("    n{block} = sep<3>(n{}) + n{}\n", block - 1, block * 7 % (block - 1));
    }
    let all: Vec<String> = (0..blocks).map(|block| format!("n{block}")).collect();
    text += &format!("    out concat({})\n}}\n", all.join(", "));
    Case { name: "large".into(), module: checked("large", &text), genotype: None }
}

/// Every case that geometry is checked on.
pub fn all() -> Vec<Case> {
    files().into_iter().chain(sampled(40)).chain([large(60)]).collect()
}
