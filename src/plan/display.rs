//! The text of a plan, for `cellc show --stage plan` and for snapshots.

use std::fmt;

use crate::graph::NodeId;

use super::{Backward, Content, Forward, Mode, Output, Parts, Plan, Slot, Target, View};

impl fmt::Display for Plan {
    /// Steps as `3  conv 1x1 relu(v1) w[0..64] -> v2  path`, where `v1` is a buffer of values, `g4` one
    /// of gradients, `v2[8..16]` a range of its channels, `w[..]` a slot of the parameters, `r[..]` one
    /// of the running statistics, and `+g4` adds; then the steps that
    /// run channel by channel, and the buffers with their places and lifetimes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            Mode::Train { dropout, drop_path, image_gradient } => {
                write!(f, "plan (train")?;
                let parts = [
                    (dropout, "dropout"),
                    (drop_path, "drop path"),
                    (image_gradient, "image gradient"),
                ];
                for (_, part) in parts.into_iter().filter(|(is_on, _)| *is_on) {
                    write!(f, ", {part}")?;
                }
                writeln!(f, ")")?;
            }
            Mode::Infer => writeln!(f, "plan (infer)")?,
        }
        writeln!(f, "arena {} numbers an image + {}", self.arena_len, self.fixed_len)?;
        writeln!(f, "forward")?;
        for (index, step) in self.forward.iter().enumerate() {
            self.line(f, index, &self.forward_text(&step.kernel), step.node)?;
        }
        if !self.backward.is_empty() {
            writeln!(f, "backward")?;
        }
        for (index, step) in self.backward.iter().enumerate() {
            let index = self.forward.len() + index;
            self.line(f, index, &self.backward_text(&step.kernel), step.node)?;
        }
        for (parts, title) in
            [(Parts::Channels, "channel by channel"), (Parts::Places, "place by place")]
        {
            let both = [(&self.forward_groups, 0), (&self.backward_groups, self.forward.len())];
            let groups = both.into_iter().flat_map(|(groups, before)| {
                let groups = groups.iter().filter(|group| group.steps.len() > 1);
                groups.filter(|group| group.parts == parts).map(move |group| {
                    format!("{}-{}", before + group.steps.start, before + group.steps.end - 1)
                })
            });
            let groups: Vec<String> = groups.collect();
            if !groups.is_empty() {
                writeln!(f, "{title}")?;
                writeln!(f, "  steps {}", groups.join(", "))?;
            }
        }
        writeln!(f, "buffers")?;
        for (index, buffer) in self.buffers.iter().enumerate() {
            let name = self.buffer_name(index);
            let [first, last] = buffer.lifetime;
            let end = buffer.offset + buffer.ty.elements();
            let place = format!("{}..{end}", buffer.offset);
            let path = &self.paths[buffer.node.0];
            writeln!(f, "  {name:<5} {place:<15} steps {first}-{last}  {}  {path}", buffer.ty)?;
        }
        Ok(())
    }
}

impl Plan {
    fn line(
        &self,
        f: &mut fmt::Formatter<'_>,
        index: usize,
        text: &str,
        node: NodeId,
    ) -> fmt::Result {
        writeln!(f, "  {index:<4} {text}  {}", self.paths[node.0])
    }

    fn buffer_name(&self, index: usize) -> String {
        match self.buffers[index].content {
            Content::Value => format!("v{index}"),
            Content::Gradient => format!("g{index}"),
        }
    }

    fn view(&self, view: View) -> String {
        let name = self.buffer_name(view.buffer.0);
        if view == self.whole(view.buffer) {
            name
        } else {
            format!("{name}[{}..{}]", view.channel, view.channel + view.channels)
        }
    }

    fn input(&self, x: View, relu_in: bool) -> String {
        if relu_in { format!("relu({})", self.view(x)) } else { self.view(x) }
    }

    fn target(&self, target: Target) -> String {
        format!("{}{}", if target.accumulate { "+" } else { "" }, self.view(target.view))
    }

