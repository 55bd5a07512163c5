//! Several cards that train one network: each has all of its numbers and a part of every batch, and gradients are
//! averaged by NCCL.

use std::ffi::c_int;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cudarc::nccl::{result, sys};

use super::Cuda;
use super::command::Region;
use super::driver::Card;
use super::fault::CudaFault;
use super::workspace::Memory;

/// Cards that know each other.
pub(super) struct Group {
    /// By their numbers, which is the order that they are locked in.
    pub cards: Vec<Cuda>,
    communicators: Mutex<Vec<sys::ncclComm_t>>,
}

// SAFETY: communicators may be used by any thread, one at a time, which the lock sees to.
unsafe impl Send for Group {}
// SAFETY: as above.
unsafe impl Sync for Group {}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("cards", &self.cards).finish_non_exhaustive()
    }
}

impl Group {
    /// Makes cards known to each other.
    ///
    /// # Panics
    /// If one of them is there twice.
    pub(super) fn new(mut cards: Vec<Cuda>) -> Result<Group, CudaFault> {
        cards.sort_by_key(|card| card.number);
        let is_new = |pair: &[Cuda]| pair[0].number < pair[1].number;
        assert!(cards.windows(2).all(is_new), "a card is in a group once");
        // SAFETY: loads a library by its usual names, whose start-up code is NVIDIA's.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaFault::NoNccl);
        }
        let numbers: Vec<c_int> = cards.iter().map(|card| card.number as c_int).collect();
        let mut communicators = vec![std::ptr::null_mut(); cards.len()];
        // SAFETY: a place for a communicator and a number for each card.
        let made = unsafe {
            result::comm_init_all(
                communicators.as_mut_ptr(),
                cards.len() as c_int,
                numbers.as_ptr(),
            )
        };
        made.map_err(fault("ncclCommInitAll"))?;
        Ok(Group { cards, communicators: Mutex::new(communicators) })
    }

    /// Replaces regions of every card by their mean over the cards, in the order of each card's stream.
    pub(super) fn average(
        &self,
        cards: &[MutexGuard<'_, Card>],
        memories: &[&Memory],
        regions: &[Region],
    ) -> Result<(), CudaFault> {
        let communicators = self.communicators.lock().unwrap_or_else(PoisonError::into_inner);
        result::group_start().map_err(fault("ncclGroupStart"))?;
        let mut started = Ok(());
        for ((card, memory), &communicator) in cards.iter().zip(memories).zip(&*communicators) {
            for region in regions.iter().filter(|region| region.len > 0) {
                let address = memory.address(*region);
                // SAFETY: the region lies in the card's memory and is written in place; communicator and stream are the
                // card's, and live.
                let call = unsafe {
                    result::all_reduce(
                        address as *const _,
                        address as *mut _,
                        region.len,
                        sys::ncclDataType_t::ncclFloat32,
                        sys::ncclRedOp_t::ncclAvg,
                        communicator,
                        card.stream.cast(),
                    )
                };
                started = started.and(call.map(drop).map_err(fault("ncclAllReduce")));
            }
        }
        // Ended in any case, or nothing could be started any more.
        result::group_end().map_err(fault("ncclGroupEnd"))?;
        started
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let communicators = self.communicators.get_mut().unwrap_or_else(PoisonError::into_inner);
        for communicator in communicators.drain(..) {
            // SAFETY: made in `new`; its last use. A fault at the end has nobody to be told to.
            let _ = unsafe { result::comm_destroy(communicator) };
        }
    }
}

fn fault(call: &'static str) -> impl Fn(result::NcclError) -> CudaFault {
    move |error| CudaFault::Failed { call, code: error.0 as u32 }
}
