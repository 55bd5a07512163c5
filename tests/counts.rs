//! Exact counts of published cells, each beside its source. The claims in the files of `cells/` say the
//! same; this is their second copy, and `every_claim_of_the_library_is_here` keeps it whole.

use std::collections::BTreeSet;

use cellc::compile::{self, Request};
use cellc::graph::TensorType;
use cellc::graph::cost::Cost;
use cellc::graph::lower::{Lowered, Scale};
use cellc::ir::{ClaimKind, Module};
use cellc::source::SourceFile;

fn module(name: &str) -> Module {
    let text = compile::embedded(name).expect("a file of the library");
    compile::check(&SourceFile::new(name, text)).expect("the library is sound")
}

fn network(module: &Module, scale: &str, with_aux: bool) -> Lowered {
    let scale: Scale = scale.parse().expect("a scale");
    let request = Request { with_aux, ..Request::new("cifar", scale) };
    compile::network(module, &request).expect("the network can be built")
}

/// A network and what it costs.
struct Row {
    file: &'static str,
    net: &'static str,
    scale: &'static str,
    /// Side of the images, if not the net's own.
    side: Option<usize>,
    classes: Option<usize>,
    /// Trainable parameters, without the auxiliary head.
    params: u64,
    with_aux: Option<u64>,
    with_statistics: Option<u64>,
    macs: Option<u64>,
    source: &'static str,
}

/// A row of trainable parameters alone, on the net's own images and classes.
const fn row(
    file: &'static str,
    net: &'static str,
    scale: &'static str,
    params: u64,
    source: &'static str,
) -> Row {
    Row {
        file,
        net,
        scale,
        side: None,
        classes: None,
        params,
        with_aux: None,
        with_statistics: None,
        macs: None,
        source,
    }
}

impl Row {
    const fn side(self, side: usize) -> Row {
        Row { side: Some(side), ..self }
    }

    const fn classes(self, classes: usize) -> Row {
        Row { classes: Some(classes), ..self }
    }

    const fn with_aux(self, count: u64) -> Row {
        Row { with_aux: Some(count), ..self }
    }

    const fn with_statistics(self, count: u64) -> Row {
        Row { with_statistics: Some(count), ..self }
    }

    const fn macs(self, count: u64) -> Row {
        Row { macs: Some(count), ..self }
    }
}

/// tensorflow/models, slim `nasnet.py`: a counter of its arithmetic that agrees with keras 3.15.1 in six
/// configurations and with timm 1.0.31 in `nasnetalarge`.
const SLIM: &str = "slim nasnet.py";
/// Zoph et al., table 2, met to every digit by a skeleton that neither paper nor code states.
const TABLE_2: &str = "NASNet paper, table 2";
/// tensorflow/tpu, `amoeba_net`; agrees with what Real et al. publish.
const TPU: &str = "tpu amoeba_net, published";
/// The same code, where the publication has another number.
const TPU_ALONE: &str = "tpu amoeba_net, published otherwise";
/// quark0/darts, `model.py`, in torch 2.15.0.
const DARTS: &str = "quark0/darts model.py";
/// melodyguan/enas, the arithmetic of `micro_child.py`.
const ENAS: &str = "enas micro_child.py";
const TIMM: &str = "timm 1.0.31";
const KERAS: &str = "keras 3.15.1";
/// Liu et al. print 5.1M and 588M.
const PNAS: &str = "PNASNet paper, rounded";

