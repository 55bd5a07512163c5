//! Models that come and go, driven as a user drives them: import, eval, predict, training further.

#![cfg(all(feature = "cli", feature = "images"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, stop at the first fault")]

#[path = "support/images.rs"]
mod support;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

use cellc::data::{DataSpec, load};
use cellc::train::Checkpoint;
use png::{BitDepth, ColorType};
use serde_json::Value;

fn cellc(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellc"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts")
}

/// Runs and expects success; gives stdout.
fn fine(folder: &Path, args: &[&str]) -> String {
    let output = cellc(folder, args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}");
    String::from_utf8(output.stdout).expect("output is text")
}

/// Runs and expects exit code 1 and one line on stderr, which it gives, and nothing on stdout.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = cellc(folder, args);
    let text = String::from_utf8(output.stderr).expect("output is text");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    text
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON object")
}

/// A PNG file of `[height, width]` pixels.
fn write_png(path: &Path, color: ColorType, [height, width]: [u32; 2], pixels: &[u8]) {
    let file = support::png_of(height, width, color, BitDepth::Eight, None, pixels);
    fs::write(path, file).expect("written");
}

/// Trains a small network on the digits.
fn train(folder: &Path, more: &[&str]) -> String {
    let args = ["train", "nasnet_a", "--scale", "1@24", "--epochs", "2", "--out", "m.safetensors"];
    fine(folder, &[&args, more].concat())
}

#[test]
fn eval_counts_what_is_taken_for_what() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    train(folder.path(), &["--validation", "0.25"]);
    let eval = |args: &[&str]| fine(folder.path(), &[&["eval", "m.safetensors"], args].concat());
    let test = json(&eval(&["--format", "json"]));
    assert_eq!((&test["part"], &test["images"]), (&"test".into(), &359.into()));
    let digits = load(&DataSpec::Digits).expect("inside the program");
    let mut correct = 0;
    for (class, row) in test["confusion"].as_array().expect("rows").iter().enumerate() {
        let row: Vec<u64> =
            row.as_array().expect("counts").iter().map(|count| count.as_u64().unwrap()).collect();
        let of_class = digits.test.labels().iter().filter(|&&label| usize::from(label) == class);
        assert_eq!(row.iter().sum::<u64>(), of_class.count() as u64);
        let share = test["class_accuracies"][class].as_f64().expect("a share");
        assert_eq!(share, row[class] as f64 / row.iter().sum::<u64>() as f64);
        correct += row[class];
    }
    let accuracy = test["accuracy"].as_f64().expect("a share");
    assert_eq!(accuracy, correct as f64 / 359.0);
    let top_5 = test["top_5"].as_f64().expect("there are ten classes");
    assert!(top_5 > accuracy && top_5 <= 1.0, "{top_5}");

    let text = eval(&[]);
    assert!(
        text.starts_with("m.safetensors: net cifar at 1@24, 359 test images of digits\n\nclass")
    );
    let lines: Vec<&str> = text.lines().collect();
    let last = format!("test accuracy {:.2} %", 100.0 * accuracy);
    assert_eq!(lines.last(), Some(&last.as_str()));
    assert!(lines[lines.len() - 2].starts_with("test top-5 accuracy "));
    let header = lines.iter().find_map(|line| line.strip_prefix("class \\ taken for"));
    let classes: Vec<&str> = header.expect("a matrix").split_whitespace().collect();
    assert_eq!(classes, digits.class_names);

    // 1,438 training images of which a quarter is held out.
    let images = |part: &str| json(&eval(&["--part", part, "--format", "json"]))["images"].clone();
    let (held, learnt) = (images("validation"), images("train"));
    let (held, learnt) = (held.as_u64().expect("a count"), learnt.as_u64().expect("a count"));
    assert_eq!(held + learnt, 1438);
    assert!((350..=370).contains(&held), "{held}");
}

