// The kernel of each instruction set. A kernel that was not compiled in is absent from available_kernels() (cpu_features.cpp).
#pragma once

#include "kernel.h"

namespace visavis {
const Kernel* portable_kernel();
const Kernel* avx2_kernel();
const Kernel* avx512_kernel();
const Kernel* avx512_bf16_kernel();
const Kernel* amx_bf16_kernel();
}  // namespace visavis
