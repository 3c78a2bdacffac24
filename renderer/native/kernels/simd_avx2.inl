// Vectors of eight floats: AVX2 and FMA.

constexpr int kWidth = 8;
typedef __m256 Float;
typedef int32_t Int __attribute__((vector_size(32)));
typedef uint32_t Uint __attribute__((vector_size(32)));

inline Float load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Float v) { _mm256_storeu_ps(p, v); }
inline Float broadcast(float x) { return _mm256_set1_ps(x); }
inline Float select(Int mask, Float a, Float b) { return _mm256_blendv_ps(b, a, (__m256)mask); }
inline Float minimum(Float a, Float b) { return _mm256_min_ps(a, b); }
inline Float maximum(Float a, Float b) { return _mm256_max_ps(a, b); }
inline Int truncate(Float v) { return (Int)_mm256_cvttps_epi32(v); }
inline Float to_float(Int v) { return _mm256_cvtepi32_ps((__m256i)v); }
inline Float round_to_even(Float v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline Float square_root(Float v) { return _mm256_sqrt_ps(v); }
inline uint32_t bitmask(Int mask) { return (uint32_t)_mm256_movemask_ps((__m256)mask); }
inline Uint gather_words(const uint32_t* base, Int index) { return (Uint)_mm256_i32gather_epi32((const int*)base, (__m256i)index, 4); }

// Two features of kWidth samples.
constexpr size_t kRowBytes = 8;
struct Pair {
  Float first, second;
};
inline __m128 two_rows(const float* rows, uint32_t a, uint32_t b) {
  const __m128d low = _mm_load_sd((const double*)(rows + 2 * (size_t)a));
  return _mm_castpd_ps(_mm_loadh_pd(low, (const double*)(rows + 2 * (size_t)b)));
}
// Single loads: on most cores faster than the gather instruction, nowhere much slower.
inline Pair gather_pair(const void* rows, Uint index) {
  const float* p = (const float*)rows;
  alignas(32) uint32_t i[8];
  _mm256_store_si256((__m256i*)i, (__m256i)index);
  const __m256 a = _mm256_insertf128_ps(_mm256_castps128_ps256(two_rows(p, i[0], i[1])), two_rows(p, i[4], i[5]), 1);
  const __m256 b = _mm256_insertf128_ps(_mm256_castps128_ps256(two_rows(p, i[2], i[3])), two_rows(p, i[6], i[7]), 1);
  return {_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd)};
}

// Lane order that moves the lanes of a set of bits to the front; built by the compiler.
struct CompressTable {
  alignas(32) int32_t order[256][8];
  constexpr CompressTable() : order() {
    for (int bits = 0; bits < 256; bits++) {
      int n = 0;
      for (int i = 0; i < 8; i++)
        if (bits >> i & 1) order[bits][n++] = i;
    }
  }
};
constexpr CompressTable kCompress;

// Pack the lanes of `v` whose bit is set to the front of `out`, which has room for kWidth.
inline void compress(float* out, uint32_t bits, Float v) {
  _mm256_storeu_ps(out, _mm256_permutevar8x32_ps(v, _mm256_load_si256((const __m256i*)kCompress.order[bits])));
}
