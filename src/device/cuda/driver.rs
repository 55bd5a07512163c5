//! The card itself: context, stream, kernels and cuBLAS, through cudarc's bindings, which load each library when it
//! is first used.

use std::collections::BTreeMap;
use std::ffi::{CString, c_int, c_void};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::cublas::{result as blas, sys as blas_sys};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use super::command::{Arg, Command, Launch, Matrix, Product, Region, int, window_fields};
use super::compiler;
use super::fault::CudaFault;
use super::lower::Program;
use super::source::{kernel_names, source};
use super::workspace::Memory;
use crate::device::{CardOptions, Precision};

/// What the driver calls a machine without a card.
const NO_DEVICE: sys::CUresult = sys::CUresult::CUDA_ERROR_NO_DEVICE;

const NO_FLAGS: sys::CUgraphInstantiate_flags = sys::CUgraphInstantiate_flags(0);

/// The oldest driver that makes graphs by `cuGraphInstantiateWithFlags`.
const OLDEST: [u32; 2] = [11, 4];

/// The compute capability of Ampere, the oldest whose products take bf16.
const AMPERE: u32 = 80;

/// How many cards the driver finds.
pub(super) fn count() -> Result<usize, CudaFault> {
    // SAFETY: loads a library by its usual names, whose start-up code is NVIDIA's.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaFault::NoDriver);
    }
    let count = result::init().and_then(|()| result::device::get_count());
    match count {
        Ok(0) => Err(CudaFault::NoCard { code: NO_DEVICE as u32 }),
        Ok(count) => Ok(count as usize),
        // Whatever hinders the driver from starting, there is no card to be had.
        Err(error) => Err(CudaFault::NoCard { code: error.0 as u32 }),
    }
}

/// An opened card. Passes on it run one after the other, since all of it is behind a lock.
pub(super) struct Card {
    device: sys::CUdevice,
    context: sys::CUcontext,
    /// Where programs run.
    pub(super) stream: sys::CUstream,
    /// Where batches are copied meanwhile.
    pub(super) copies: sys::CUstream,
    module: sys::CUmodule,
    kernels: BTreeMap<&'static str, sys::CUfunction>,
    blas: blas_sys::cublasHandle_t,
    precision: Precision,
}

// SAFETY: handles of the driver and of cuBLAS may be used by any thread, one at a time; `bind` makes the context
// current on the thread that uses them.
unsafe impl Send for Card {}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Card {
    pub(super) fn open(number: usize, options: CardOptions) -> Result<Card, CudaFault> {
        let count = count()?;
        if number >= count {
            return Err(CudaFault::NoSuchCard { card: number, count });
        }
        let compiler = compiler::version()?;
        // SAFETY: as in `count`.
        if !unsafe { blas_sys::is_culib_present() } {
            return Err(CudaFault::NoCuda { library: "cuBLAS" });
        }
        let driver = driver_version()?;
        let needed = compiler.max(OLDEST);
        if driver < needed {
            return Err(CudaFault::DriverTooOld { driver, needed });
        }
        let device = result::device::get(int(number)).map_err(fault("cuDeviceGet"))?;
        let (precision, capability) = (options.precision, compute_capability(device)?);
        if precision == Precision::Bf16 && capability < AMPERE {
            return Err(CudaFault::NoBf16 { capability });
        }
        let ptx = compiler::ptx(&source(precision), capability, compiler)?;
        // SAFETY: the device was given by the driver; what is retained is released in `drop`.
        let context = unsafe { result::primary_ctx::retain(device) };
        let context = context.map_err(fault("cuDevicePrimaryCtxRetain"))?;
        let mut card = Card {
            device,
            context,
            stream: std::ptr::null_mut(),
            copies: std::ptr::null_mut(),
            module: std::ptr::null_mut(),
            kernels: BTreeMap::new(),
            blas: std::ptr::null_mut(),
            precision,
        };
        card.bind()?;
        for stream in [&mut card.stream, &mut card.copies] {
            *stream = result::stream::create(result::stream::StreamKind::NonBlocking)
                .map_err(fault("cuStreamCreate"))?;
        }
        // SAFETY: PTX with a zero at its end, as `compiler::ptx` gives it.
        card.module = unsafe { result::module::load_data(ptx.as_ptr().cast()) }
            .map_err(fault("cuModuleLoadData"))?;
        for name in kernel_names() {
            let symbol = CString::new(name).expect("names have no zero byte");
            // SAFETY: the module was loaded above and lives as long as its functions.
            let kernel = unsafe { result::module::get_function(card.module, symbol) };
            card.kernels.insert(name, kernel.map_err(fault("cuModuleGetFunction"))?);
        }
        card.blas = blas::create_handle().map_err(blas_fault("cublasCreate"))?;
        // SAFETY: both were made above.
        unsafe { blas::set_stream(card.blas, card.stream.cast()) }
            .map_err(blas_fault("cublasSetStream"))?;
        // A product that is taken in parts would add them up in bf16 otherwise.
        let mode = blas_sys::cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
        // SAFETY: the handle was made above.
        unsafe { blas_sys::cublasSetMathMode(card.blas, mode) }
            .result()
            .map_err(blas_fault("cublasSetMathMode"))?;
        Ok(card)
    }

