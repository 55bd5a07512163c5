//! Weights of timm and Keras, read into the networks that are here. `tests/import/small.py` makes the files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use cellc::compile::{self, Request};
use cellc::error::Error;
use cellc::import::{Family, ImportConfig, Listing, Origin, assign, import};
use cellc::network::Network;
use cellc::source::{Library, SourceFile};
use cellc::train::{Checkpoint, restore};
use dfdx::prelude::{Cpu, Module, TensorFromVec};

const SIDE: usize = 64;
const CLASSES: usize = 7;

fn unpacked(name: &str) -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(format!("{name}.gz"));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).expect("a file of the test");
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("it is whole");
    bytes
}

/// The file unpacked into a folder.
fn file(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, unpacked(name)).expect("written");
    path
}

/// The small networks have stems of 8 filters, as no net of the library.
fn cells(library: &str, skip: &str) -> SourceFile {
    let text = format!(
        "use \"{library}\"
        net small<N, F> {{
            input {SIDE}x{SIDE}x3
            classes {CLASSES}
            stem conv<3, 2, out = 8, pad = valid> |> bn
            stack reduction at base / 4, reduction at base / 2, N * normal at base,
                  {skip} reduction * 2, N * normal, {skip} reduction * 2, N * normal
            head relu |> gap |> dropout |> dense<classes>
        }}"
    );
    SourceFile::new("small.cell", text)
}

fn imported(path: &Path, cells: &SourceFile) -> Result<(Checkpoint, Network), Error> {
    let config =
        ImportConfig { cells: Some((cells, &Library)), net: Some("small"), image_size: None };
    import(path, &config)
}

/// As `images` of `small.py`.
fn logits(network: &Network) -> Vec<f32> {
    let mut pixels = Vec::new();
    for (n, c) in (0..2).flat_map(|n| (0..3).map(move |c| (n, c))) {
        for (h, w) in (0..SIDE).flat_map(|h| (0..SIDE).map(move |w| (h, w))) {
            let step = (n * 7 + c * 5 + h * 3 + w * 2) * 37 % 101;
            pixels.push((step as f64 / 50.0 - 1.0) as f32);
        }
    }
    network.forward(Cpu::default().tensor_from_vec(pixels, (2, 3, SIDE, SIDE))).as_vec()
}

fn assert_logits(network: &Network, expected: &str) {
    let expected: Vec<Vec<f32>> = serde_json::from_str(expected).expect("rows of numbers");
    let expected = expected.concat();
    let found = logits(network);
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0f32, |largest, logit| largest.max(logit.abs()));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-4 * largest, "{found} {expected}");
    }
}

fn fault<T>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Weights { fault, .. }) => fault,
        Err(other) => panic!("expected Error::Weights, found {other}"),
        Ok(_) => panic!("expected Error::Weights"),
    }
}

#[test]
fn a_nasnet_of_timm_has_its_logits_and_survives_being_saved() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = file(folder.path(), "timm_nasnet.safetensors");
    let (checkpoint, network) =
        imported(&path, &cells("nasnet_a_timm.cell", "skip")).expect("imported");
    let expected = include_str!("import/timm_nasnet.json");
    assert_logits(&network, expected);
    assert_eq!((checkpoint.scale.as_str(), checkpoint.bn_eps), ("6@96", 1e-3));
    assert_eq!((checkpoint.image, checkpoint.classes), ([3, SIDE, SIDE], CLASSES));

    let saved = folder.path().join("saved.safetensors");
    checkpoint.save(&network, &saved).expect("saved");
    let (again, network) = restore(&saved).expect("it describes itself");
    assert_eq!(again, checkpoint);
    assert_eq!(network.config().bn_eps, 1e-3);
    assert_logits(&network, expected);
}

