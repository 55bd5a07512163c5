//! Progress of long commands on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of `length` steps. Where stderr is no terminal nothing is drawn; [`Progress::line`] still
/// prints.
pub struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
}

impl Progress {
    /// A new bar; `unit` says what is counted.
    pub fn new(length: usize, unit: &str) -> Progress {
        let is_terminal = std::io::stderr().is_terminal();
        let target =
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = format!(
            "{{elapsed_precise}} {{bar:30}} {{pos}}/{{len}} {unit} (eta {{eta}})\n{{wide_msg}}"
        );
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(length as u64), target).with_style(style);
        Progress { bar, is_terminal }
    }

    /// Moves the bar to `position`.
    pub fn set(&self, position: usize, message: String) {
        self.bar.set_position(position as u64);
        self.bar.set_message(message);
    }

    /// Prints a line above the bar.
    pub fn line(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
