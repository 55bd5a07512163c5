//! The settings of a training run.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DropPathSchedule, OptimizerKind, Schedule, WeightDecayAt, WeightDecayOn};
use crate::data::Augment;
use crate::error::Error;

/// Everything about a training run but the network and the data.
///
/// A [`Recipe`](super::Recipe) has the settings of a paper. The default is the recipe of NASNet on CIFAR-10
/// as the PyTorch programs of its successors have it, but for 20 of its 600 epochs, without drop path
/// and without augmentation.
///
/// # Source
/// Comments of `nasnet.py` in TensorFlow's slim: momentum 0.9, learning rate 0.025 in one cosine
/// period, batches of 32, weight decay 5e-4, gradients clipped to norm 5, auxiliary loss times 0.4, no
/// dropout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training images, at least 1.
    pub epochs: usize,
    /// Images in a batch, at least 1.
    pub batch: usize,
    /// The rule that moves the parameters.
    pub optimizer: OptimizerKind,
    /// Learning rate of the first step after the warm-up, above 0.
    pub lr: f64,
    /// Images in the batches that `lr` is stated for: the rate in use is `lr * batch / lr_batch`. With 0 it
    /// is `lr`, whatever the batch.
    ///
    /// # Source
    /// P. Goyal et al., Accurate, Large Minibatch SGD, 2017: the linear scaling rule. Papers that train in
    /// many replicas state the rate as that of one replica times their number, which is this rule.
    pub lr_batch: usize,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Factor of the learning rate at each step of the exponential staircase, above 0 and at most 1.
    pub lr_decay: f64,
    /// Epochs between two of those steps, above 0.
    pub lr_decay_epochs: f64,
    /// Epochs through which the learning rate rises linearly, before the schedule begins; at least 0.
    pub warmup_epochs: f64,
    /// Share of the last step's velocity that SGD and `RMSProp` keep, from 0 up to, but without, 1.
    pub momentum: f64,
    /// SGD looks ahead along the velocity (Nesterov's momentum) instead of following it.
    pub nesterov: bool,
    /// Share of the last step's mean squares that `RMSProp` keeps, from 0 up to, but without, 1.
    pub rms_decay: f64,
    /// What `RMSProp` adds to the mean squares before it takes the root, above 0.
    pub rms_eps: f64,
    /// Share of the mean that Adam keeps, from 0 up to, but without, 1.
    pub adam_beta1: f64,
    /// Share of the mean squares that Adam keeps, from 0 up to, but without, 1.
    pub adam_beta2: f64,
    /// What Adam adds to the root of the mean squares, above 0.
    pub adam_eps: f64,
    /// Factor of the parameters that is added to their gradients (L2 penalty), at least 0.
    pub weight_decay: f64,
    /// Which parameters that is done to.
    pub weight_decay_on: WeightDecayOn,
    /// Whether it is done before or after clipping.
    pub weight_decay_at: WeightDecayAt,
    /// Largest Euclidean norm of the whole gradient, above 0; longer ones are scaled down to it. Stored
    /// as 0 if there is none.
    #[serde(serialize_with = "or_zero", deserialize_with = "unless_zero")]
    pub clip_norm: Option<f64>,
    /// Share of a label that goes to all classes in equal parts, from 0 up to, but without, 1:
    /// `(1 - e) * one_hot + e / classes`.
    ///
    /// # Source
    /// C. Szegedy et al., Rethinking the Inception Architecture, 2016, section 7;
    /// `label_smoothing` of `tf.losses.softmax_cross_entropy`.
    pub label_smoothing: f64,
    /// Share of the old that moving averages of parameters and statistics keep in each step, from 0 up to,
    /// but without, 1. The averages are what is evaluated and what the trained network is. With 0 there
    /// are none.
    pub ema_decay: f64,
    /// The averages keep less in the first steps, at most `(1 + t) / (10 + t)` in step `t`, and so forget
    /// the fresh parameters sooner: `num_updates` of `tf.train.ExponentialMovingAverage`.
    pub ema_warmup: bool,
    /// What batch normalization adds to the variance before it takes the root, above 0.
    pub bn_eps: f64,
    /// Share of the new batch in the running statistics, 0 to 1: what TensorFlow calls decay is 1 minus it.
    pub bn_momentum: f64,
    /// Share of the features before the classifier that dropout zeroes, from 0 up to, but without, 1.
    pub dropout: f64,
    /// Share of the images that the operations of cells drop, each on its own, from 0 up to, but without, 1.
    /// It is the final value, in the last cell, if the schedule makes a difference there. The network must
    /// have been built with [drop path](crate::graph::lower::Target::drop_path) to have an effect.
    pub drop_path: f64,
    /// How it gets there.
    pub drop_path_schedule: DropPathSchedule,
    /// Factor of the auxiliary head's loss, if the network has that head, at least 0.
    pub aux_weight: f64,
    /// Seed of the order of the images, of augmentation, of dropout and of drop path.
    pub seed: u64,
    /// Random changes to the training images.
    pub augment: Augment,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            epochs: 20,
            batch: 32,
            optimizer: OptimizerKind::Sgd,
            lr: 0.025,
            lr_batch: 0,
            schedule: Schedule::Cosine,
            lr_decay: 0.97,
            lr_decay_epochs: 2.4,
            warmup_epochs: 0.0,
            momentum: 0.9,
            nesterov: false,
            rms_decay: 0.9,
            rms_eps: 1.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_eps: 1e-8,
            weight_decay: 5e-4,
            weight_decay_on: WeightDecayOn::All,
            weight_decay_at: WeightDecayAt::AfterClip,
            clip_norm: Some(5.0),
            label_smoothing: 0.0,
            ema_decay: 0.0,
            ema_warmup: true,
            bn_eps: 1e-5,
            bn_momentum: 0.1,
            dropout: 0.0,
            drop_path: 0.0,
            drop_path_schedule: DropPathSchedule::TimeAndDepth,
            aux_weight: 0.4,
            seed: 0,
            augment: Augment::NONE,
        }
    }
}

