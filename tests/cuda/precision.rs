//! TF32 and bf16, against the processor's single precision.

use cellc::device::cuda::{Cuda, CudaWorkspace};
use cellc::device::{CardOptions, Cpu, Device, Precision};
use cellc::plan::{Mode, Plan};
use cellc::train::OptimizerKind;

use super::{Trained, distance, settings, small, trained};

fn card(precision: Precision) -> Cuda {
    Cuda::open_with(0, CardOptions { precision }).unwrap()
}

#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn tf32_rounds_the_factors_of_products() {
    let config = settings(OptimizerKind::Sgd);
    let loss = |precision| trained(card(precision), &config, 1).losses[0];
    let (full, tf32) = (loss(Precision::F32), loss(Precision::Tf32));
    assert_ne!(full, tf32, "a card older than Ampere rounds nothing");
    assert!((full - tf32).abs() < 2e-3, "{full} {tf32}");
}

#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn ten_steps_in_bf16_follow_the_cpus() {
    // Logits, like the numbers that they are computed from, are about 1, and 1 is off by 2^-8 at most: so is the loss, and
    // what is kept, which moves by hundredths a step. Norms add up the gradients of all layers. Adam divides gradients
    // by their own size, so that of one near 0 an error decides the sign: parameters differ by rates, of 0.01 in each of
    // ten steps and to either side.
    let steady = [1.0 / 256.0, 1.0 / 256.0, 1.0 / 32.0];
    let signs = [1.0 / 32.0, 0.1, 0.25];
    for (optimizer, [of_loss, of_kept, of_norm]) in [
        (OptimizerKind::Sgd, steady),
        (OptimizerKind::RmsProp, steady),
        (OptimizerKind::Adam, signs),
    ] {
        let config = settings(optimizer);
        let found = trained(card(Precision::Bf16), &config, 10);
        let expected = trained(Cpu::default(), &config, 10);
        let losses = distance(&found.losses, &expected.losses);
        assert!((1e-5..of_loss).contains(&losses), "{optimizer:?}: losses differ by {losses}");
        let norms = distance(&found.norms, &expected.norms);
        assert!(norms < of_norm, "{optimizer:?}: norms differ by {norms}");
        for name in ["params", "statistics", "ema.params", "ema.statistics"] {
            let [found, expected] = [&found, &expected].map(|run| &run.state.tensors[name]);
            let worst = distance(found, expected);
            assert!(worst < of_kept, "{optimizer:?}: {name} differs by {worst}");
        }
    }
}

#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn the_same_steps_in_bf16_give_the_same_bits() {
    let state = || trained(card(Precision::Bf16), &settings(OptimizerKind::Adam), 3).state;
    assert_eq!(state(), state());
}

#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn training_in_bf16_learns_as_in_single_precision() {
    let config = settings(OptimizerKind::Adam);
    let mean = |Trained { losses, .. }: &Trained| losses[80..].iter().sum::<f64>() / 20.0;
    let found = trained(card(Precision::Bf16), &config, 100);
    let expected = trained(Cpu::default(), &config, 100);
    assert!(mean(&found) < found.losses[0] / 2.0, "{:?}", found.losses);
    // Less than the losses of one batch and the next are apart.
    let difference = (mean(&found) - mean(&expected)).abs();
    assert!(difference < 0.05, "{} and {}", mean(&found), mean(&expected));
}

#[test]
#[ignore = "needs a card, or the stand-ins of tests/cuda/build.sh"]
fn maps_in_bf16_take_half_the_memory() {
    let train = Mode::Train { dropout: true, drop_path: true, image_gradient: true };
    let (plan, n) = (Plan::new(&small(), train), 20);
    let [full, half] = [Precision::F32, Precision::Bf16].map(|precision| {
        let mut workspace = CudaWorkspace::default();
        card(precision).prepare(&plan, n, &mut workspace).unwrap();
        workspace.bytes()
    });
    // The parameters are there a second time, and places begin on borders.
    let saved = 2 * plan.arena_len * n - 2 * plan.params_len - 256;
    assert!(half + saved <= full, "{half} and {full} bytes");
}
