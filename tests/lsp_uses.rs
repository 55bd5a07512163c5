//! A document that uses other files: names are known across them, on the disk and in the editor.

#![cfg(all(feature = "cli", feature = "lsp", unix))]

#[path = "support/client.rs"]
mod client;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use self::client::{Client, find, range};

const OPS: &str = "\
// Operations of a team.
use \"deep.cell\"
let wide = 7

/// Mixes and narrows.
op mixer<k = wide, thin = 1>(x) = x |> deeper |> conv<k> |> bn

cell mixed(h, prev) {
    a = squeeze(h)
    out concat(a)
}

net lab<N, F> {
    stem  conv<3, out = base> |> bn
    stack N * mixed
    head  relu |> gap |> dense<classes>
}

space hidden {
    secret = { sep<3>, max<3> }
    cell searched(h) {
        out ?secret(h)
    }
}
";

const DEEP: &str = "op deeper(x) = x |> relu\nop mixer(x) = x\n";

const MAIN: &str = "\
use \"sub dir/ops.cell\"

cell normal(h, prev) {
    a = mixer<thin = 2>(h)
    b = sep<wide>(fit(prev))
    c1 = deeper(a)
    out concat(a, b, c1)
}

cell reduction(h, prev) stride 2 = mixed

expect lab 1@8 { params 1 }
";

/// A folder with the three files, and a client for `main.cell` in it.
fn lab() -> (TempDir, Client) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    fs::create_dir(folder.path().join("sub dir")).expect("made");
    fs::write(folder.path().join("sub dir/ops.cell"), OPS).expect("written");
    fs::write(folder.path().join("sub dir/deep.cell"), DEEP).expect("written");
    fs::write(folder.path().join("main.cell"), MAIN).expect("written");
    let mut client = Client::new();
    client.uri = uri(folder.path(), "main.cell");
    (folder, client)
}

fn uri(folder: &Path, name: &str) -> String {
    let folder = fs::canonicalize(folder).expect("it is there");
    format!("file://{}/{}", folder.display(), name.replace(' ', "%20"))
}

fn definition(client: &mut Client, position: Value) -> Value {
    client.at("textDocument/definition", position)
}

#[test]
fn definitions_are_found_in_used_files() {
    let (folder, mut client) = lab();
    client.open(MAIN);
    let ops = uri(folder.path(), "sub dir/ops.cell");
    let deep = uri(folder.path(), "sub dir/deep.cell");
    for (piece, n, by, target) in [
        // The nearer of two operations of one name.
        ("mixer", 0, 2, json!({ "uri": ops, "range": range(OPS, "mixer", 0) })),
        ("thin", 0, 0, json!({ "uri": ops, "range": range(OPS, "thin", 0) })),
        ("wide", 0, 1, json!({ "uri": ops, "range": range(OPS, "wide", 0) })),
        ("deeper", 0, 0, json!({ "uri": deep, "range": range(DEEP, "deeper", 0) })),
        ("mixed", 0, 0, json!({ "uri": ops, "range": range(OPS, "mixed", 0) })),
        ("lab", 0, 0, json!({ "uri": ops, "range": range(OPS, "lab", 0) })),
    ] {
        let found = definition(&mut client, find(MAIN, piece, n, by));
        assert_eq!(found, target, "{piece}");
    }
    // The file itself, from its path.
    let found = definition(&mut client, find(MAIN, "sub dir", 0, 3));
    assert_eq!((&found["uri"], &found["range"]["start"]["line"]), (&json!(ops), &json!(0)));
    // Own names stay in the document; the prelude and the library stand on no disk.
    let found = definition(&mut client, find(MAIN, "deeper(a", 0, 7));
    assert_eq!(found["uri"], json!(client.uri));
    assert_eq!(definition(&mut client, find(MAIN, "sep", 0, 0)), Value::Null);
    let library = "use \"nasnet_a.cell\"\ncell other(h, prev) = normal\n";
    client.change(2, json!([{ "text": library }]));
    assert_eq!(definition(&mut client, find(library, "normal", 0, 0)), Value::Null);
}

