//! `cellc check --fix` as a user runs it: exit codes, what it says, and what is on the disk afterwards.

#![cfg(feature = "cli")]

use std::fs;
use std::path::Path;
use std::process::Command;

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `cellc check --fix` in a folder.
fn fix(folder: &Path, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_cellc"))
        .args(["check", "--fix"])
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch folder")
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("written");
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect("readable")
}

/// What tells a written file from one that was left alone: a new file has another number.
#[cfg(unix)]
fn identity(folder: &Path, name: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(folder.join(name)).expect("it is there").ino()
}

const MISSPELT: &str = "cell normal(h) {\n    a = squeze(h);  // once\n    out concat(a)\n}\n";

#[test]
fn a_fixed_file_is_written_and_told() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "a.cell", MISSPELT);
    let ran = fix(folder, &["a.cell"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ran.stdout);
    let expected = MISSPELT.replace("squeze(h);", "squeeze(h)");
    assert_eq!(read(folder, "a.cell"), expected);
    assert_eq!(fs::read_dir(folder).expect("listed").count(), 1, "nothing stands beside it");

    let again = fix(folder, &["a.cell"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "a.cell: fine\n"));
}

#[test]
fn what_is_left_is_reported_and_fails() {
    let folder = scratch();
    let folder = folder.path();
    let text = MISSPELT.replace("concat(a)", "concat(b)");
    write(folder, "a.cell", &text);
    let ran = fix(folder, &["a.cell"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("E0201") && ran.stderr.contains("unknown block `b`"));
    assert!(!ran.stderr.contains("squeze"), "{}", ran.stderr);
    assert_eq!(read(folder, "a.cell"), text.replace("squeze(h);", "squeeze(h)"));
}

#[test]
#[cfg(unix)]
fn files_without_fixes_are_not_written() {
    let folder = scratch();
    let folder = folder.path();
    // A claim that fails has a hint only, and layout is none of its business.
    let claimed = "use \"nasnet_a.cell\"\nexpect   cifar 6@768 { params 1 }\n";
    write(folder, "claimed.cell", claimed);
    write(folder, "fine.cell", "op f(x)=x|>relu\n");
    let before = ["claimed.cell", "fine.cell"].map(|name| identity(folder, name));
    let ran = fix(folder, &["claimed.cell", "fine.cell", "nasnet_a"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stdout, "fine.cell: fine\n<nasnet_a.cell>: fine, 34 counts proved\n");
    assert!(ran.stderr.contains("E0601"), "{}", ran.stderr);
    assert_eq!(read(folder, "claimed.cell"), claimed);
    assert_eq!(["claimed.cell", "fine.cell"].map(|name| identity(folder, name)), before);
}

/// A used file is changed only if it is named, whatever the order; then what uses it is fixed as well.
#[test]
fn used_files_are_fixed_if_they_are_named() {
    let folder = scratch();
    let folder = folder.path();
    let (user, used) =
        ("use \"ops.cell\"\nop g(x) = x |> mine |> rellu\n", "op mine(x) = x |> rellu\n");
    write(folder, "user.cell", user);
    write(folder, "ops.cell", used);
    let ran = fix(folder, &["user.cell"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("E0206"), "{}", ran.stderr);
    assert_eq!((read(folder, "user.cell"), read(folder, "ops.cell")), (user.into(), used.into()));

    let ran = fix(folder, &["user.cell", "ops.cell"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("user.cell:2:24: fixed[E0201]"), "{}", ran.stdout);
    assert!(ran.stdout.contains("ops.cell:1:19: fixed[E0201]"), "{}", ran.stdout);
    assert!(!read(folder, "user.cell").contains("rellu"));
    assert!(!read(folder, "ops.cell").contains("rellu"));
}

#[test]
#[cfg(unix)]
fn permissions_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = scratch();
    let folder = folder.path();
    write(folder, "a.cell", MISSPELT);
    let mode = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(folder.join("a.cell"), mode(0o640)).expect("set");
    symlink("a.cell", folder.join("link.cell")).expect("linked");
    assert_eq!(fix(folder, &["link.cell"]).code, Some(0));
    assert!(fs::symlink_metadata(folder.join("link.cell")).expect("there").is_symlink());
    assert!(read(folder, "a.cell").contains("squeeze"));
    let kept = fs::metadata(folder.join("a.cell")).expect("there").permissions().mode();
    assert_eq!(kept & 0o777, 0o640);

    // One message, nothing that was not done, and the text as it was.
    write(folder, "a.cell", MISSPELT);
    fs::set_permissions(folder.join("a.cell"), mode(0o444)).expect("set");
    let ran = fix(folder, &["a.cell"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("a.cell") && ran.stderr.contains("read-only"), "{}", ran.stderr);
    assert_eq!(read(folder, "a.cell"), MISSPELT);
}

#[test]
fn formats_for_programs() {
    let folder = scratch();
    let folder = folder.path();
    // One fix that helps, one that does not, and a fault without any.
    let text = "op f<k>(x) {\n    when k = 1 y = x => y\n}\nop g(x) = x |> relu;\n";
    write(folder, "a.cell", text);
    let ran = fix(folder, &["a.cell", "--format", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [fixed, refused, left] = lines.as_slice() else { panic!("{}", ran.stdout) };
    assert_eq!(
        (&fixed["fixed"], &fixed["line"], &fixed["column"]),
        (&true.into(), &4.into(), &20.into())
    );
    assert_eq!((&fixed["code"], &fixed["with"]), (&"E0101".into(), &"".into()));
    assert_eq!((&refused["fixed"], &refused["with"]), (&false.into(), &"=>".into()));
    assert_eq!(
        (&left["code"], &left["help"][0]["machine_applicable"]),
        (&"E0101".into(), &true.into())
    );

    write(folder, "a.cell", text);
    let ran = fix(folder, &["a.cell", "--format", "short"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(format!("{}-----\n{}", ran.stdout, ran.stderr));
}

#[test]
fn a_missing_file_is_named() {
    let folder = scratch();
    let ran = fix(folder.path(), &["missing.cell"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("missing.cell"), "{}", ran.stderr);
}
