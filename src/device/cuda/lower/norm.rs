//! Normalizations by the moments of the batch and of single images.

use super::super::command::{Arg, Place, Region};
use super::{BLOCK, Lowering, MAX_GRID_Y, columns, rows, splits, threads};
use crate::plan::{Backward, Norm, Saved, Slot, Target, View};

const SAVED: &str = "a plan for inference does not update statistics";

/// Words of a number in double precision.
const DOUBLE: usize = 2;

impl Lowering<'_> {
    fn saved(saved: Saved) -> [Arg; 2] {
        [saved.mean, saved.inv_std].map(|slot| Self::slot(Place::Fixed, slot).into())
    }

    pub(super) fn batch_norm(
        &mut self,
        x: View,
        norm: Norm,
        saved: Option<Saved>,
        fixed: bool,
        y: Target,
    ) {
        let (c, row, eps) = (x.channels, self.row(x), Arg::Float(self.config.bn_eps));
        let x = self.at(x);
        let moments = match self.is_training {
            true => Self::saved(saved.expect(SAVED)),
            false => [0; 2].map(|_| self.scratch(c).into()),
        };
        if self.is_training && !fixed {
            let [mean, inv_std] = moments;
            let splits = splits(c, row);
            let partial = self.scratch(c * splits * 2 * DOUBLE);
            let args = [x.into(), c.into(), row.into(), partial.into()];
            self.launch("bn_sums", [[splits, c.min(MAX_GRID_Y)], [BLOCK, 1]], &args);
            let sizes = [partial.into(), splits.into(), x.into(), c.into(), row.into(), eps];
            let momentum = [self.config.bn_momentum.into(), mean, inv_std];
            let args = [&sizes[..], &momentum, &Self::running(norm)].concat();
            self.launch("bn_moments", threads(c), &args);
        } else {
            self.running_moments(norm, c, &moments);
        }
        self.normalize(x, &moments, norm, y);
    }

    /// Normalizes the results of a convolution by running statistics.
    pub(super) fn normalize_by_running(&mut self, x: Region, norm: Norm, y: Target) {
        let c = y.view.channels;
        let moments = [0; 2].map(|_| self.scratch(c).into());
        self.running_moments(norm, c, &moments);
        self.normalize(x, &moments, norm, y);
    }

    fn running(norm: Norm) -> [Arg; 2] {
        [norm.running_mean, norm.running_var].map(|slot| Self::slot(Place::Statistics, slot).into())
    }

    fn running_moments(&mut self, norm: Norm, c: usize, moments: &[Arg]) {
        let eps = Arg::Float(self.config.bn_eps);
        let args = [&Self::running(norm)[..], &[c.into(), eps], moments].concat();
        self.launch("bn_running_moments", threads(c), &args);
    }

    fn normalize(&mut self, x: Region, moments: &[Arg], norm: Norm, y: Target) {
        let (c, row, to) = (y.view.channels, self.row(y.view), self.at(y.view));
        let params = [norm.gamma, norm.beta].map(|slot| Self::param(slot).into());
        let sizes = [to.into(), c.into(), row.into(), y.accumulate.into()];
        let args = [&[x.into()][..], moments, &params, &sizes].concat();
        self.launch("bn_normalize", rows(c, row), &args);
    }

    pub(super) fn batch_norm_backward(&mut self, kernel: &Backward) {
        let Backward::BatchNorm { x, gamma, beta, saved, fixed, gy, gx } = *kernel else {
            unreachable!("called for batch normalizations alone")
        };
        let (c, row) = (x.channels, self.row(x));
        let (x, gy, to) = (self.at(x), self.at(gy), self.at(gx.view));
        let [mean, inv_std] = Self::saved(saved);
        let sizes = [to.into(), c.into(), row.into(), gx.accumulate.into()];
        if fixed {
            let args = [&[gy.into(), Self::param(gamma).into(), inv_std][..], &sizes].concat();
            return self.launch("bn_gradient_fixed", rows(c, row), &args);
        }
        let splits = splits(c, row);
        let partial = self.scratch(c * splits * 2 * DOUBLE);
        let coefficients = self.scratch(4 * c);
        let args = [x.into(), gy.into(), mean, c.into(), row.into(), partial.into()];
        self.launch("bn_gradient_sums", [[splits, c.min(MAX_GRID_Y)], [BLOCK, 1]], &args);
        let sums = [partial.into(), splits.into(), c.into(), row.into()];
        let values = [Self::param(gamma).into(), mean, inv_std];
        let gradients = [gamma, beta].map(|slot| Self::gradient(slot).into());
        let args = [&sums[..], &values, &gradients, &[coefficients.into()]].concat();
        self.launch("bn_coefficients", threads(c), &args);
        let args = [&[x.into(), gy.into(), coefficients.into()][..], &sizes].concat();
        self.launch("bn_gradient", rows(c, row), &args);
    }

    pub(super) fn group_norm(
        &mut self,
        groups: usize,
        x: View,
        [gamma, beta]: [Slot; 2],
        moments: View,
        y: View,
    ) {
        let (n, c, area) = (self.n, x.channels, self.plan.area(x));
        let (x, moments, y) = (self.at(x), self.at(moments), self.at(y));
        let sizes = [groups, c, area, n].map(Arg::from);
        let sums = self.scratch(c * n * 2 * DOUBLE);
        let args = [&[x.into()][..], &sizes, &[sums.into()]].concat();
        self.launch("gn_sums", columns(c, n), &args);
        let eps = [self.config.bn_eps.into(), moments.into()];
        let args = [&[sums.into(), x.into()][..], &sizes, &eps].concat();
        self.launch("gn_moments", threads(groups * n), &args);
        let [gamma, beta] = [gamma, beta].map(|slot| Self::param(slot).into());
        let args = [&[x.into(), moments.into(), gamma, beta, y.into()][..], &sizes].concat();
        self.launch("gn_normalize", rows(c, area * n), &args);
    }

    pub(super) fn group_norm_backward(
        &mut self,
        groups: usize,
        x: View,
        [gamma, beta]: [Slot; 2],
        moments: View,
        gy: View,
        gx: Target,
    ) {
        let (n, c, area) = (self.n, x.channels, self.plan.area(x));
        let (x, gy, to) = (self.at(x), self.at(gy), self.at(gx.view));
        let moments: Arg = self.at(moments).into();
        let [ggamma, gbeta] = [gamma, beta].map(|slot| Self::gradient(slot).into());
        let gamma: Arg = Self::param(gamma).into();
        let sizes = [groups, c, area, n].map(Arg::from);
        let sums: Arg = self.scratch(c * n * 2 * DOUBLE).into();
        let taken: Arg = self.scratch(groups * n * 2).into();
        let args = [&[x.into(), gy.into(), moments][..], &sizes, &[sums]].concat();
        self.launch("gn_gradient_sums", columns(c, n), &args);
        let args = [sums, moments, groups.into(), c.into(), n.into(), ggamma, gbeta];
        self.launch("gn_gradient_params", threads(c), &args);
        let args = [&[sums, moments, gamma][..], &sizes, &[taken]].concat();
        self.launch("gn_gradient_means", threads(groups * n), &args);
        let operands = [x.into(), gy.into(), moments, gamma, taken, to.into()];
        let args = [&operands[..], &sizes, &[gx.accumulate.into()]].concat();
        self.launch("gn_gradient", rows(c, area * n), &args);
    }
}