#[test]
fn hover_and_completion_know_used_files() {
    let (_folder, mut client) = lab();
    client.open(MAIN);
    let shown = client.hover(find(MAIN, "mixer", 0, 0));
    assert!(shown.contains("op mixer<k = wide, thin = 1>(x)"), "{shown}");
    assert!(shown.contains("Mixes and narrows.") && shown.contains("in `ops.cell`"), "{shown}");
    assert!(client.hover(find(MAIN, "wide", 0, 0)).contains("let wide = 7"));
    assert!(client.hover(find(MAIN, "lab", 0, 0)).contains("net lab<N, F>"));
    assert!(client.hover(find(MAIN, "thin", 0, 0)).contains("attribute of `mixer<"));
    assert!(client.hover(find(MAIN, "mixed", 0, 0)).contains("cell mixed(h, prev)"));
    assert!(!client.hover(find(MAIN, "sep", 0, 0)).contains("in `"));

    let mut version = 1;
    let mut offers = |from: &str, to: &str| {
        let text = MAIN.replacen(from, to, 1);
        let position = find(&text, "^", 0, 0);
        version += 1;
        client.change(version, json!([{ "text": text.replace('^', "") }]));
        client.offers(position)
    };
    let has = |offers: &[String], wanted: &[&str], unwanted: &[&str]| {
        let is_there = |name: &&&str| offers.iter().any(|offer| offer == **name);
        assert!(wanted.iter().all(|name| is_there(&name)), "{wanted:?} of {offers:?}");
        assert!(!unwanted.iter().any(|name| is_there(&name)), "{unwanted:?} of {offers:?}");
    };
    has(&offers("deeper(a)", "^"), &["mixer", "deeper", "sep", "a"], &["secret", "mixed"]);
    has(&offers("thin = 2", "^"), &["k", "thin", "wide"], &["x"]);
    has(&offers("= mixed", "= ^"), &["mixed", "normal"], &["searched"]);
    has(&offers("lab", "^"), &["lab", "cifar"], &[]);
    // Without its line the file is not used, whatever stands on the disk.
    has(
        &offers(
            "use \"sub dir/ops.cell\"\n\ncell normal(h, prev) {\n    a = ",
            "cell normal(h, prev) {\n    a = ^",
        ),
        &["sep"],
        &["mixer"],
    );
}

/// What is open counts as it is in the editor, and those that use it are checked again when it changes.
#[test]
fn unsaved_texts_of_used_files_count() {
    let (folder, mut client) = lab();
    let main = client.uri.clone();
    let ops = uri(folder.path(), "sub dir/ops.cell");
    let before = client.open(MAIN);
    assert_eq!(before.len(), 1, "only the claim fails: {before:?}");
    assert_eq!(before[0]["code"], "E0601");

    // Two lines more, and another name, in the editor alone.
    let unsaved = format!("// new\n// lines\n{}", OPS.replace("mixed", "blended"));
    client.uri = ops.clone();
    client.show(&unsaved);
    client.uri = main;
    let faults = client.diagnostics(1);
    assert!(faults.iter().any(|fault| fault["code"] == "E0201"), "{faults:?}");
    let text = MAIN.replace("mixed", "blended");
    let faults = client.change(2, json!([{ "text": text }]));
    assert!(faults.iter().all(|fault| fault["code"] == "E0601"), "{faults:?}");
    let found = definition(&mut client, find(&text, "blended", 0, 0));
    assert_eq!(found, json!({ "uri": ops, "range": range(&unsaved, "blended", 0) }));

    // A file that is open and not on the disk at all.
    let fresh = uri(folder.path(), "fresh.cell");
    let main = std::mem::replace(&mut client.uri, fresh.clone());
    client.open("op brand_new(x) = x |> relu\n");
    client.uri = main;
    let text = "use \"fresh.cell\"\nop f(x) = x |> brand_new\n";
    assert_eq!(client.change(3, json!([{ "text": text }])), Vec::<Value>::new());
    let found = definition(&mut client, find(text, "brand_new", 0, 0));
    assert_eq!(found["uri"], json!(fresh));

    // Once it is closed, the disk counts, which has no such file.
    client.tell("textDocument/didClose", json!({ "textDocument": { "uri": fresh } }));
    let faults = client.diagnostics(3);
    assert!(faults.iter().any(|fault| fault["code"] == "E0205"), "{faults:?}");
    assert_eq!(client.end().code(), Some(0));
}

/// Circles of files and files that do not compile are followed as far as they go.
#[test]
fn faulty_files_are_followed() {
    let (folder, mut client) = lab();
    fs::write(folder.path().join("one.cell"), "use \"two.cell\"\nop one(x) = x |> rellu\n")
        .unwrap();
    fs::write(
        folder.path().join("two.cell"),
        "use \"one.cell\"\nop two(x) = x |>\nop three(x) = x\n",
    )
    .unwrap();
    let text = "use \"one.cell\"\nuse \"missing.cell\"\nop f(x) = x |> one |> three\n";
    assert!(!client.open(text).is_empty());
    let found = definition(&mut client, find(text, "one |>", 0, 0));
    assert_eq!(found["uri"], json!(uri(folder.path(), "one.cell")));
    let found = definition(&mut client, find(text, "three", 0, 0));
    assert_eq!(found["uri"], json!(uri(folder.path(), "two.cell")));
}