const PUBLISHED: [Row; 33] = [
    row("nasnet_a.cell", "cifar", "6@768", 3_346_538, SLIM)
        .with_aux(4_978_036)
        .with_statistics(3_383_786)
        .macs(544_333_312),
    row("nasnet_a.cell", "cifar", "7@2304", 32_590_954, SLIM)
        .with_aux(34_320_756)
        .with_statistics(32_718_826)
        .macs(5_151_250_944),
    row("nasnet_a.cell", "cifar_strided", "7@2304", 29_634_922, SLIM),
    row("nasnet_a.cell", "imagenet", "4@1056", 5_289_978, SLIM)
        .with_aux(7_701_218)
        .with_statistics(5_326_716)
        .macs(563_638_816),
    row("nasnet_a.cell", "imagenet", "4@1056", 5_291_035, SLIM).classes(1001),
    row("nasnet_a.cell", "imagenet_large", "6@4032", 88_753_150, SLIM)
        .with_aux(93_320_934)
        .with_statistics(88_949_818)
        .macs(23_783_414_658),
    row("nasnet_a.cell", "imagenet_large", "6@4032", 88_757_183, SLIM)
        .classes(1001)
        .with_statistics(88_953_851),
    row("nasnet_a.cell", "imagenet_strided", "5@1536", 10_899_288, TABLE_2)
        .with_statistics(10_956_888)
        .macs(2_351_618_608),
    row("nasnet_a.cell", "imagenet_strided", "7@1920", 22_531_764, TABLE_2)
        .with_statistics(22_630_628)
        .macs(4_929_313_484),
    row("nasnet_a.cell", "imagenet", "5@1536", 12_247_544, SLIM)
        .side(299)
        .with_aux(15_574_240)
        .with_statistics(12_311_704)
        .macs(2_552_240_432),
    row("nasnet_a.cell", "imagenet", "7@1920", 24_595_884, SLIM)
        .side(299)
        .with_aux(27_947_156)
        .with_statistics(24_702_948)
        .macs(5_226_678_524),
    row("amoebanet_a.cell", "cifar", "6@512", 2_567_754, TPU),
    row("amoebanet_a.cell", "cifar", "6@576", 3_218_266, TPU),
    row("amoebanet_a.cell", "imagenet", "4@800", 5_086_930, TPU).macs(554_687_204),
    row("amoebanet_a.cell", "imagenet", "6@3040", 86_718_797, TPU).side(331).macs(23_133_663_507),
    row("amoebanet_b.cell", "cifar", "6@576", 2_839_186, TPU),
    row("amoebanet_b.cell", "cifar", "6@1280", 13_716_250, TPU),
    row("amoebanet_b.cell", "cifar", "6@2048", 34_874_506, TPU),
    row("amoebanet_b.cell", "imagenet", "3@992", 5_258_700, TPU).macs(555_060_408),
    row("amoebanet_b.cell", "imagenet", "6@3040", 79_008_676, TPU_ALONE).side(331),
    row("amoebanet_c.cell", "imagenet", "6@4560", 155_272_667, TPU).side(331).macs(41_129_488_875),
    row("amoebanet_c.cell", "imagenet", "4@1000", 6_353_815, TPU_ALONE).macs(676_936_592),
    row("amoebanet_d.cell", "imagenet", "6@4096", 121_915_113, TPU).side(299).classes(1001),
    row("darts_v1.cell", "darts", "20@576", 3_169_414, DARTS).with_aux(3_645_840).macs(500_987_520),
    row("darts_v1.cell", "darts", "8@256", 232_890, DARTS).macs(41_355_776),
    row("darts_v2.cell", "darts", "20@576", 3_349_342, DARTS).with_aux(3_825_768).macs(528_359_040),
    row("darts_v2.cell", "darts", "8@256", 246_106, DARTS).macs(43_444_736),
    row("enas_micro.cell", "enas", "5@720", 3_894_372, ENAS),
    row("nasnet_a_timm.cell", "imagenet_large", "6@4032", 88_753_150, TIMM),
    row("nasnet_a_keras.cell", "imagenet", "4@1056", 5_289_978, KERAS).with_statistics(5_326_716),
    row("nasnet_a_keras.cell", "imagenet_large", "6@4032", 88_753_150, KERAS)
        .with_statistics(88_949_818),
    row("pnasnet_5.cell", "pnasnet_large", "4@4320", 86_057_668, TIMM).macs(24_937_395_792),
    row("pnasnet_5.cell", "imagenet_strided", "3@1080", 5_064_487, PNAS)
        .side(224)
        .macs(587_293_200),
];

#[test]
fn published_networks_have_their_counts() {
    for row in &PUBLISHED {
        let Row { file, net, scale, source, .. } = row;
        let what = format!("{net} {scale} of {file} ({source})");
        let module = module(file);
        let image = row.side.map(|side| TensorType::new(3, side, side));
        let request = Request {
            image,
            classes: row.classes,
            ..Request::new(*net, scale.parse().expect("a scale"))
        };
        let cost = |with_aux| {
            let request = Request { with_aux, ..request.clone() };
            Cost::of(&compile::network(&module, &request).expect("it can be built").graph).total
        };
        let plain = cost(false);
        assert_eq!(plain.params, row.params, "{what}: parameters");
        if let Some(expected) = row.with_statistics {
            assert_eq!(plain.params + plain.statistics, expected, "{what}: with statistics");
        }
        if let Some(expected) = row.macs {
            assert_eq!(plain.macs, expected, "{what}: multiply-adds");
        }
        if let Some(expected) = row.with_aux {
            assert_eq!(cost(true).params, expected, "{what}: with the auxiliary head");
        }
    }
}