impl TrainConfig {
    /// The learning rate for batches of so many images.
    pub fn lr_of(&self, batch: usize) -> f64 {
        match self.lr_batch {
            0 => self.lr,
            lr_batch => self.lr * batch as f64 / lr_batch as f64,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`] names the first setting whose value makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        check("epochs", self.epochs, self.epochs > 0, "at least 1")?;
        check("batch", self.batch, self.batch > 0, "at least 1")?;
        let (positive, allowed) =
            (|value: f64| value > 0.0 && value.is_finite(), "above 0 and finite");
        check("lr", self.lr, positive(self.lr), allowed)?;
        for (setting, value) in [
            ("lr_decay_epochs", self.lr_decay_epochs),
            ("rms_eps", self.rms_eps),
            ("adam_eps", self.adam_eps),
            ("bn_eps", self.bn_eps),
        ] {
            check(setting, value, positive(value), allowed)?;
        }
        let is_decay = self.lr_decay > 0.0 && self.lr_decay <= 1.0;
        check("lr_decay", self.lr_decay, is_decay, "above 0 and at most 1")?;
        for (setting, value) in [
            ("momentum", self.momentum),
            ("rms_decay", self.rms_decay),
            ("adam_beta1", self.adam_beta1),
            ("adam_beta2", self.adam_beta2),
            ("label_smoothing", self.label_smoothing),
            ("ema_decay", self.ema_decay),
            ("dropout", self.dropout),
            ("drop_path", self.drop_path),
        ] {
            check(setting, value, (0.0..1.0).contains(&value), "from 0 up to, but without, 1")?;
        }
        let is_share = (0.0..=1.0).contains(&self.bn_momentum);
        check("bn_momentum", self.bn_momentum, is_share, "from 0 to 1")?;
        let has_velocity = !self.nesterov || self.momentum > 0.0;
        check("momentum", self.momentum, has_velocity, "above 0 for Nesterov's momentum")?;
        let follows = !self.nesterov || self.optimizer == OptimizerKind::Sgd;
        check("nesterov", self.nesterov, follows, "false for any optimizer but `sgd`")?;
        for (setting, value) in [
            ("warmup_epochs", self.warmup_epochs),
            ("weight_decay", self.weight_decay),
            ("aux_weight", self.aux_weight),
        ] {
            check(setting, value, value >= 0.0 && value.is_finite(), "at least 0 and finite")?;
        }
        if let Some(norm) = self.clip_norm {
            let allowed = "above 0 and finite, or 0 for no clipping";
            check("clip_norm", norm, positive(norm), allowed)?;
        }
        let Augment { enlarge, resized_crop, .. } = self.augment;
        check("augment.enlarge", enlarge, enlarge == 0 || !resized_crop, "0 beside `resized_crop`")
    }
}

/// [`Error::Config`] unless the value `is_allowed`.
fn check(
    setting: &'static str,
    value: impl ToString,
    is_allowed: bool,
    allowed: &str,
) -> Result<(), Error> {
    if is_allowed {
        return Ok(());
    }
    let (value, reason) = (value.to_string(), format!("it must be {allowed}"));
    Err(Error::Config { setting, value, reason })
}

/// Every setting has a value wherever settings are stored, so that one layer of them can override another.
fn or_zero<S: Serializer>(value: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(value.unwrap_or(0.0))
}

fn unless_zero<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.filter(|&value| value != 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(change: impl FnOnce(&mut TrainConfig)) -> String {
        let mut config = TrainConfig::default();
        change(&mut config);
        config.check().expect_err("the change breaks it").to_string()
    }

    #[test]
    fn values_are_checked() {
        TrainConfig::default().check().expect("the default is sound");
        assert_eq!(fault(|c| c.epochs = 0), "epochs is 0: it must be at least 1");
        assert_eq!(fault(|c| c.batch = 0), "batch is 0: it must be at least 1");
        assert_eq!(fault(|c| c.lr = 0.0), "lr is 0: it must be above 0 and finite");
        type Field = fn(&mut TrainConfig) -> &mut f64;
        let fields: [(&str, Field); 18] = [
            ("lr", |c| &mut c.lr),
            ("lr_decay", |c| &mut c.lr_decay),
            ("lr_decay_epochs", |c| &mut c.lr_decay_epochs),
            ("warmup_epochs", |c| &mut c.warmup_epochs),
            ("momentum", |c| &mut c.momentum),
            ("rms_decay", |c| &mut c.rms_decay),
            ("rms_eps", |c| &mut c.rms_eps),
            ("adam_beta1", |c| &mut c.adam_beta1),
            ("adam_beta2", |c| &mut c.adam_beta2),
            ("adam_eps", |c| &mut c.adam_eps),
            ("weight_decay", |c| &mut c.weight_decay),
            ("clip_norm", |c| c.clip_norm.insert(1.0)),
            ("label_smoothing", |c| &mut c.label_smoothing),
            ("ema_decay", |c| &mut c.ema_decay),
            ("bn_eps", |c| &mut c.bn_eps),
            ("bn_momentum", |c| &mut c.bn_momentum),
            ("drop_path", |c| &mut c.drop_path),
            ("aux_weight", |c| &mut c.aux_weight),
        ];
        for (name, field) in fields {
            for broken in [f64::NAN, f64::INFINITY, -1.0] {
                let fault = fault(|config| *field(config) = broken);
                assert!(fault.starts_with(&format!("{name} is ")), "{fault}");
            }
        }
        assert!(fault(|c| c.dropout = 1.0).contains("without, 1"));
        let nesterov = fault(|c| (c.momentum, c.nesterov) = (0.0, true));
        assert_eq!(nesterov, "momentum is 0: it must be above 0 for Nesterov's momentum");
        let adam = fault(|c| (c.optimizer, c.nesterov) = (OptimizerKind::Adam, true));
        assert_eq!(adam, "nesterov is true: it must be false for any optimizer but `sgd`");
        let crops = fault(|c| (c.augment.enlarge, c.augment.resized_crop) = (8, true));
        assert_eq!(crops, "augment.enlarge is 8: it must be 0 beside `resized_crop`");
    }

    #[test]
    fn settings_of_before_can_be_read() {
        let text = r#"{"epochs":3,"batch":64,"lr":0.1,"momentum":0.9,"nesterov":false,
            "weight_decay":0.0005,"clip_norm":null,"dropout":0.0,"aux_weight":0.4,
            "augment":{"pad":0,"flip":false},"seed":7}"#;
        let config: TrainConfig = serde_json::from_str(text).expect("new settings have defaults");
        let (epochs, batch, lr, seed) = (3, 64, 0.1, 7);
        let default = TrainConfig::default();
        let expected = TrainConfig { epochs, batch, lr, seed, clip_norm: None, ..default };
        assert_eq!(config, expected);
        let stored = serde_json::to_string(&expected).expect("plain data");
        assert_eq!(serde_json::from_str::<TrainConfig>(&stored).expect("the same"), expected);
    }
}