#[test]
fn other_pools_give_other_logits() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = file(folder.path(), "timm_nasnet.safetensors");
    let (_, right) = imported(&path, &cells("nasnet_a_timm.cell", "skip")).expect("imported");
    for (cells, what) in [
        (cells("nasnet_a.cell", "skip"), "padding that is not counted"),
        (cells("nasnet_a_keras.cell", "skip"), "padding that may be the largest"),
        (cells("nasnet_a_timm.cell", ""), "another state behind a reduction"),
    ] {
        let (_, other) = imported(&path, &cells).expect("the parameters are the same");
        let (right, other) = (logits(&right), logits(&other));
        let largest = right.iter().fold(0f32, |largest, logit| largest.max(logit.abs()));
        let difference = right.iter().zip(&other).map(|(a, b)| (a - b).abs());
        assert!(difference.fold(0f32, f32::max) > 1e-3 * largest, "{what}");
    }
}

#[cfg(feature = "keras")]
mod keras {
    use super::*;

    #[test]
    fn a_nasnet_of_keras_has_its_logits_from_every_kind_of_file() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let new = unpacked("keras_nasnet.weights.h5");
        let archive = folder.path().join("keras_nasnet.keras");
        let mut bytes = Vec::new();
        let mut zip = rawzip::ZipArchiveWriter::new(&mut bytes);
        for (name, data) in [("config.json", &b"{}"[..]), ("model.weights.h5", &new)] {
            let (mut entry, config) = zip
                .new_file(name)
                .compression_method(rawzip::CompressionMethod::STORE)
                .start()
                .expect("an entry");
            let mut writer = config.wrap(&mut entry);
            std::io::Write::write_all(&mut writer, data).expect("in memory");
            let (_, descriptor) = writer.finish().expect("in memory");
            entry.finish(descriptor).expect("in memory");
        }
        zip.finish().expect("in memory");
        fs::write(&archive, bytes).expect("written");
        let files = ["keras_nasnet.weights.h5", "keras_nasnet.h5"];
        let files = files.map(|name| file(folder.path(), name));
        for path in files.iter().chain([&archive]) {
            let (checkpoint, network) =
                imported(path, &cells("nasnet_a_keras.cell", "")).expect("imported");
            assert_logits(&network, include_str!("import/keras_nasnet.json"));
            assert_eq!(checkpoint.scale, "2@96", "{}", path.display());
        }
    }

    #[test]
    fn broken_keras_files_are_refused() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let cells = cells("nasnet_a_keras.cell", "");
        let whole = unpacked("keras_nasnet.h5");
        for (name, bytes, expected) in [
            ("text.h5", &b"no weights"[..], "not a valid HDF5 file: "),
            ("short.h5", &whole[..whole.len() / 3], ""),
            ("text.keras", &b"no weights"[..], "not a valid archive: "),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("written");
            let fault = fault(imported(&path, &cells));
            assert!(fault.starts_with(expected), "{name}: {fault}");
        }
        let missing = imported(&folder.path().join("none.h5"), &cells);
        assert!(matches!(missing, Err(Error::Read { .. })));
    }
}

#[cfg(not(feature = "keras"))]
#[test]
fn a_program_without_the_feature_says_so() {
    let found = fault(import(Path::new("model.h5"), &ImportConfig::default()));
    assert_eq!(found, "this program was built without the feature `keras`");
}

/// The tensors of a network at its real size.
fn names(name: &str) -> Listing {
    let text = String::from_utf8(unpacked(&format!("{name}.names"))).expect("plain text");
    let side = |side: &str| side.parse::<usize>().expect("a number");
    text.lines()
        .map(|line| match line.split_once(' ') {
            Some((name, shape)) => (name.to_owned(), shape.split('x').map(side).collect()),
            None => (line.to_owned(), Vec::new()),
        })
        .collect()
}

const LARGE: [(&str, Family, &str, &str); 4] = [
    ("nasnetalarge", Family::TimmNasnet, "imagenet_large", "6@4032"),
    ("pnasnet5large", Family::TimmPnasnet, "pnasnet_large", "4@4320"),
    ("nasnet_mobile", Family::KerasNasnet, "imagenet", "4@1056"),
    ("nasnet_large", Family::KerasNasnet, "imagenet_large", "6@4032"),
];

