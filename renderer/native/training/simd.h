// Vectors of the instruction set a file is compiled for, and the two number formats of the networks.
//
// A matrix of activations [samples, width] exists as `rows` (sample after sample, read along the width) and as `pairs` (what a sum
// over samples reads). Both are made of 32-bit words that hold P::kGroup numbers: Fp32 one, so rows and pairs are the same
// memory; Bf16 two neighbours along the axis that is summed over, as the processor's dot product wants them.
#pragma once

#include <cstring>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "training.h"

namespace visavis::training::VISAVIS_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kTileVectors = 4;  // with kTileRows: accumulators, operands and a broadcast fit the registers
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kTileVectors = 2;
#else
constexpr int kLanes = 4;
constexpr int kTileVectors = 2;
#endif
constexpr int kTileRows = 6;

using Word = uint32_t;
typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int32_t IntVec __attribute__((vector_size(4 * kLanes)));
typedef uint32_t WordVec __attribute__((vector_size(4 * kLanes)));

template <typename V, typename T>
static inline V load(const T* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}

template <typename V, typename T>
static inline void store(T* p, V v) {
  memcpy(p, &v, sizeof v);
}

static inline Vec splat(float x) { return Vec{} + x; }
static inline WordVec splat_word(Word x) { return WordVec{} + x; }
static inline Vec positive(Vec x) { return x > 0.f ? x : Vec{}; }
static inline Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
static inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

static inline float sum(Vec v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width; width /= 2) {
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

// e^x to 2 units in the last place, x clamped to the range of normal results.
static inline Vec exponential(Vec x) {
  x = smaller(larger(x, splat(-87.f)), splat(88.f));
  const Vec scaled = x * 1.44269504f;
  const IntVec whole = __builtin_convertvector(scaled + (scaled < 0.f ? splat(-0.5f) : splat(0.5f)), IntVec);
  const Vec n = __builtin_convertvector(whole, Vec);
  const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  return p * (Vec)((whole + 127) << 23);
}

static inline Vec sigmoid(Vec x) { return 1.f / (1.f + exponential(-x)); }
static inline Vec tangent(Vec x) { return 1.f - 2.f / (1.f + exponential(2.f * x)); }

struct Fp32 {
  static constexpr int kGroup = 1;

  static inline Vec multiply_add(Vec sum, WordVec a, WordVec b) { return sum + (Vec)a * (Vec)b; }

  static inline Word word(const float* p, int64_t) {
    Word w;
    memcpy(&w, p, sizeof w);
    return w;
  }

  // Two samples (2 * pair, 2 * pair + 1) of one vector of columns.
  static inline void put(Word*, Word* pairs, int64_t width, int64_t pair, int64_t column, Vec a, Vec b) {
    store(pairs + 2 * pair * width + column, a);
    store(pairs + (2 * pair + 1) * width + column, b);
  }
  static inline void get(const Word* pairs, int64_t width, int64_t pair, int64_t column, Vec& a, Vec& b) {
    a = load<Vec>(pairs + 2 * pair * width + column);
    b = load<Vec>(pairs + (2 * pair + 1) * width + column);
  }
};

#ifdef __AVX512BF16__
struct Bf16 {
  static constexpr int kGroup = 2;

  static inline Vec multiply_add(Vec sum, WordVec a, WordVec b) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
  }

  // The numbers at p and p + stride, rounded to nearest even.
  static inline Word word(const float* p, int64_t stride) {
    Word low, high;
    memcpy(&low, p, sizeof low);
    memcpy(&high, p + stride, sizeof high);
    low += 0x7fff + (low >> 16 & 1);
    high += 0x7fff + (high >> 16 & 1);
    return low >> 16 | (high & 0xffff0000u);
  }

  static inline void put(Word* rows, Word* pairs, int64_t width, int64_t pair, int64_t column, Vec a, Vec b) {
    const __m256i low = (__m256i)_mm512_cvtneps_pbh((__m512)a), high = (__m256i)_mm512_cvtneps_pbh((__m512)b);
    store(rows + (2 * pair * width + column) / 2, low);
    store(rows + ((2 * pair + 1) * width + column) / 2, high);
    const __m512i both = _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
    store(pairs + pair * width + column, both);
  }
  static inline void get(const Word* pairs, int64_t width, int64_t pair, int64_t column, Vec& a, Vec& b) {
    const WordVec both = load<WordVec>(pairs + pair * width + column);
    a = (Vec)(both << 16);
    b = (Vec)(both & 0xffff0000u);
  }
};
#endif

}  // namespace visavis::training::VISAVIS_ISA
