//! What may stand at the cursor, from the tokens before it.
//!
//! The tokens are walked once with a stack of open brackets. A keyword of an item and a keyword of a
//! statement close what a broken line before them left open, so a fault spoils its own statement only.

mod walk;

use self::walk::{Bracket, Open, Walk};
use super::tokens::{Token, tokens};
use crate::ir::ClaimKind;

/// What may stand at a place of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'t> {
    /// Nothing that could be offered: a new name, a number, an operator.
    Nothing,
    /// An item.
    Item,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A statement of this body.
    Statement(Body),
    /// A tensor.
    Operand,
    /// An operation that is not applied, for one tensor.
    Stage,
    /// The name of a hole.
    Hole,
    /// An attribute of this operation, by name or by value.
    Attribute(&'t str),
    /// A static value.
    Value,
    /// A cell.
    Cell,
    /// An entry of a stack.
    StackEntry,
    /// A net.
    Net,
    /// A claim.
    Claim,
    /// A published figure.
    Published,
    /// How to combine two tensors.
    Combine,
}

/// Items that have a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Of an operation.
    Op,
    /// Of a cell.
    Cell,
    /// Of a space.
    Space,
    /// Of a net.
    Net,
    /// The claims of an `expect`.
    Expect,
    /// What is published about the network of an `expect`.
    Published,
}

impl Body {
    fn of(keyword: &str) -> Option<Body> {
        Some(match keyword {
            "op" => Body::Op,
            "cell" => Body::Cell,
            "space" => Body::Space,
            "net" => Body::Net,
            "expect" => Body::Expect,
            "published" => Body::Published,
            _ => return None,
        })
    }
}

/// What is known at the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Context<'t> {
    /// What may stand there.
    pub place: Place<'t>,
    /// Tensors in scope, in the order they are bound.
    pub tensors: Vec<String>,
    /// Attributes of the operation, or scales of the net, around.
    pub statics: Vec<&'t str>,
    /// The item around.
    pub body: Option<Body>,
    /// True in the `stack` of a net.
    pub is_in_stack: bool,
}

/// What may stand at the end of a text that is cut at the cursor. A word that the cursor touches is being
/// written and does not count. `None` in comments, strings and numbers.
pub(super) fn context(before: &str) -> Option<Context<'_>> {
    let mut tokens = tokens(before)?;
    if let Some(last) = tokens.last().filter(|last| last.end() == before.len()) {
        if last.is_number() {
            return None;
        }
        if last.is_word() {
            tokens.pop();
        }
    }
    let mut walk = Walk::default();
    for at in 0..tokens.len() {
        walk.step(&tokens, at);
    }
    let place = walk.place(&tokens);
    if walk.is_binding && !matches!(place, Place::Statement(_)) {
        // The binding that the cursor is in.
        walk.tensors.pop();
    }
    let header = walk.header.map(|header| header.body);
    let header = header.filter(|_| walk.open.last().is_none_or(|open| !open.is_brace()));
    let body = header.or_else(|| walk.open.iter().rev().find_map(Open::body));
    let is_in_stack = walk.part.is_some_and(|part| tokens[part].text == "stack");
    let Walk { tensors, statics, .. } = walk;
    Some(Context { place, tensors, statics, body, is_in_stack })
}

