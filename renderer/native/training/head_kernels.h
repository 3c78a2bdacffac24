#pragma once

#include "head_block.h"

namespace visavis::training::VISAVIS_ISA {

void gates(const float* positions, int64_t begin, int64_t end, const Region& region, float* out);
// Adds the gradient through the gates of one region.
void gates_backward(const float* positions, int64_t begin, int64_t end, const Region& region, const float* grad_gates,
                    float* grad_positions);

extern const HeadFormat head_fp32;
// The fastest format: bfloat16 where the instruction set multiplies it, else head_fp32.
extern const HeadFormat head_fast;

}  // namespace visavis::training::VISAVIS_ISA
