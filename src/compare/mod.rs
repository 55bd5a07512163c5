//! Networks beside what papers print about them: a table for each source of published figures.
//!
//! What is published is data of the files that are compared. `expect` has exact counts, which the compiler
//! proves; a `published` clause behind it has what a paper prints about the same network, with the precision
//! it is printed in. The clause is no claim, since a paper may count otherwise, round otherwise or be wrong,
//! and a file that says so has to compile. So it is checked for form alone, and what is made of it is here.
//!
//! ```
//! use cellc::compare::{self, Agreement, Selection};
//! use cellc::{compile, source::SourceFile};
//!
//! let text = compile::embedded("nasnet_a.cell").expect("NASNet-A is in the library of cells");
//! let module = compile::check(&SourceFile::new("nasnet_a.cell", text))?;
//! let tables = compare::tables(compare::rows("nasnet_a.cell", &module, &Selection::default())?);
//! let params = tables[0].rows[0].published.as_ref().and_then(|published| published.params.as_ref());
//! assert_eq!(params.expect("table 1 prints them").trainable, Agreement::Rounded);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agreement;
mod render;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::agreement::{Agreement, MacsBeside, ParamsBeside};
pub use self::render::Form;
use crate::compile::{self, Fault, Request};
use crate::graph::TensorType;
use crate::graph::cost::{Cost, Counts};
use crate::graph::lower::Scale;
use crate::ir::{Expect, Module, Published};

/// Which networks of a file are compared.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// In these nets. If empty, in those the file's claims are about; where there are scales, in the net that
    /// the file means.
    pub nets: Vec<String>,
    /// At these scales; if empty, at those of the file's claims.
    pub scales: Vec<Scale>,
    /// With figures of a source whose name contains this text, in upper or lower case. If `None`, all.
    pub source: Option<String>,
}

impl Selection {
    fn has_source(&self, source: Option<&str>) -> bool {
        let Some(part) = &self.source else { return true };
        source.is_some_and(|source| source.to_lowercase().contains(&part.to_lowercase()))
    }
}

/// The rows of one source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// The source; `None` for networks about which the files have no published figures.
    pub source: Option<String>,
    /// The networks, in the order of the files and of their claims.
    pub rows: Vec<Row>,
}

/// A network, what it costs, and what is printed about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The file of its cells.
    pub file: String,
    /// The net they are put into.
    pub net: String,
    /// N@F.
    pub scale: String,
    /// Height, width and channels of the images, as `224x224x3`.
    pub image: String,
    /// The number of classes.
    pub classes: usize,
    /// Trainable parameters, without the auxiliary head.
    pub params: u64,
    /// Those and the means and variances of batch normalization.
    pub params_with_statistics: u64,
    /// Multiply-adds for one image.
    pub macs: u64,
    /// What is published.
    pub published: Option<Beside>,
}

/// What one source prints about a network, beside what the network costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// The source.
    pub source: String,
    /// What it calls the network.
    pub name: Option<String>,
    /// Its parameters.
    pub params: Option<ParamsBeside>,
    /// Its multiply-adds.
    pub macs: Option<MacsBeside>,
}

impl Beside {
    /// True if every figure is had from a count of the network.
    pub fn agrees(&self) -> bool {
        self.params.as_ref().is_none_or(ParamsBeside::agrees)
            && self.macs.as_ref().is_none_or(MacsBeside::agrees)
    }
}

/// The networks of a file: a row for each and each source that prints something about it.
///
/// # Errors
/// A network that cannot be built, as [`compile::network`].
///
/// # Cost
/// Every network is lowered once.
pub fn rows(file: &str, module: &Module, selection: &Selection) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    for wanted in wanted(module, selection) {
        let published = wanted.expect.map_or(&[][..], |expect| &expect.published);
        let is_kept = |one: &&Published| selection.has_source(Some(&one.source));
        let kept: Vec<&Published> = published.iter().filter(is_kept).collect();
        // One with figures of other sources only is none without figures.
        if kept.is_empty() && (!published.is_empty() || !selection.has_source(None)) {
            continue;
        }
        let lowered = compile::network(module, &wanted.request)?;
        let image = lowered.graph.ty(lowered.graph.input);
        let Counts { params, statistics, macs, .. } = Cost::of(&lowered.graph).total;
        let row = Row {
            file: file.to_owned(),
            net: wanted.request.net,
            scale: wanted.scale.to_string(),
            image: format!("{}x{}x{}", image.height, image.width, image.channels),
            classes: lowered.graph.ty(lowered.graph.output).channels,
            params,
            params_with_statistics: params + statistics,
            macs,
            published: None,
        };
        rows.extend(kept.iter().map(|published| {
            let beside = Beside {
                source: published.source.clone(),
                name: published.name.clone(),
                params: published.params.map(|figure| ParamsBeside::of(figure, &row)),
                macs: published.macs.map(|figure| MacsBeside::of(figure, &row)),
            };
            Row { published: Some(beside), ..row.clone() }
        }));
        if kept.is_empty() {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The rows by source, the sources by name; last the rows without one.
pub fn tables(rows: Vec<Row>) -> Vec<Table> {
    let mut by_source: BTreeMap<Option<String>, Vec<Row>> = BTreeMap::new();
    for row in rows {
        let source = row.published.as_ref().map(|published| published.source.clone());
        by_source.entry(source).or_default().push(row);
    }
    let without = by_source.remove(&None);
    let sourced = by_source.into_iter().chain(without.map(|rows| (None, rows)));
    sourced.map(|(source, rows)| Table { source, rows }).collect()
}

/// A network to compare, and the claim that it is from.
struct Wanted<'m> {
    request: Request,
    scale: Scale,
    expect: Option<&'m Expect>,
}

fn wanted<'m>(module: &'m Module, selection: &Selection) -> Vec<Wanted<'m>> {
    let claimed = |is_meant: &dyn Fn(&Expect, Scale) -> bool| {
        let all = module.expects.iter().map(|expect| (expect, scale_of(expect)));
        let meant = all.filter(|(expect, scale)| is_meant(expect, *scale));
        meant.map(|(expect, scale)| from_claim(expect, scale)).collect::<Vec<_>>()
    };
    if selection.scales.is_empty() {
        let nets = &selection.nets;
        return claimed(&|expect, _| nets.is_empty() || nets.contains(&expect.net.name));
    }
    let meant = [module.default_net().to_owned()];
    let nets = if selection.nets.is_empty() { &meant[..] } else { &selection.nets };
    let mut found = Vec::new();
    for net in nets {
        for &scale in &selection.scales {
            let here = claimed(&|expect, at| expect.net.name == *net && at == scale);
            if here.is_empty() {
                let request = Request::new(net.as_str(), scale);
                found.push(Wanted { request, scale, expect: None });
            }
            found.extend(here);
        }
    }
    found
}

fn scale_of(expect: &Expect) -> Scale {
    // `check::claims` has seen that both are small.
    Scale { n: expect.scale.n.value as usize, f: expect.scale.f.value as usize }
}

fn from_claim(expect: &Expect, scale: Scale) -> Wanted<'_> {
    let image =
        expect.image.map(|[height, width, channels]| TensorType::new(channels, height, width));
    let request =
        Request { image, classes: expect.classes, ..Request::new(&expect.net.name, scale) };
    Wanted { request, scale, expect: Some(expect) }
}
