"""NVRTC compiles the kernels for four generations of cards, and ptxas keeps all numbers in registers.

usage: nvrtc_check.py PACKAGES KERNELS.CU..., where PACKAGES is the folder that `requirements.txt` was installed in, and
each file one text of the kernels.
"""

import ctypes
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Volta, Turing, Ampere, Hopper.
CARDS = [70, 75, 80, 90]
# Of 65,536 registers, 64 for each thread let a card of any of these run 1,024 threads at a time on a multiprocessor.
MOST_REGISTERS = 64


def check(result, what):
    if result != 0:
        sys.exit(f"{what} failed with code {result}")


def compile_ptx(nvrtc, source, card):
    program = ctypes.c_void_p()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"kernels.cu", 0, None, None), "nvrtcCreateProgram")
    options = (ctypes.c_char_p * 2)(f"--gpu-architecture=compute_{card}".encode(), b"--std=c++17")
    result = nvrtc.nvrtcCompileProgram(program, 2, options)
    size = ctypes.c_size_t()
    check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)), "nvrtcGetProgramLogSize")
    log = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetProgramLog(program, log), "nvrtcGetProgramLog")
    if result != 0:
        sys.exit(f"sm_{card}: {log.value.decode()}")
    check(nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)), "nvrtcGetPTXSize")
    ptx = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetPTX(program, ptx), "nvrtcGetPTX")
    check(nvrtc.nvrtcDestroyProgram(ctypes.byref(program)), "nvrtcDestroyProgram")
    return ptx.raw[: size.value - 1]


def resources(ptxas, ptx, card):
    """Registers and spilled bytes of each kernel."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernels.ptx")
        path.write_bytes(ptx)
        command = [ptxas, "-v", f"-arch=sm_{card}", path, "-o", Path(folder, "kernels.cubin")]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"ptxas for sm_{card}: {run.stderr}")
    found = {}
    kernel = None
    for line in run.stderr.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = match.group(1)
            found[kernel] = {"spilled": 0}
        if match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            found[kernel]["spilled"] = sum(map(int, match.groups()))
        if match := re.search(r"Used (\d+) registers", line):
            found[kernel]["registers"] = int(match.group(1))
    return found


def faults_of(nvrtc, ptxas, path):
    """What is wrong with the kernels of a file, for any card."""
    source = path.read_bytes()
    declared = len(re.findall(rb"^(?:KERNEL |DEPTHWISE\()", source, re.M))
    faults = []
    for card in CARDS:
        name = f"{path} sm_{card}"
        found = resources(ptxas, compile_ptx(nvrtc, source, card), card)
        if len(found) != declared:
            faults.append(f"{name}: {len(found)} kernels of {declared}")
        for kernel, used in found.items():
            if used["spilled"] or used["registers"] > MOST_REGISTERS:
                faults.append(f"{name}: {kernel} uses {used['registers']} registers, {used['spilled']} bytes spilled")
        kernel = max(found, key=lambda name: found[name]["registers"])
        print(f"{name}: {len(found)} kernels, at most {found[kernel]['registers']} registers ({kernel})")
    return faults


def main():
    packages, files = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    libraries = sorted(packages.glob("**/cuda_nvrtc/lib/libnvrtc.so.*"))
    ptxas = sorted(packages.glob("**/cuda_nvcc/bin/ptxas"))
    if not libraries or not ptxas:
        sys.exit("the packages hold no NVRTC or no ptxas")
    # Wheels do not keep that it is a program.
    ptxas[0].chmod(0o755)
    # Where the library looks for its builtins.
    for builtins in libraries[0].parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    nvrtc = ctypes.CDLL(str(libraries[0]))
    faults = [fault for path in files for fault in faults_of(nvrtc, ptxas[0], path)]
    if not files or faults:
        sys.exit("\n".join(faults) or "there are no kernels")


main()