    fn forward_text(&self, kernel: &Forward) -> String {
        let v = |view: &View| self.view(*view);
        match kernel {
            Forward::Load { y } => format!("load image -> {}", v(y)),
            Forward::Conv { window, groups, x, relu_in, weight, norm, y } => {
                let (groups, x) = (grouped(*groups), self.input(*x, *relu_in));
                let norm = norm.map(|norm| format!(" bn {norm}")).unwrap_or_default();
                format!("conv {window}{groups} {x} w{weight}{norm} -> {}", self.target(*y))
            }
            Forward::DepthwiseConv { window, x, relu_in, weight, y } => {
                format!("dwconv {window} {} w{weight} -> {}", self.input(*x, *relu_in), v(y))
            }
            Forward::BatchNorm { x, norm, saved, fixed, y } => {
                let saved = saved.map(|saved| format!(", s{saved}")).unwrap_or_default();
                let (x, y) = (v(x), self.target(*y));
                let bn = if *fixed { "bn_fixed" } else { "bn" };
                format!("{bn} {x} {norm} -> {y}{saved}")
            }
            Forward::GroupNorm { groups, x, gamma, beta, moments, y } => {
                let (groups, x, y) = (grouped(*groups), v(x), v(y));
                format!("norm{groups} {x} w{gamma} w{beta} -> {y}, {}", v(moments))
            }
            Forward::Relu { x, y } => format!("relu {} -> {}", v(x), v(y)),
            Forward::Relu6 { x, y } => format!("relu6 {} -> {}", v(x), v(y)),
            Forward::Sigmoid { x, y } => format!("sigmoid {} -> {}", v(x), v(y)),
            Forward::Add { a, b, y } => format!("add {} {} -> {}", v(a), v(b), v(y)),
            Forward::Mul { a, b, y } => format!("mul {} {} -> {}", v(a), v(b), v(y)),
            Forward::Copy { x, y } => format!("copy {} -> {}", v(x), v(y)),
            Forward::Mix { stream, a, b, y } => {
                format!("mix #{stream} {} {} -> {}", v(a), v(b), v(y))
            }
            Forward::Zero { y } => format!("zero -> {}", v(y)),
            Forward::MaxPool { window, x, y } => format!("maxpool {window} {} -> {}", v(x), v(y)),
            Forward::AvgPool { window, x, y } => {
                format!("avgpool {window} {} -> {}", v(x), self.target(*y))
            }
            Forward::GlobalAvgPool { x, y } => format!("gap {} -> {}", v(x), v(y)),
            Forward::Dense { x, weight, bias, y } => {
                let bias = bias.map(|bias| format!(" w{bias}")).unwrap_or_default();
                format!("dense {} w{weight}{bias} -> {}", v(x), v(y))
            }
            Forward::Dropout { x, y, stream } => format!("dropout #{stream} {} -> {}", v(x), v(y)),
            Forward::DropPath { x, y, stream, depth: [cell, cells] } => {
                format!("drop_path #{stream} {cell}/{cells} {} -> {}", v(x), v(y))
            }
            Forward::Shift { x, y } => format!("shift {} -> {}", v(x), v(y)),
            Forward::Shuffle { groups, x, y } => {
                format!("shuffle{} {} -> {}", grouped(*groups), v(x), v(y))
            }
            Forward::Store { output, x } => format!("store {} -> {}", v(x), output_name(*output)),
        }
    }

