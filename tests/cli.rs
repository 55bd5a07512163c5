//! The program driven as a user drives it: exit codes, stdout and stderr apart, files it writes.

#![cfg(feature = "cli")]

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the program in a folder.
fn cellc(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellc"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .output()
        .expect("the program starts")
}

/// Runs the program with a text on standard input.
fn cellc_reading(folder: &Path, args: &[&str], text: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cellc"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    match stdin.write_all(text.as_bytes()) {
        // It may refuse before it has read everything.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.expect("the program reads"),
    }
    drop(stdin);
    child.wait_with_output().expect("the program ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("output is text")
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch folder")
}

/// Runs and expects success; gives stdout.
fn fine(folder: &Path, args: &[&str]) -> String {
    let output = cellc(folder, args);
    assert!(output.status.success(), "{args:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// Runs and expects exit code 1, nothing of a panic, and an error on stderr; gives stderr.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = cellc(folder, args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
    assert!(text.contains("error"), "{args:?} says nothing: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn check_proves_the_counts_of_nasnet_a() {
    let folder = scratch();
    let text = fine(folder.path(), &["check", "nasnet_a.cell"]);
    assert_eq!(text, "<nasnet_a.cell>: fine, 34 counts proved\n");
    let wrong = fine(folder.path(), &["cells", "nasnet_a"]).replace("544_333_312", "544_333_313");
    fs::write(folder.path().join("wrong.cell"), wrong).expect("written");
    let text = refused(folder.path(), &["check", "wrong.cell"]);
    assert!(text.contains("E0601") && text.contains("544_333_312"), "{text}");
}

#[test]
fn stats_reports_every_count() {
    let folder = scratch();
    let args = ["stats", "nasnet_a", "--net", "cifar", "--scale", "6@768"];
    let text = fine(folder.path(), &args);
    for count in ["3,346,538", "544,333,312", "4,978,036", "3,383,786"] {
        assert!(text.contains(count), "{count} is missing in\n{text}");
    }
    let json = fine(folder.path(), &[&args[..], &["--format", "json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(json["total"]["params"], 3_346_538);
    assert_eq!(json["with_aux"]["params"], 4_978_036);
    assert_eq!(json["sections"].as_array().map(Vec::len), Some(1 + 20 + 1));
}

#[test]
fn compare_prints_the_tables_of_the_papers() {
    let folder = scratch();
    // A file of the folder is not taken for one of the library's.
    fs::write(folder.path().join("nasnet_a.cell"), "cell").expect("written");
    let all = fine(folder.path(), &["compare"]);
    let titles: Vec<&str> = all.lines().filter(|line| line.contains(" et al. ")).collect();
    assert!(titles.is_sorted() && titles.len() >= 6, "{titles:?}");
    assert!(all.contains("Without published figures"), "{all}");
    let zoph = fine(folder.path(), &["compare", "--source", "ZOPH"]);
    let titles: Vec<&str> = zoph.lines().filter(|line| line.contains(" et al. ")).collect();
    assert!(titles.len() == 3 && titles.iter().all(|title| title.starts_with("Zoph")), "{zoph}");
    assert!(all.contains(&zoph), "a source has the same tables alone");

    let args = ["compare", "--source", "table 3", "--format", "json"];
    let json: serde_json::Value =
        serde_json::from_str(&fine(folder.path(), &args)).expect("one object");
    assert_eq!(json["agree"], true);
    let expected = serde_json::json!({
        "file": "nasnet_a.cell", "net": "imagenet", "scale": "4@1056", "image": "224x224x3",
        "classes": 1000, "params": 5_289_978, "params_with_statistics": 5_326_716,
        "macs": 563_638_816,
        "published": {
            "source": "Zoph et al. 2018, table 3: ImageNet, mobile",
            "name": "NASNet-A (4 @ 1056)",
            "params": {
                "figure": "5.3M", "value": 5_300_000, "trainable": "rounded",
                "with_statistics": "rounded", "deviation": -10_022.0 / 5_300_000.0,
            },
            "macs": {
                "figure": "564M", "value": 564_000_000, "agreement": "rounded",
                "deviation": -361_184.0 / 564_000_000.0,
            },
        },
    });
    assert_eq!(json["tables"][0]["rows"], serde_json::json!([expected]));
    assert_eq!(json["tables"][0]["source"], expected["published"]["source"]);
}

#[test]
fn compare_exits_with_what_it_found() {
    let folder = scratch();
    let code = |args: &[&str]| {
        let output = cellc(folder.path(), &[&["compare", "--exit-code"], args].concat());
        assert!(!stderr(&output).contains("panicked"));
        output.status.code()
    };
    assert_eq!(code(&["nasnet_a", "--source", "table 3"]), Some(0));
    assert_eq!(code(&["nasnet_a", "--source", "table 1"]), Some(1));
    assert_eq!(code(&["missing.cell"]), Some(2));
    fine(folder.path(), &["compare", "nasnet_a", "--source", "table 1"]);
    assert!(refused(folder.path(), &["compare", "missing.cell"]).contains("missing.cell"));
    assert!(refused(folder.path(), &["compare", "--source", "table 9"]).contains("table 9"));
    assert!(refused(folder.path(), &["compare", "nasnet_space"]).contains("--scale"));
    let table = fine(folder.path(), &["compare", "nasnet_a", "darts_v2", "--scale", "8@768"]);
    assert!(
        table.contains("nasnet_a.cell  cifar") && table.contains("darts_v2.cell  darts"),
        "{table}"
    );
    assert_eq!(cellc(folder.path(), &["compare", "--scale", "8@768"]).status.code(), Some(2));
}

/// A search of a space whose file, or a file it uses, has a net of its own once put its cells into `cifar`.
#[test]
fn commands_take_the_net_of_the_file() {
    let folder = scratch();
    for (file, net) in
        [("darts_v2", "darts"), ("pnasnet_5", "pnasnet_large"), ("nasnet_a_figure", "cifar")]
    {
        let text = fine(folder.path(), &["stats", file, "--scale", "4@5760"]);
        assert!(text.contains(&format!("net {net} at 4@5760")), "{file}: {text}");
    }
    for (space, net) in [
        ("nasbench_macro_space", "nasbench_macro"),
        ("nasbench201_space", "nasbench201"),
        ("darts_space", "darts"),
        ("nasnet_space", "cifar"),
    ] {
        let args =
            ["search", space, "--trials", "1", "--epochs", "1", "--name", space, "--workers"];
        fine(folder.path(), &[&args[..], &["1", "-N", "2", "--strategy", "random"]].concat());
        let config = folder.path().join("runs").join(space).join("config.toml");
        let config = fs::read_to_string(config).expect("written");
        assert!(config.contains(&format!("\"{net}\"")), "{space}: {config}");
        let trials = ledger(folder.path(), space);
        assert_eq!(trials[0]["status"], "ok", "{space}: {}", trials[0]);
    }
}

#[test]
fn show_prints_every_stage() {
    let folder = scratch();
    for stage in ["ast", "ir", "space", "expression", "graph", "simplified", "plan"] {
        let text = fine(folder.path(), &["show", "nasnet_a", "--stage", stage, "--scale", "1@24"]);
        assert!(!text.is_empty(), "stage {stage}");
    }
    let text = fine(folder.path(), &["show", "nasnet_space", "--stage", "space"]);
    assert!(text.starts_with("space nasnet: 50 decisions"), "{text}");
}

#[test]
fn hash_tells_networks_apart_and_classes_less() {
    let folder = scratch();
    let hash = |args: &[&str]| {
        let line = fine(folder.path(), args);
        line.split_once("  ").expect("hash, two spaces, name").0.to_string()
    };
    let nasnet = fine(folder.path(), &["cells", "nasnet_a"]);
    let cells = &nasnet[..nasnet.find("expect").expect("a claim")];
    // Blocks renamed, operands swapped.
    let same =
        cells.replace("n1", "first").replace("sep<5>(a) + sep<3>(b)", "sep<3>(b) + sep<5>(a)");
    assert_ne!(same, cells);
    let other = cells.replacen("sep<5>(b)", "sep<7>(b)", 1);
    fs::write(folder.path().join("same.cell"), same).expect("written");
    fs::write(folder.path().join("other.cell"), other).expect("written");
    for kind in [&["hash"][..], &["hash", "--class"]] {
        let of = |file: &str| hash(&[kind, &[file]].concat());
        assert_eq!(of("nasnet_a"), of("same.cell"), "{kind:?}");
        assert_ne!(of("nasnet_a"), of("other.cell"), "{kind:?}");
    }
    // A point of a space: 3x3 convolution of zeros is zeros to the class alone.
    let point = |kind: &[&str], genotype: &str| {
        hash(&[kind, &["nasbench201_space", "--genotype", genotype]].concat())
    };
    let (a, b) = ("0,3,0,2,3,4", "0,3,0,2,2,4");
    assert_ne!(point(&["hash"], a), point(&["hash"], b));
    assert_eq!(point(&["hash", "--class"], a), point(&["hash", "--class"], b));
    let space = cellc(folder.path(), &["hash", "nasbench201_space"]);
    assert_eq!(space.status.code(), Some(1));
    assert!(stderr(&space).contains("is the search space `nasbench201`"), "{}", stderr(&space));
}

#[test]
fn fmt_changes_layout_once_and_keeps_comments() {
    let folder = scratch();
    let path = folder.path().join("a.cell");
    fs::write(&path, "// mine\nop twice(x)=x|>relu // both\n   |> relu\n").expect("written");
    let listed = cellc(folder.path(), &["fmt", "--check", "a.cell"]);
    assert_eq!((listed.status.code(), stdout(&listed)), (Some(1), "a.cell\n".into()));
    fine(folder.path(), &["fmt", "a.cell"]);
    let once = fs::read_to_string(&path).expect("readable");
    assert!(once.contains("// mine") && once.contains("// both"), "{once}");
    fine(folder.path(), &["fmt", "a.cell"]);
    assert_eq!(fs::read_to_string(&path).expect("readable"), once);
    fine(folder.path(), &["fmt", "--check", "a.cell"]);
}

#[test]
fn diff_speaks_in_blocks() {
    let folder = scratch();
    let a = fine(folder.path(), &["cells", "nasnet_a"]);
    let b = a.replace("n3 = avg<3>(a) + b", "n3 = sep<5>(a) + b");
    // The claims no longer hold, so they go.
    let b = &b[..b.find("expect").expect("a claim")];
    fs::write(folder.path().join("a.cell"), &a).expect("written");
    fs::write(folder.path().join("b.cell"), b).expect("written");
    assert_eq!(fine(folder.path(), &["diff", "a.cell", "a.cell"]), "no difference\n");
    let text = fine(folder.path(), &["diff", "a.cell", "b.cell"]);
    assert!(text.contains("normal.n3.left: avg<3>(a) -> sep<5>(a), +"), "{text}");
    // 18 cells: two halves of 25 c + c^2 weights and two norms each, at widths 32, 64 and 128.
    let added: u64 = [32u64, 64, 128].iter().map(|c| 6 * 2 * (25 * c + c * c + 2 * c)).sum();
    let share = format!("params (+{},{:03})", added / 1000, added % 1000);
    assert!(text.contains(&share), "{share} is missing in\n{text}");
    let json = fine(folder.path(), &["diff", "a.cell", "b.cell", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(json["verdict"], "different");
    assert_eq!(json["changes"][0]["place"], "normal.n3.left");
    assert_eq!(json["changes"][0]["effect"]["params"], added);
    assert_eq!(json["network"]["before"]["params"], 3_346_538);
}

#[test]
fn diff_exits_as_it_says() {
    let folder = scratch();
    let path = folder.path();
    let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("written");
    write("a.cell", "cell normal(h) { x = sep<3>(h) out x + h }\n");
    write("same.cell", "cell normal(h) { y = sep<3>(h) out h + y }\n");
    write("other.cell", "cell normal(h) { x = sep<5>(h) out x + h }\n");
    write("broken.cell", "cell normal(h) { x = sep<5>(h out x + h }\n");
    let code = |args: &[&str]| cellc(path, &[&["diff"], args].concat()).status.code();
    // A difference is no fault of the input, unless the caller asks for diff(1)'s codes.
    assert_eq!(code(&["a.cell", "other.cell"]), Some(0));
    assert_eq!(code(&["a.cell", "other.cell", "--exit-code"]), Some(1));
    assert_eq!(code(&["a.cell", "same.cell", "--exit-code"]), Some(0));
    assert_eq!(code(&["a.cell", "broken.cell", "--exit-code"]), Some(2));
    assert_eq!(code(&["a.cell", "missing.cell", "--exit-code"]), Some(2));
    let text = refused(path, &["diff", "a.cell", "broken.cell"]);
    assert!(text.contains("broken.cell") && text.contains("E0101"), "{text}");
    refused(path, &["diff", "a.cell", "missing.cell"]);
    assert_eq!(code(&["a.cell"]), Some(2));
    assert_eq!(code(&["--git", "a", "b"]), Some(2), "git never passes two");
}

#[test]
fn explain_knows_every_code() {
    let folder = scratch();
    let list = fine(folder.path(), &["explain"]);
    assert!(list.lines().count() > 20);
    for line in list.lines() {
        let code = line.split_whitespace().next().expect("a code");
        assert!(fine(folder.path(), &["explain", code]).starts_with(code));
    }
    assert!(refused(folder.path(), &["explain", "E9999"]).contains("E9999"));
}

#[test]
fn training_ends_in_an_accuracy_that_eval_gives_again() {
    let folder = scratch();
    let args = [
        "train",
        "nasnet_a",
        "--scale",
        "1@24",
        "--data",
        "digits",
        "--epochs",
        "2",
        "--out",
        "m.safetensors",
    ];
    let trained = fine(folder.path(), &args);
    let last = trained.lines().last().expect("a line");
    assert!(last.starts_with("test accuracy ") && last.ends_with(" %"), "{last}");
    let evaluated = fine(folder.path(), &["eval", "m.safetensors"]);
    assert_eq!(evaluated.lines().last(), Some(last));

    // The same bytes with another number of threads.
    let bytes = fs::read(folder.path().join("m.safetensors")).expect("readable");
    let threads = [&args[..args.len() - 2], &["--out", "n.safetensors", "--threads", "1"]].concat();
    fine(folder.path(), &threads);
    assert!(fs::read(folder.path().join("n.safetensors")).expect("readable") == bytes);

    // A checkpoint of another network, and files that are none.
    let other =
        ["train", "nasnet_a", "--scale", "2@24", "--epochs", "1", "--init", "m.safetensors"];
    assert!(refused(folder.path(), &other).contains("m.safetensors"));
    let cut = folder.path().join("cut.safetensors");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("written");
    assert!(refused(folder.path(), &["eval", "cut.safetensors"]).contains("cut.safetensors"));
    fs::write(&cut, b"not a checkpoint").expect("written");
    assert!(refused(folder.path(), &["eval", "cut.safetensors"]).contains("cut.safetensors"));
}

#[cfg(feature = "onnx")]
#[test]
fn checkpoints_and_files_are_exported() {
    let folder = scratch();
    let train = ["train", "nasnet_a", "--scale", "1@24", "--epochs", "1", "--out", "m.safetensors"];
    fine(folder.path(), &train);
    let text = fine(folder.path(), &["export", "m.safetensors", "--onnx", "--fold"]);
    assert!(text.starts_with("m.onnx: image [batch, 1, 8, 8] to logits [batch, 10]; "), "{text}");
    let bytes = fs::read(folder.path().join("m.onnx")).expect("written beside the checkpoint");
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("1@24"), "the scale is in the metadata");
    assert!(has("cell normal(h, prev) {"), "the cell's text is in the metadata");

    let whiten = ["export", "m.safetensors", "--whiten", "-o", "w.onnx"];
    let text = fine(folder.path(), &whiten);
    assert!(text.starts_with("w.onnx: pixels [batch, 1, 8, 8] to logits"), "{text}");
    let features = ["export", "m.safetensors", "--features", "--size", "24x32"];
    let text = fine(folder.path(), &features);
    let expected = "m.onnx: image [batch, 1, 24, 32] to stride4 [batch, 24, 6, 8]; ";
    assert!(text.starts_with(expected), "{text}");
    let listed = ["export", "m.safetensors", "--features=2,4", "--size", "24x32"];
    assert!(fine(folder.path(), &listed).contains("stride2 [batch, 12, 12, 16], stride4"));

    let missing = ["export", "m.safetensors", "--features=8"];
    assert!(refused(folder.path(), &missing).contains("no map at this stride"));
    let small = ["export", "m.safetensors", "--features", "--size", "1x1"];
    assert!(refused(folder.path(), &small).contains("size is 1x1"));
    let scaled = ["export", "m.safetensors", "--scale", "2@24"];
    assert!(refused(folder.path(), &scaled).contains("its own net and scale"));

    let text = fine(folder.path(), &["export", "nasnet_a", "--scale", "1@24"]);
    assert!(text.starts_with("nasnet_a.onnx: image [batch, 3, 32, 32] to logits"), "{text}");
    let fresh = ["export", "nasnet_a", "--scale", "1@24", "--whiten"];
    assert!(refused(folder.path(), &fresh).contains("only a checkpoint"));
}

/// Ledger lines without their times.
fn ledger(folder: &Path, name: &str) -> Vec<serde_json::Value> {
    let text =
        fs::read_to_string(folder.join("runs").join(name).join("ledger.jsonl")).expect("a ledger");
    text.lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
            line.as_object_mut().expect("an object").remove("secs");
            line
        })
        .collect()
}

#[test]
fn a_search_writes_cells_that_stand_alone() {
    let folder = scratch();
    let search = |name: &str, more: &[&str]| {
        let args = [
            "search", "--trials", "4", "--epochs", "1", "--base", "2", "--seed", "5", "--name",
            name,
        ];
        fine(folder.path(), &[&args[..], more].concat())
    };
    let report = search("one", &["--workers", "1"]);
    search("two", &["--workers", "2"]);
    assert_eq!(ledger(folder.path(), "one"), ledger(folder.path(), "two"));
    assert_eq!(ledger(folder.path(), "one").len(), 4);

    // The run is not overwritten; resuming a finished one adds nothing.
    let again =
        ["search", "--trials", "4", "--epochs", "1", "--base", "2", "--seed", "5", "--name", "one"];
    assert!(refused(folder.path(), &again).contains("--resume"));
    search("one", &["--resume"]);
    assert_eq!(ledger(folder.path(), "one").len(), 4);
    // With other settings it is another run.
    let other = [
        "search", "--trials", "4", "--epochs", "2", "--base", "2", "--seed", "5", "--name", "one",
        "--resume",
    ];
    refused(folder.path(), &other);

    // Every cell is formatted, compiles alone, and trains at another scale.
    let cells = folder.path().join("runs/one/cells");
    let mut count = 0;
    for entry in fs::read_dir(&cells).expect("listed") {
        let path = entry.expect("an entry").path();
        let path = path.to_str().expect("a name");
        fine(folder.path(), &["fmt", "--check", path]);
        fine(folder.path(), &["check", path]);
        let text = fs::read_to_string(path).expect("readable");
        assert!(text.starts_with("/// Found by `cellc search`: space nasnet"), "{text}");
        assert!(!text.contains('?'), "a hole is left:\n{text}");
        count += 1;
    }
    assert_eq!(count, 4);

    // The last line is the command that trains the best cell larger.
    let last = report.lines().last().expect("a line");
    let command = last.split("cellc ").nth(1).expect("a command");
    let args: Vec<&str> = command.split_whitespace().chain(["--epochs", "1"]).collect();
    let trained = fine(folder.path(), &args);
    assert!(
        trained.lines().last().is_some_and(|line| line.starts_with("test accuracy ")),
        "{trained}"
    );
}

#[test]
fn malformed_files_get_one_clear_message() {
    let folder = scratch();
    let write =
        |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("written");
    write("utf8.cell", b"op a(x) = \xff\xfe");
    write("large.cell", &vec![b' '; 10 << 20]);
    write(
        "deep.cell",
        format!("op a(x) = {}x{}", "(".repeat(10_000), ")".repeat(10_000)).as_bytes(),
    );
    write("kernel0.cell", b"cell normal(h) { a = sep<0>(h) out concat(a) }");
    write("kernel9.cell", b"cell normal(h) { a = conv_bn<99999>(h) out concat(a) }");
    write("cycle.cell", b"op a(x) = x |> b\nop b(x) = x |> a");
    write("name.cell", b"cell normal(h) { a = seb<3>(h) out concat(a) }");
    write(
        "shape.cell",
        b"cell normal(h) { a = max<3, s = 2>(h) b = sep<3>(h) c1 = a + b out concat(c1) }",
    );
    let cases = [
        ("utf8.cell", "UTF-8"),
        ("large.cell", "10485760"),
        ("deep.cell", "E0102"),
        ("kernel0.cell", "E0407"),
        ("kernel9.cell", "E0404"),
        ("cycle.cell", "E0203"),
        ("name.cell", "`sep`"),
        ("shape.cell", "E0301"),
        ("missing.cell", "missing.cell"),
    ];
    for (file, needle) in cases {
        let text = refused(folder.path(), &["check", file]);
        assert!(text.contains(needle), "{file}: {needle} is missing in\n{text}");
    }
}

#[test]
fn faulty_data_sets_are_named() {
    let folder = scratch();
    let train = |data: &str| {
        refused(folder.path(), &["train", "nasnet_a", "--scale", "1@24", "--data", data])
    };
    assert!(train("cifar10:nowhere").contains("nowhere"));
    let dir = folder.path().join("short");
    fs::create_dir(&dir).expect("made");
    for name in [
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ] {
        fs::write(dir.join(name), [0; 3073]).expect("written");
    }
    fs::write(dir.join("test_batch.bin"), [0; 100]).expect("written");
    assert!(train("cifar10:short").contains("test_batch.bin"));
    let usage = cellc(folder.path(), &["train", "nasnet_a", "--data", "imagenet"]);
    assert_eq!(usage.status.code(), Some(2), "an unknown data set is wrong usage");
}

#[test]
fn an_unwritable_folder_is_found_before_training() {
    let folder = scratch();
    // A file where a folder should be: no user, not even root, can write below it.
    fs::write(folder.path().join("file"), b"kept").expect("written");
    let out = ["train", "nasnet_a", "--scale", "1@24", "--out", "file/m.safetensors"];
    assert!(refused(folder.path(), &out).contains("file"));
    let runs = ["search", "--trials", "2", "--out", "file"];
    assert!(refused(folder.path(), &runs).contains("file"));
    assert_eq!(fs::read(folder.path().join("file")).expect("readable"), b"kept");
}

#[test]
fn usage_faults_exit_with_two() {
    let folder = scratch();
    for args in [&["frobnicate"][..], &["stats"], &["stats", "nasnet_a", "--scale", "6x768"]] {
        assert_eq!(cellc(folder.path(), args).status.code(), Some(2), "{args:?}");
    }
}

/// What cannot be read is told from what can and makes no sense.
#[test]
fn numbers_below_0_are_values_of_their_options() {
    let folder = scratch();
    let fault = |args: &[&str], code| {
        let output =
            cellc(folder.path(), &[&["train", "nasnet_a", "--scale", "1@24"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        stderr(&output)
    };
    assert!(fault(&["--epochs", "-3"], 2).contains("invalid value '-3' for '--epochs"));
    assert!(fault(&["--seed", "-1"], 2).contains("invalid value '-1' for '--seed"));
    assert_eq!(fault(&["--lr", "-1"], 1), "error: lr is -1: it must be above 0 and finite\n");
    let clip = fault(&["--clip-norm", "-5"], 1);
    assert_eq!(
        clip,
        "error: clip_norm is -5: it must be above 0 and finite, or 0 for no clipping\n"
    );
}

#[test]
fn the_help_is_documented() {
    insta::assert_snapshot!(fine(scratch().path(), &["--help"]));
}

#[test]
fn a_dash_is_standard_input() {
    let folder = scratch();
    fs::write(folder.path().join("ops.cell"), "op twice(x) = x |> relu |> relu\n")
        .expect("written");
    let text = "use \"ops.cell\"\ncell normal(h, prev) {\n    out twice(h)\n}\n";
    let checked = cellc_reading(folder.path(), &["check", "-"], text);
    assert_eq!(stdout(&checked), "<stdin>: fine\n", "{}", stderr(&checked));

    let broken =
        cellc_reading(folder.path(), &["check", "-"], &text.replace("twice(h)", "twise(h)"));
    assert_eq!(broken.status.code(), Some(1));
    assert!(stderr(&broken).contains("<stdin>:3:9"), "{}", stderr(&broken));

    let fixed = cellc_reading(folder.path(), &["check", "--fix", "-"], text);
    assert_eq!(fixed.status.code(), Some(1));
    assert!(stderr(&fixed).contains("standard input"), "{}", stderr(&fixed));

    let too_large = " ".repeat((4 << 20) + 1);
    let refused = cellc_reading(folder.path(), &["check", "-"], &too_large);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("4194304"), "{}", stderr(&refused));
}

/// Without a scale as well, for which there could be no claim.
#[test]
fn a_net_that_is_not_there_is_the_fault_that_is_told() {
    let folder = scratch();
    for more in [&[][..], &["--scale", "2@96"]] {
        let args = [&["stats", "nasnet_a.cell", "--net", "cifer"][..], more].concat();
        let said = refused(folder.path(), &args);
        assert!(said.contains("no such net; known are: cifar,"), "{said}");
    }
}
