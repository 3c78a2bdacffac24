// Vectors of four floats in plain C++ with the compiler's vector extension: SSE2, NEON, or scalar code.

constexpr int kWidth = 4;
typedef float Float __attribute__((vector_size(16)));
typedef int32_t Int __attribute__((vector_size(16)));
typedef uint32_t Uint __attribute__((vector_size(16)));

inline Float load(const float* p) {
  Float v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Float v) { __builtin_memcpy(p, &v, sizeof v); }
inline Float broadcast(float x) { return Float{x, x, x, x}; }
inline Float select(Int mask, Float a, Float b) { return (Float)((mask & (Int)a) | (~mask & (Int)b)); }
inline Float minimum(Float a, Float b) { return select(a < b, a, b); }
inline Float maximum(Float a, Float b) { return select(a > b, a, b); }
inline Int truncate(Float v) { return __builtin_convertvector(v, Int); }
inline Float to_float(Int v) { return __builtin_convertvector(v, Float); }
inline Float round_to_even(Float v) {
  const Float magic = broadcast(12582912.0f);  // 1.5 * 2^23: the sum has no fraction bits
  volatile Float sum = v + magic;              // volatile: must not be simplified to v
  return sum - magic;
}
inline Float square_root(Float v) {
  Float r;
  for (int i = 0; i < kWidth; i++) r[i] = __builtin_sqrtf(v[i]);
  return r;
}
inline uint32_t bitmask(Int mask) {
  const Int bits = mask & Int{1, 2, 4, 8};
  return (uint32_t)(bits[0] | bits[1] | bits[2] | bits[3]);
}
inline Uint gather_words(const uint32_t* base, Int index) { return Uint{base[index[0]], base[index[1]], base[index[2]], base[index[3]]}; }

// Two features of kWidth samples.
constexpr size_t kRowBytes = 8;
struct Pair {
  Float first, second;
};
inline Pair gather_pair(const void* rows, Uint index) {
  const float* p = (const float*)rows;
  const float *a = p + 2 * (size_t)index[0], *b = p + 2 * (size_t)index[1], *c = p + 2 * (size_t)index[2], *d = p + 2 * (size_t)index[3];
  return {Float{a[0], b[0], c[0], d[0]}, Float{a[1], b[1], c[1], d[1]}};
}

// Pack the lanes of `v` whose bit is set to the front of `out`, which has room for kWidth.
inline void compress(float* out, uint32_t bits, Float v) {
  int n = 0;
  for (int i = 0; i < kWidth; i++)
    if (bits >> i & 1) out[n++] = v[i];
}
