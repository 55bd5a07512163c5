//! NVRTC, and what it compiled before.

use std::ffi::{CString, c_char};
use std::fs;
use std::path::PathBuf;

use cudarc::nvrtc::{result, sys};

use super::fault::CudaFault;
use crate::graph::hash::of_text;

/// The version of the NVRTC that is installed.
pub(super) fn version() -> Result<[u32; 2], CudaFault> {
    // SAFETY: loads libraries by their usual names, whose start-up code is NVIDIA's.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaFault::NoCuda { library: "NVRTC" });
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both are places for a number.
    let code = unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
    code.result().map_err(|error| failed("nvrtcVersion", error))?;
    Ok([major as u32, minor as u32])
}

/// A source as PTX for a compute capability such as 90, with the zero at the end.
pub(super) fn ptx(source: &str, arch: u32, [major, minor]: [u32; 2]) -> Result<Vec<u8>, CudaFault> {
    // Another source, card or compiler gives another name; what is old is never read.
    let name = format!("kernels-{:016x}-sm{arch}-nvrtc{major}.{minor}.ptx", of_text(source));
    let kept = cache_folder().map(|folder| folder.join(name));
    if let Some(ptx) = kept.as_ref().and_then(|path| fs::read(path).ok())
        && ptx.ends_with(&[0])
    {
        return Ok(ptx);
    }
    let ptx = compile(source, arch)?;
    if let Some(path) = kept {
        // Without a place to keep it, it is compiled again the next time.
        let _ = keep(&path, &ptx);
    }
    Ok(ptx)
}

fn cache_folder() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match folder("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(folder("HOME")?).join(".cache"),
    };
    Some(base.join("cellc"))
}

/// Writes a file whole or not at all, however many processes do.
fn keep(path: &std::path::Path, ptx: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&part, ptx)?;
    fs::rename(&part, path)
}

fn compile(source: &str, arch: u32) -> Result<Vec<u8>, CudaFault> {
    let source = CString::new(source).expect("the source has no zero byte");
    let program = result::create_program(&source, Some(c"cellc.cu"));
    let program = program.map_err(|error| failed("nvrtcCreateProgram", error))?;
    let options = [format!("--gpu-architecture=compute_{arch}"), "--std=c++17".into()];
    // SAFETY: the program was made above and is destroyed below, after its last use.
    let compiled = unsafe { result::compile_program(program, &options) };
    let ptx = match compiled {
        // SAFETY: as above; it is compiled.
        Ok(()) => unsafe { result::get_ptx(program) }
            .map(|ptx| bytes(&ptx))
            .map_err(|error| failed("nvrtcGetPTX", error)),
        Err(_) => {
            // SAFETY: as above.
            let log = unsafe { result::get_program_log(program) }.unwrap_or_default();
            let log = String::from_utf8_lossy(&bytes(&log)).trim_end_matches('\0').to_owned();
            Err(CudaFault::Compile { arch, log })
        }
    };
    // SAFETY: its last use.
    let _ = unsafe { result::destroy_program(program) };
    ptx
}

fn bytes(text: &[c_char]) -> Vec<u8> {
    text.iter().map(|&c| c as u8).collect()
}

fn failed(call: &'static str, error: result::NvrtcError) -> CudaFault {
    CudaFault::Failed { call, code: error.0 as u32 }
}