/// Which images were held out depends on the limit, which a checkpoint knows.
#[test]
fn eval_alone_gives_the_parts_of_a_training_with_a_limit() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let more = ["--limit", "80", "--batch", "20", "--validation", "0.5", "--seed", "4"];
    let trained = train(folder.path(), &more);
    assert!(trained.contains("40 training, 40 validation and 80 test images"), "{trained}");
    let eval = |args: &[&str]| fine(folder.path(), &[&["eval", "m.safetensors"], args].concat());
    for part in ["train", "validation"] {
        let found = json(&eval(&["--part", part, "--format", "json"]));
        assert_eq!(found["images"], 40, "{part}");
    }
    assert_eq!(trained.lines().last(), eval(&[]).lines().last());
    // The last epoch's accuracy is that of the model.
    let checkpoint = Checkpoint::read_metadata(&folder.path().join("m.safetensors")).unwrap();
    let held = json(&eval(&["--part", "validation", "--format", "json"]));
    assert_eq!(held["accuracy"].as_f64(), checkpoint.val_accuracy);

    let refuse =
        |args: &[&str]| refused(folder.path(), &[&["eval", "m.safetensors"], args].concat());
    let other = refuse(&["--part", "train", "--limit", "100"]);
    assert!(other.contains("trained with --limit 80"), "{other}");
    // Other images of the same shape and classes.
    let idx = folder.path().join("idx");
    fs::create_dir(&idx).unwrap();
    for (name, count) in [("train", 40_u8), ("t10k", 20)] {
        let pixels = (0..u32::from(count) * 64).map(|at| (at % 251) as u8);
        let header = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 8, 0, 0, 0, 8];
        let images: Vec<u8> = header.into_iter().chain(pixels).collect();
        fs::write(idx.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        let labels: Vec<u8> =
            [0, 0, 8, 1, 0, 0, 0, count].into_iter().chain((0..count).map(|at| at % 10)).collect();
        fs::write(idx.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
    for part in ["train", "validation"] {
        let text = refuse(&["--data", "idx:idx", "--part", part]);
        assert!(text.contains("the images of `idx:idx` are not those of `digits`"), "{text}");
    }
    let test = json(&eval(&["--data", "idx:idx", "--format", "json"]));
    assert_eq!(test["images"], 20);
}

/// What a set keeps for validation is validated on, and never called test images.
#[test]
fn every_report_says_which_images_are_training_validation_and_test() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let at = |name: &str| folder.path().join(name);
    for (part, count) in [("train", 8), ("val", 4)] {
        for index in 0..count {
            let class = at(&format!("set/{part}/{}", ["a", "b"][index % 2]));
            fs::create_dir_all(&class).unwrap();
            let pixels = [20 * index as u8; 64];
            write_png(&class.join(format!("{index}.png")), ColorType::Grayscale, [8, 8], &pixels);
        }
    }
    let data = ["--data", "folder:set", "--batch", "4", "--run", "run"];
    let trained = train(folder.path(), &data);
    assert!(trained.contains("8 training, 4 validation and 0 test images\n"), "{trained}");
    let last = trained.lines().last().unwrap();
    assert!(last.starts_with("validation accuracy "), "{trained}");
    for line in fs::read_to_string(at("run/history.jsonl")).unwrap().lines() {
        let line = json(line);
        let images = ["train_images", "val_images", "test_images"].map(|key| line[key].clone());
        assert_eq!(images, [8, 4, 0]);
    }
    let eval = |args: &[&str]| fine(folder.path(), &[&["eval", "m.safetensors"], args].concat());
    assert_eq!(eval(&["--part", "validation"]).lines().last(), Some(last));
    assert_eq!(json(&eval(&["--part", "train", "--format", "json"]))["images"], 8);
    let text = refused(folder.path(), &["eval", "m.safetensors"]);
    assert!(text.contains("`folder:set` has no test images"), "{text}");
    fs::remove_dir_all(at("run")).unwrap();
    let held = train(folder.path(), &[&data[..], &["--validation", "0.5"]].concat());
    let images = "4 training, 4 validation and 0 test images; the 4 that the set keeps for validation are left out";
    assert!(held.contains(images), "{held}");

    let search = ["search", "--trials", "1", "--epochs", "1", "--base", "2", "--name", "one"];
    let found = fine(folder.path(), &search);
    let images = "digits: 1150 training, 288 validation and 359 test images\n";
    assert!(found.contains(images), "{found}");
    let page = fs::read_to_string(at("runs/one/report.html")).unwrap();
    let images =
        "1150 training and 288 validation images, and 359 test images that the search never sees";
    assert!(page.contains(images));
}

