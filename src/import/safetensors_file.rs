//! A safetensors file of another program, its tensors read one by one.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::{Listing, fault};
use crate::error::Error;

/// The bytes of a file that was found to be sound.
pub(super) struct SafetensorsFile {
    bytes: Vec<u8>,
}

impl SafetensorsFile {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(Error::read(path))?;
        SafeTensors::deserialize(&bytes)
            .map_err(|error| fault(path, format!("not a valid safetensors file: {error}")))?;
        Ok(SafetensorsFile { bytes })
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("checked when it was opened")
    }

    pub(super) fn listing(&self) -> Listing {
        let file = self.tensors();
        file.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec())).collect()
    }

    /// The numbers of a tensor; a sentence if they are not 32-bit floats.
    pub(super) fn read(&self, name: &str) -> Result<Vec<f32>, String> {
        let tensors = self.tensors();
        let view = tensors.tensor(name).map_err(|error| format!("`{name}`: {error}"))?;
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{name}` is {:?}, expected F32", view.dtype()));
        }
        let (numbers, _) = view.data().as_chunks::<4>();
        Ok(numbers.iter().map(|&number| f32::from_le_bytes(number)).collect())
    }
}
