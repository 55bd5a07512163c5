//! The language server driven as an editor drives it: the program itself, over its standard streams.

#![cfg(all(feature = "cli", feature = "lsp"))]

#[path = "support/client.rs"]
mod client;

use std::io::Write;

use cellc::compile::{self, Request};
use cellc::diagnostic::Code;
use cellc::graph::cost::by_block;
use cellc::source::SourceFile;
use cellc::syntax;
use serde_json::{Value, json};

use self::client::{Client, URI, find, range};

const GOOD: &str = "\
/// Half of it.
/// Twice.
op half<k, s = stride>(x) = x |> relu |> conv<k, s> |> bn

cell normal(h, prev) {
    a  = squeeze(h)
    b  = fit(prev)
    n1 = half<3>(a) + sep<3>(b)
    n2 = n1 + b
    out concat(n1, n2)
}

cell reduction(h, prev) stride 2 = normal

expect cifar 2@96 { params 1 }
";

/// The text with the claim that holds.
fn proved() -> String {
    let plain = GOOD.split("expect").next().expect("the cells");
    let module = compile::check(&SourceFile::new(URI, plain)).expect("it is fine");
    let request = Request::new("cifar", "2@96".parse().expect("a scale"));
    let lowered = compile::network(&module, &request).expect("it compiles");
    let params = cellc::graph::cost::Cost::of(&lowered.graph).total.params;
    GOOD.replace("params 1 ", &format!("params {params} "))
}

#[test]
fn a_session_from_fault_to_repair() {
    let wrong = "\
cell normal(h) {
    x = sep<3>(h)
    y = max<3, s = 2>(h)
    n = x + y
    out concat(n)
}
";
    let (mut client, faults) = Client::with(wrong);
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(fault["range"], range(wrong, "x + y", 0));
    assert_eq!(fault["severity"], 1);
    assert_eq!(fault["code"], Code::ShapeMismatch.as_str());
    let found = compile::check(&SourceFile::new(URI, wrong)).expect_err("it is wrong");
    let found = found.iter().next().expect("a fault").clone();
    let message = fault["message"].as_str().expect("a message");
    assert!(message.starts_with(&found.message), "{message}");
    assert!(message.ends_with("\nhelp: give both operands the same stride"), "{message}");
    let related = fault["relatedInformation"].as_array().expect("a list");
    let places: Vec<&Value> = related.iter().map(|place| &place["location"]["range"]).collect();
    assert_eq!(places, [&range(wrong, "sep<3>(h)", 0), &range(wrong, "max<3, s = 2>(h)", 0)]);
    assert_eq!(related[0]["message"], found.secondary[0].text);

    let repaired = wrong.replace("max<3, s = 2>", "max<3>");
    assert_eq!(client.change(2, json!([{ "text": repaired }])), Vec::<Value>::new());

    // Several faults of syntax at once, then the document goes away with them.
    let broken = "op f(x) = x |> |> relu\nop g(x) = x |> relu )\n";
    assert_eq!(client.change(3, json!([{ "text": broken }])).len(), 2);
    client.tell("textDocument/didClose", json!({ "textDocument": { "uri": URI } }));
    let closed = client.receive();
    assert_eq!(closed["params"]["diagnostics"], json!([]));
    assert_eq!(client.end().code(), Some(0));
}

