//! The parser's failure as a diagnostic: what was expected in words, what was found, and what to do
//! about the mistakes people make.

use pest::error::{Error, ErrorVariant, InputLocation};

use super::build::shorten;
use super::grammar::{RESERVED, Rule, TENSOR, VALUE, words};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// E0101 for a parse that failed. The parse was of the text from `start`; `text` is the whole file.
///
/// Beside it, where the token stands that does not fit, if it stands inside the braces of an item:
/// then the rest of the item may be worth reading.
pub(super) fn unexpected(
    text: &str,
    start: usize,
    error: &Error<Rule>,
) -> (Diagnostic, Option<usize>) {
    let at = start
        + match error.location {
            InputLocation::Pos(at) => at,
            InputLocation::Span((at, _)) => at,
        };
    let rules = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        // The parser gave up by itself: its guard of the stack, on a thread with very little of it.
        ErrorVariant::CustomError { .. } => {
            let message = "expected less nesting: the parser ran out of stack";
            return (Diagnostic::new(Code::TooLarge, Span::new(at, at), message), None);
        }
    };
    let failure = Failure { text, start, at: skip_trivia(text, at), rules };
    let is_inside = failure.at < text.len() && !failure.expects(Rule::EOI);
    if let Some((fault, at)) = failure.unfinished_statement() {
        return (fault, is_inside.then_some(at));
    }
    (failure.diagnostic(), is_inside.then_some(failure.at))
}

/// Where the parser got to, and what it could have gone on with.
struct Failure<'a> {
    text: &'a str,
    /// Start of the piece that was parsed.
    start: usize,
    /// The token that does not fit.
    at: usize,
    rules: &'a [Rule],
}

