// The refiner's convolutions by VDPBF16PS: sixteen outputs of P places, two input channels an instruction.

constexpr int kConvolvePlaces = 24, kConvolveStep = 4;

// Bias, rectifier and sum with `add`, for sixteen outputs of one place; `inside` is the place's first channel in `add` and in `out`.
inline void finish_place(const Convolution& c, __m512 x, size_t inside, size_t place, int chunk) {
  x = _mm512_add_ps(x, _mm512_loadu_ps(c.bias + chunk * kLanes));
  if (c.rectifies) x = _mm512_max_ps(x, _mm512_mul_ps(x, _mm512_set1_ps(kRefinerLeak)));
  if (c.add) {
    const __m256i other = _mm256_loadu_si256((const __m256i*)((const uint16_t*)c.add + inside));
    x = _mm512_add_ps(x, (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(other), 16));
  }
  if (c.is_last)
    _mm512_storeu_ps((float*)c.out + place * kLanes, x);
  else
    _mm256_storeu_si256((__m256i*)((uint16_t*)c.out + inside), (__m256i)_mm512_cvtneps_pbh(x));
}

// Where sixteen output channels of a place lie in a raster of activations.
inline size_t channels_of(const Convolution& c, int row, int column, int chunk) {
  const size_t across = (size_t)c.width + 2, plane = across * ((size_t)c.height + 2) * kConvolveChannels;
  const int channel = chunk * kLanes;
  return ((size_t)(row + 1) * across + (size_t)(column + 1)) * kConvolveChannels + (size_t)(channel / kConvolveChannels) * plane +
         (size_t)(channel % kConvolveChannels);
}

template <int P>
inline void convolve_places(const Convolution& c, int row, int column, int chunk) {
  const size_t across = (size_t)c.width + 2, plane = across * ((size_t)c.height + 2) * kConvolveChannels;
  const uint32_t* w = (const uint32_t*)c.weights + (size_t)chunk * 9 * (size_t)(c.n_in / 2) * kLanes;
  __m512 sum[P];
#pragma GCC unroll 24
  for (int p = 0; p < P; p++) sum[p] = _mm512_setzero_ps();
  for (int tap = 0; tap < 9; tap++) {
    const uint16_t* a = (const uint16_t*)c.in + ((size_t)(row + tap / 3) * across + (size_t)(column + tap % 3)) * kConvolveChannels;
    for (int first = 0; first < c.n_in; first += kConvolveChannels, a += plane) {
      const int32_t* pairs = (const int32_t*)a;
#pragma GCC unroll 2
      for (int r = 0; r < kConvolveChannels / 2; r++, w += kLanes) {
        const __m512bh weight = (__m512bh)_mm512_load_si512(w);
#pragma GCC unroll 24
        for (int p = 0; p < P; p++)
          sum[p] = _mm512_dpbf16_ps(sum[p], weight, (__m512bh)_mm512_set1_epi32(pairs[p * (kConvolveChannels / 2) + r]));
      }
    }
  }
  const size_t inside = channels_of(c, row, column, chunk), place = (size_t)row * (size_t)c.width + (size_t)column;
#pragma GCC unroll 24
  for (int p = 0; p < P; p++) finish_place(c, sum[p], inside + (size_t)p * kConvolveChannels, place + (size_t)p, chunk);
}

#include "convolve.inl"
