// Rows and weights of the corners around a block of samples, shared by the grid's forward and backward kernels.
#pragma once

#include <cstring>

#include "training.h"

namespace visavis::training::VISAVIS_ISA {

constexpr int kBlock = 64;
constexpr uint32_t kPrimes[3] = {1u, 2654435761u, 805459861u};  // Instant-NGP, equation 4

typedef float Pair __attribute__((vector_size(8)));  // the two features of a row

static inline Pair load_pair(const float* p) {
  Pair v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void store_pair(float* p, Pair v) { memcpy(p, &v, sizeof v); }

// A block of coordinates, one array an axis, clamped to 0...1 (not-a-number becomes 0); missing samples repeat 0.
template <int D>
static inline void load_block(const float* x, int m, float (*axes)[kBlock]) {
  for (int d = 0; d < D; d++) {
    for (int j = 0; j < kBlock; j++) axes[d][j] = 0.f;
    for (int j = 0; j < m; j++) {
      float v = x[j * D + d];
      v = v > 0.f ? v : 0.f;
      axes[d][j] = v < 1.f ? v : 1.f;
    }
  }
}

template <int D>
struct Corners {
  alignas(64) uint32_t rows[1 << D][kBlock];
  alignas(64) float weights[1 << D][kBlock];
  alignas(64) float fractions[D][kBlock];

  void place(const float (*axes)[kBlock], const GridLevel& level) {
    alignas(64) uint32_t low[D][kBlock], high[D][kBlock];
    const uint32_t mask = level.n_rows - 1;
    uint32_t stride = 1;
    for (int d = 0; d < D; d++) {
      const uint32_t factor = level.hashed ? kPrimes[d] : stride;
      stride *= level.resolution;
      for (int j = 0; j < kBlock; j++) {
        const float position = axes[d][j] * level.scale;
        const int32_t cell = static_cast<int32_t>(position);
        fractions[d][j] = position - static_cast<float>(cell);
        low[d][j] = static_cast<uint32_t>(cell) * factor;
        high[d][j] = low[d][j] + factor;
      }
    }
    for (int c = 0; c < 1 << D; c++) {
      const uint32_t* a = c & 1 ? high[0] : low[0];
      const uint32_t* b = c & 2 ? high[1] : low[1];
      const uint32_t* e = D == 3 ? (c & 4 ? high[D - 1] : low[D - 1]) : nullptr;
      if (level.hashed) {
        for (int j = 0; j < kBlock; j++) rows[c][j] = (D == 3 ? a[j] ^ b[j] ^ e[j] : a[j] ^ b[j]) & mask;
      } else {
        for (int j = 0; j < kBlock; j++) rows[c][j] = D == 3 ? a[j] + b[j] + e[j] : a[j] + b[j];
      }
      for (int j = 0; j < kBlock; j++) {
        float w = c & 1 ? fractions[0][j] : 1.f - fractions[0][j];
        w *= c & 2 ? fractions[1][j] : 1.f - fractions[1][j];
        if (D == 3) w *= c & 4 ? fractions[D - 1][j] : 1.f - fractions[D - 1][j];
        weights[c][j] = w;
      }
    }
  }
};

}  // namespace visavis::training::VISAVIS_ISA
