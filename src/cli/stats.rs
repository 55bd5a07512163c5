//! `cellc stats`: parameters and multiply-adds of a network, part by part.

use cellc::compile::Request;
use cellc::device::Precision;
use cellc::error::Error;
use cellc::graph::Graph;
use cellc::graph::cost::{Cost, Counts, grouped};
use cellc::plan::{Mode, Plan};
use cellc::train::{TrainConfig, TrainMemory};
use serde_json::{Value, json};

use super::args::{Report, StatsArgs};
use super::input::{self, Failure};
use super::output;
use super::table::table;

/// Prints the counts of a file's network, with and without its auxiliary head.
pub fn run(args: &StatsArgs) -> Result<(), Failure> {
    let (input, net, scale, request) = if input::is_checkpoint(&args.file) {
        let (input, checkpoint) = input::load_checkpoint(&args.file)?;
        if args.net.net.is_some() || args.net.scale.is_some() {
            let reason = format!("`{}` has its own net and scale", args.file.display());
            let (setting, value) = ("net or scale", "given".into());
            return Err(Error::Config { setting, value, reason }.into());
        }
        let fault = |fault| Error::Checkpoint { path: args.file.clone(), fault };
        let (_, request) = checkpoint.architecture().map_err(fault)?;
        let scale = checkpoint.scale.parse().map_err(fault)?;
        (input, checkpoint.net, scale, Request { with_aux: false, ..request })
    } else {
        let input = input::load(&args.file)?;
        let (net, scale) = (input.net(&args.net).to_owned(), input.scale(&args.net)?);
        let request = Request::new(&*net, scale);
        (input, net, scale, request)
    };
    let lowered = input.network(&request)?;
    let cost = Cost::of(&lowered.graph);
    let has_aux = input.module.net(&net).is_some_and(|net| net.aux.is_some());
    // An auxiliary head may not fit maps this small; the counts without it stand all the same.
    let with_aux = if has_aux {
        input
            .network(&Request { with_aux: true, ..request })
            .ok()
            .map(|lowered| Cost::of(&lowered.graph))
    } else {
        None
    };
    let memory = args.batch.map(|batch| Memory::of(&lowered.graph, batch.get()));
    match args.format {
        Report::Json => {
            let aux = with_aux.as_ref().map(|cost| cost.total);
            let mut report = json!({
                "file": input.source.name, "net": net, "scale": scale.to_string(),
                "base": lowered.base, "total": cost.total, "with_aux": aux, "sections": cost.sections,
            });
            if let Some(memory) = &memory {
                report["memory"] = memory.json();
            }
            output(&format!("{report}\n"))
        }
        Report::Text => {
            let mut rows = vec![
                [
                    "section",
                    "cell",
                    "params",
                    "bn statistics",
                    "multiply-adds",
                    "activations/image",
                ]
                .map(String::from)
                .to_vec(),
            ];
            for part in &cost.sections {
                rows.push(row(&part.section, part.cell.as_deref().unwrap_or(""), &part.counts));
            }
            rows.push(row("total", "", &cost.total));
            if let Some(with_aux) = &with_aux {
                rows.push(row("total with aux", "", &with_aux.total));
            }
            let title = format!(
                "{}: net {} at {scale}, base width {}\n\n",
                input.source.name, net, lowered.base
            );
            let all = cost.total.params + cost.total.statistics;
            let note = format!(
                "\n{} parameters with batch-norm statistics, without aux\n",
                grouped(all, ',')
            );
            let memory = memory.map(|memory| memory.text()).unwrap_or_default();
            output(&(title + &table(&rows, 2) + &note + &memory))
        }
    }
}

/// What a network takes in memory beside the program and the data.
struct Memory {
    batch: usize,
    training: TrainMemory,
    /// Bytes of the workspace of inference, and of all that it takes.
    inference: [usize; 2],
}

impl Memory {
    fn of(graph: &Graph, batch: usize) -> Memory {
        let (config, precision) = (TrainConfig { batch, ..TrainConfig::default() }, Precision::F32);
        let training = TrainMemory::of(graph, &config, precision);
        let (plan, bytes) = (Plan::new(graph, Mode::Infer), precision.value_bytes());
        let inference = [plan.arena_bytes(batch, bytes), plan.inference_bytes(batch, bytes)];
        Memory { batch, training, inference }
    }

    fn text(&self) -> String {
        let TrainMemory { workspace, params, batches, evaluation } = self.training;
        let [inference_workspace, inference] = self.inference;
        let [all, workspace, params, batches, evaluation] =
            [self.training.total(), workspace, params, batches, evaluation].map(mebibytes);
        let [inference, inference_workspace, copies] =
            [inference, inference_workspace, inference - inference_workspace].map(mebibytes);
        format!(
            "training in batches of {}: {all}, of which workspace {workspace}, parameters and their gradients \
             {params}, images {batches}, for the accuracy {evaluation}; inference: {inference}, of which workspace {inference_workspace}, parameters \
             {copies}\n",
            self.batch
        )
    }

    fn json(&self) -> Value {
        let TrainMemory { workspace, params, batches, evaluation } = self.training;
        let [inference_workspace, inference] = self.inference;
        json!({
            "batch": self.batch,
            "training_bytes": self.training.total(),
            "workspace_bytes": workspace,
            "params_bytes": params,
            "batches_bytes": batches,
            "evaluation_bytes": evaluation,
            "inference_bytes": inference,
            "inference_workspace_bytes": inference_workspace,
        })
    }
}

fn row(section: &str, cell: &str, counts: &Counts) -> Vec<String> {
    let Counts { params, statistics, macs, activation_bytes } = *counts;
    vec![
        section.into(),
        cell.into(),
        grouped(params, ','),
        grouped(statistics, ','),
        grouped(macs, ','),
        format!("{:.1} KiB", activation_bytes as f64 / 1024.0),
    ]
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