#[test]
fn hover_shows_the_counts_of_the_compiler() {
    let text = proved();
    let (mut client, faults) = Client::with(&text);
    assert_eq!(faults, Vec::<Value>::new());

    let module = compile::check(&SourceFile::new(URI, text.as_str())).expect("it is fine");
    let request = Request::new("cifar", "2@96".parse().expect("a scale"));
    let lowered = compile::network(&module, &request).expect("it compiles");
    let costs = by_block(&lowered.graph);
    let row = |cell: &str, block: &str| {
        // The blocks `a`, `b`, `n1`, `n2` follow the two inputs.
        let local = 2 + ["a", "b", "n1", "n2"].iter().position(|name| *name == block).expect("one");
        let mut shapes: Vec<(String, usize)> = Vec::new();
        for built in lowered.cells.iter().filter(|built| built.cell == cell) {
            let ty = built.locals[local];
            let shape = format!("`[{}, {}, {}]`", ty.channels, ty.height, ty.width);
            match shapes.last_mut().filter(|(last, _)| *last == shape) {
                Some((_, number)) => *number += 1,
                None => shapes.push((shape, 1)),
            }
        }
        let shapes: Vec<String> =
            shapes.iter().map(|(shape, number)| format!("{number} x {shape}")).collect();
        let counts = costs.get(&(cell.into(), block.into())).copied().unwrap_or_default();
        let (params, macs) = (grouped(counts.params), grouped(counts.macs));
        format!("| `{cell}.{block}` | {} | {params} | {macs} |", shapes.join(", "))
    };
    // Where a block is bound, and where it is an operand; in both cells that have this text.
    for position in [find(&text, "n1 =", 0, 1), find(&text, "n1 + b", 0, 0)] {
        let shown = client.hover(position);
        assert!(shown.contains("n1 = half<3>(a) + sep<3>(b)"), "{shown}");
        assert!(shown.contains(&row("normal", "n1")), "{shown}\n{}", row("normal", "n1"));
        assert!(shown.contains(&row("reduction", "n1")), "{shown}\n{}", row("reduction", "n1"));
        assert!(shown.contains("net `cifar` at 2@96"), "{shown}");
        assert!(shown.contains("first `expect`"), "{shown}");
    }
    // In the first cell `fit` gives the stem as it is: there is no node, but there is a shape.
    let shown = client.hover(find(&text, "fit(prev)", 0, 4));
    assert!(shown.contains("| `normal.prev` |"), "{shown}");
    assert!(client.hover(find(&text, "b  = fit", 0, 0)).contains(&row("normal", "b")));

    let total: u64 =
        costs.iter().filter(|((cell, _), _)| cell == "normal").map(|(_, cost)| cost.params).sum();
    let shown = client.hover(find(&text, "normal(h", 0, 2));
    assert!(shown.contains(&format!("{} parameters", grouped(total))), "{shown}");

    // Counts stay while a claim is wrong, and go while anything else is.
    let wrong = GOOD.replace("params 1 ", "params 7 ");
    assert_eq!(client.change(2, json!([{ "text": wrong }])).len(), 1);
    assert!(client.hover(find(&wrong, "n1 =", 0, 0)).contains(&row("normal", "n1")));
    let wrong = GOOD.replace("half<3>", "half<99>");
    assert!(!client.change(3, json!([{ "text": wrong }])).is_empty());
    assert!(client.hover(find(&wrong, "n1 =", 0, 0)).contains("No counts"));
    assert_eq!(client.end().code(), Some(0));
}

/// A number as the formatter writes it: in groups of three from five digits on.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join("_")
}

#[test]
fn hover_without_a_claim_names_the_scale_it_took() {
    let text = GOOD.split("expect").next().expect("the cells");
    let (mut client, faults) = Client::with(text);
    assert_eq!(faults, Vec::<Value>::new());
    let shown = client.hover(find(text, "n1 =", 0, 0));
    let module = compile::check(&SourceFile::new(URI, text)).expect("it is fine");
    let at = shown.split(" at 2@").nth(1).and_then(|rest| rest.split(':').next()).expect(&shown);
    let request = Request::new("cifar", format!("2@{at}").parse().expect("a scale"));
    let lowered = compile::network(&module, &request).expect("the scale that is named compiles");
    let params = by_block(&lowered.graph)[&("normal".into(), "n1".into())].params;
    assert!(shown.contains(&format!("| {} |", grouped(params))), "{shown}");
    assert!(shown.contains(&format!("base width {}", lowered.base)), "{shown}");

    let space = compile::embedded("nasnet_space.cell").expect("it is in the library");
    assert_eq!(client.change(2, json!([{ "text": space }])), Vec::<Value>::new());
    let shown = client.hover(find(space, "as n {", 0, 3));
    for block in ["normal.n1", "normal.n5", "reduction.n1"] {
        assert!(shown.contains(&format!("| `{block}` |")), "{shown}");
    }
    assert!(shown.contains("first option"), "{shown}");
}

