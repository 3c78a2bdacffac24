#pragma once

#include "training.h"

namespace visavis::training::VISAVIS_ISA {

void adam(float* table, float* grad, float* first, float* second, int64_t begin, int64_t end, const AdamStep& step);
void average(const float* values, float* average, int64_t begin, int64_t end, float decay);

}  // namespace visavis::training::VISAVIS_ISA
