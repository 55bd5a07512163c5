//! A network as a module of any of dfdx's devices.

use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection, TensorOptions};
use dfdx::nn::{Module, ModuleMut};
use dfdx::optim::{Momentum, SgdConfig, WeightDecay};
use dfdx::shapes::{Dtype, HasShape, Shape};
use dfdx::tensor::{
    Cpu, CpuError, Gradients, NoneTape, OwnedTape, PutTape, SplitTape, Tape, Tensor, TensorFromVec,
    Trace,
};
use dfdx::tensor_ops::{Backward, Device, SumTo};

use super::{Images, Len, Logits, Network, Params};

/// A batch of images on a device of dfdx's, `[N, C, H, W]`.
pub type ImagesOn<D, T = NoneTape> = Tensor<(usize, usize, usize, usize), f32, D, T>;

/// Logits of a batch on a device of dfdx's, `[N, classes]`.
pub type LogitsOn<D, T = NoneTape> = Tensor<(usize, usize), f32, D, T>;

/// A network on dfdx's own card.
#[cfg(feature = "dfdx-cuda")]
pub type NetworkOnCuda = NetworkOn<dfdx::tensor::Cuda>;

// That it is a module there is checked wherever the feature is.
#[cfg(feature = "dfdx-cuda")]
const _: () = {
    use dfdx::tensor::Cuda;

    const fn is_module<M>()
    where
        M: Module<ImagesOn<Cuda>> + ModuleMut<ImagesOn<Cuda, OwnedTape<f32, Cuda>>>,
    {
    }
    is_module::<NetworkOnCuda>();
};

/// A [`Network`] between modules of a device of dfdx's, such as its `Cuda` with the feature `dfdx-cuda`.
///
/// The parameters, and the tensors that go in and come out, are that device's, so that its optimizers, losses and
/// modules work with it. The passes are those of the [`Network`], on [its own device](Network::set_device): on a card,
/// set that to [`Cuda`](crate::device::AnyDevice::Cuda).
///
/// # Cost
/// Beside the passes, copies through the host: of parameters, images and logits in every forward pass, and of the
/// gradients of all three in every backward pass, which dfdx's devices give no other way to.
///
/// # Examples
/// ```
/// use cellc::graph::{Graph, Op, TensorType};
/// use cellc::network::{Network, NetworkOn};
/// use dfdx::prelude::*;
///
/// let mut graph = Graph::new(TensorType::new(3, 4, 4));
/// let head = graph.section("head", None);
/// let pooled = graph.wire(Op::GlobalAvgPool, &[graph.input], head, "head.pool").unwrap();
/// let dense = Op::Dense { out_features: 10, bias: true };
/// graph.output = graph.wire(dense, &[pooled], head, "head.fc").unwrap();
///
/// let device = Cpu::default();
/// let network = NetworkOn::new(Network::new(&graph, 0), &device)?;
/// assert_eq!(network.forward(device.zeros_like(&(2, 3, 4, 4))).shape(), &(2, 10));
/// # Ok::<(), CpuError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkOn<D: Device<f32>> {
    /// Its parameters are out of date but during a pass.
    network: Network,
    params: Params<f32, D>,
    device: D,
}

impl<D> NetworkOn<D>
where
    D: Device<f32> + TensorFromVec<f32>,
    D::Err: From<CpuError>,
{
    /// The network with its parameters on a device.
    ///
    /// # Errors
    /// The device's.
    pub fn new(network: Network, device: &D) -> Result<Self, D::Err> {
        let values = network.params().flat.as_vec();
        let len = Len(values.len());
        let params = Params { flat: device.try_tensor_from_vec(values, (len,))? };
        Ok(NetworkOn { network, params, device: device.clone() })
    }

    /// The trained parameters.
    pub fn params(&self) -> &Params<f32, D> {
        &self.params
    }

    /// The trained parameters, for optimizers.
    pub fn params_mut(&mut self) -> &mut Params<f32, D> {
        &mut self.params
    }

    /// The network, with parameters as they are now.
    pub fn network(&self) -> Network {
        let mut network = self.network.clone();
        network.params_mut().flat.copy_from(&self.params.flat.as_vec());
        network
    }
}

