// Vectors of sixteen floats: AVX-512 F, BW, DQ and VL.

constexpr int kWidth = 16;
typedef __m512 Float;
typedef int32_t Int __attribute__((vector_size(64)));
typedef uint32_t Uint __attribute__((vector_size(64)));

inline Float load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Float v) { _mm512_storeu_ps(p, v); }
inline Float broadcast(float x) { return _mm512_set1_ps(x); }
inline Float select(Int mask, Float a, Float b) { return _mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), b, a); }
inline Float minimum(Float a, Float b) { return _mm512_min_ps(a, b); }
inline Float maximum(Float a, Float b) { return _mm512_max_ps(a, b); }
inline Int truncate(Float v) { return (Int)_mm512_cvttps_epi32(v); }
inline Float to_float(Int v) { return _mm512_cvtepi32_ps((__m512i)v); }
inline Float round_to_even(Float v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Float square_root(Float v) { return _mm512_sqrt_ps(v); }
inline uint32_t bitmask(Int mask) { return _mm512_movepi32_mask((__m512i)mask); }
inline Uint gather_words(const uint32_t* base, Int index) { return (Uint)_mm512_i32gather_epi32((__m512i)index, base, 4); }

// Pack the lanes of `v` whose bit is set to the front of `out`, which has room for kWidth.
inline void compress(float* out, uint32_t bits, Float v) {
  // In a register first: compressing straight to memory is microcoded on Zen 4.
  _mm512_storeu_ps(out, _mm512_maskz_compress_ps((__mmask16)bits, v));
}
