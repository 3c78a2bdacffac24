#pragma once

#include "training.h"

namespace visavis::training::VISAVIS_ISA {

// Features of consecutive samples are `stride` floats apart.
void encode(const float* x, int64_t begin, int64_t end, int dims, const float* table, const GridLevel* levels, int n_levels, float* out,
            int64_t stride);
// grad_out points at the level's first feature of sample 0.
void encode_backward_table(const float* x, int64_t n, int dims, const GridLevel& level, const float* grad_out, int64_t stride,
                           float* grad_table);
void encode_backward_x(const float* x, int64_t begin, int64_t end, int dims, const float* table, const GridLevel* levels, int n_levels,
                       const float* grad_out, int64_t stride, float* grad_x);

}  // namespace visavis::training::VISAVIS_ISA
