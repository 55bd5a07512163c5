//! What may stand at the cursor, from the tokens before it.
//!
//! The tokens are walked once with a stack of open brackets. A keyword of an item and a keyword of a
//! statement close what a broken line before them left open, so a fault spoils its own statement only.

use super::tokens::{Token, tokens};
use crate::check::MAX_BLOCKS;

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
}

impl Body {
    fn of(keyword: &str) -> Option<Body> {
        Some(match keyword {
            "op" => Body::Op,
            "cell" => Body::Cell,
            "space" => Body::Space,
            "net" => Body::Net,
            "expect" => Body::Expect,
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
    let around = walk.open.iter().rev().find_map(|open| match open.bracket {
        Bracket::Body(body) => Some(body),
        _ => None,
    });
    let body = header.filter(|_| walk.open.last().is_none_or(|open| !open.is_brace())).or(around);
    let Walk { tensors, statics, .. } = walk;
    Some(Context { place, tensors, statics, body })
}

/// An item whose body is not open yet.
#[derive(Clone, Copy)]
struct Header {
    body: Body,
    /// Its keyword.
    at: usize,
}

struct Open<'t> {
    bracket: Bracket<'t>,
    at: usize,
}

impl Open<'_> {
    fn is_brace(&self) -> bool {
        match self.bracket {
            Bracket::Body(_)
            | Bracket::Options
            | Bracket::Choice
            | Bracket::Repeat
            | Bracket::Aux => true,
            Bracket::Params | Bracket::Arguments | Bracket::Attributes(_) | Bracket::Parens => {
                false
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket<'t> {
    /// `{` of an item.
    Body(Body),
    /// `{` of an option set.
    Options,
    /// `?{`
    Choice,
    /// `repeat 5 as n {`
    Repeat,
    /// `aux after stage 2 {`
    Aux,
    /// `<` behind the name of a new operation or net.
    Params,
    /// `(` of a new operation or cell.
    Arguments,
    /// `<` of a use of this operation.
    Attributes(&'t str),
    /// Any other `(`.
    Parens,
}

#[derive(Default)]
struct Walk<'t> {
    open: Vec<Open<'t>>,
    header: Option<Header>,
    tensors: Vec<String>,
    statics: Vec<&'t str>,
    /// Blocks of the `repeat` whose braces are open.
    repeated: Vec<String>,
    /// True in the statement that binds the last of `tensors`.
    is_binding: bool,
    /// True in the condition of a `when` or `require`.
    is_condition: bool,
    /// Keyword of the net's part at hand.
    part: Option<usize>,
}

impl<'t> Walk<'t> {
    fn top(&self) -> Option<Bracket<'t>> {
        self.open.last().map(|open| open.bracket)
    }

    fn push(&mut self, bracket: Bracket<'t>, at: usize) {
        self.open.push(Open { bracket, at });
    }

    /// Closes everything inside the innermost braces.
    fn close_to_brace(&mut self) {
        let kept = self.open.iter().rposition(Open::is_brace).map_or(0, |brace| brace + 1);
        self.open.truncate(kept);
    }

    fn step(&mut self, tokens: &[Token<'t>], at: usize) {
        let token = tokens[at];
        let before = at.checked_sub(1).map(|before| tokens[before]);
        let is_assigned = tokens.get(at + 1).is_some_and(|next| next.text == "=");
        match token.text {
            "op" | "cell" | "space" | "net" | "expect" => self.item(token, at),
            "when" | "require" => {
                self.statement();
                self.is_condition = true;
            }
            "otherwise" | "repeat" => self.statement(),
            "out" if !is_assigned => self.statement(),
            "{" => self.open_brace(tokens, at),
            "}" => self.close_brace(),
            "(" => {
                let of_header = self.header.is_some_and(|header| {
                    let is_name = header.at + 2 == at;
                    is_name || (header.body == Body::Op && before.is_some_and(|b| b.text == ">"))
                });
                let is_first = self.tensors.is_empty() && !self.is_binding;
                let is_arguments = of_header && is_first && self.top_is_item_level();
                self.push(if is_arguments { Bracket::Arguments } else { Bracket::Parens }, at);
            }
            ")" => {
                let parens = self.open.iter().rposition(|open| {
                    open.is_brace() || matches!(open.bracket, Bracket::Parens | Bracket::Arguments)
                });
                if let Some(parens) = parens.filter(|&parens| !self.open[parens].is_brace()) {
                    self.open.truncate(parens);
                }
            }
            "<" => {
                let Some(name) = before.filter(|b| b.is_word() && b.end() == token.start) else {
                    return;
                };
                if self.header.is_some_and(|header| header.at + 2 == at) {
                    self.push(Bracket::Params, at);
                } else if !self.is_condition {
                    self.push(Bracket::Attributes(name.text), at);
                }
            }
            ">" => {
                if matches!(self.top(), Some(Bracket::Params | Bracket::Attributes(_))) {
                    self.open.pop();
                }
            }
            "=>" | ":" | "|>" => self.is_condition = false,
            "=" => self.assign(tokens, at),
            _ if token.is_word() => self.word(token, before, at),
            _ => {}
        }
    }

    /// True where items or their headers stand.
    fn top_is_item_level(&self) -> bool {
        matches!(self.top(), None | Some(Bracket::Body(Body::Space)))
    }

    fn item(&mut self, token: Token<'t>, at: usize) {
        let Some(body) = Body::of(token.text) else { return };
        let space = self.open.iter().rposition(|open| open.bracket == Bracket::Body(Body::Space));
        let is_inner = body == Body::Cell && !token.is_outermost;
        self.open.truncate(space.filter(|_| is_inner).map_or(0, |space| space + 1));
        *self = Walk {
            open: std::mem::take(&mut self.open),
            header: Some(Header { body, at }),
            ..Walk::default()
        };
    }

    fn statement(&mut self) {
        self.close_to_brace();
        self.is_binding = false;
        self.is_condition = false;
    }

    fn open_brace(&mut self, tokens: &[Token<'t>], at: usize) {
        self.is_condition = false;
        let before = |back: usize| at.checked_sub(back).map_or("", |before| tokens[before].text);
        let bracket = match (before(1), self.header, self.top()) {
            ("?", _, _) => Bracket::Choice,
            ("=", _, _) => Bracket::Options,
            (_, Some(header), _) => {
                self.header = None;
                Bracket::Body(header.body)
            }
            (_, None, Some(Bracket::Body(Body::Net))) => Bracket::Aux,
            (name, None, _) => {
                if before(2) == "as" {
                    let count = before(3).replace('_', "").parse().unwrap_or(0);
                    let numbers = 1..=MAX_BLOCKS.min(count);
                    self.repeated = numbers.map(|number| format!("{name}{number}")).collect();
                }
                Bracket::Repeat
            }
        };
        self.push(bracket, at);
    }

    fn close_brace(&mut self) {
        let brace = self.open.iter().rposition(Open::is_brace);
        let closed = brace.map(|brace| self.open[brace].bracket);
        self.open.truncate(brace.unwrap_or(0));
        match closed {
            Some(Bracket::Body(_)) => {
                *self = Walk { open: std::mem::take(&mut self.open), ..Walk::default() };
            }
            Some(Bracket::Repeat) => self.tensors.append(&mut self.repeated),
            _ => {}
        }
    }

    fn assign(&mut self, tokens: &[Token<'t>], at: usize) {
        let Some(name) = at.checked_sub(1).map(|before| tokens[before]) else { return };
        let in_angles = matches!(self.top(), Some(Bracket::Attributes(_) | Bracket::Params));
        if in_angles || !name.is_word() {
            return;
        }
        self.is_condition = false;
        let brace = self.open.iter().rfind(|open| open.is_brace()).map(|open| open.bracket);
        if let Some(Bracket::Body(Body::Op | Body::Cell)) = brace {
            self.close_to_brace();
            self.tensors.push(name.text.to_owned());
            self.is_binding = true;
        }
    }

    fn word(&mut self, token: Token<'t>, before: Option<Token<'t>>, at: usize) {
        let before = before.map_or("", |before| before.text);
        match self.top() {
            Some(Bracket::Arguments) => self.tensors.push(token.text.to_owned()),
            Some(Bracket::Params) if matches!(before, "<" | ",") => self.statics.push(token.text),
            Some(Bracket::Body(Body::Net)) => {
                let is_part = PARTS.contains(&token.text);
                if is_part && !matches!(before, "|>" | "," | "*") {
                    self.part = Some(at);
                }
            }
            _ => {}
        }
    }

    fn place(&self, tokens: &[Token<'t>]) -> Place<'t> {
        let Some(last) = tokens.len().checked_sub(1) else { return Place::Item };
        let word = tokens[last].text;
        let two_back = last.checked_sub(1).map_or("", |before| tokens[before].text);
        if word == "?" {
            return if self.is_static() { Place::Nothing } else { Place::Hole };
        }
        match self.top() {
            Some(Bracket::Attributes(op)) if matches!(word, "<" | ",") => Place::Attribute(op),
            Some(Bracket::Attributes(_)) => value(tokens[last]),
            Some(Bracket::Params) if word == "=" => Place::Value,
            Some(Bracket::Params | Bracket::Arguments) => Place::Nothing,
            Some(Bracket::Parens) if self.is_static() => value(tokens[last]),
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
            Some(Bracket::Body(Body::Net)) => self.part_of_net(tokens, last),
            Some(Bracket::Body(body @ (Body::Op | Body::Cell))) => match word {
                "|>" | "=" | "=>" | "out" => expression(word),
                "+" | "*" if !self.is_condition => Place::Operand,
                "repeat" | "as" | "otherwise" | ":" => Place::Nothing,
                "when" | "require" => Place::Value,
                _ if two_back == "repeat" => Place::Words(&["as"]),
                _ if self.is_condition => match value(tokens[last]) {
                    Place::Nothing => Place::Statement(body),
                    place => place,
                },
                _ => Place::Statement(body),
            },
            None | Some(Bracket::Body(Body::Space)) => self.item_level(tokens, last),
        }
    }

    /// True where static values stand, however deep in parentheses and braces.
    fn is_static(&self) -> bool {
        let outer = self
            .open
            .iter()
            .rev()
            .map(|open| open.bracket)
            .find(|bracket| !matches!(bracket, Bracket::Parens | Bracket::Choice));
        self.is_condition || matches!(outer, Some(Bracket::Attributes(_) | Bracket::Params))
    }

    /// The three kinds of `?{ ... }` by what stands before them.
    fn choice(&self, tokens: &[Token<'t>]) -> Place<'t> {
        let last = tokens[tokens.len() - 1];
        if self.is_static() {
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
            ")" | ">" | "}" => Place::Words(&["concat", "mul"]),
            "out" => Place::Operand,
            _ if before.is_word() => Place::Words(&["concat", "mul"]),
            _ => Place::Operand,
        }
    }

    fn part_of_net(&self, tokens: &[Token<'t>], last: usize) -> Place<'t> {
        let statement = Place::Statement(Body::Net);
        let Some(part) = self.part else { return statement };
        let (word, is_first) = (tokens[last].text, part == last);
        match tokens[part].text {
            "stack" if is_first || word == "," => Place::StackEntry,
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
        let Some(header) = self.header else {
            return if tokens[last].text == "=" { Place::Nothing } else { between };
        };
        let word = tokens[last].text;
        let two_back = last.checked_sub(1).map(|before| tokens[before]);
        match header.body {
            Body::Expect if header.at == last => Place::Net,
            _ if header.at == last => Place::Nothing,
            _ if header.at + 1 == last => Place::Nothing,
            Body::Op if matches!(word, "=" | "+" | "*" | "|>") => expression(word),
            Body::Cell if word == ")" => Place::Words(&["stride"]),
            Body::Cell if word == "stride" => Place::Nothing,
            Body::Cell if word == "=" => match two_back {
                Some(before) if before.text == ")" || before.is_number() => Place::Cell,
                _ => Place::Nothing,
            },
            Body::Op | Body::Cell | Body::Space | Body::Net | Body::Expect => between,
        }
    }
}

/// Words that start a part of a net.
pub(super) const PARTS: [&str; 6] = ["input", "classes", "stem", "stack", "head", "aux"];

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
        "and" | "or" | "not" => false,
        ")" | "}" => true,
        _ => last.is_word() || last.is_number(),
    };
    if is_operand_before { Place::Nothing } else { Place::Value }
}
