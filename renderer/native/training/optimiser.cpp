// Lazy Adam over table rows: a row without a gradient keeps its value and its moments, so a step costs what the batch touched.
#include "optimiser.h"

namespace visavis::training::VISAVIS_ISA {

void adam(float* table, float* grad, float* first, float* second, int64_t begin, int64_t end, const AdamStep& step) {
  constexpr int kGroup = 16;  // floats looked at together: 8 rows
  const float rate = step.rate * step.correction1;
  const int64_t last = 2 * end;
  for (int64_t i = 2 * begin; i < last; i += kGroup) {
    const int m = last - i < kGroup ? static_cast<int>(last - i) : kGroup;
    float g[kGroup] = {}, live[kGroup];
    for (int j = 0; j < m; j++) g[j] = grad[i + j];
    float any = 0.f;
    for (int j = 0; j < kGroup; j += 2) {
      live[j] = live[j + 1] = g[j] != 0.f || g[j + 1] != 0.f ? 1.f : 0.f;
      any += live[j];
    }
    if (any == 0.f) continue;
    float p[kGroup] = {}, m1[kGroup] = {}, m2[kGroup] = {};
    for (int j = 0; j < m; j++) p[j] = table[i + j], m1[j] = first[i + j], m2[j] = second[i + j];
    for (int j = 0; j < kGroup; j++) {
      const float a = step.beta1 * m1[j] + (1.f - step.beta1) * g[j];
      const float b = step.beta2 * m2[j] + (1.f - step.beta2) * g[j] * g[j];
      const float moved = p[j] - rate * a / (__builtin_sqrtf(b * step.correction2) + step.epsilon);
      m1[j] = live[j] != 0.f ? a : m1[j];
      m2[j] = live[j] != 0.f ? b : m2[j];
      p[j] = live[j] != 0.f ? moved : p[j];
    }
    for (int j = 0; j < m; j++) table[i + j] = p[j], first[i + j] = m1[j], second[i + j] = m2[j], grad[i + j] = 0.f;
  }
}

void average(const float* values, float* average, int64_t begin, int64_t end, float decay) {
  for (int64_t i = begin; i < end; i++) average[i] += (1.f - decay) * (values[i] - average[i]);
}

}  // namespace visavis::training::VISAVIS_ISA