#[test]
fn predict_agrees_with_eval_and_refuses_what_is_no_image() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let at = |name: &str| folder.path().join(name);
    train(folder.path(), &[]);
    let digits = load(&DataSpec::Digits).expect("inside the program");
    let mut files = Vec::new();
    for index in 0..20 {
        // 0 to 16 becomes 0 to 255.
        let pixels: Vec<u8> = digits
            .test
            .image(index)
            .expect("in memory")
            .iter()
            .map(|&pixel| (u16::from(pixel) * 255 / 16) as u8)
            .collect();
        files.push(format!("{index}.png"));
        write_png(&at(&files[index]), ColorType::Grayscale, [8, 8], &pixels);
    }
    let names: Vec<&str> = files.iter().map(String::as_str).collect();
    let args = [&["predict", "m.safetensors", "--format", "json", "--top", "10"], &names[..]];
    let found = json(&fine(folder.path(), &args.concat()));
    let mut correct = 0;
    for (image, &label) in
        found["images"].as_array().expect("images").iter().zip(digits.test.labels())
    {
        let classes = image["classes"].as_array().expect("classes");
        assert_eq!(classes.len(), 10);
        let shares: Vec<f64> =
            classes.iter().map(|class| class["probability"].as_f64().expect("a share")).collect();
        assert!(
            (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9 && shares.is_sorted_by(|a, b| a >= b)
        );
        assert_eq!(classes[0]["name"], classes[0]["class"].to_string());
        correct += usize::from(classes[0]["class"] == u64::from(label));
    }
    // The first twenty of the test images, as `eval` sees them.
    let checkpoint = cellc::train::restore(&at("m.safetensors")).expect("a checkpoint");
    let twenty: Vec<usize> = (0..20).collect();
    let whitening = &checkpoint.0.whitening;
    let expected = cellc::train::accuracy(&checkpoint.1, &digits.test, &twenty, whitening, 7);
    assert_eq!(correct as f64 / 20.0, expected.expect("in memory"));

    let text = fine(folder.path(), &["predict", "m.safetensors", "3.png", "--top", "2"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("image  class  probability") && lines[1].starts_with("3.png  "));
    assert!(lines[2].starts_with("       "), "{text}");

    // A larger one is resized.
    write_png(&at("large.png"), ColorType::Rgb, [9, 13], &[200; 9 * 13 * 3]);
    fine(folder.path(), &["predict", "m.safetensors", "large.png"]);

    let predict =
        |image: &str| refused(folder.path(), &["predict", "m.safetensors", "3.png", image]);
    assert!(predict("none.png").starts_with("error: cannot read `none.png`: "));
    fs::write(at("text.png"), "no image").expect("written");
    assert!(predict("text.png").contains("text.png`: neither PNG nor JPEG"));
    let colors: Vec<u8> = (0..192).collect();
    write_png(&at("colors.png"), ColorType::Rgb, [8, 8], &colors);
    let text = predict("colors.png");
    assert!(text.contains("the image has colors, the network takes one channel"), "{text}");
    let text = refused(folder.path(), &["predict", "3.png", "3.png"]);
    assert!(text.contains("checkpoint `3.png`: not a safetensors file"), "{text}");
}

#[test]
fn a_trained_body_learns_other_classes_with_parts_frozen() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let at = |name: &str| folder.path().join(name);
    // Two classes of grey pictures: light ones and dark ones, larger than the network's images.
    for (class, shade) in [("dark", 30u8), ("light", 200)] {
        fs::create_dir_all(at("data").join(class)).expect("a new folder");
        for index in 0..20u8 {
            let pixels = vec![shade + index; 12 * 12 * 3];
            let path = at("data").join(class).join(format!("{index}.png"));
            write_png(&path, ColorType::Rgb, [12, 12], &pixels);
        }
    }
    let base = ["--data", "folder:data", "--image-size", "8", "--no-augment"];
    train(folder.path(), &base);
    let tune = [
        "train",
        "--from",
        "m.safetensors",
        "--data",
        "folder:data",
        "--classes",
        "2",
        "--freeze",
        "stem,cell_0..cell_3",
        "--epochs",
        "3",
        "--no-augment",
    ];
    let text = fine(folder.path(), &tune);
    assert!(text.contains("checkpoint m.tuned.safetensors"), "{text}");
    let [before, after] = ["m.safetensors", "m.tuned.safetensors"]
        .map(|name| cellc::train::restore(&at(name)).expect("a checkpoint"));
    assert_eq!(after.0.class_names, ["dark", "light"]);
    assert_eq!(after.0.image, [3, 8, 8], "the size of the network it comes from");
    assert_eq!(after.0.whitening, before.0.whitening);
    let (before, after) = (before.1.state_dict(), after.1.state_dict());
    for (path, tensor) in &before {
        let is_frozen = !path.starts_with("cells.4") && !path.starts_with("head");
        assert_eq!(*tensor == after[path], is_frozen, "{path}");
    }
    let text = fine(folder.path(), &["predict", "m.tuned.safetensors", "data/dark/3.png"]);
    assert!(text.contains("dark") && text.contains("light"), "names are known: {text}");

    let other = ["train", "--from", "m.safetensors", "--data", "folder:data", "--classes", "3"];
    let text = refused(folder.path(), &other);
    assert_eq!(text, "error: classes is 3: `folder:data` has 2\n");
    let unknown = [&tune[..5], &["--freeze", "cells.77"]].concat();
    assert!(refused(folder.path(), &unknown).contains("freeze is cells.77"));
    // Grey digits under a stem for colors.
    let grey = ["train", "--from", "m.safetensors", "--data", "digits"];
    assert!(
        refused(folder.path(), &grey).contains("it is for images of 3 channels, `digits` has 1")
    );
    fs::rename(at("data/dark"), at("data/medium")).expect("renamed");
    let text = refused(folder.path(), &["eval", "m.tuned.safetensors"]);
    assert!(text.contains("its class 0 is `dark`, that of `folder:data` is `light`"), "{text}");
}

