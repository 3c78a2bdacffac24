// The kernels of one instruction set, each on a range of its items, so that the caller decides on threads.
//
// Every file that defines kernels is compiled once per instruction set with VISAVIS_ISA naming the namespace. Such a file must not
// use inline functions of the standard library: the linker would keep one copy of them for all sets.
#pragma once

#include "head_block.h"
#include "training.h"

namespace visavis::training {

struct Kernels {
  void (*encode)(const float* x, int64_t begin, int64_t end, int dims, const float* table, const GridLevel* levels, int n_levels,
                 float* out, int64_t stride);
  void (*encode_backward_table)(const float* x, int64_t n, int dims, const GridLevel& level, const float* grad_out, int64_t stride,
                                float* grad_table);
  void (*encode_backward_x)(const float* x, int64_t begin, int64_t end, int dims, const float* table, const GridLevel* levels,
                            int n_levels, const float* grad_out, int64_t stride, float* grad_x);
  void (*adam)(float* table, float* grad, float* first, float* second, int64_t begin, int64_t end, const AdamStep& step);
  void (*average)(const float* values, float* average, int64_t begin, int64_t end, float decay);
  void (*gates)(const float* positions, int64_t begin, int64_t end, const Region& region, float* out);
  void (*gates_backward)(const float* positions, int64_t begin, int64_t end, const Region& region, const float* grad_gates,
                         float* grad_positions);
  HeadFormat head_fp32;
  HeadFormat head_fast;
};

// The kernels of the instruction set in use.
const Kernels& active_kernels();

namespace base {
extern const Kernels kernels;
}
namespace v3 {
extern const Kernels kernels;
}
namespace v4 {
extern const Kernels kernels;
}
namespace v4_bf16 {
extern const Kernels kernels;
}

}  // namespace visavis::training
