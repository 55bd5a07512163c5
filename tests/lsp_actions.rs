//! Quick fixes, as an editor asks for them and applies them.

#![cfg(all(feature = "cli", feature = "lsp"))]

#[path = "support/client.rs"]
mod client;

use cellc::fix::fix;
use cellc::lsp::LineIndex;
use cellc::source::{Library, SourceFile};
use serde_json::{Value, json};

use self::client::{Client, URI, find, range};

const TEXT: &str = "\
// \u{1F980}
cell normal(h) {
    a = squeze(h);
    b = deconv<3>(h)
    out concat(a, b)
}
";

/// The actions for a range, of some kinds only if that is said.
fn actions(client: &mut Client, range: Value, only: Value) -> Vec<Value> {
    let context = match only {
        Value::Null => json!({ "diagnostics": [] }),
        only => json!({ "diagnostics": [], "only": only }),
    };
    let document = json!({ "uri": URI });
    let params = json!({ "textDocument": document, "range": range, "context": context });
    client.ask("textDocument/codeAction", params).as_array().expect("a list").clone()
}

/// The text after the only edit of an action.
fn applied(text: &str, action: &Value) -> String {
    let edits = action["edit"]["changes"][URI].as_array().expect("edits of the document");
    let [edit] = edits.as_slice() else { panic!("{edits:?}") };
    let range = serde_json::from_value(edit["range"].clone()).expect("a range");
    let span = LineIndex::new(text).span(text, range);
    let mut text = text.to_owned();
    text.replace_range(span.range(), edit["newText"].as_str().expect("a text"));
    text
}

#[test]
fn a_fault_offers_its_replacements() {
    let (mut client, faults) = Client::with(TEXT);
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    let found = actions(&mut client, fault["range"].clone(), Value::Null);
    let [action] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(action["title"], "Remove `;`");
    assert_eq!(action["kind"], "quickfix");
    assert_eq!(action["isPreferred"], true);
    assert_eq!(action["diagnostics"], json!([fault]));
    let fixed = applied(TEXT, action);
    assert_eq!(fixed, TEXT.replace(';', ""));

    // What is surely meant is preferred, what may not be is offered all the same.
    let faults = client.change(2, json!([{ "text": fixed }]));
    assert_eq!(faults.len(), 2);
    let all = json!({ "start": find(&fixed, "//", 0, 0), "end": find(&fixed, "}", 0, 1) });
    let found = actions(&mut client, all, json!(["quickfix"]));
    let told: Vec<(&Value, &Value)> =
        found.iter().map(|action| (&action["title"], &action["isPreferred"])).collect();
    assert_eq!(
        told,
        [
            (&json!("Replace `squeze` by `squeeze`"), &json!(true)),
            (&json!("Replace `deconv` by `dwconv`"), &json!(false)),
        ]
    );
    let repaired = applied(&applied(&fixed, &found[1]), &found[0]);
    assert_eq!(client.change(3, json!([{ "text": repaired }])), Vec::<Value>::new());
    let nothing = actions(&mut client, range(&repaired, "squeeze", 0), Value::Null);
    assert_eq!(nothing, Vec::<Value>::new());
}

#[test]
fn actions_are_those_of_the_place_and_kind() {
    let (mut client, _) = Client::with(TEXT);
    let elsewhere = range(TEXT, "out", 0);
    assert_eq!(actions(&mut client, elsewhere, Value::Null), Vec::<Value>::new());
    // With the cursor right behind the fault.
    let cursor = find(TEXT, ";", 0, 1);
    let at = json!({ "start": cursor, "end": cursor });
    assert_eq!(actions(&mut client, at.clone(), Value::Null).len(), 1);
    assert_eq!(actions(&mut client, at.clone(), json!(["refactor"])), Vec::<Value>::new());
    assert_eq!(actions(&mut client, at, json!(["quick"])), Vec::<Value>::new());

    let unknown = json!({ "uri": "file:///never/opened.cell" });
    let context = json!({ "diagnostics": [] });
    let everywhere = range(TEXT, TEXT, 0);
    let params = json!({ "textDocument": unknown, "range": everywhere, "context": context });
    assert_eq!(client.ask("textDocument/codeAction", params), Value::Null);
}

#[test]
fn fixing_all_is_what_the_program_does() {
    let (mut client, _) = Client::with(TEXT);
    for only in [json!(["source.fixAll"]), json!(["source.fixAll.cellc"]), json!(["source"])] {
        let found = actions(&mut client, range(TEXT, "out", 0), only);
        let [action] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(action["kind"], "source.fixAll.cellc");
        let expected = fix(&SourceFile::new(URI, TEXT), &Library);
        assert_eq!(expected.applied.len(), 2);
        assert_eq!(applied(TEXT, action), expected.source.text);
    }
}
