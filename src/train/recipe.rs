//! The training recipes of papers, as settings.

use std::fmt;

use super::{OptimizerKind, Schedule, TrainConfig, WeightDecayAt, WeightDecayOn};
use crate::data::Augment;
use crate::graph::lower::Scale;

/// A recipe with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// [`TrainConfig::cifar_nasnet`]
    CifarNasnet,
    /// [`TrainConfig::imagenet_mobile`]
    ImagenetMobile,
    /// [`TrainConfig::imagenet_large`]
    ImagenetLarge,
    /// [`TrainConfig::search_child`]
    SearchChild,
}

impl Recipe {
    /// All of them.
    pub const ALL: [Recipe; 4] =
        [Recipe::CifarNasnet, Recipe::ImagenetMobile, Recipe::ImagenetLarge, Recipe::SearchChild];

    /// Its name, as `cellc train --recipe` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Recipe::CifarNasnet => "cifar-nasnet",
            Recipe::ImagenetMobile => "imagenet-mobile",
            Recipe::ImagenetLarge => "imagenet-large",
            Recipe::SearchChild => "search-child",
        }
    }

    /// Its settings.
    pub fn config(self) -> TrainConfig {
        match self {
            Recipe::CifarNasnet => TrainConfig::cifar_nasnet(),
            Recipe::ImagenetMobile => TrainConfig::imagenet_mobile(),
            Recipe::ImagenetLarge => TrainConfig::imagenet_large(),
            Recipe::SearchChild => TrainConfig::search_child(),
        }
    }

    /// The net of the program that it is meant for.
    pub fn net(self) -> &'static str {
        match self {
            Recipe::CifarNasnet | Recipe::SearchChild => "cifar",
            Recipe::ImagenetMobile => "imagenet",
            Recipe::ImagenetLarge => "imagenet_large",
        }
    }

    /// The scale of NASNet-A in that net.
    ///
    /// # Source
    /// Zoph et al. 2018, tables 1 to 3; for a child of the search N from appendix A and, since the paper does
    /// not give its width, F of a base width of 32 as in table 1.
    pub fn scale(self) -> Scale {
        let (n, f) = match self {
            Recipe::CifarNasnet => (6, 768),
            Recipe::ImagenetMobile => (4, 1056),
            Recipe::ImagenetLarge => (6, 4032),
            Recipe::SearchChild => (2, 768),
        };
        Scale { n, f }
    }

    /// Share of the training images that it holds out.
    pub fn validation(self) -> f64 {
        match self {
            // 5,000 of the 50,000 images of CIFAR-10.
            Recipe::SearchChild => 0.1,
            Recipe::CifarNasnet | Recipe::ImagenetMobile | Recipe::ImagenetLarge => 0.0,
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TrainConfig {
    /// NASNet-A on CIFAR-10, such as 6@768 in net `cifar`: 600 epochs with drop path and cutout.
    ///
    /// The order of clipping and weight decay, and that everything is decayed, are those of the PyTorch
    /// programs that train such cells. Slim decays weights alone and within the loss, which is
    /// `weight_decay_on = "weights"` and `weight_decay_at = "in_loss"`.
    ///
    /// # Source
    /// - Zoph et al. 2018, appendix A and section 4.1 (`ScheduledDropPath`, cutout in table 1)
    /// - comments of `nasnet.py` in slim: SGD with momentum 0.9, learning rate 0.025 in one cosine period,
    ///   600 epochs in batches of 32, weight decay 5e-4, clipping to norm 5, auxiliary loss times 0.4,
    ///   no dropout before the classifier, drop path keeps 0.6 at the end (version 3)
    /// - `nasnet_cifar_arg_scope`: batch normalization with eps 1e-5 and decay 0.9
    /// - T. `DeVries` and G. Taylor, Improved Regularization of CNNs with Cutout, 2017: squares of 16 pixels
    pub fn cifar_nasnet() -> Self {
        TrainConfig {
            epochs: 600,
            drop_path: 0.4,
            augment: Augment { cutout: 16, ..Augment::CROP_AND_FLIP },
            ..TrainConfig::default()
        }
    }

    /// What both networks for `ImageNet` have in common.
    ///
    /// 250,000 steps in batches of 1,600 are 312 epochs of 1,281,167 images.
    fn imagenet() -> Self {
        TrainConfig {
            epochs: 312,
            optimizer: OptimizerKind::RmsProp,
            lr_batch: 1600,
            schedule: Schedule::Exponential,
            lr_decay: 0.97,
            lr_decay_epochs: 2.4,
            momentum: 0.9,
            rms_decay: 0.9,
            rms_eps: 1.0,
            weight_decay_on: WeightDecayOn::Weights,
            weight_decay_at: WeightDecayAt::InLoss,
            clip_norm: Some(10.0),
            label_smoothing: 0.1,
            ema_decay: 0.9999,
            ema_warmup: true,
            bn_eps: 1e-3,
            bn_momentum: 3e-4,
            dropout: 0.5,
            aux_weight: 0.4,
            augment: Augment::RESIZED_CROP_AND_FLIP,
            ..TrainConfig::default()
        }
    }

    /// NASNet-A on `ImageNet` with 224x224 pixels, such as 4@1056 in net `imagenet`.
    ///
    /// The paper's 50 replicas with 32 images each take a learning rate of 0.04 x 50 = 2 for batches of
    /// 1,600; [`lr_batch`](Self::lr_batch) makes it 0.04 for batches of 32, and proportional to any other.
    ///
    /// # Source
    /// - Zoph et al. 2018, appendix A: `RMSProp` with decay 0.9 and epsilon 1.0, label smoothing 0.1,
    ///   auxiliary loss times 0.4, dropout 0.5, moving averages of the parameters, synchronous replicas
    /// - comments of `nasnet.py` in slim: learning rate 0.04 x 50, times 0.97 every 2.4 epochs, batches of
    ///   32 a replica, weight decay 4e-5, clipping to norm 10, no drop path, 250,000 steps
    /// - `nasnet_mobile_arg_scope`: batch normalization with eps 1e-3 and decay 0.9997
    /// - `amoeba_net_model.py` of TensorFlow's TPU models, for the same cells: momentum 0.9, averages with
    ///   0.9999
    pub fn imagenet_mobile() -> Self {
        let (lr, batch, weight_decay) = (0.04 * 50.0, 32, 4e-5);
        TrainConfig { lr, batch, weight_decay, ..TrainConfig::imagenet() }
    }

    /// NASNet-A on `ImageNet` with 331x331 pixels, such as 6@4032 in net `imagenet_large`.
    ///
    /// The paper's 100 replicas with 16 images each take a learning rate of 0.015 x 100 = 1.5 for batches
    /// of 1,600; [`lr_batch`](Self::lr_batch) makes it 0.015 for batches of 16, and proportional to any
    /// other.
    ///
    /// # Source
    /// As [`imagenet_mobile`](Self::imagenet_mobile); of slim's comments those of the large network:
    /// learning rate 0.015 x 100, batches of 16 a replica, weight decay 5e-5, drop path keeps 0.7 at the
    /// end.
    pub fn imagenet_large() -> Self {
        let (lr, batch, weight_decay) = (0.015 * 100.0, 16, 5e-5);
        TrainConfig { lr, batch, weight_decay, drop_path: 0.3, ..TrainConfig::imagenet() }
    }

    /// A child of the paper's search on CIFAR-10, N = 2 in net `cifar`, with 5,000 images held out:
    /// 20 epochs, random 32x32 pixels of images enlarged to 40x40, flips.
    ///
    /// The paper gives neither the children's width nor learning rate, batch, weight decay and clipping.
    /// These are the ones of [`cifar_nasnet`](Self::cifar_nasnet).
    ///
    /// # Source
    /// Zoph et al. 2018, appendix A: momentum 0.9, one cosine period, L2, whitening, enlarged crops and
    /// flips.
    pub fn search_child() -> Self {
        let augment = Augment { enlarge: 8, flip: true, ..Augment::NONE };
        TrainConfig { epochs: 20, aux_weight: 0.0, augment, ..TrainConfig::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::LrSchedule;

    #[test]
    fn recipes_are_sound() {
        for recipe in Recipe::ALL {
            recipe.config().check().expect("a recipe that can be run");
        }
    }

    #[test]
    fn replicas_have_the_rate_of_the_paper() {
        // The rate of the whole is that of a replica times their number, and so is the batch.
        const IMAGES: usize = 1_281_167;
        for (recipe, of_replica, replicas) in
            [(Recipe::ImagenetMobile, 0.04, 50), (Recipe::ImagenetLarge, 0.015, 100)]
        {
            let config = recipe.config();
            let batch = config.batch;
            let all = TrainConfig { batch: batch * replicas, ..config.clone() };
            let (one, all) = (LrSchedule::new(&config, IMAGES), LrSchedule::new(&all, IMAGES));
            assert!((one.lr(0) - of_replica).abs() < 1e-12, "{recipe}");
            assert!((all.lr(0) - of_replica * replicas as f64).abs() < 1e-12, "{recipe}");
            // 312 epochs are 250,000 steps, less what is left of each epoch.
            assert!((249_500..=250_000).contains(&all.steps()), "{}", all.steps());
            // 1,281,167 / 1,600 * 2.4 = 1,921.75 steps between two decays.
            let decayed = all.lr(1921) / all.lr(1920);
            assert!((decayed - 0.97).abs() < 1e-12, "{decayed}");
        }
    }
}