#[test]
fn imported_weights_are_a_checkpoint_like_any_other() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let at = |name: &str| folder.path().join(name);
    let packed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/timm_nasnet.safetensors.gz");
    let mut bytes = Vec::new();
    let mut packed =
        flate2::read::GzDecoder::new(fs::File::open(packed).expect("a file of the test"));
    packed.read_to_end(&mut bytes).expect("it is whole");
    fs::write(at("timm.safetensors"), bytes).expect("written");
    let cells = "use \"nasnet_a_timm.cell\"
        net small<N, F> {
            input 64x64x3
            classes 7
            stem conv<3, 2, out = 8, pad = valid> |> bn
            stack reduction at base / 4, reduction at base / 2, N * normal at base,
                  skip reduction * 2, N * normal, skip reduction * 2, N * normal
            head relu |> gap |> dropout |> dense<classes>
        }";
    fs::write(at("small.cell"), cells).expect("written");
    let import = ["import", "timm.safetensors", "--cells", "small.cell", "--net", "small"];
    let text = fine(folder.path(), &import);
    assert_eq!(
        text,
        "timm.safetensors: timm nasnet as net small at 6@96, 87,927 parameters; images [3, 64, 64] of 7 classes\n\
         checkpoint timm.cellc.safetensors\n"
    );
    let checkpoint = Checkpoint::read_metadata(&at("timm.cellc.safetensors")).expect("it is one");
    assert_eq!((checkpoint.data, checkpoint.config), (None, None));
    let stats = fine(folder.path(), &["stats", "timm.cellc.safetensors"]);
    assert!(
        stats.starts_with("timm.cellc.safetensors: net small at 6@96, base width 4\n"),
        "{stats}"
    );
    write_png(&at("grey.png"), ColorType::Grayscale, [64, 64], &[90; 64 * 64]);
    let text = fine(folder.path(), &["predict", "timm.cellc.safetensors", "grey.png"]);
    assert_eq!(text.lines().count(), 6, "{text}");
    #[cfg(feature = "onnx")]
    fine(folder.path(), &["export", "timm.cellc.safetensors", "--fold"]);

    let text = refused(folder.path(), &["eval", "timm.cellc.safetensors"]);
    assert!(text.contains("the network was imported and knows no data set"), "{text}");
    let text = refused(folder.path(), &["import", "timm.safetensors"]);
    assert!(text.contains("no net of the library has a stem of 8 filters"), "{text}");
    let text = refused(folder.path(), &["import", "timm.cellc.safetensors"]);
    assert!(text.contains("neither timm's nasnet or pnasnet nor Keras's NASNet"), "{text}");
}

#[test]
fn a_net_that_would_not_be_in_the_model_is_not_trained() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    // With one cell the used file's groups divide the channels, with two they do not.
    let nets = "cell normal(h, prev) { a = conv<1>(h) out a }
cell last(h, prev) { a = conv<3, groups = 16>(h) out a }
net mine<N, F> { stem conv<3, out = base> stack N * normal, last head gap |> dense<classes> }
";
    let main = "use \"nets.cell\"
cell normal(h, prev) { a = conv<1, out = channels(h) / 2>(h) out a }
";
    fs::write(folder.path().join("nets.cell"), nets).expect("written");
    fs::write(folder.path().join("main.cell"), main).expect("written");
    let train = ["train", "main.cell", "--net", "mine", "--scale", "1@32", "--limit", "32"];
    let said = refused(folder.path(), &train);
    assert!(said.contains("write the net and its cells into this file"), "{said}");
    assert!(!folder.path().join("main.safetensors").exists());
    // The network is there; only a model of it could not be rebuilt.
    fine(folder.path(), &["stats", "main.cell", "--net", "mine", "--scale", "1@32"]);
}