impl Failure<'_> {
    fn diagnostic(&self) -> Diagnostic {
        let found = token(self.text, self.at);
        if let Some(fault) = self.missing_operator() {
            return fault;
        }
        let message = format!("expected {}, found {}", expected(self.rules), found_words(found));
        let span = self.span(found);
        let fault = Diagnostic::new(Code::UnexpectedToken, span, message);
        let fault = match self.open_bracket(found) {
            Some((bracket, at)) => {
                let fault = fault.also(Span::new(at, at + 1), format!("`{bracket}` opened here"));
                self.close(fault, bracket, at)
            }
            None => fault,
        };
        self.help(fault, found, span)
    }

    /// Offers to close the innermost bracket behind the last token. Where an item starts, nothing else
    /// can be meant by the one brace that is open.
    fn close(&self, fault: Diagnostic, bracket: &str, at: usize) -> Diagnostic {
        let end = self.end_of_last_token();
        let place = Span::new(end, end);
        match bracket {
            "{" if matches!(self.open().as_slice(), [(_, only)] if *only == at) => {
                fault.replace(place, "\n}", "close it")
            }
            "{" => fault.propose(place, "\n}", "close it"),
            _ => fault.propose(place, ")", "close it"),
        }
    }

    /// The token, or the place behind the last one if there is none.
    fn span(&self, found: &str) -> Span {
        if found.is_empty() {
            let end = self.end_of_last_token();
            return Span::new(end, end);
        }
        Span::new(self.at, self.at + found.len())
    }

    /// Where the token before the fault ends.
    fn end_of_last_token(&self) -> usize {
        let mut end = self.start;
        let mut at = skip_trivia(self.text, self.start);
        while at < self.at {
            end = at + token(self.text, at).len();
            at = skip_trivia(self.text, end);
        }
        end
    }

    fn expects(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }

    /// True if the parser could have gone on with something of this name.
    fn expects_word(&self, word: &str) -> bool {
        self.rules.iter().any(|&rule| words(rule).contains(&word))
    }

    /// The word right before the fault, the text before it on its line, and where the word starts.
    fn word_before(&self) -> (&str, &str, usize) {
        let before = self.text[self.start..self.at].trim_end();
        let len = before.bytes().rev().take_while(|&b| is_word(b.into())).count();
        let start = self.start + before.len() - len;
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = &self.text[line_start.max(self.start)..start];
        (&self.text[start..start + len], line.trim(), start)
    }

    /// `n1 = a b` reads as a block `b` that lacks its `=`, and the parser gets as far as the next
    /// line before it notices. The fault is at `b`.
    fn missing_operator(&self) -> Option<Diagnostic> {
        if self.rules != [Rule::assign] {
            return None;
        }
        let (word, before, at) = self.word_before();
        if word.is_empty() || before.is_empty() || before.ends_with(['{', '}']) {
            return None;
        }
        let message =
            format!("expected an operator or the end of the statement, found `{}`", shorten(word));
        let fault = Diagnostic::new(Code::UnexpectedToken, Span::new(at, at + word.len()), message);
        Some(fault.note("combine two tensors with `+`, `*`, `concat(x, y)` or `mul(x, y)`"))
    }

    /// `n1 = a +` takes the name of the next block as its operand, and the parser notices at that
    /// block's `=`. The fault is at the name; what to leave out is before it.
    fn unfinished_statement(&self) -> Option<(Diagnostic, usize)> {
        let (word, before, at) = self.word_before();
        let is_next = token(self.text, self.at) == "=" && !word.is_empty() && before.is_empty();
        if !is_next || !self.expects_word("an operator") {
            return None;
        }
        let unfinished = self.text[self.start..at].trim_end();
        let operator = unfinished.chars().next_back().filter(|&c| "+*>}".contains(c))?;
        let end = self.start + unfinished.len();
        let message = format!("expected a tensor, found the next statement, `{} =`", shorten(word));
        let fault = Diagnostic::new(Code::UnexpectedToken, Span::new(at, at + word.len()), message)
            .also(Span::new(end - operator.len_utf8(), end), "the statement before goes on here");
        Some((fault, end - operator.len_utf8()))
    }

    /// The brackets open at the fault, outermost first.
    fn open(&self) -> Vec<(&str, usize)> {
        let mut open = Vec::new();
        let mut at = skip_trivia(self.text, self.start);
        while at < self.at {
            let token = token(self.text, at);
            match token {
                "(" | "{" => open.push((token, at)),
                ")" | "}" => {
                    open.pop();
                }
                _ => {}
            }
            at = skip_trivia(self.text, at + token.len());
        }
        open
    }

    /// The innermost bracket open at the fault, if closing it is what was forgotten.
    fn open_bracket(&self, found: &str) -> Option<(&str, usize)> {
        let (bracket, at) = self.open().last().copied()?;
        let is_forgotten = match bracket {
            "(" => self.expects(Rule::close_paren),
            // The braces of a block stay open for as long as statements may follow.
            _ => {
                let is_end = found.is_empty() || RESERVED.contains(&found);
                let is_block = [Rule::op_stmt, Rule::cell_stmt, Rule::space_item, Rule::net_item]
                    .iter()
                    .any(|&rule| self.expects(rule));
                self.expects(Rule::close_brace) && (is_end || !is_block)
            }
        };
        // On one line the bracket is in plain sight.
        (is_forgotten && self.text[at..self.at].contains('\n')).then_some((bracket, at))
    }

    fn help(&self, fault: Diagnostic, found: &str, span: Span) -> Diagnostic {
        let expects_name = self.expects(Rule::name) || self.expects(Rule::attr_name);
        let expects_value = self.expects_word(VALUE);
        let before = &self.text[self.start..self.at];
        let previous = before.trim_end().chars().next_back().unwrap_or(' ');
        let is_apart = before.ends_with([' ', '\t', '\r', '\n']);
        let follows_op = is_word(previous) || previous == '>';
        let insertion = Span::new(span.start, span.start);
        // The blanks before the token, if they end no line.
        let blanks = Span::new(self.start + before.trim_end().len(), self.at);
        let is_on_line = !self.text[blanks.range()].contains('\n');
        if let Some((inserted, why)) = self.missing_word(found) {
            return fault.replace(insertion, inserted, why);
        }
        if self.expects(Rule::scale)
            && let Some((end, scale)) = joined_scale(self.text, self.at)
        {
            return fault.replace(Span::new(self.at, end), scale, SCALE);
        }
        match found {
            _ if RESERVED.contains(&found) && (expects_name || expects_value) => {
                fault.note(format!("`{found}` is a keyword and cannot be a name"))
            }
            ";" => fault.replace(span, "", "statements end by themselves"),
            "[" | "]" => {
                let why = "attributes stand in `<...>`, tensors in `(...)`";
                match self.bracketed_attributes(is_word(previous) && !is_apart) {
                    Some((whole, angles)) => fault.replace(whole, angles, why),
                    None => fault.note(why),
                }
            }
            "||" if self.expects(Rule::kw_or) => {
                fault.replace(span, self.apart(span, "or"), "this is spelled `or`")
            }
            "&" | "&&" => fault.replace(span, self.apart(span, "and"), "this is spelled `and`"),
            "!" if expects_value => {
                fault.replace(span, self.apart(span, "not"), "this is spelled `not`")
            }
            ":" if self.rules == [Rule::number] => {
                fault.replace(span, "", "the number follows without `:`")
            }
            "|" if self.expects(Rule::pipe) => {
                fault.replace(span, "|>", "a pipeline is written with `|>`")
            }
            "=" if self.expects(Rule::compare) && !self.is_last_of_condition() => {
                fault.replace(span, "==", "values are compared with `==`")
            }
            "->" | "=" if self.expects(Rule::arrow) => {
                fault.replace(span, "=>", "a case is written `condition => result`")
            }
            "." => fault.note("numbers are whole"),
            "-" if expects_value => {
                fault.note("numbers have no sign; `-` stands between two values")
            }
            "+" | "*" if self.expects(Rule::pipe) => {
                fault.note("`|>` binds loosest: put the pipeline in parentheses")
            }
            "(" if self.expects(Rule::greater) => {
                fault.replace(insertion, ">", "attributes end with `>`")
            }
            "(" if previous == ')' => {
                fault.note("attributes stand in `<...>` before the tensors, as in `sep<5>(x)`")
            }
            "(" if follows_op && is_apart => {
                let why = "the parenthesis of a call touches what it applies, as in `sep<5>(x)`";
                match previous {
                    '>' if is_on_line => fault.replace(blanks, "", why),
                    // It may be two operands that lack their operator.
                    _ if is_on_line => fault.propose(blanks, "", why),
                    _ => fault.note(why),
                }
            }
            "(" if follows_op && self.expects(Rule::pipe) => {
                fault.note("a stage of a pipeline takes its tensor from the left")
            }
            "(" if follows_op && self.expects(Rule::comma) => {
                fault.note("an option is an operation that is not applied, such as `sep<3>`")
            }
            "<" if is_word(previous) && is_apart => {
                let why = "the `<` of attributes touches the name before it";
                if is_on_line { fault.replace(blanks, "", why) } else { fault.note(why) }
            }
            ")" if !self.open().iter().any(|(bracket, _)| *bracket == "(") => {
                // One too many, or `(` is missing somewhere before.
                let ends = [")", "}", ""]
                    .contains(&token(self.text, skip_trivia(self.text, span.end)))
                    || next_line_starts(&self.text[span.end..]);
                match previous {
                    ')' if ends && !is_apart => fault.replace(span, "", "it closes nothing"),
                    _ => fault.propose(span, "", "it closes nothing"),
                }
            }
            "<" | "<=" | ">=" | "==" | "!=" if self.expects(Rule::greater) => {
                fault.note("a comparison between `<` and `>` needs parentheses")
            }
            _ if previous == '>' && self.expects(Rule::open_paren) => {
                fault.note("`>` ends attributes: a comparison between them needs parentheses")
            }
            _ if previous == '?' && self.expects(Rule::open_brace) && is_word_start(found) => {
                fault.note("a hole between two tensors lists its options, as in `?{ +, concat }`")
            }
            _ if self.expects(Rule::scale) => fault.note(SCALE),
            _ if self.rules == [Rule::less] || (found == ">" && self.rules == [Rule::comma]) => {
                fault.note("a net names its scale, as in `net cifar<N, F> { ... }`")
            }
            _ if !found.starts_with(|c: char| c.is_ascii_digit()) => fault,
            _ if self.expects(Rule::number) => {
                fault.note("write the number out, as in `3_346_538`")
            }
            _ if expects_value => {
                fault.note("a value is a number such as `32`, a pair such as `1x7`, or a name")
            }
            _ if self.expects_word(TENSOR) => {
                let why = "a number can only be an attribute, as in `sep<5>(x)`";
                let name = before.strip_suffix('(').unwrap_or_default();
                // `sep(5)(x)`.
                let is_attribute =
                    name.ends_with(is_word) && self.text[span.end..].starts_with(")(");
                if is_attribute {
                    let whole = Span::new(span.start - 1, span.end + 1);
                    fault.replace(whole, format!("<{found}>"), why)
                } else {
                    fault.note(why)
                }
            }
            _ if expects_name => fault.note("a name starts with a letter or `_`"),
            _ => fault,
        }
    }

    /// `[5]` in `sep[5](x)`: where it stands and what it is in angles.
    fn bracketed_attributes(&self, follows_name: bool) -> Option<(Span, String)> {
        let inside = self.text[self.at..].strip_prefix('[').filter(|_| follows_name)?;
        let len = inside.find(['[', ']', '(', '{', '\n'])?;
        let is_applied = inside[len..].starts_with("](");
        let whole = Span::new(self.at, self.at + len + 2);
        is_applied.then(|| (whole, format!("<{}>", &inside[..len])))
    }

    /// The word that is missing before the token, if only one can stand there and the token can follow it,
    /// with what to say of it.
    fn missing_word(&self, found: &str) -> Option<(&'static str, &'static str)> {
        let is_number = found.starts_with(|c: char| c.is_ascii_digit());
        match self.rules {
            [Rule::kw_after] if found == "stage" => Some(("after ", "it stands after a stage")),
            [Rule::kw_stage] if is_number => Some(("stage ", "stages are counted from 1")),
            [Rule::kw_as] if is_word_start(found) => Some(("as ", "the blocks have a name")),
            [Rule::arrow] if is_word_start(found) => {
                Some(("=> ", "a case is written `condition => result`"))
            }
            _ => None,
        }
    }

    /// True if no `=>` follows in the statement, so that a `=` here stands for it.
    fn is_last_of_condition(&self) -> bool {
        if !self.expects(Rule::arrow) {
            return false;
        }
        let mut at = self.at + 1;
        loop {
            at = skip_trivia(self.text, at);
            match token(self.text, at) {
                "=>" => return false,
                "" | "}" | "=" | "when" | "otherwise" | "let" | "require" => return true,
                token => at += token.len(),
            }
        }
    }

    /// A word in place of a symbol, with blanks where it would touch what stands beside it.
    fn apart(&self, span: Span, word: &str) -> String {
        let opens = |c: char| c.is_whitespace() || ['(', '<', ','].contains(&c);
        let before = if self.text[..span.start].ends_with(opens) { "" } else { " " };
        let behind = if self.text[span.end..].starts_with(char::is_whitespace) { "" } else { " " };
        format!("{before}{word}{behind}")
    }
}

