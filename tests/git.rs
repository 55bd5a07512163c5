//! `cellc diff --git` as git's diff driver, in a real repository.

#![cfg(feature = "cli")]

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output};

/// Runs git away from the user's and the system's configuration.
fn git(folder: &Path, args: &[&str]) -> Output {
    Command::new("git")
        .args(args)
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_DATE", "2018-06-18T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2018-06-18T00:00:00Z")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_EXTERNAL_DIFF")
        .env_remove("GIT_PAGER_IN_USE")
        .output()
        .expect("git starts")
}

fn fine(folder: &Path, args: &[&str]) -> String {
    let output = git(folder, args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {args:?}: {stderr}");
    assert_eq!(stderr, "", "git {args:?}");
    String::from_utf8(output.stdout).expect("output is text")
}

fn commit(folder: &Path, message: &str) {
    fine(folder, &["add", "--all"]);
    fine(folder, &["commit", "--quiet", "--message", message]);
}

/// A repository set up as the README says, or `None` where there is no git.
fn repository() -> Option<tempfile::TempDir> {
    if Command::new("git").arg("--version").output().is_err() {
        // Straight to the terminal: what a passing test prints is not shown.
        let message = "SKIPPED: git is not installed, so its diff driver is not tested";
        writeln!(io::stderr(), "{message}").expect("stderr takes text");
        return None;
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let path = folder.path();
    fine(path, &["init", "--quiet"]);
    fine(path, &["config", "user.name", "A. Author"]);
    fine(path, &["config", "user.email", "author@example.org"]);
    fine(path, &["config", "core.autocrlf", "false"]);
    let readme = include_str!("../README.md");
    assert!(readme.contains("*.cell diff=cell"), "the README says what this test does");
    assert!(readme.contains("git config diff.cell.command \"cellc diff --git\""));
    fs::write(path.join(".gitattributes"), "*.cell diff=cell\n").expect("written");
    let program = env!("CARGO_BIN_EXE_cellc").replace('\\', "/");
    fine(path, &["config", "diff.cell.command", &format!("'{program}' diff --git")]);
    commit(path, "attributes");
    Some(folder)
}

fn nasnet_a() -> &'static str {
    cellc::compile::embedded("nasnet_a.cell").expect("in the library")
}

/// NASNet-A with another operand and a renamed block; its claims no longer hold, as in the middle of
/// work they do not.
fn changed() -> String {
    nasnet_a()
        .replace("n3 = avg<3>(a) + b", "pool = sep<5>(a) + b")
        .replace("concat(b, n1, n2, n3,", "concat(b, n1, n2, pool,")
}

#[test]
fn git_diff_and_git_log_speak_in_blocks() {
    let Some(folder) = repository() else { return };
    let path = folder.path();
    fs::write(path.join("a.cell"), nasnet_a()).expect("written");
    commit(path, "first");
    fs::write(path.join("a.cell"), changed()).expect("written");
    let text = fine(path, &["diff"]);
    assert!(text.starts_with("cellc diff a.cell\n"), "{text}");
    assert!(text.contains("\nnormal: n3 -> pool (renamed)\n"), "{text}");
    assert!(text.contains("\nnormal.pool.left: avg<3>(a) -> sep<5>(a), +"), "{text}");
    assert!(text.contains("net cifar, N = 6, base width 32"), "the scale of the claim: {text}");
    assert!(text.contains("params        3,346,538 -> "), "{text}");
    // The README shows this very output, its file called otherwise.
    let shown = include_str!("../README.md").replace("mine.cell", "a.cell");
    assert!(shown.contains(&text), "the README shows something else than\n{text}");
    assert!(!text.contains('\x1b'), "no colors in a pipe: {text:?}");
    commit(path, "second");
    assert_eq!(fine(path, &["diff"]), "");
    let log = fine(path, &["log", "-p", "--ext-diff"]);
    assert!(log.contains("normal.pool.left: avg<3>(a) -> sep<5>(a)"), "{log}");
    assert!(log.contains("cellc diff a.cell (new file)\n"), "{log}");
    assert!(log.contains("cell normal: added, 7 blocks"), "{log}");
    assert!(log.contains("params        none -> 3,346,538\n"), "{log}");
    // Without the driver git shows lines, and `log` does so unless asked.
    assert!(fine(path, &["log", "-p", "-1"]).contains("\n-    n3 = avg<3>(a) + b\n"));
}

#[test]
fn git_shows_deleted_moved_and_broken_files() {
    let Some(folder) = repository() else { return };
    let path = folder.path();
    fs::write(path.join("a.cell"), nasnet_a()).expect("written");
    fs::write(path.join("b.cell"), "cell normal(h) { out sep<3>(h) }\n").expect("written");
    commit(path, "first");

    fs::remove_file(path.join("b.cell")).expect("removed");
    let text = fine(path, &["diff"]);
    assert!(text.starts_with("cellc diff b.cell (deleted)\n"), "{text}");
    assert!(text.contains("cell normal: removed, was 0 blocks"), "{text}");
    commit(path, "deleted");

    fs::rename(path.join("a.cell"), path.join("with blank.cell")).expect("moved");
    fs::write(path.join("with blank.cell"), changed()).expect("written");
    fine(path, &["add", "--all"]);
    let text = fine(path, &["diff", "--cached", "--find-renames"]);
    assert!(text.starts_with("cellc diff a.cell -> with blank.cell\n"), "{text}");
    assert!(text.contains("normal.pool.left: avg<3>(a) -> sep<5>(a)"), "{text}");
    commit(path, "moved");

    // The old version does not parse; the new one does.
    fs::write(path.join("c.cell"), "cell normal(h) {\n    out sep<3>(h\n}\n").expect("written");
    commit(path, "broken");
    fs::write(path.join("c.cell"), "cell normal(h) {\n    out sep<3>(h)\n}\n").expect("written");
    let text = fine(path, &["diff"]);
    assert!(text.contains("the old file does not compile: 3:1: E0101"), "{text}");
    assert!(text.contains("\n-    out sep<3>(h\n+    out sep<3>(h)\n"), "{text}");

    // No text at all, and still nothing that stops git.
    fs::write(path.join("c.cell"), [0xff, 0xfe, 0x00]).expect("written");
    assert!(fine(path, &["diff"]).contains("is not UTF-8 text"));
}

#[test]
fn git_shows_unmerged_files() {
    let Some(folder) = repository() else { return };
    let path = folder.path();
    fs::write(path.join("a.cell"), "cell normal(h) { out sep<3>(h) }\n").expect("written");
    commit(path, "first");
    fine(path, &["checkout", "--quiet", "-b", "other"]);
    fs::write(path.join("a.cell"), "cell normal(h) { out sep<5>(h) }\n").expect("written");
    commit(path, "five");
    fine(path, &["checkout", "--quiet", "-"]);
    fs::write(path.join("a.cell"), "cell normal(h) { out sep<7>(h) }\n").expect("written");
    commit(path, "seven");
    assert!(!git(path, &["merge", "--quiet", "other"]).status.success(), "the merge conflicts");
    // `git diff` alone shows conflicts in a form of its own, without any driver.
    let text = fine(path, &["diff", "--ours"]);
    assert!(text.starts_with("cellc diff a.cell: unmerged\n"), "{text}");
    assert!(text.contains("the new file does not compile"), "conflict markers do not: {text}");
}