#[test]
fn hover_explains_operations_and_names_of_the_language() {
    let (mut client, _) = Client::with(GOOD);
    let shown = client.hover(find(GOOD, "half<3>", 0, 0));
    assert!(shown.contains("op half<k, s = stride>(x)"), "{shown}");
    assert!(shown.contains("Half of it.\nTwice."), "{shown}");
    let prelude = compile::embedded("prelude.cell").expect("the prelude");
    let line = prelude.lines().find(|line| line.contains("Separable")).expect("a comment");
    let shown = client.hover(find(GOOD, "sep<3>", 0, 1));
    assert!(shown.contains("op sep<k, s = stride>(x)"), "{shown}");
    assert!(shown.contains(line.trim_start_matches('/').trim()), "{shown}");
    let shown = client.hover(find(GOOD, "conv<k", 0, 1));
    assert!(shown.contains("conv<k, s = 1, out = c, pad = same, d = 1, groups = 1>(x)"), "{shown}");
    assert!(shown.contains("onvolution"), "{shown}");
    assert!(client.hover(find(GOOD, "stride>", 0, 1)).contains("`stride`"));
    assert!(client.hover(find(GOOD, "k, s", 0, 0)).contains("attribute of `half`"));
    assert!(client.hover(find(GOOD, "params", 0, 0)).contains("trainable"));
    assert!(client.hover(find(GOOD, "cifar", 0, 0)).contains("net cifar<N, F>"));
    assert_eq!(client.hover(find(GOOD, "/// Half", 0, 5)), "");
    assert_eq!(client.hover(find(GOOD, "+", 0, 0)), "");
}

#[test]
fn definitions_are_found_in_the_document() {
    let (mut client, _) = Client::with(GOOD);
    let mut defined = |position: Value| client.at("textDocument/definition", position);
    let at = |piece: &str, n: usize| json!({ "uri": URI, "range": range(GOOD, piece, n) });
    assert_eq!(defined(find(GOOD, "half<3>", 0, 2)), at("half", 0));
    assert_eq!(defined(find(GOOD, "n1 + b", 0, 1)), at("n1", 0));
    assert_eq!(defined(find(GOOD, "fit(prev)", 0, 5)), at("prev", 0));
    assert_eq!(defined(find(GOOD, "= normal", 0, 3)), at("normal", 0));
    assert_eq!(defined(find(GOOD, "conv<k, s>", 0, 5)), {
        let k = find(GOOD, "<k", 0, 1);
        json!({ "uri": URI, "range": { "start": k, "end": find(GOOD, "<k", 0, 2) } })
    });
    // The prelude and the primitives stand in no file.
    assert_eq!(defined(find(GOOD, "sep<3>", 0, 0)), Value::Null);
    assert_eq!(defined(find(GOOD, "relu", 0, 0)), Value::Null);
    assert_eq!(defined(find(GOOD, "cifar", 0, 0)), Value::Null);

    let space = compile::embedded("nasnet_space.cell").expect("it is in the library");
    client.change(2, json!([{ "text": space }]));
    let defined = client.at("textDocument/definition", find(space, "?ops", 1, 2));
    assert_eq!(defined["range"], range(space, "ops", 0));
    let net = "net mine<N, F> {\n    input 8x8x1\n    classes 10\n    stem conv<3, out = base>\n    \
               stack N * normal\n    head gap |> dense<classes>\n}\ncell normal(h) {\n    \
               out concat(h)\n}\nexpect mine 1@8 { params 1 }\n";
    client.change(3, json!([{ "text": net }]));
    let mut defined = |piece: &str, by| {
        client.at("textDocument/definition", find(net, piece, 0, by))["range"].clone()
    };
    assert_eq!(defined("mine 1@8", 0), range(net, "mine", 0));
    assert_eq!(defined("N * normal", 4), range(net, "normal", 1));
    assert_eq!(defined("N * normal", 0), range(net, "N", 0));
}