    pub(super) fn name(&self) -> Result<String, CudaFault> {
        result::device::get_name(self.device).map_err(fault("cuDeviceGetName"))
    }

    /// Makes the card the one of the calling thread.
    pub(super) fn bind(&self) -> Result<(), CudaFault> {
        // SAFETY: the context is retained as long as the card lives.
        unsafe { result::ctx::set_current(self.context) }.map_err(fault("cuCtxSetCurrent"))
    }

    /// Copies to the card, in the order of the stream.
    pub(super) fn upload<T: Copy>(&self, to: u64, numbers: &[T]) -> Result<(), CudaFault> {
        if numbers.is_empty() {
            return Ok(());
        }
        // SAFETY: `Memory::address` gives places as long as the numbers. They are of the host's pageable memory,
        // which the driver has read when the call returns.
        unsafe { result::memcpy_htod_async(to, numbers, self.stream) }
            .map_err(fault("cuMemcpyHtoDAsync"))
    }

    /// Copies from the card, in the order of the stream.
    pub(super) fn download(&self, from: u64, numbers: &mut [f32]) -> Result<(), CudaFault> {
        if numbers.is_empty() {
            return Ok(());
        }
        // SAFETY: as in `upload`: to pageable memory, the call returns when the numbers are there.
        unsafe { result::memcpy_dtoh_async(numbers, from, self.stream) }
            .map_err(fault("cuMemcpyDtoHAsync"))
    }

    /// Waits until everything is done.
    pub(super) fn wait(&self) -> Result<(), CudaFault> {
        // SAFETY: the stream lives as long as the card.
        unsafe { result::stream::synchronize(self.stream) }.map_err(fault("cuStreamSynchronize"))
    }

    /// Has programs that are started from now on wait for an event.
    pub(super) fn await_on_work(&self, event: sys::CUevent) -> Result<(), CudaFault> {
        self.await_on(self.stream, event)
    }

    /// Has copies of batches that are started from now on wait for an event.
    pub(super) fn await_on_copies(&self, event: sys::CUevent) -> Result<(), CudaFault> {
        self.await_on(self.copies, event)
    }

    fn await_on(&self, stream: sys::CUstream, event: sys::CUevent) -> Result<(), CudaFault> {
        let flags = sys::CUevent_wait_flags_enum::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: the stream lives as long as the card, and the event is one of the driver's that its owner has not
        // destroyed.
        unsafe { result::stream::wait_event(stream, event, flags) }
            .map_err(fault("cuStreamWaitEvent"))
    }

    /// Starts the commands of a program, one after the other.
    pub(super) fn run(&self, program: &Program, memory: &Memory) -> Result<(), CudaFault> {
        for command in program.steps.iter().flatten() {
            match command {
                Command::Launch(launch) => self.launch(launch, memory)?,
                Command::Product(product) => self.multiply(product, memory)?,
            }
        }
        Ok(())
    }

