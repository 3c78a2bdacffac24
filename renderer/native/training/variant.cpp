// The table of kernels of the instruction set this file is compiled for.
#include "encode.h"
#include "head_kernels.h"
#include "kernels.h"
#include "optimiser.h"

namespace visavis::training::VISAVIS_ISA {

const Kernels kernels = {encode, encode_backward_table, encode_backward_x, adam, average, gates, gates_backward, head_fp32, head_fast};

}  // namespace visavis::training::VISAVIS_ISA