#[test]
fn completion_knows_the_place() {
    let (mut client, _) = Client::with(GOOD);
    let mut version = 1;
    // The cursor is at `^`.
    let mut offers = |text: &str| {
        let position = find(text, "^", 0, 0);
        version += 1;
        client.change(version, json!([{ "text": text.replace('^', "") }]));
        client.offers(position)
    };
    let has = |offers: &[String], wanted: &[&str], unwanted: &[&str]| {
        for name in wanted {
            assert!(offers.iter().any(|offer| offer == name), "{name} is missing: {offers:?}");
        }
        for name in unwanted {
            assert!(!offers.iter().any(|offer| offer == name), "{name} is offered: {offers:?}");
        }
    };
    let names = ["a", "n1", "h", "half", "squeeze", "conv", "concat"];
    has(&offers(&GOOD.replace("n1 + b", "^")), &names, &["n2", "op", "out"]);
    has(&offers(&GOOD.replace("n1 + b", "n^")), &names, &["n2", "op", "out"]);
    has(&offers(&GOOD.replace("n1 + b", "n1 + sep<3>(^")), &names, &["n2", "k"]);
    has(&offers(&GOOD.replace("half<3>(a)", "half<^")), &["k", "s", "stride", "odd"], &["a"]);
    has(&offers(&GOOD.replace("bn\n", "^\n")), &["relu", "half", "sep"], &["x", "concat", "mul"]);
    has(&offers(&GOOD.replace("= normal", "= ^")), &["normal", "reduction"], &["sep"]);
    has(&offers(&GOOD.replace("cifar", "^")), &["cifar"], &["normal"]);
    has(&offers(&GOOD.replace("params 1", "^")), &["params", "macs"], &["cifar"]);
    let published = GOOD.replace("params 1 }", "params 1 } published \"a paper\" { ^");
    has(&offers(&published), &["params", "macs"], &["params_with_aux", "cifar"]);
    let published = GOOD.replace("params 1 }", "params 1 } published \"a\" as \"b\" { macs 5M, ^");
    has(&offers(&published), &["params", "macs"], &["params_with_aux", "cifar"]);
    has(&offers(&(published.replace('^', "") + "}\n^")), &["op", "expect"], &["macs"]);
    has(&offers("cell published(^h) {\n}\n"), &[], &["params"]);
    has(&offers(&GOOD.replace("/// Twice", "/// ^Twice")), &[], &["op", "cell"]);
    has(&offers(&GOOD.replace("expect", "^\nexpect")), &["op", "cell", "expect"], &["out"]);
    has(&offers(&GOOD.replace("    out", "    ^\n    out")), &["repeat", "out"], &["op", "sep"]);
    has(&offers(&GOOD.replace("stride 2", "^")), &["stride"], &["sep"]);

    // What the line before left open ends with it.
    for broken in ["sep<3>(a", "sep<3", "concat(a, max<"] {
        let text = GOOD.replace("half<3>(a) + sep<3>(b)", broken).replace("n1 + b", "^");
        has(&offers(&text), &names, &["n2", "k", "stride"]);
    }

    let space = compile::embedded("nasnet_space.cell").expect("it is in the library");
    let hole = space.replacen("?earlier", "?^", 1);
    has(&offers(&hole), &["ops", "earlier"], &["sep", "a"]);
    has(&offers(&space.replacen("id, fact", "^, fact", 1)), &["sep", "conv"], &["a"]);
    has(&offers(&space.replacen("?{ +", "?{ ^", 1)), &["concat", "mul"], &["sep"]);
    let net = compile::embedded("cifar.cell").expect("it is in the library");
    has(&offers(&net.replacen("N * normal", "^", 1)), &["N"], &["sep", "stride"]);
    has(&offers(&net.replacen("dense<classes>", "dense<^", 1)), &["out", "classes"], &["size"]);
    has(&offers(&net.replacen("    head", "    ^\n    head", 1)), &["head", "aux"], &["relu"]);
    has(&offers(&net.replacen("relu |> gap", "^", 1)), &["relu", "gap"], &["concat"]);
    let cond = "op f<k>(x) {\n    require ^\n    x |> relu\n}\n";
    has(&offers(cond), &["k", "odd", "c", "first"], &["x", "relu"]);
    has(&offers("op f<k>(x) {\n    y = x |> relu\n    when odd(k) => ^\n}\n"), &["x", "y"], &["k"]);
}

