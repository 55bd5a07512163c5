//! The grammar that colors cells in editors, run as their engine runs it.

use std::collections::BTreeSet;

use cellc::compile;
use fancy_regex::{Captures, Regex};
use serde_json::Value;

const PEST: &str = include_str!("../grammar/cell.pest");

fn grammar() -> Value {
    serde_json::from_str(include_str!("../grammar/cell.tmLanguage.json")).expect("it is JSON")
}

/// A rule of the grammar, its expressions compiled.
struct Rule {
    name: Option<String>,
    kind: Kind,
}

enum Kind {
    /// One expression with names for its groups.
    Match(Regex, Groups),
    /// What stands between two expressions.
    Range { begin: Regex, end: Regex, at_begin: Groups, at_end: Groups, inner: Vec<Rule> },
}

/// Names of groups; group 0 is the whole match.
type Groups = Vec<(usize, String)>;

fn groups(captures: &Value) -> Groups {
    let Some(captures) = captures.as_object() else { return Vec::new() };
    let group = |(number, rule): (&String, &Value)| {
        let name = rule["name"].as_str().expect("a group has a name");
        (number.parse().expect("a group has a number"), name.to_owned())
    };
    captures.iter().map(group).collect()
}

fn regex(text: &Value) -> Regex {
    let text = text.as_str().expect("an expression is a string");
    Regex::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The rules of a list, includes followed. `depth` bounds the copies of rules that include themselves.
fn rules(grammar: &Value, list: &Value, depth: usize) -> Vec<Rule> {
    if depth == 0 {
        return Vec::new();
    }
    let list = list.as_array().expect("patterns are a list");
    list.iter().flat_map(|rule| resolve(grammar, rule, depth)).collect()
}

fn resolve(grammar: &Value, rule: &Value, depth: usize) -> Vec<Rule> {
    if let Some(include) = rule["include"].as_str() {
        let name = include.strip_prefix('#').expect("only the repository is included");
        let rule = &grammar["repository"][name];
        assert!(rule.is_object(), "{include} is not in the repository");
        return resolve(grammar, rule, depth);
    }
    let name = rule["name"].as_str().map(str::to_owned);
    let kind = if rule["match"].is_string() {
        Kind::Match(regex(&rule["match"]), groups(&rule["captures"]))
    } else if rule["begin"].is_string() {
        Kind::Range {
            begin: regex(&rule["begin"]),
            end: regex(&rule["end"]),
            at_begin: groups(&rule["beginCaptures"]),
            at_end: groups(&rule["endCaptures"]),
            inner: if rule["patterns"].is_array() {
                rules(grammar, &rule["patterns"], depth - 1)
            } else {
                Vec::new()
            },
        }
    } else {
        return rules(grammar, &rule["patterns"], depth);
    };
    vec![Rule { name, kind }]
}

/// The innermost scope of every character of a text; empty where there is none.
fn scopes(text: &str) -> Vec<(char, String)> {
    let grammar = grammar();
    let top = rules(&grammar, &grammar["patterns"], 4);
    let mut open: Vec<&Rule> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut scope = vec![String::new(); line.len() + 1];
        let mut at = 0;
        // A match without width may repeat at a place only by opening or closing a range.
        let mut patience = 4 * line.len() + 16;
        while at <= line.len() && patience > 0 {
            patience -= 1;
            let (inner, end) = match open.last().map(|rule| &rule.kind) {
                Some(Kind::Range { inner, end, at_end, .. }) => (inner, Some((end, at_end))),
                Some(Kind::Match(..)) => unreachable!("only ranges are open"),
                None => (&top, None),
            };
            let outer = open.last().and_then(|rule| rule.name.clone()).unwrap_or_default();
            let ending = end.and_then(|(end, groups)| {
                Some((end.captures_from_pos(line, at).expect("it runs")?, groups))
            });
            // The leftmost match counts, of several at one place the end and then the first rule.
            let mut best: Option<(usize, &Rule, Captures<'_, str>)> = None;
            for rule in inner {
                let (Kind::Match(regex, _) | Kind::Range { begin: regex, .. }) = &rule.kind;
                let Some(captures) = regex.captures_from_pos(line, at).expect("it runs") else {
                    continue;
                };
                let start = captures.get(0).expect("the whole").start();
                if best.as_ref().is_none_or(|(best, ..)| start < *best) {
                    best = Some((start, rule, captures));
                }
            }
            if let Some((captures, groups)) = ending
                && best
                    .as_ref()
                    .is_none_or(|(start, ..)| captures.get(0).expect("the whole").start() <= *start)
            {
                let whole = captures.get(0).expect("the whole");
                scope[at..whole.end()].fill(outer);
                paint(&mut scope, &captures, groups);
                at = whole.end();
                open.pop();
                continue;
            }
            let Some((start, rule, captures)) = best else {
                scope[at..line.len()].fill(outer);
                break;
            };
            let whole = captures.get(0).expect("the whole");
            scope[at..start].fill(outer.clone());
            scope[start..whole.end()].fill(rule.name.clone().unwrap_or(outer));
            match &rule.kind {
                Kind::Match(_, groups) => {
                    paint(&mut scope, &captures, groups);
                    assert!(whole.end() > start, "a match without width would be found for ever");
                }
                Kind::Range { at_begin, .. } => {
                    paint(&mut scope, &captures, at_begin);
                    open.push(rule);
                }
            }
            at = whole.end();
        }
        found.extend(line.char_indices().map(|(at, c)| (c, scope[at].clone())));
        found.push(('\n', String::new()));
    }
    found
}

fn paint(scope: &mut [String], captures: &Captures<'_, str>, groups: &Groups) {
    for (group, name) in groups {
        if let Some(group) = captures.get(*group) {
            scope[group.start()..group.end()].fill(name.clone());
        }
    }
}

/// Pieces of a text with their scopes without the `.cell` at the end, blanks left out.
fn pieces(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut is_apart = true;
    for (c, scope) in scopes(text) {
        let scope = scope.trim_end_matches(".cell");
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let goes_on = |text: &str, last: &str| {
            // A scope goes on over blanks in comments and strings only.
            last == scope && (!is_apart || text.starts_with(['/', '"']))
        };
        match found.last_mut() {
            Some((text, last))
                if c != '\n' && goes_on(text, last) && (!scope.is_empty() || is_word(c)) =>
            {
                text.push(c);
            }
            _ if !c.is_whitespace() => found.push((c.to_string(), scope.to_owned())),
            _ => {}
        }
        is_apart = c.is_whitespace();
        if c == '\n'
            && let Some((_, last)) = found.last_mut()
            && last.starts_with("comment")
        {
            // The next line is another comment.
            last.push(' ');
        }
    }
    found
        .into_iter()
        .map(|(text, scope)| (text.trim_end().into(), scope.trim_end().into()))
        .collect()
}

/// Scopes of the pieces that read `word`.
fn scope_of(text: &str, word: &str) -> BTreeSet<String> {
    pieces(text).into_iter().filter(|(piece, _)| piece == word).map(|(_, scope)| scope).collect()
}

/// The quoted words of the rule that starts with `head` in the grammar of the parser.
fn words_of(head: &str) -> Vec<String> {
    let rule = PEST.split(head).nth(1).expect(head);
    let rule = rule.split("~ !word_char").next().expect("a rule of words");
    rule.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_grammar_is_complete_and_every_expression_compiles() {
    let grammar = grammar();
    assert_eq!(grammar["scopeName"], "source.cell");
    // Also those that the file's patterns do not reach.
    let mut used = BTreeSet::new();
    for (name, rule) in grammar["repository"].as_object().expect("a repository") {
        assert!(!resolve(&grammar, rule, 3).is_empty(), "{name}");
        let text = rule.to_string() + &grammar["patterns"].to_string();
        used.extend(
            text.split("\"#").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()),
        );
    }
    for name in grammar["repository"].as_object().expect("a repository").keys() {
        assert!(used.contains(name), "nothing includes {name}");
    }
}

#[test]
fn every_reserved_word_is_a_keyword() {
    let mut reserved = words_of("reserved = _{");
    reserved.push("out".into());
    assert!(reserved.len() >= 14, "{reserved:?}");
    for word in reserved {
        let scopes = scope_of(&format!("x {word} y"), &word);
        assert_eq!(scopes.len(), 1, "{word}: {scopes:?}");
        let scope = scopes.first().expect("one");
        assert!(scope.starts_with("keyword") || scope.starts_with("storage"), "{word}: {scope}");
        let longer = format!("x {word}s y");
        let scopes = scope_of(&longer, &format!("{word}s"));
        assert_eq!(scopes, BTreeSet::from(["variable.other".into()]), "{longer}");
    }
}

#[test]
fn words_of_one_place_are_keywords_there() {
    // Every word that has a rule of its own and is not reserved.
    let reserved = words_of("reserved = _{");
    let words = PEST.lines().filter_map(|line| {
        let word = line.strip_prefix("kw_")?.split([' ', '=']).next()?;
        (word != "out" && !reserved.iter().any(|known| known == word)).then_some(word)
    });
    let text = "cell r(h) stride 2 {\nnet n<N, F> {\n    input 8x8x3\n    classes 10\n    stem bn\n    \
                stack N * r\n    head gap\n    aux after stage 2 { gap }\n}\n\
                expect n 1@8 on 8x8x3 classes 10 { params 2.5M }\n    \
                published \"a table\" as \"a row\" { params 2.5M }\n\
                cell s(h) {\n    out h, h to 2\n}\nnet m<N, F> {\n    \
                stack N * (skip r stride 2 at base / 4)\n}\n";
    let mut count = 0;
    for word in words {
        assert_eq!(scope_of(text, word), BTreeSet::from(["keyword.other".into()]), "{word}");
        let elsewhere = format!("    y = f({word}, x)");
        assert!(!scope_of(&elsewhere, word).iter().any(|scope| scope.starts_with("keyword")));
        count += 1;
    }
    assert!(count >= 9, "{count}");
    assert_eq!(
        scope_of("    x = conv<3, out = 64>(a)", "out"),
        BTreeSet::from(["variable.parameter".into()])
    );
}

#[test]
fn a_library_cell_reads_as_it_is_meant() {
    let text = compile::embedded("nasnet_a.cell").expect("it is in the library");
    let found = pieces(text);
    let expected = [
        ("cell", "storage.type"),
        ("normal", "entity.name.type"),
        ("squeeze", "entity.name.function"),
        ("n1", "variable.other.block"),
        ("sep", "entity.name.function"),
        ("5", "constant.numeric"),
        ("+", "keyword.operator"),
        ("out", "keyword.control"),
        ("stride", "keyword.other"),
        ("expect", "storage.type"),
        ("cifar", "entity.name.type"),
        ("6@768", "constant.numeric.scale"),
        ("3_346_538", "constant.numeric"),
        ("prev", "variable.other"),
    ];
    for (piece, scope) in expected {
        let is_there = found.iter().any(|(text, found)| text == piece && found == scope);
        assert!(is_there, "{piece} as {scope} is missing in {found:#?}");
    }
    let comments = found.iter().filter(|(_, scope)| scope == "comment.line.documentation").count();
    assert_eq!(comments, text.lines().filter(|line| line.starts_with("///")).count());
    // No word is left without a scope, in any file of the library.
    for (name, text) in compile::EMBEDDED {
        let is_word = |piece: &str| piece.starts_with(|c: char| c.is_ascii_alphanumeric());
        let bare: Vec<_> =
            pieces(text).into_iter().filter(|(p, scope)| is_word(p) && scope.is_empty()).collect();
        assert!(bare.is_empty(), "{name}: {bare:?}");
    }
}

#[test]
fn every_form_has_its_scope() {
    let text = "\
// plain
op f<k, s = stride, big = (k > 3)>(x) {
    require odd(k) and k < 9 : \"an odd {k}, not {\" // behind
    when size(x) != size => x |> conv<1xk, out = c / 2> |> bn
    otherwise => ?ops(?earlier) ?{ +, concat } ?{ a, sep<?{3, 5}>(a) }
}
";
    let expected = [
        ("// plain", "comment.line.double-slash"),
        ("// behind", "comment.line.double-slash"),
        ("k", "variable.other"),
        ("s", "variable.parameter"),
        ("big", "variable.parameter"),
        ("stride", "variable.language"),
        (">", "keyword.operator.comparison"),
        ("require", "keyword.control"),
        ("odd", "entity.name.function"),
        ("and", "keyword.operator.word"),
        ("<", "keyword.operator.comparison"),
        ("size", "variable.language"),
        ("size", "entity.name.function"),
        ("|>", "keyword.operator.pipe"),
        ("1xk", "constant.numeric.pair"),
        ("c", "variable.language"),
        ("bn", "entity.name.function"),
        ("?", "keyword.operator.hole"),
        ("ops", "variable.other.enummember"),
        ("earlier", "variable.language"),
        ("\"an odd ", "string.quoted.double"),
        ("{", "punctuation.section.interpolation.begin"),
        ("k", "variable.parameter"),
        ("5", "constant.numeric"),
    ];
    let found = pieces(text);
    for (piece, scope) in expected {
        let is_there = found.iter().any(|(text, at)| text == piece.trim_end() && at == scope);
        assert!(is_there, "{piece} as {scope} is missing in {found:#?}");
    }
    // The range of a use's attributes ends where they end: what follows is no attribute.
    assert_eq!(scope_of("    y = sep<3>(a) + c", "c"), BTreeSet::from(["variable.other".into()]));
    // A text that is not closed ends with its line.
    let broken = "require k : \"open\ncell normal(h) {\n";
    assert_eq!(scope_of(broken, "cell"), BTreeSet::from(["storage.type".into()]));
}