impl<'t> Walk<'t> {
    fn place(&self, tokens: &[Token<'t>]) -> Place<'t> {
        let Some(last) = tokens.len().checked_sub(1) else { return Place::Item };
        let word = tokens[last].text;
        let two_back = last.checked_sub(1).map_or("", |before| tokens[before].text);
        if word == "?" {
            return if self.is_among_values() { Place::Nothing } else { Place::Hole };
        }
        match self.top() {
            Some(Bracket::Attributes(op)) if matches!(word, "<" | ",") => Place::Attribute(op),
            Some(Bracket::Attributes(_)) => value(tokens[last]),
            Some(Bracket::Params) if word == "=" => Place::Value,
            Some(Bracket::Params | Bracket::Arguments) => Place::Nothing,
            Some(Bracket::Parens) if word == "(" && is_count(two_back) => Place::Net,
            Some(Bracket::Parens) if self.is_among_values() => value(tokens[last]),
            Some(Bracket::Parens) if self.part.is_some() => self.part_of_net(tokens, last),
            Some(Bracket::Parens | Bracket::Repeat) => expression(word),
            Some(Bracket::Choice) => self.choice(tokens),
            Some(Bracket::Options | Bracket::Aux) if matches!(word, "{" | "," | "|>") => {
                Place::Stage
            }
            Some(Bracket::Options | Bracket::Aux) => Place::Nothing,
            Some(Bracket::Body(Body::Expect)) => {
                if matches!(word, "{" | ",") {
                    Place::Claim
                } else {
                    Place::Nothing
                }
            }
            Some(Bracket::Body(Body::Published)) => {
                if matches!(word, "{" | ",") {
                    Place::Published
                } else {
                    Place::Nothing
                }
            }
            Some(Bracket::Body(Body::Net)) => self.part_of_net(tokens, last),
            Some(Bracket::Body(body @ (Body::Op | Body::Cell))) => match word {
                "=" if self.is_static => Place::Value,
                "|>" | "=" | "=>" | "out" | "," => expression(word),
                "+" | "*" if !self.is_static => Place::Operand,
                "repeat" | "as" | "otherwise" | ":" | "let" | "to" => Place::Nothing,
                "when" | "require" => Place::Value,
                _ if two_back == "repeat" => Place::Words(&["as"]),
                _ if self.is_static => match value(tokens[last]) {
                    Place::Nothing => Place::Statement(body),
                    place => place,
                },
                _ => Place::Statement(body),
            },
            None | Some(Bracket::Body(Body::Space)) => self.item_level(tokens, last),
        }
    }

    /// True where static values stand, however deep in parentheses and braces.
    fn is_among_values(&self) -> bool {
        let outer = self
            .open
            .iter()
            .rev()
            .map(|open| open.bracket)
            .find(|bracket| !matches!(bracket, Bracket::Parens | Bracket::Choice));
        self.is_static || matches!(outer, Some(Bracket::Attributes(_) | Bracket::Params))
    }

    /// The three kinds of `?{ ... }` by what stands before them.
    fn choice(&self, tokens: &[Token<'t>]) -> Place<'t> {
        let last = tokens[tokens.len() - 1];
        if self.is_among_values() {
            return value(last);
        }
        if !matches!(last.text, "{" | ",") {
            return match expression(last.text) {
                Place::Operand if last.text == "=" => Place::Nothing,
                place => place,
            };
        }
        let brace = self.open.last().map_or(0, |open| open.at);
        let Some(before) = brace.checked_sub(2).map(|before| tokens[before]) else {
            return Place::Operand;
        };
        let is_in_set = self.open.iter().any(|open| open.bracket == Bracket::Options);
        match before.text {
            "|>" => Place::Stage,
            _ if is_in_set => Place::Stage,
            ")" | ">" | "}" => Place::Combine,
            "out" => Place::Operand,
            _ if before.is_word() => Place::Combine,
            _ => Place::Operand,
        }
    }

    fn part_of_net(&self, tokens: &[Token<'t>], last: usize) -> Place<'t> {
        let statement = Place::Statement(Body::Net);
        if self.is_static {
            let is_name = matches!(tokens[last].text, "let");
            return match value(tokens[last]) {
                Place::Value if is_name => Place::Nothing,
                Place::Nothing => statement,
                place => place,
            };
        }
        let Some(part) = self.part else { return statement };
        let (word, is_first) = (tokens[last].text, part == last);
        match tokens[part].text {
            "stack" if is_first || matches!(word, "," | "(" | "skip") => Place::StackEntry,
            "stack" if word == "at" => Place::Value,
            "stack" if word == "*" => Place::Cell,
            "stem" | "head" if is_first || word == "|>" => Place::Stage,
            "aux" if is_first => Place::Words(&["after"]),
            "aux" if word == "after" => Place::Words(&["stage"]),
            "input" | "classes" if is_first => Place::Nothing,
            _ => statement,
        }
    }

    /// Between items, in their headers, and in operations without braces.
    fn item_level(&self, tokens: &[Token<'t>], last: usize) -> Place<'t> {
        let between = match self.top() {
            Some(_) => Place::Statement(Body::Space),
            None => Place::Item,
        };
        if self.is_static && tokens[last].text != "let" {
            return match value(tokens[last]) {
                Place::Nothing => between,
                place => place,
            };
        }
        if matches!(tokens[last].text, "use" | "let") {
            return Place::Nothing;
        }
        let Some(header) = self.header else {
            return if tokens[last].text == "=" { Place::Nothing } else { between };
        };
        let word = tokens[last].text;
        let two_back = last.checked_sub(1).map(|before| tokens[before]);
        match header.body {
            Body::Expect if header.at == last => Place::Net,
            Body::Expect if tokens[last].is_number() => Place::Words(&["on", "classes"]),
            _ if header.at == last => Place::Nothing,
            _ if header.at + 1 == last => Place::Nothing,
            Body::Op if matches!(word, "=" | "+" | "*" | "|>") => expression(word),
            Body::Cell if word == ")" => Place::Words(&["stride"]),
            Body::Cell if word == "stride" => Place::Nothing,
            Body::Cell if word == "=" => match two_back {
                Some(before) if before.text == ")" || before.is_number() => Place::Cell,
                _ => Place::Nothing,
            },
            Body::Op | Body::Cell | Body::Space | Body::Net | Body::Expect | Body::Published => {
                between
            }
        }
    }
}

/// Words that start a part of a net.
pub(super) const PARTS: [&str; 6] = ["input", "classes", "stem", "stack", "head", "aux"];

/// True for the name of a count, as in `params(cifar 6@768)`.
fn is_count(word: &str) -> bool {
    ClaimKind::ALL.iter().any(|kind| kind.name() == word)
}

/// What may follow a token inside a tensor expression.
fn expression<'t>(word: &str) -> Place<'t> {
    match word {
        "|>" => Place::Stage,
        "(" | "{" | "," | "+" | "*" | "=" | "=>" | "out" => Place::Operand,
        _ => Place::Nothing,
    }
}

/// What may follow a token inside a static value.
fn value<'t>(last: Token<'t>) -> Place<'t> {
    let is_operand_before = match last.text {
        "and" | "or" | "not" | "when" | "require" => false,
        ")" | "}" => true,
        _ => last.is_word() || last.is_number(),
    };
    if is_operand_before { Place::Nothing } else { Place::Value }
}