/// Inference, with running statistics.
impl<D> Module<ImagesOn<D>> for NetworkOn<D>
where
    D: Device<f32> + TensorFromVec<f32>,
    D::Err: From<CpuError>,
{
    type Output = LogitsOn<D>;
    type Error = D::Err;

    /// # Panics
    /// If the images do not have the shape that the network was compiled for.
    fn try_forward(&self, x: ImagesOn<D>) -> Result<LogitsOn<D>, D::Err> {
        let logits = self.network().try_forward(on_host(&x)?)?;
        self.device.try_tensor_from_vec(logits.as_vec(), *logits.shape())
    }
}

/// Training, with batch statistics; the running ones are moved towards them.
impl<D> ModuleMut<ImagesOn<D, OwnedTape<f32, D>>> for NetworkOn<D>
where
    D: Device<f32> + TensorFromVec<f32>,
    D::Err: From<CpuError>,
{
    type Output = LogitsOn<D, OwnedTape<f32, D>>;
    type Error = D::Err;

    /// # Panics
    /// If the images do not have the shape that the network was compiled for.
    fn try_forward_mut(
        &mut self,
        x: ImagesOn<D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let (x, mut tape) = x.split_tape();
        self.network.params_mut().flat.copy_from(&self.params.flat.as_vec());
        let image: Images = on_host(&x)?;
        let (image_of, params_of) = (image.clone(), self.network.params().flat.clone());
        let logits = self.network.try_forward_mut(image.leaky_traced())?;
        let (own, own_tape) = logits.split_tape();
        let device = self.device.clone();
        let y = device.try_tensor_from_vec(own.as_vec(), *own.shape())?;
        let (params, y_of) = (self.params.flat.clone(), y.clone());
        let wants_image = self.network.wants_image_gradient;
        tape.add_backward_op(move |gradients: &mut Gradients<f32, D>| {
            gradients.try_alloc_for(&y_of)?;
            let gy =
                Cpu::default().try_tensor_from_vec(gradients.get(&y_of).as_vec(), *own.shape())?;
            // A scalar whose gradient for the logits is the one that came: what a tape of dfdx's begins with.
            let weighted: Logits<OwnedTape<f32, Cpu>> = own.put_tape(own_tape) * gy;
            let found = weighted.sum::<dfdx::shapes::Rank0, _>().try_backward()?;
            add(&device, gradients, &params, found.get(&params_of).as_vec())?;
            if wants_image {
                add(&device, gradients, &x, found.get(&image_of).as_vec())?;
            }
            Ok(())
        });
        Ok(y.put_tape(tape))
    }
}

/// The images on the host.
fn on_host<D: Device<f32>>(x: &ImagesOn<D>) -> Result<Images, CpuError> {
    Cpu::default().try_tensor_from_vec(x.as_vec(), *x.shape())
}

/// Adds numbers of the host to the gradient of a tensor. A device of dfdx's gives no way to write a gradient but its
/// optimizers': with all factors 1 and a rate of 0, momentum makes `v = 1 * v + (0 + 1 * p)` of it.
fn add<S: Shape, D: Device<f32> + TensorFromVec<f32>>(
    device: &D,
    gradients: &mut Gradients<f32, D>,
    of: &Tensor<S, f32, D>,
    numbers: Vec<f32>,
) -> Result<(), D::Err> {
    let sum = SgdConfig {
        lr: 0.0,
        momentum: Some(Momentum::Classic(1.0)),
        weight_decay: Some(WeightDecay::L2(1.0)),
    };
    let mut numbers = device.try_tensor_from_vec(numbers, *of.shape())?;
    let mut zero = Gradients::leaky();
    sum.try_update(&mut numbers, gradients.get_or_alloc_mut(of)?, zero.get_or_alloc_mut(of)?)
}

/// The trained parameters alone, as for [`Network`].
impl<D> TensorCollection<f32, D> for NetworkOn<D>
where
    D: Device<f32>,
{
    type To<E2: Dtype, D2: Device<E2>> = Params<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, f32, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let options = TensorOptions::reset_with(|_| Ok(()));
        visitor.visit_fields(
            Self::tensor("flat", |n| &n.params.flat, |n| &mut n.params.flat, options),
            |flat| Params { flat },
        )
    }
}
