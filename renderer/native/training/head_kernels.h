#pragma once

#include "head_block.h"

namespace visavis::training::VISAVIS_ISA {

void gates(const float* positions, int64_t begin, int64_t end, const Region& region, float* out);

extern const HeadFormat head_fp32;
// The fastest format: bfloat16 where the instruction set multiplies it, else head_fp32.
extern const HeadFormat head_fast;

}  // namespace visavis::training::VISAVIS_ISA