    fn backward_text(&self, kernel: &Backward) -> String {
        let v = |view: &View| self.view(*view);
        let t = |target: &Target| self.target(*target);
        let mask = |mask: &Option<View>| {
            mask.map(|view| format!(" mask({})", self.view(view))).unwrap_or_default()
        };
        let weight_text = |op: &str, window: &str, x: &View, relu_in, gy, weight: &Slot| {
            let x = self.input(*x, relu_in);
            format!("{op}_weight {window} {x} {} -> +gw{weight}", v(gy))
        };
        match kernel {
            Backward::Load { output, gy } => {
                format!("load gradient of {} -> {}", output_name(*output), t(gy))
            }
            Backward::Zero { gx } => format!("zero -> {}", v(gx)),
            Backward::ConvData { window, groups, mask: m, weight, gy, gx } => {
                let window = format!("{window}{}", grouped(*groups));
                format!("conv_data {window} {} w{weight}{} -> {}", v(gy), mask(m), t(gx))
            }
            Backward::ConvWeight { window, groups, x, relu_in, gy, weight } => {
                let window = format!("{window}{}", grouped(*groups));
                weight_text("conv", &window, x, *relu_in, gy, weight)
            }
            Backward::DepthwiseData { window, mask: m, weight, gy, gx } => {
                format!("dwconv_data {window} {} w{weight}{} -> {}", v(gy), mask(m), t(gx))
            }
            Backward::DepthwiseWeight { window, x, relu_in, gy, weight } => {
                weight_text("dwconv", &window.to_string(), x, *relu_in, gy, weight)
            }
            Backward::BatchNorm { gamma, saved, fixed: true, gy, gx, .. } => {
                format!("bn_fixed_back {} w{gamma} s{saved} -> {}", v(gy), t(gx))
            }
            Backward::BatchNorm { x, gamma, beta, saved, fixed: false, gy, gx } => {
                let (x, gy, gx) = (v(x), v(gy), t(gx));
                format!("bn_back {x} {gy} w{gamma} s{saved} -> {gx}, +gw{gamma}, +gw{beta}")
            }
            Backward::GroupNorm { groups, x, gamma, beta, moments, gy, gx } => {
                let (groups, moments) = (grouped(*groups), v(moments));
                let (x, gy, gx) = (v(x), v(gy), t(gx));
                format!(
                    "norm_back{groups} {x} {gy} w{gamma} {moments} -> {gx}, +gw{gamma}, +gw{beta}"
                )
            }
            Backward::Relu { x, gy, gx } => format!("relu_back {} {} -> {}", v(x), v(gy), t(gx)),
            Backward::Relu6 { x, gy, gx } => format!("relu6_back {} {} -> {}", v(x), v(gy), t(gx)),
            Backward::Sigmoid { y, gy, gx } => {
                format!("sigmoid_back {} {} -> {}", v(y), v(gy), t(gx))
            }
            Backward::Copy { gy, gx } => format!("copy {} -> {}", v(gy), t(gx)),
            Backward::Mix { stream, is_first, gy, gx } => {
                let side = if *is_first { "left" } else { "right" };
                format!("mix_back #{stream} {side} {} -> {}", v(gy), t(gx))
            }
            Backward::Mul { a, b, gy, ga, gb } => {
                let targets: Vec<String> = ga.iter().chain(gb).map(t).collect();
                let sides = match (ga, gb) {
                    (Some(_), Some(_)) => "both",
                    (Some(_), None) => "left",
                    (None, _) => "right",
                };
                let targets = targets.join(", ");
                format!("mul_back {sides} {} {} {} -> {targets}", v(a), v(b), v(gy))
            }
            Backward::MaxPool { window, x, gy, gx } => {
                format!("maxpool_back {window} {} {} -> {}", v(x), v(gy), t(gx))
            }
            Backward::AvgPool { window, gy, gx } => {
                format!("avgpool_back {window} {} -> {}", v(gy), t(gx))
            }
            Backward::GlobalAvgPool { gy, gx } => format!("gap_back {} -> {}", v(gy), t(gx)),
            Backward::Dense { x, weight, bias, gy, gx } => {
                let gx = gx.as_ref().map(|gx| format!("{}, ", t(gx))).unwrap_or_default();
                let (x, gy) = (v(x), v(gy));
                let bias = bias.map(|bias| format!(", +gw{bias}")).unwrap_or_default();
                format!("dense_back {x} {gy} w{weight} -> {gx}+gw{weight}{bias}")
            }
            Backward::Dropout { stream, gy, gx } => {
                format!("dropout_back #{stream} {} -> {}", v(gy), t(gx))
            }
            Backward::DropPath { stream, depth: [cell, cells], gy, gx } => {
                format!("drop_path_back #{stream} {cell}/{cells} {} -> {}", v(gy), t(gx))
            }
            Backward::Shift { gy, gx } => format!("shift_back {} -> {}", v(gy), t(gx)),
            Backward::Shuffle { groups, gy, gx } => {
                format!("shuffle_back{} {} -> {}", grouped(*groups), v(gy), t(gx))
            }
            Backward::Store { gx } => format!("store {} -> +gradient of image", v(gx)),
        }
    }
}

/// The groups of a kernel that has more than one.
fn grouped(groups: usize) -> String {
    if groups == 1 { String::new() } else { format!(" g={groups}") }
}

fn output_name(output: Output) -> &'static str {
    match output {
        Output::Logits => "logits",
        Output::Aux => "aux logits",
    }
}
