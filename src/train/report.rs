//! A training run as one HTML page: what was trained, curves, and the numbers under them.

use std::fmt::{self, Write};

use super::{Checkpoint, EpochRecord};
use crate::report::{self, Axis, Chart, Curve, Shape, escape};

/// The report of a run that has `epochs` behind it.
pub(super) fn html(model: &Checkpoint, images: [usize; 3], epochs: &[EpochRecord]) -> String {
    let mut page = String::new();
    write_page(&mut page, model, images, epochs).expect("writing to a string cannot fail");
    page
}

fn write_page(
    page: &mut String,
    model: &Checkpoint,
    images: [usize; 3],
    epochs: &[EpochRecord],
) -> fmt::Result {
    let data = model.data.as_deref().unwrap_or("data of its own");
    let title = format!("{} {} on {data}", model.net, model.scale);
    report::begin(page, &title)?;
    let seed = model.config.as_ref().map(|config| config.seed).filter(|_| model.validation > 0.0);
    let parted = seed.map(|seed| format!(", parted by seed {seed}")).unwrap_or_default();
    writeln!(
        page,
        "<p>cellc {}. {}; epoch {}{}.</p>",
        escape(&model.cellc),
        report::counted_images(images, &parted, "run"),
        epochs.len(),
        model.config.as_ref().map(|config| format!(" of {}", config.epochs)).unwrap_or_default()
    )?;
    let curve = |name: &str, value: fn(&EpochRecord) -> Option<f64>| Curve {
        name: name.into(),
        shape: Shape::Line,
        points: epochs
            .iter()
            .filter_map(|record| Some((record.epoch as f64, value(record)?)))
            .filter(|(_, value)| value.is_finite())
            .collect(),
    };
    let chart = |what, curves| Chart { what, axis: Axis::Count("epoch"), curves };
    writeln!(page, "<h2>Loss</h2>")?;
    let loss = vec![curve("training", |record| Some(record.train_loss))];
    chart("mean cross-entropy in nats", loss).write(page)?;
    writeln!(page, "<h2>Accuracy</h2>")?;
    let percent = vec![
        curve("training", |record| Some(100.0 * record.train_accuracy)),
        curve("validation", |record| Some(100.0 * record.val_accuracy?)),
    ];
    chart("images classified correctly, in percent", percent).write(page)?;

    writeln!(
        page,
        "<h2>Epochs</h2>\n<table>\n<tr><th>epoch</th><th>loss</th><th>training</th><th>validation</th></tr>"
    )?;
    for record in epochs {
        let held = record.val_accuracy.map(|share| format!("{:.2} %", 100.0 * share));
        writeln!(
            page,
            "<tr><td>{}</td><td>{:.4}</td><td>{:.2} %</td><td>{}</td></tr>",
            record.epoch,
            record.train_loss,
            100.0 * record.train_accuracy,
            held.unwrap_or_default()
        )?;
    }
    let settings = serde_json::to_string_pretty(&model.config).expect("settings are plain data");
    writeln!(page, "</table>")?;
    report::listing(page, "Settings", &settings)?;
    report::listing(page, "Cells", &model.cell)?;
    report::end(page)
}