const SCALE: &str = "`6@768` is N, `@` and F without blanks between them";

/// A scale with blanks in it: where it ends and how it is written.
fn joined_scale(text: &str, at: usize) -> Option<(usize, String)> {
    let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    let n = token(text, at);
    let sign = at + n.len() + blanks(&text[at + n.len()..]);
    let f_at = sign + 1 + blanks(text.get(sign + 1..)?);
    let f = token(text, f_at);
    let is_scale = is_number(n) && text[sign..].starts_with('@') && is_number(f);
    is_scale.then(|| (f_at + f.len(), format!("{n}@{f}")))
}

/// The length of the blanks a text starts with.
fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// True if nothing but blanks and a comment is left of the line.
fn next_line_starts(text: &str) -> bool {
    let rest = text.trim_start_matches([' ', '\t', '\r']);
    rest.is_empty() || rest.starts_with('\n') || rest.starts_with("//")
}

/// "a, b or c", most telling first, each once.
fn expected(rules: &[Rule]) -> String {
    let mut all: Vec<&'static str> = Vec::new();
    for word in rules.iter().flat_map(|&rule| words(rule)) {
        if !all.contains(word) {
            all.push(word);
        }
    }
    // After a name, its own continuations are always possible; they only say something alone.
    let closes = ["`)`", "`}`", "`>`", "`,`", "`|>`", "an operator"];
    if all.iter().any(|word| closes.contains(word)) {
        all.retain(|word| !["`(`", "`<`", "`=`"].contains(word));
    }
    // A hole between tensors is an operator too, and so is a step of a pipeline.
    if all.contains(&"an operator") {
        all.retain(|word| !["`?`", "`|>`"].contains(word));
    }
    // Beside other things, the parts of a net are too many to list.
    let parts = words(Rule::net_item);
    if all.contains(&parts[0]) && all.iter().any(|word| closes[3..].contains(word)) {
        all.retain(|word| !parts.contains(word));
        all.insert(0, "a part of the net");
    }
    all.sort_by_key(|word| rank(word));
    match all.as_slice() {
        [] => "something else".to_owned(),
        [only] => (*only).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// Nouns, then operators and commas, then what closes.
fn rank(word: &str) -> usize {
    match word {
        "the end of the item" => 4,
        "`)`" | "`}`" | "`>`" => 3,
        "`,`" => 2,
        "an operator" | "`|>`" => 1,
        _ => 0,
    }
}

fn found_words(token: &str) -> String {
    match token {
        "" => "the end of the file".to_owned(),
        _ if RESERVED.contains(&token) => format!("the keyword `{token}`"),
        _ => format!("`{}`", shorten(token)),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_word_start(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The offset of the next token.
pub(super) fn skip_trivia(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let blanks =
            rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{FEFF}']).len();
        at += blanks;
        if !text[at..].starts_with("//") {
            return at;
        }
        at += text[at..].find('\n').unwrap_or(text.len() - at);
    }
}

/// The token at an offset, empty at the end of the text.
fn token(text: &str, at: usize) -> &str {
    let rest = &text[at..];
    let Some(first) = rest.chars().next() else { return "" };
    let len = match first {
        c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        '"' => rest[1..].find(['"', '\n']).map_or(rest.len(), |len| len + 2),
        _ => {
            let two = ["|>", "=>", "->", "==", "!=", "<=", ">=", "&&", "||"];
            match two.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => symbol.len(),
                None => first.len_utf8(),
            }
        }
    };
    rest.get(..len).unwrap_or(rest)
}
