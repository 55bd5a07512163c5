//! The trained parameters as one dfdx tensor of a length known at run time.

use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection, TensorOptions};
use dfdx::shapes::{ConstDim, Dim, Dtype};
use dfdx::tensor::{Storage, Tensor};
use dfdx::tensor_ops::Device;

/// A length known at run time that dfdx takes where it asks for one known at compile time.
///
/// dfdx builds the options of a collection's tensor for constant shapes only. Its traits for dimensions
/// are open, though, and the constant is read by compile-time checks of element counts alone (array
/// literals, constant reshapes), of which a flat parameter tensor has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Len(pub usize);

impl Dim for Len {
    fn size(&self) -> usize {
        self.0
    }

    fn from_size(size: usize) -> Option<Self> {
        Some(Len(size))
    }
}

impl ConstDim for Len {
    const SIZE: usize = 0;
}

/// All trained parameters of a network, in the order of its [`Layout`](crate::plan::Layout).
///
/// A dfdx [`TensorCollection`]: dfdx's optimizers, `alloc_grads`, `zero_grads`, EMA, `to_device` and
/// `to_dtype` work on it. `reset_params` leaves it alone, since it does not know the layout; make a new
/// network instead.
#[derive(Clone, Debug)]
pub struct Params<E: Dtype, D: Storage<E>> {
    /// The values.
    pub flat: Tensor<(Len,), E, D>,
}

impl<E: Dtype, D: Device<E>> TensorCollection<E, D> for Params<E, D> {
    type To<E2: Dtype, D2: Device<E2>> = Params<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let options = TensorOptions::reset_with(|_| Ok(()));
        visitor.visit_fields(
            Self::tensor("flat", |params| &params.flat, |params| &mut params.flat, options),
            |flat| Params { flat },
        )
    }
}
