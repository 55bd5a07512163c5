//! A compiled cell in the middle of a dfdx model: the network gives features, a dfdx layer classifies
//! them, dfdx's loss and optimizer train both. The whole loop is visible.
//!
//! Runs in a few seconds (`--quick`: one epoch only). Ends with `accuracy on the digits it
//! learned from: 99.7 %`, give or take the last digits of other processors.

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use cellc::compile::{self, Request};
use cellc::data::{self, Augment, Batch, Batches, DataSpec};
use cellc::source::SourceFile;
use dfdx::losses::cross_entropy_with_logits_loss;
use dfdx::nn::modules::Linear;
use dfdx::optim::{Adam, AdamConfig};
use dfdx::prelude::*;

const FEATURES: usize = 32;
const CLASSES: usize = 10;
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let epochs = if std::env::args().any(|arg| arg == "--quick") { 1 } else { 6 };
    let digits = data::load(&DataSpec::Digits)?;

    // The net's classifier gives features here: 32 "classes" that a dfdx layer reads.
    let text = compile::embedded("nasnet_a.cell").ok_or("NASNet-A is in the library")?;
    let request = Request::new("cifar", "1@96".parse()?).with_data(digits.train.ty(), FEATURES);
    let mut body = cellc::compile(&SourceFile::new("nasnet_a.cell", text), &request, 0)?;

    let device = Cpu::default();
    let mut head: Linear<FEATURES, CLASSES, f32, Cpu> = BuildModule::build(&device);
    let config = AdamConfig { lr: 3e-3, ..AdamConfig::default() };
    let (mut body_optimizer, mut head_optimizer) =
        (Adam::new(&body, config), Adam::new(&head, config));

    let all: Vec<usize> = (0..digits.train.len()).collect();
    let mut batch = Batch::default();
    let mut correct = 0;
    let mut seen = 0;
    for epoch in 1..=epochs {
        (correct, seen) = (0, 0);
        let (white, order) = (&digits.whitening, (7, epoch));
        let mut batches =
            Batches::shuffled(&digits.train, &all, white, Augment::NONE, BATCH, order);
        while batches.fill_next(&mut batch)? {
            let ty = digits.train.ty();
            let shape = (batch.len(), ty.channels, ty.height, ty.width);
            let images = device.tensor_from_vec(batch.pixels.clone(), shape);
            let mut targets = vec![0.0; batch.len() * CLASSES];
            for (row, &label) in targets.chunks_mut(CLASSES).zip(&batch.labels) {
                row[usize::from(label)] = 1.0;
            }
            let targets = device.tensor_from_vec(targets, (batch.len(), Const::<CLASSES>));

            let mut gradients = body.alloc_grads();
            head.zero_grads(&mut gradients);
            let features = body.forward_mut(images.traced(gradients));
            // The number of features is a run-time value; dfdx's layer wants it in the type.
            let features = features.realize::<(usize, Const<FEATURES>)>();
            let logits = head.forward(features.relu());
            let rows = logits.as_vec();
            for (row, &label) in rows.chunks(CLASSES).zip(&batch.labels) {
                let best = (0..CLASSES).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                correct += usize::from(best == Some(usize::from(label)));
                seen += 1;
            }
            let gradients = cross_entropy_with_logits_loss(logits, targets).backward();
            body_optimizer.update(&mut body, &gradients)?;
            head_optimizer.update(&mut head, &gradients)?;
        }
        println!("epoch {epoch}: {:.1} %", 100.0 * correct as f64 / seen as f64);
    }
    println!(
        "accuracy on the digits it learned from: {:.1} %",
        100.0 * correct as f64 / seen as f64
    );
    Ok(())
}
