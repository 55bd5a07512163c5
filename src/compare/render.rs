//! Tables as text, Markdown and comma-separated values.

use super::{Agreement, Row, Table};
use crate::graph::cost::grouped;

/// What tables are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Columns under each other, for a terminal.
    Text,
    /// Markdown.
    Markdown,
    /// One table of comma-separated values, the source in its first column, numbers without separators.
    Csv,
}

/// The columns; those of numbers are aligned to the right.
const COLUMNS: [(&str, bool); 13] = [
    ("published as", false),
    ("file", false),
    ("net", false),
    ("scale", false),
    ("image", false),
    ("classes", true),
    ("params", true),
    ("with statistics", true),
    ("published", true),
    ("multiply-adds", true),
    ("published", true),
    ("agree", false),
    ("differ", false),
];

/// The title of the networks without published figures.
const WITHOUT: &str = "Without published figures";

impl Form {
    /// Writes tables.
    pub fn write(self, tables: &[Table]) -> String {
        match self {
            Form::Text => joined(tables, text),
            Form::Markdown => joined(tables, markdown),
            Form::Csv => csv(tables),
        }
    }
}

fn joined(tables: &[Table], each: fn(&Table) -> String) -> String {
    tables.iter().map(each).collect::<Vec<_>>().join("\n")
}

fn title(table: &Table) -> &str {
    table.source.as_deref().unwrap_or(WITHOUT)
}

/// The entries of a row, one for each of [`COLUMNS`].
fn entries(row: &Row, separator: Option<char>) -> [String; COLUMNS.len()] {
    let number = |count: u64| match separator {
        Some(separator) => grouped(count, separator),
        None => count.to_string(),
    };
    let published = row.published.as_ref();
    let params = published.and_then(|published| published.params.as_ref());
    let macs = published.and_then(|published| published.macs.as_ref());
    let (mut agree, mut differ) = (Vec::new(), Vec::new());
    let mut note = |what: &str, agreement: Agreement| match agreement {
        Agreement::Rounded => agree.push(what.to_owned()),
        Agreement::Truncated => agree.push(format!("{what} truncated")),
        Agreement::None => {}
    };
    if let Some(params) = params {
        note("params", params.trainable);
        note("with statistics", params.with_statistics);
        if !params.agrees() {
            differ.push(format!("params {}", percent(params.deviation)));
        }
    }
    if let Some(macs) = macs {
        note("multiply-adds", macs.agreement);
        if !macs.agrees() {
            differ.push(format!("multiply-adds {}", percent(macs.deviation)));
        }
    }
    [
        published.and_then(|published| published.name.clone()).unwrap_or_default(),
        row.file.clone(),
        row.net.clone(),
        row.scale.clone(),
        row.image.clone(),
        row.classes.to_string(),
        number(row.params),
        number(row.params_with_statistics),
        params.map(|params| params.figure.clone()).unwrap_or_default(),
        number(row.macs),
        macs.map(|macs| macs.figure.clone()).unwrap_or_default(),
        agree.join(", "),
        differ.join(", "),
    ]
}

/// A share with its sign, to as many digits as it takes to see one.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let decimals = if percent.abs() < 0.1 { 3 } else { 1 };
    format!("{percent:+.decimals$} %")
}

/// A column of a table.
struct Column {
    is_number: bool,
    /// Its head, then an entry for each row.
    entries: Vec<String>,
}

/// The entries of all rows under their heads, without the columns that are empty in every row.
fn filled(table: &Table) -> Vec<Column> {
    let rows: Vec<_> = table.rows.iter().map(|row| entries(row, Some(','))).collect();
    COLUMNS
        .iter()
        .enumerate()
        .filter(|(column, _)| rows.iter().any(|row| !row[*column].is_empty()))
        .map(|(column, (head, is_number))| {
            let entries = rows.iter().map(|row| row[column].clone());
            let entries = std::iter::once((*head).to_owned()).chain(entries).collect();
            Column { is_number: *is_number, entries }
        })
        .collect()
}

fn text(table: &Table) -> String {
    let columns = filled(table);
    let mut lines = vec![String::new(); table.rows.len() + 1];
    for (at, column) in columns.iter().enumerate() {
        let width = column.entries.iter().map(|entry| entry.chars().count()).max().unwrap_or(0);
        for (line, entry) in lines.iter_mut().zip(&column.entries) {
            line.push_str(if at > 0 { "  " } else { "" });
            line.push_str(&match column.is_number {
                true => format!("{entry:>width$}"),
                false => format!("{entry:<width$}"),
            });
        }
    }
    let lines: String = lines.iter().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{}\n\n{lines}", title(table))
}

fn markdown(table: &Table) -> String {
    let columns = filled(table);
    let line = |entry: &dyn Fn(&Column) -> String| {
        columns.iter().map(entry).fold(String::from("|"), |line, entry| line + &entry + "|") + "\n"
    };
    let cell = |text: &str| format!(" {} ", text.replace('|', "\\|"));
    let mut text = format!("**{}**\n\n", title(table));
    text += &line(&|column| cell(&column.entries[0]));
    text += &line(&|column| if column.is_number { "--:" } else { "---" }.to_owned());
    for row in 1..=table.rows.len() {
        text += &line(&|column| cell(&column.entries[row]));
    }
    text
}

fn csv(tables: &[Table]) -> String {
    let quoted = |text: &String| {
        let is_plain = !text.contains([',', '"', '\n', '\r']);
        if is_plain { text.clone() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    let line =
        |entries: Vec<String>| entries.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
    let heads = [
        "source",
        "published_as",
        "file",
        "net",
        "scale",
        "image",
        "classes",
        "params",
        "params_with_statistics",
        "published_params",
        "macs",
        "published_macs",
        "agree",
        "differ",
    ];
    let mut text = line(heads.map(str::to_owned).to_vec());
    for table in tables {
        for row in &table.rows {
            let source = table.source.clone().unwrap_or_default();
            text += &line(std::iter::once(source).chain(entries(row, None)).collect());
        }
    }
    text
}