    /// Records the commands of a program as a graph, and runs none of them.
    ///
    /// # Errors
    /// [`CudaFault::Failed`] if the driver or cuBLAS cannot be recorded; the stream then is as before.
    pub(super) fn record(&self, program: &Program, memory: &Memory) -> Result<Graph, CudaFault> {
        use sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL as OF_THIS_THREAD;
        // SAFETY: the stream lives as long as the card, and records nothing yet.
        unsafe { result::stream::begin_capture(self.stream, OF_THIS_THREAD) }
            .map_err(fault("cuStreamBeginCapture"))?;
        let started = self.run(program, memory);
        // SAFETY: begun above. It ends what failed, too.
        let ended = unsafe { result::stream::end_capture(self.stream) };
        let recorded = ended.map_err(fault("cuStreamEndCapture"))?;
        // SAFETY: the graph was given by the driver.
        let made = unsafe { result::graph::instantiate(recorded, NO_FLAGS) };
        // SAFETY: its last use.
        let _ = unsafe { result::graph::destroy(recorded) };
        let graph = Graph(made.map_err(fault("cuGraphInstantiate"))?);
        match started {
            Ok(()) => Ok(graph),
            Err(error) => {
                self.forget(graph);
                Err(error)
            }
        }
    }

    /// Runs what was recorded.
    pub(super) fn play(&self, graph: &Graph) -> Result<(), CudaFault> {
        // SAFETY: the graph was made by `record` of this card, whose memory still is where it was: they are kept
        // together.
        unsafe { result::graph::launch(graph.0, self.stream) }.map_err(fault("cuGraphLaunch"))
    }

    /// Frees a graph.
    pub(super) fn forget(&self, graph: Graph) {
        // SAFETY: its last use; passes wait for the card before they return, so that it does not run.
        let _ = unsafe { result::graph::exec_destroy(graph.0) };
    }

    fn launch(&self, launch: &Launch, memory: &Memory) -> Result<(), CudaFault> {
        let mut values: Vec<Value> = launch.args.iter().map(|arg| value(arg, memory)).collect();
        let mut addresses: Vec<*mut c_void> =
            values.iter_mut().map(|value| value.0.as_mut_ptr().cast()).collect();
        let [[gx, gy], [bx, by]] = [launch.grid, launch.block];
        let kernel = self.kernels[launch.kernel];
        let shared = launch.shared_bytes;
        // SAFETY: the kernel is one of the module's. Its arguments have the types and the order that it declares, which
        // `tests/cuda/run_cases.cpp` compares by size for every launch there is, and point into `memory`, as long as
        // their regions, which the same program checks to be all that a kernel touches.
        unsafe {
            result::launch_kernel(
                kernel,
                (gx, gy, 1),
                (bx, by, 1),
                shared,
                self.stream,
                &mut addresses,
            )
        }
        .map_err(fault("cuLaunchKernel"))
    }

