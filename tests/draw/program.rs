//! `cellc draw` as a user runs it.

#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn draw(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellc"))
        .arg("draw")
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts")
}

fn fine(folder: &Path, args: &[&str]) -> String {
    let output = draw(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("output is text")
}

/// Expects exit code 1 and nothing on stdout; gives stderr.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = draw(folder, args);
    let text = String::from_utf8(output.stderr).expect("output is text");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{args:?}: {text}");
    text
}

#[test]
fn a_picture_goes_to_stdout_or_to_a_file() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let svg = fine(folder.path(), &["nasnet_a"]);
    roxmltree::Document::parse(&svg).expect("well-formed");
    assert!(svg.contains(">normal</text>") && svg.contains(">reduction, stride 2</text>"));
    assert_eq!(fine(folder.path(), &["nasnet_a", "-o", "a.svg"]), "");
    assert_eq!(fs::read_to_string(folder.path().join("a.svg")).expect("written"), svg);
    let one = fine(folder.path(), &["nasnet_a", "--cell", "reduction"]);
    assert!(!one.contains(">normal</text>") && one.contains(">reduction, stride 2</text>"));
    assert!(fine(folder.path(), &["nasnet_a", "--format", "dot"]).starts_with("digraph"));
    assert!(fine(folder.path(), &["nasnet_a", "--net", "cifar"]).contains("net cifar"));
}

#[test]
fn a_point_of_a_space_is_drawn_without_holes() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let point = vec!["0"; 50].join(",");
    let open = fine(folder.path(), &["nasnet_space"]);
    let filled = fine(folder.path(), &["nasnet_space", "--genotype", &point]);
    assert!(open.contains(r#"class="hole""#) && !filled.contains(r#"class="hole""#));
    assert!(refused(folder.path(), &["nasnet_space", "--genotype", "0,1"]).contains("genotype"));
    assert!(refused(folder.path(), &["nasnet_a", "--genotype", "0"]).contains("no space"));
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let text = refused(folder.path(), &["nasnet_a", "--cell", "norm"]);
    assert!(text.contains("norm") && text.contains("normal, reduction"), "{text}");
    let text = refused(folder.path(), &["nasnet_a", "--net", "imagenet22k"]);
    assert!(text.contains("imagenet22k") && text.contains("cifar"), "{text}");
    assert!(refused(folder.path(), &["prelude"]).contains("no cells"));
    assert!(refused(folder.path(), &["missing.cell"]).contains("missing.cell"));
    fs::write(folder.path().join("wrong.cell"), "cell normal(h) { out concat(x) }")
        .expect("written");
    assert!(refused(folder.path(), &["wrong.cell", "-o", "w.svg"]).contains("E0201"));
    assert!(!folder.path().join("w.svg").exists(), "a picture of a wrong file");
    fs::write(folder.path().join("file"), b"kept").expect("written");
    assert!(refused(folder.path(), &["nasnet_a", "-o", "file/a.svg"]).contains("file/a.svg"));
    assert_eq!(fs::read(folder.path().join("file")).expect("readable"), b"kept");
    let both = draw(folder.path(), &["nasnet_a", "--cell", "normal", "--net", "cifar"]);
    assert_eq!(both.status.code(), Some(2), "a cell and a net are wrong usage");
}