#[test]
fn every_tensor_of_the_large_networks_is_taken_once() {
    for (name, family, net, scale) in LARGE {
        let listing = names(name);
        let origin = Origin::of(&listing).expect("a known network");
        assert_eq!((origin.family, origin.scale.to_string()), (family, scale.to_owned()), "{name}");
        assert_eq!((origin.channels, origin.classes), (3, 1000));
        let text = compile::embedded(family.cells()).expect("in the library");
        let module = compile::check(&SourceFile::new(family.cells(), text)).expect("it is sound");
        let graph =
            compile::network(&module, &Request::new(net, origin.scale)).expect("it is").graph;
        let sources = assign(family, &graph, &listing).expect("they fit");
        let taken: BTreeMap<&str, usize> =
            sources.iter().fold(BTreeMap::new(), |mut taken, source| {
                *taken.entry(source.name.as_str()).or_default() += 1;
                taken
            });
        assert!(taken.values().all(|&count| count == 1), "{name}");
        let left: Vec<_> =
            listing.keys().filter(|name| !taken.contains_key(name.as_str())).collect();
        assert!(left.iter().all(|name| name.ends_with(".num_batches_tracked")), "{left:?}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let text = compile::embedded("pnasnet_5.cell").expect("in the library");
    let module = compile::check(&SourceFile::new("pnasnet_5.cell", text)).expect("it is sound");
    let request = Request::new("pnasnet_large", "4@4320".parse().expect("a scale"));
    let graph = compile::network(&module, &request).expect("it is").graph;
    let listing = names("pnasnet5large");
    let fault = |change: &dyn Fn(&mut Listing)| {
        let mut listing = listing.clone();
        change(&mut listing);
        assign(Family::TimmPnasnet, &graph, &listing).expect_err("it does not fit")
    };
    let missing = fault(&|listing| {
        listing.remove("cell_3.comb_iter_2_left.bn_sep_1.bias");
        listing.remove("conv_0.bn.weight");
    });
    assert_eq!(missing, "it lacks `cell_3.comb_iter_2_left.bn_sep_1.bias`, `conv_0.bn.weight`");
    let extra = fault(&|listing| {
        // The first is bookkeeping of a normalization that does not exist.
        listing.insert("cell_30.bn.num_batches_tracked".into(), vec![]);
        listing.insert("last_linear.scale".into(), vec![1000]);
    });
    assert_eq!(
        extra,
        "nothing in the network takes `cell_30.bn.num_batches_tracked`, `last_linear.scale`"
    );
    let shape = fault(&|listing| {
        listing.insert("last_linear.bias".into(), vec![1001]);
    });
    assert_eq!(shape, "shapes differ: `last_linear.bias` is [1001], expected [1000]");
}

#[test]
fn files_of_other_networks_are_refused() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let config = ImportConfig::default();
    let text = folder.path().join("text.safetensors");
    fs::write(&text, "no weights").expect("written");
    assert!(fault(import(&text, &config)).starts_with("not a valid safetensors file: "));
    let other = folder.path().join("other.safetensors");
    let request = Request::new("cifar", "1@24".parse().expect("a scale"));
    let text = compile::embedded("nasnet_a.cell").expect("in the library");
    let module = compile::check(&SourceFile::new("nasnet_a.cell", text)).expect("it is sound");
    let graph = compile::network(&module, &request).expect("it is").graph;
    Network::new(&graph, 0).save_safetensors(&other, &BTreeMap::new()).expect("written");
    let found = fault(import(&other, &config));
    assert!(found.starts_with("neither timm's nasnet or pnasnet nor Keras's NASNet"), "{found}");
    let stem = file(folder.path(), "timm_nasnet.safetensors");
    let found = fault(import(&stem, &config));
    assert!(found.starts_with("no net of the library has a stem of 8 filters"), "{found}");
    let unknown = ImportConfig { net: Some("none"), ..config };
    assert!(matches!(import(&stem, &unknown), Err(Error::Config { setting: "net", .. })));
}
