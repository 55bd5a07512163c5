//! One walk over the tokens before the cursor: open brackets, what they open, names bound so far.

use super::{Body, PARTS};
use crate::check::MAX_BLOCKS;
use crate::lsp::tokens::Token;

/// An item whose body is not open yet.
#[derive(Clone, Copy)]
pub(super) struct Header {
    /// What it is the header of.
    pub body: Body,
    /// Its keyword.
    pub at: usize,
}

/// A bracket that is open.
pub(super) struct Open<'t> {
    /// What it opens.
    pub bracket: Bracket<'t>,
    /// Its token.
    pub at: usize,
}

impl Open<'_> {
    /// The item whose body it opens.
    pub(super) fn body(&self) -> Option<Body> {
        if let Bracket::Body(body) = self.bracket { Some(body) } else { None }
    }

    /// True for braces of every kind.
    pub(super) fn is_brace(&self) -> bool {
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

/// What a bracket opens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bracket<'t> {
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

/// What has been read so far.
#[derive(Default)]
pub(super) struct Walk<'t> {
    /// The open brackets, the innermost last.
    pub open: Vec<Open<'t>>,
    /// The item whose body is not open yet, if there is one; also that of a body without braces.
    pub header: Option<Header>,
    /// Tensors bound so far.
    pub tensors: Vec<String>,
    /// Attributes or scales declared so far.
    pub statics: Vec<&'t str>,
    /// Blocks of the `repeat` whose braces are open.
    repeated: Vec<String>,
    /// True in the statement that binds the last of `tensors`.
    pub is_binding: bool,
    /// True in the condition of a `when` or `require` and in the value of a `let`.
    pub is_static: bool,
    /// Keyword of the net's part at hand.
    pub part: Option<usize>,
}

impl<'t> Walk<'t> {
    /// The innermost open bracket.
    pub(super) fn top(&self) -> Option<Bracket<'t>> {
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

    /// Reads the token at `at`.
    pub(super) fn step(&mut self, tokens: &[Token<'t>], at: usize) {
        let token = tokens[at];
        let before = at.checked_sub(1).map(|before| tokens[before]);
        let is_assigned = tokens.get(at + 1).is_some_and(|next| next.text == "=");
        match token.text {
            "op" | "cell" | "space" | "net" | "expect" => self.item(token, at),
            // A word of this one place: a name has something else before it.
            "published" if self.open.is_empty() && before.is_some_and(|b| b.text == "}") => {
                self.item(token, at);
            }
            "use" => *self = Walk::default(),
            "when" | "require" | "let" => {
                if token.is_outermost && token.text == "let" {
                    *self = Walk::default();
                }
                self.statement();
                self.is_static = true;
            }
            "otherwise" | "repeat" => self.statement(),
            "out" if !is_assigned => self.statement(),
            "{" => self.open_brace(tokens, at),
            "}" => self.close_brace(),
            "(" => {
                let of_header = self.header.is_some_and(|header| {
                    let is_name = header.at + 2 == at;
                    let has_params = matches!(header.body, Body::Op | Body::Cell);
                    is_name || (has_params && before.is_some_and(|b| b.text == ">"))
                });
                self.leave_static(before);
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
                    return;
                }
                self.leave_static(before);
                if !self.is_static {
                    self.push(Bracket::Attributes(name.text), at);
                }
            }
            ">" => {
                if matches!(self.top(), Some(Bracket::Params | Bracket::Attributes(_))) {
                    self.open.pop();
                }
            }
            "=>" | ":" | "|>" => self.is_static = false,
            "=" => self.assign(tokens, at),
            _ if token.is_word() => self.word(token, before, at),
            _ => {}
        }
    }

    /// A name in front of a line is no part of the condition or value above it, if it is applied.
    fn leave_static(&mut self, name: Option<Token<'t>>) {
        if name.is_some_and(|name| name.is_word() && name.starts_line) {
            self.is_static = false;
        }
    }

    /// True where items or their headers stand.
    fn top_is_item_level(&self) -> bool {
        matches!(self.top(), None | Some(Bracket::Body(Body::Space)))
    }

    fn item(&mut self, token: Token<'t>, at: usize) {
        let Some(body) = Body::of(token.text) else { return };
        let space = self.open.iter().rposition(|open| open.bracket == Bracket::Body(Body::Space));
        let is_inner = matches!(body, Body::Op | Body::Cell) && !token.is_outermost;
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
        self.is_static = false;
    }

    fn open_brace(&mut self, tokens: &[Token<'t>], at: usize) {
        self.is_static = false;
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
        if let Some(Bracket::Body(_)) = closed {
            *self = Walk { open: std::mem::take(&mut self.open), ..Walk::default() };
        } else if closed == Some(Bracket::Repeat) {
            self.tensors.append(&mut self.repeated);
        }
    }

    fn assign(&mut self, tokens: &[Token<'t>], at: usize) {
        let Some(name) = at.checked_sub(1).map(|before| tokens[before]) else { return };
        let in_angles = matches!(self.top(), Some(Bracket::Attributes(_) | Bracket::Params));
        // At the start of a line it is a statement, and the `<` before it was left open.
        if !name.is_word() || (in_angles && !name.starts_line) {
            return;
        }
        if at >= 2 && tokens[at - 2].text == "let" {
            self.statics.push(name.text);
            return;
        }
        self.is_static = false;
        let brace = self.open.iter().rfind(|open| open.is_brace()).map(|open| open.bracket);
        if let Some(Bracket::Body(Body::Op | Body::Cell)) = brace {
            self.close_to_brace();
            self.tensors.push(name.text.to_owned());
            self.is_binding = true;
        }
    }

    fn word(&mut self, token: Token<'t>, before: Option<Token<'t>>, at: usize) {
        let before = before.map_or("", |before| before.text);
        let top = self.top();
        if top == Some(Bracket::Arguments) {
            self.tensors.push(token.text.to_owned());
        } else if top == Some(Bracket::Params) && matches!(before, "<" | ",") {
            self.statics.push(token.text);
        } else if top == Some(Bracket::Body(Body::Net))
            && PARTS.contains(&token.text)
            && !matches!(before, "|>" | "," | "*")
        {
            self.part = Some(at);
            self.is_static = false;
        }
    }
}
