//! Published figures. They keep their digits: a count agrees with what is printed, not with a number.

use pest::iterators::Pair;

use super::{Builder, is_rule, next, number_of, shorten};
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{Figure, Published, PublishedFigure, Unit};
use crate::syntax::grammar::Rule;

impl Builder<'_> {
    pub(super) fn published(&mut self, pair: Pair<'_, Rule>) -> Published {
        let span = self.span(&pair);
        let mut strings = pair.clone().into_inner().filter(is_rule(&[Rule::string]));
        let source = self.string(&next(&mut strings));
        let name = strings.next().map(|name| self.string(&name));
        let figures = self.each(pair, Rule::figure, Self::published_figure);
        Published { source, name, figures, span }
    }

    fn published_figure(&mut self, pair: Pair<'_, Rule>) -> PublishedFigure {
        let mut parts = pair.into_inner();
        let name = self.ident(&next(&mut parts));
        PublishedFigure { name, value: self.figure(&next(&mut parts)) }
    }

    fn figure(&mut self, pair: &Pair<'_, Rule>) -> Figure {
        let (text, span) = (pair.as_str(), self.span(pair));
        let unit = Unit::ALL.into_iter().find(|unit| text.ends_with(unit.letter()));
        let unit = unit.unwrap_or(Unit::One);
        let plain = text.strip_suffix(unit.letter()).unwrap_or(text).replace('_', "");
        let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
        let decimals = fraction.len() as u32;
        // The first is true of every number of the language, the second of figures.
        if number_of(text).is_none() {
            self.number(pair);
        } else if decimals > unit.zeros() {
            let message = format!(
                "expected at most {} digits behind the point, found `{}`",
                unit.zeros(),
                shorten(text)
            );
            let label = "has digits that are less than one";
            self.faults.push(Diagnostic::new(Code::NumberTooLarge, span, message).label(label));
        } else if let Ok(digits) = format!("{whole}{fraction}").parse() {
            return Figure { digits, decimals, unit, span };
        }
        Figure { digits: 0, decimals: 0, unit: Unit::One, span }
    }
}
