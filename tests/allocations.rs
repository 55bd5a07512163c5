//! What a step asks the system for: the passes of a plan nothing after the first, a whole training step a few
//! small things.

mod reference;

use allocation_counter::{AllocationInfo, measure};
use cellc::compile::{self, Request};
use cellc::data::{Images, Whitening};
use cellc::device::{BackwardPass, Cpu, CpuWorkspace, Device, ForwardPass, RunConfig, Statistics};
use cellc::graph::{Graph, TensorType};
use cellc::network::Network;
use cellc::plan::{Mode, Plan};
use cellc::source::SourceFile;
use cellc::train::{TrainConfig, TrainSet, Trainer};
use rayon::ThreadPoolBuilder;
use reference::graphs::everything;

/// NASNet-A 1@24.
fn nasnet_a() -> Graph {
    let text = compile::embedded("nasnet_a.cell").expect("it comes with the program");
    let module = compile::check(&SourceFile::new("nasnet_a.cell", text)).expect("it is fine");
    let scale = "1@24".parse().expect("a scale");
    compile::network(&module, &Request::new("cifar", scale)).expect("the scale fits").graph
}

/// Runs on a thread that does all of the work itself, so that all that is asked for is counted.
fn alone<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    ThreadPoolBuilder::new().num_threads(1).build().expect("a thread").install(f)
}

/// What a forward and a backward pass ask for, and the same once more.
fn passes(graph: &Graph, mode: Mode, batch: usize) -> [AllocationInfo; 2] {
    let plan = Plan::new(graph, mode);
    let network = Network::new(graph, 1);
    let params = network.params().flat.as_vec();
    let mut statistics = network.statistics().to_vec();
    let mut gradients = vec![0.0; plan.params_len];
    let image = vec![0.5; batch * plan.image.elements()];
    let mut gx = vec![0.0; image.len()];
    let mut logits = vec![0.0; batch * plan.classes];
    let mut aux = plan.aux_classes.map(|classes| vec![0.0; batch * classes]);
    let (device, config) = (Cpu::default(), RunConfig { dropout: 0.2, ..RunConfig::default() });
    let mut workspace = CpuWorkspace::default();
    device.prepare(&plan, batch, &mut workspace);
    let mut run = || {
        let training = plan.mode != Mode::Infer;
        let pass = ForwardPass {
            batch,
            params: &params,
            version: None,
            statistics: if training {
                Statistics::Update(&mut statistics)
            } else {
                Statistics::Running(&statistics)
            },
            image: &image,
            logits: &mut logits,
            aux: aux.as_deref_mut(),
        };
        device.forward(&plan, &mut workspace, &config, pass);
        if training {
            let pass = BackwardPass {
                batch,
                params: &params,
                logits: &logits,
                aux: aux.as_deref(),
                gradients: &mut gradients,
                image: Some(&mut gx),
            };
            device.backward(&plan, &mut workspace, &config, pass);
        }
    };
    [measure(&mut run), measure(&mut run)]
}

#[test]
fn no_pass_asks_for_memory_after_the_first() {
    let train = Mode::Train { dropout: true, drop_path: true, image_gradient: true };
    for graph in [everything(), nasnet_a()] {
        for mode in [train, Mode::Infer] {
            // With and without whole vectors of images.
            for batch in [3, 16] {
                let [first, second] = alone(|| passes(&graph, mode, batch));
                assert!(first.count_total > 0, "the first one fills the threads' buffers");
                assert_eq!(second.count_total, 0, "{mode:?}, batch {batch}: {second:?}");
            }
        }
    }
}

/// What is left are dfdx's tape, the logits and the loss.
#[test]
fn a_training_step_asks_for_little() {
    let graph = nasnet_a();
    let TensorType { channels, height, width } = graph.ty(graph.input);
    let (batch, steps) = (16, 4);
    let pixels = (0..batch * steps * channels * height * width).map(|i| (i % 251) as u8).collect();
    let labels = (0..batch * steps).map(|i| (i % 10) as u16).collect();
    let images = Images::new(pixels, labels, graph.ty(graph.input));
    let whitening = Whitening::of(&images).expect("there are images");
    let train: Vec<usize> = (0..images.len()).collect();
    let set = TrainSet { images: &images, whitening: &whitening, train: &train, validation: &[] };
    let config = TrainConfig { epochs: 1, batch, ..TrainConfig::default() };
    let (first, later) = alone(|| {
        let mut network = Network::new(&graph, 1);
        let mut trainer = Trainer::new(&mut network, set, &config).expect("the settings are fine");
        let mut step = || measure(|| assert!(trainer.advance(&mut |_| ()).expect("it is finite")));
        (step(), [step(), step()])
    });
    let workspace =
        Plan::new(&graph, Mode::Train { dropout: false, drop_path: false, image_gradient: false });
    assert!(first.bytes_total > workspace.arena_bytes(batch, size_of::<f32>()) as u64, "{first:?}");
    for step in later {
        assert!(step.bytes_total < 32 << 10 && step.bytes_current == 0, "{step:?}");
    }
}