    fn multiply(&self, product: &Product, memory: &Memory) -> Result<(), CudaFault> {
        let Product { m, n, k, batch, a, b, c, accumulate } = *product;
        let (one, beta) = (1.0f32, if accumulate { 1.0f32 } else { 0.0 });
        let address = |side: Matrix| memory.address(side.region) as *mut c_void;
        let operation = |side: Matrix| match side.transposed {
            true => blas_sys::cublasOperation_t::CUBLAS_OP_T,
            false => blas_sys::cublasOperation_t::CUBLAS_OP_N,
        };
        let kind = |side: Matrix| self.kind(side.region);
        // Sums are in single precision throughout.
        let compute = match self.precision {
            Precision::Tf32 => blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            Precision::F32 | Precision::Bf16 => blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        // SAFETY: the sides lie in `memory`, rows and strides as the lowering made them, which
        // `tests/cuda/run_cases.cpp` checks, with numbers as long as `kind` says. `one` and `beta` are in single
        // precision, as the compute type wants them. cuBLAS counts by columns, so `c^T = b^T a^T`.
        unsafe {
            blas::gemm_strided_batched_ex(
                self.blas,
                operation(b),
                operation(a),
                int(n),
                int(m),
                int(k),
                (&raw const one).cast(),
                address(b),
                kind(b),
                int(b.row),
                b.stride as i64,
                address(a),
                kind(a),
                int(a.row),
                a.stride as i64,
                (&raw const beta).cast(),
                address(c),
                kind(c),
                int(c.row),
                c.stride as i64,
                int(batch),
                compute,
                blas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(blas_fault("cublasGemmStridedBatchedEx"))
    }

    /// How numbers of a region are stored.
    fn kind(&self, region: Region) -> blas_sys::cudaDataType {
        match self.precision {
            Precision::Bf16 if region.place.holds_values() => blas_sys::cudaDataType::CUDA_R_16BF,
            Precision::F32 | Precision::Tf32 | Precision::Bf16 => {
                blas_sys::cudaDataType::CUDA_R_32F
            }
        }
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        if self.bind().is_err() {
            return;
        }
        // A fault at the end has nobody to be told to.
        // SAFETY: each handle was made in `open`, is null if that failed before, and is used for the last time.
        unsafe {
            if !self.blas.is_null() {
                let _ = blas::destroy_handle(self.blas);
            }
            if !self.module.is_null() {
                let _ = result::module::unload(self.module);
            }
            for stream in [self.stream, self.copies] {
                if !stream.is_null() {
                    let _ = result::stream::destroy(stream);
                }
            }
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

/// A kernel's argument from the first word on, aligned for an address and long enough for a window.
#[repr(C, align(8))]
struct Value([u32; 14]);

fn value(arg: &Arg, memory: &Memory) -> Value {
    let mut words = [0; 14];
    let wide = |wide: u64| [wide as u32, (wide >> 32) as u32];
    match *arg {
        Arg::Region(region) => {
            let address = region.map_or(0, |region| memory.address(region));
            words[..2].copy_from_slice(&wide(address));
        }
        Arg::Int(number) => words[0] = number as u32,
        Arg::Word(word) => words[0] = word,
        Arg::Len(len) => words[..2].copy_from_slice(&wide(len)),
        Arg::Float(number) => words[0] = number.to_bits(),
        Arg::Window(window) => {
            for (word, field) in words.iter_mut().zip(window_fields(&window)) {
                *word = field as u32;
            }
        }
    }
    Value(words)
}

/// A recorded program. [`Card::forget`] frees it.
#[derive(Debug)]
pub(super) struct Graph(sys::CUgraphExec);

// SAFETY: a handle of the driver, as those of `Card`, and used under the card's lock alone.
unsafe impl Send for Graph {}

/// Memory of a card, freed when it is dropped.
pub(super) struct Allocation {
    card: Arc<Mutex<Card>>,
    address: u64,
    bytes: usize,
}

impl fmt::Debug for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocation").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Allocation {
    pub(super) fn new(card: &Arc<Mutex<Card>>, bytes: usize) -> Result<Allocation, CudaFault> {
        let lock = card.lock().unwrap_or_else(PoisonError::into_inner);
        lock.bind()?;
        // SAFETY: the context is current; what is allocated is freed in `drop`. An empty one is refused by the driver.
        let address = unsafe { result::malloc_sync(bytes.max(1)) };
        let address = address.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaFault::OutOfMemory { bytes },
            _ => fault("cuMemAlloc")(error),
        })?;
        Ok(Allocation { card: card.clone(), address, bytes })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Frees graphs that were recorded on this memory.
    pub(super) fn forget(&self, graphs: impl Iterator<Item = Graph>) {
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        if card.bind().is_ok() {
            graphs.for_each(|graph| card.forget(graph));
        }
    }

    pub(super) fn is_on(&self, card: &Arc<Mutex<Card>>) -> bool {
        Arc::ptr_eq(&self.card, card)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        if card.bind().is_ok() {
            // SAFETY: allocated in `new`; passes wait for the card before they return, so that nothing uses it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

fn driver_version() -> Result<[u32; 2], CudaFault> {
    let mut version: c_int = 0;
    // SAFETY: a place for a number.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(fault("cuDriverGetVersion"))?;
    Ok([version as u32 / 1000, version as u32 % 1000 / 10])
}

/// Compute capability without its dot, such as 90.
fn compute_capability(device: sys::CUdevice) -> Result<u32, CudaFault> {
    use sys::CUdevice_attribute_enum as Attribute;
    // SAFETY: the device was given by the driver.
    let ask = |what| unsafe { result::device::get_attribute(device, what) };
    let major = ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    let minor = ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    let [major, minor] = [major, minor].map(|number| number.map_err(fault("cuDeviceGetAttribute")));
    Ok((10 * major? + minor?) as u32)
}

pub(super) fn fault(call: &'static str) -> impl Fn(DriverError) -> CudaFault {
    move |error| CudaFault::Failed { call, code: error.0 as u32 }
}

fn blas_fault(call: &'static str) -> impl Fn(blas::CublasError) -> CudaFault {
    move |error| CudaFault::Failed { call, code: error.0 as u32 }
}
