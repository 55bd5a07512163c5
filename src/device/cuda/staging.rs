//! The way of a batch to a card while the step before it runs.

use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::result;
use cudarc::driver::sys;

use super::driver::{Card, fault};
use super::fault::CudaFault;

/// Two page-locked buffers of the host that take turns. What is put in one is copied to the card on a stream of its own,
/// behind what was [taken](Self::take) before, and is there for what is started after [`arrive`](Self::arrive).
pub(super) struct Staging {
    card: Arc<Mutex<Card>>,
    len: usize,
    buffers: [*mut u32; 2],
    /// Each buffer has been read.
    copied: [sys::CUevent; 2],
    /// What lay on the card has been read.
    taken: sys::CUevent,
    /// The buffer whose turn it is.
    turn: usize,
}

// SAFETY: the buffers are memory of the host, and of this value alone; handles of the driver may be used by any thread,
// one at a time.
unsafe impl Send for Staging {}

impl std::fmt::Debug for Staging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Staging {
    /// Buffers of `len` numbers, at least one.
    pub(super) fn new(card: &Arc<Mutex<Card>>, len: usize) -> Result<Staging, CudaFault> {
        let mut staging = Staging {
            card: card.clone(),
            len,
            buffers: [std::ptr::null_mut(); 2],
            copied: [std::ptr::null_mut(); 2],
            taken: std::ptr::null_mut(),
            turn: 0,
        };
        let lock = card.lock().unwrap_or_else(PoisonError::into_inner);
        lock.bind()?;
        let event = || {
            let flags = sys::CUevent_flags_enum::CU_EVENT_DISABLE_TIMING;
            result::event::create(flags).map_err(fault("cuEventCreate"))
        };
        for (buffer, copied) in staging.buffers.iter_mut().zip(&mut staging.copied) {
            // SAFETY: the context is current; what is allocated is freed in `drop`.
            let memory = unsafe { result::malloc_host(len * size_of::<u32>(), 0) };
            *buffer = memory.map_err(fault("cuMemHostAlloc"))?.cast();
            *copied = event()?;
        }
        staging.taken = event()?;
        Ok(staging)
    }

    /// Has `fill` write the buffer whose turn it is, and starts its copy to an address that has room for it.
    pub(super) fn put(
        &mut self,
        card: &Card,
        to: u64,
        fill: impl FnOnce(&mut [u32]),
    ) -> Result<(), CudaFault> {
        let (buffer, copied) = (self.buffers[self.turn], self.copied[self.turn]);
        // SAFETY: made in `new`. One that was never recorded is not waited for.
        unsafe { result::event::synchronize(copied) }.map_err(fault("cuEventSynchronize"))?;
        // SAFETY: the buffer was allocated with room for `len` numbers, any bits of which are numbers, and the copy that
        // read it last is done. Nobody else has a reference to it.
        let numbers = unsafe {
            buffer.write_bytes(0, self.len);
            std::slice::from_raw_parts_mut(buffer, self.len)
        };
        fill(numbers);
        card.await_on_copies(self.taken)?;
        // SAFETY: the buffer stays as it is until `copied` is reached, here and in `drop`; the caller vouches for `to`.
        unsafe { result::memcpy_htod_async(to, numbers, card.copies) }
            .map_err(fault("cuMemcpyHtoDAsync"))?;
        // SAFETY: both were made by the driver and live.
        unsafe { result::event::record(copied, card.copies) }.map_err(fault("cuEventRecord"))?;
        self.turn = 1 - self.turn;
        Ok(())
    }

    /// What is started from now on finds what was put last.
    pub(super) fn arrive(&self, card: &Card) -> Result<(), CudaFault> {
        card.await_on_work(self.copied[1 - self.turn])
    }

    /// What was started until now is the last that reads it: what is put next may overwrite it then.
    pub(super) fn take(&self, card: &Card) -> Result<(), CudaFault> {
        // SAFETY: both were made by the driver and live.
        unsafe { result::event::record(self.taken, card.stream) }.map_err(fault("cuEventRecord"))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        if card.bind().is_err() {
            return;
        }
        // A fault at the end has nobody to be told to.
        let _ = card.wait();
        // SAFETY: the stream lives as long as the card; each buffer and event was made in `new`, is null if that failed
        // before, and is used for the last time.
        unsafe {
            let _ = result::stream::synchronize(card.copies);
            for buffer in self.buffers.into_iter().filter(|buffer| !buffer.is_null()) {
                let _ = result::free_host(buffer.cast());
            }
            let events = self.copied.into_iter().chain([self.taken]);
            for event in events.filter(|event| !event.is_null()) {
                let _ = result::event::destroy(event);
            }
        }
    }
}
