// The refiner's convolutions in float32: sixteen outputs of P places, one input channel after the other.

constexpr int kConvolveChannels = 16;

template <int P>
inline void convolve_places(const Convolution& c, int row, int column, int chunk) {
  constexpr int kVectors = kLanes / kWidth;
  const size_t across = (size_t)c.width + 2, plane = across * ((size_t)c.height + 2) * kConvolveChannels;
  const float* w = (const float*)c.weights + (size_t)chunk * 9 * (size_t)c.n_in * kLanes;
  Float sum[P][kVectors];
#pragma GCC unroll 24
  for (int p = 0; p < P; p++)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v++) sum[p][v] = load(c.bias + chunk * kLanes + v * kWidth);
  for (int tap = 0; tap < 9; tap++) {
    const float* a = (const float*)c.in + ((size_t)(row + tap / 3) * across + (size_t)(column + tap % 3)) * kConvolveChannels;
    for (int first = 0; first < c.n_in; first += kConvolveChannels, a += plane) {
      for (int i = 0; i < kConvolveChannels; i++, w += kLanes) {
        Float weight[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; v++) weight[v] = load(w + v * kWidth);
#pragma GCC unroll 24
        for (int p = 0; p < P; p++) {
          const Float x = broadcast(a[p * kConvolveChannels + i]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; v++) sum[p][v] += weight[v] * x;
        }
      }
    }
  }
  const size_t inside = ((size_t)(row + 1) * across + (size_t)(column + 1)) * kConvolveChannels + (size_t)chunk * plane;
  float* out = c.is_last ? (float*)c.out + ((size_t)row * (size_t)c.width + (size_t)column) * kLanes : (float*)c.out + inside;
#pragma GCC unroll 24
  for (int p = 0; p < P; p++) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; v++) {
      Float x = sum[p][v];
      if (c.rectifies) x = maximum(x, broadcast(kRefinerLeak) * x);
      if (c.add) x += load((const float*)c.add + inside + p * kConvolveChannels + v * kWidth);
      store(out + p * kLanes + v * kWidth, x);
    }
  }
}

#include "convolve.inl"

inline void convolve(const Convolution& c, int32_t first_row, int32_t n_rows) {
  for (int row = first_row; row < first_row + n_rows; row++) convolve_row(c, row);
}