#[test]
fn constants_cell_attributes_and_several_outputs_are_known() {
    let text = "\
/// The kernel of every block.
let k = 5

cell normal<d = 1>(h, prev) {
    let half = c / 2
    a = squeeze(h)
    n = dil<k, d = d + 1>(a) + a
    out n, concat(a, n)
}

cell reduction(h, prev) stride 2 {
    a = squeeze(h)
    out concat(a)
}

net mine<N, F> {
    input 8x8x1
    classes 10
    let slot = N / 1
    stem conv<3, out = base> |> bn
    stack slot * normal<d = 2>, reduction * 2
    head relu |> gap |> dense<classes>
}
";
    let (mut client, faults) = Client::with(text);
    assert_eq!(faults, Vec::<Value>::new());
    let shown = client.hover(find(text, "dil<k", 0, 4));
    assert!(shown.contains("let k = 5") && shown.contains("The kernel"), "{shown}");
    let shown = client.hover(find(text, "out n,", 0, 0));
    assert!(shown.contains("`normal.out1`") && shown.contains("`normal.out2`"), "{shown}");
    assert!(shown.contains("net `mine` at 2@"), "{shown}");
    assert!(client.hover(find(text, "normal<d = 2>", 0, 7)).contains("attribute of `normal<d"));
    let mut defined = |piece: &str, by: usize| {
        client.at("textDocument/definition", find(text, piece, 0, by))["range"].clone()
    };
    assert_eq!(defined("dil<k", 4)["start"], find(text, "k = 5", 0, 0));
    assert_eq!(defined("normal<d = 2>", 7)["start"], find(text, "<d", 0, 1));
    assert_eq!(defined("slot * normal", 0), range(text, "slot", 0));
    assert_eq!(defined("normal<d = 2>", 0), range(text, "normal", 0));

    let mut version = 1;
    let mut has = |from: &str, to: &str, wanted: &[&str], unwanted: &[&str]| {
        let text = text.replacen(from, to, 1);
        let position = find(&text, "^", 0, 0);
        version += 1;
        client.change(version, json!([{ "text": text.replace('^', "") }]));
        let offers = client.offers(position);
        for name in wanted {
            assert!(offers.iter().any(|offer| offer == name), "{name} is missing: {offers:?}");
        }
        for name in unwanted {
            assert!(!offers.iter().any(|offer| offer == name), "{name} is offered: {offers:?}");
        }
    };
    has("let k = 5", "let k = 5\nlet l = ^", &["k", "max"], &["op", "relu"]);
    has("c / 2", "c / ^", &["k", "d", "c", "stride"], &["a", "relu"]);
    has("dil<k,", "dil<^", &["k", "d", "half"], &["n"]);
    has("out n, concat(a, n)", "out n, ^", &["a", "n", "concat"], &["half"]);
    has("slot * normal", "^ * normal", &["slot", "N", "normal", "skip"], &["relu"]);
    has("normal<d = 2>", "normal<^", &["d"], &["s"]);
    has("N / 1", "N / ^", &["N", "base"], &["normal"]);
    has("let k = 5", "^", &["use", "let", "op"], &["k"]);
    has("let k = 5", "let ^", &[], &["use", "k"]);
}

/// What the rest of a broken document defines is still offered, and what it defined before.
#[test]
fn completion_survives_broken_text() {
    let (mut client, _) = Client::with(GOOD);
    let broken = GOOD.replace("|> relu |> conv<k, s>", "|> |>").replace("n1 + b", "n1 + )");
    assert!(client.change(2, json!([{ "text": broken }])).len() >= 2);
    let offers = client.offers(find(&broken, "n1 + )", 0, 5));
    for name in ["half", "n1", "sep"] {
        assert!(offers.iter().any(|offer| offer == name), "{name} is missing: {offers:?}");
    }
}

#[test]
fn formatting_is_that_of_fmt() {
    let crooked = "// mine\r\nop twice(x)=x|>relu // both\r\n   |> relu";
    let (mut client, _) = Client::with(crooked);
    let params = json!({
        "textDocument": { "uri": URI }, "options": { "tabSize": 4, "insertSpaces": true },
    });
    let edits = client.ask("textDocument/formatting", params.clone());
    let [edit] = edits.as_array().expect("a list").as_slice() else { panic!("{edits}") };
    let expected = syntax::format(&SourceFile::new(URI, crooked)).expect("it parses");
    assert_eq!(edit["newText"], expected);
    let all =
        json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 2, "character": 10 } });
    assert_eq!(edit["range"], all);
    client.change(2, json!([{ "text": expected }]));
    assert_eq!(client.ask("textDocument/formatting", params.clone()), json!([]));
    client.change(3, json!([{ "text": "op twice(x) =" }]));
    assert_eq!(client.ask("textDocument/formatting", params), Value::Null);
}