#[test]
fn every_file_of_the_library_is_in_the_program() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("cells");
    let listed = std::fs::read_dir(folder).expect("the library").map(|entry| {
        entry.expect("an entry").file_name().into_string().expect("names are plain text")
    });
    let embedded = compile::EMBEDDED.iter().map(|(name, _)| name.to_string());
    assert_eq!(listed.collect::<BTreeSet<_>>(), embedded.collect::<BTreeSet<_>>());
}

#[test]
fn every_claim_of_the_library_is_here() {
    let mut claimed = BTreeSet::new();
    for (name, _) in compile::EMBEDDED {
        for expect in &module(name).expects {
            let scale =
                Scale { n: expect.scale.n.value as usize, f: expect.scale.f.value as usize };
            let side = expect.image.map(|[height, ..]| height);
            let of = (name, expect.net.name.clone(), scale.to_string(), side, expect.classes);
            let counts = expect.claims.iter().map(|(kind, count)| (kind.name(), count.value));
            claimed.extend(counts.map(|count| (of.clone(), count)));
        }
    }
    let mut asserted = BTreeSet::new();
    for row in &PUBLISHED {
        let of = (row.file, row.net.to_string(), row.scale.to_string(), row.side, row.classes);
        let counts = [
            (ClaimKind::Params, Some(row.params)),
            (ClaimKind::ParamsWithAux, row.with_aux),
            (ClaimKind::ParamsWithStatistics, row.with_statistics),
            (ClaimKind::Macs, row.macs),
        ];
        let counts = counts.into_iter().filter_map(|(kind, count)| Some((kind.name(), count?)));
        asserted.extend(counts.map(|count| (of.clone(), count)));
    }
    assert_eq!(claimed, asserted);
}

#[test]
fn sections_add_up_to_the_total() {
    let module = module("nasnet_a.cell");
    let graph = network(&module, "2@96", false).graph;
    let cost = Cost::of(&graph);
    let sum = |part: fn(&cellc::graph::cost::Counts) -> u64| -> u64 {
        cost.sections.iter().map(|section| part(&section.counts)).sum()
    };
    assert_eq!(sum(|counts| counts.params), cost.total.params);
    assert_eq!(sum(|counts| counts.macs), cost.total.macs);
    let blocks = cellc::graph::cost::by_block(&graph);
    let cells: u64 =
        cost.sections.iter().filter(|s| s.cell.is_some()).map(|s| s.counts.params).sum();
    assert_eq!(blocks.values().map(|counts| counts.params).sum::<u64>(), cells);
    let counted: usize = graph
        .params
        .iter()
        .filter(|param| param.kind.is_trainable())
        .map(|param| param.len())
        .sum();
    assert_eq!(counted as u64, cost.total.params);
}

#[test]
fn the_cell_sizes_are_those_of_the_skeleton() {
    let graph = network(&module("nasnet_a.cell"), "2@96", false).graph;
    // 3N + 2 cells; 32, 16, 8 pixels; 6F or 4F channels.
    let outputs: Vec<TensorType> = graph
        .nodes
        .iter()
        .filter(|node| node.path.ends_with(".out.concat1"))
        .map(|node| node.ty)
        .collect();
    let expected = [(24, 32), (24, 32), (32, 16), (48, 16), (48, 16), (64, 8), (96, 8), (96, 8)];
    let expected: Vec<TensorType> =
        expected.iter().map(|&(channels, side)| TensorType::new(channels, side, side)).collect();
    assert_eq!(outputs, expected);
}

#[test]
fn a_data_set_decides_image_and_classes() {
    let module = module("nasnet_a.cell");
    let request = Request::new("cifar", "1@24".parse().expect("a scale"))
        .with_data(TensorType::new(1, 8, 8), 26);
    let graph = compile::network(&module, &request).expect("small images fit").graph;
    assert_eq!(graph.ty(graph.input), TensorType::new(1, 8, 8));
    assert_eq!(graph.ty(graph.output), TensorType::new(26, 1, 1));
}

#[test]
fn filters_that_do_not_divide_name_the_nearest_scales() {
    let module = module("nasnet_a.cell");
    let request = Request::new("cifar", "6@770".parse().expect("a scale"));
    let fault = compile::network(&module, &request).expect_err("770 is no multiple of 24");
    let compile::Fault::Cells(diagnostics) = fault else { panic!("a diagnostic") };
    let fault = diagnostics.iter().next().expect("one fault");
    assert_eq!(fault.code.to_string(), "E0603");
    let help = format!("{:?}", fault.help);
    assert!(help.contains("6@768") && help.contains("6@792"), "{help}");
}