#[test]
fn the_outline_has_items_and_blocks() {
    let (mut client, _) = Client::with(GOOD);
    let params = json!({ "textDocument": { "uri": URI } });
    let symbols = client.ask("textDocument/documentSymbol", params);
    let names = |symbols: &Value| -> Vec<String> {
        let symbols = symbols.as_array().expect("a list");
        symbols.iter().map(|symbol| symbol["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&symbols), ["half", "normal", "reduction", "expect cifar 2@96"]);
    assert_eq!(names(&symbols[1]["children"]), ["a", "b", "n1", "n2", "out"]);
    assert_eq!(symbols[1]["selectionRange"], range(GOOD, "normal", 0));
    assert_eq!(symbols[1]["children"][3]["range"], range(GOOD, "n2 = n1 + b", 0));
}

#[test]
fn nonsense_is_refused_and_survived() {
    let mut client = Client::new();
    let code = |response: Value| response["error"]["code"].as_i64();
    assert_eq!(code(client.response("textDocument/mystery", json!({}))), Some(-32601));
    assert_eq!(code(client.response("textDocument/hover", json!({ "position": 3 }))), Some(-32602));
    assert_eq!(code(client.response("textDocument/hover", json!([1]))), Some(-32602));
    assert_eq!(code(client.response("textDocument/documentSymbol", json!([1]))), Some(-32602));
    assert_eq!(code(client.response("initialize", json!({}))), Some(-32600));
    client.tell("textDocument/mystery", json!({}));
    client.tell("textDocument/didChange", json!("nonsense"));
    let unknown = json!({ "uri": "file:///never/opened.cell", "version": 1 });
    let change = json!({ "textDocument": unknown, "contentChanges": [{ "text": "x" }] });
    client.tell("textDocument/didChange", change);
    client.tell("textDocument/didClose", json!({ "textDocument": unknown }));
    for method in ["textDocument/hover", "textDocument/completion", "textDocument/definition"] {
        let position = json!({ "line": 0, "character": 0 });
        let params = json!({ "textDocument": unknown, "position": position });
        assert_eq!(client.ask(method, params), Value::Null, "{method}");
    }

    // Every position of a text with wide characters and all kinds of line ends, and many beyond it.
    let text = "// \u{1F980} é\r\ncell normal(h) {\r    a = squeeze(h)\n    out concat(a)\r\n}\r\n";
    client.open(text);
    for line in [0, 1, 2, 3, 4, 5, 6, 1000, u32::MAX] {
        for character in (0..20).chain([1000, u32::MAX]) {
            let position = json!({ "line": line, "character": character });
            for method in
                ["textDocument/hover", "textDocument/completion", "textDocument/definition"]
            {
                client.at(method, position.clone());
            }
        }
    }
    // An edit that starts and ends inside the crab: its surrogates are taken as one character.
    let inside = json!({ "line": 0, "character": 4 });
    let change = json!({ "range": { "start": inside, "end": inside }, "text": "\u{1F40C}" });
    assert_eq!(client.change(2, json!([change])), Vec::<Value>::new());
    let backwards = json!({
        "start": { "line": 3, "character": 3 }, "end": { "line": 0, "character": 4 },
    });
    let change = json!({ "range": backwards, "text": "", "rangeLength": 77 });
    client.change(3, json!([change, { "text": text }]));
    assert!(client.hover(json!({ "line": 2, "character": 4 })).contains("a = squeeze(h)"));
    assert_eq!(client.end().code(), Some(0));
}

#[test]
fn the_exit_code_tells_whether_the_client_said_goodbye() {
    let mut client = Client::new();
    client.tell("exit", Value::Null);
    assert_eq!(client.server.wait().expect("the server ends").code(), Some(1));

    // Before it is initialized, the server answers nothing else; after `shutdown` neither.
    let mut client = Client::silent();
    let refused = client.response("textDocument/hover", json!({}));
    assert_eq!(refused["error"]["code"], -32002);
    client.tell("exit", Value::Null);
    assert_eq!(client.server.wait().expect("the server ends").code(), Some(1));

    let mut client = Client::new();
    client.ask("shutdown", Value::Null);
    let refused = client.response("textDocument/hover", json!({}));
    assert_eq!(refused["error"]["code"], -32600);
    client.tell("exit", Value::Null);
    assert_eq!(client.server.wait().expect("the server ends").code(), Some(0));

    // An input that ends without a word, and one that is no message.
    let mut client = Client::new();
    client.input = None;
    assert_eq!(client.server.wait().expect("the server ends").code(), Some(1));
    let mut client = Client::new();
    let input = client.input.as_mut().expect("open");
    input.write_all(b"Content-Length: 3\r\n\r\nxyz").expect("written");
    assert_eq!(client.server.wait().expect("the server ends").code(), Some(1));
}
