// Activations and grid rows of the bfloat16 kernels; the layers themselves are in dense_avx512_bf16.inl and dense_amx_bf16.inl.

typedef uint32_t Act;  // two features of one sample: 2r in the low half, 2r + 1 in the high half
constexpr int act_rows(int features) { return features / 2; }

// Two rows of float32 into one row of pairs.
inline __m512i pair_up(__m512 even, __m512 odd) {
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(odd, even);  // sixteen of `even`, then sixteen of `odd`
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19,
                                              3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(interleave, halves);
}

// The first M (at most 4) outputs of a last layer, for one group, in float32: out[m] has 16 lanes. `weights` is [K][4].
template <int M, int K>
inline void narrow(const float* weights, const Act* in, float out[][kLanes]) {
  Float even[M], odd[M];
  for (int m = 0; m < M; m++) even[m] = odd[m] = broadcast(0.0f);
  const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
#pragma GCC unroll 4
  for (int r = 0; r < K / 2; r++, weights += 8) {
    const __m512i pair = _mm512_load_si512(in + r * kLanes);
    const Float x = (Float)_mm512_slli_epi32(pair, 16), y = (Float)_mm512_and_si512(pair, high);
#pragma GCC unroll 4
    for (int m = 0; m < M; m++) {
      even[m] = _mm512_fmadd_ps(broadcast(weights[m]), x, even[m]);
      odd[m] = _mm512_fmadd_ps(broadcast(weights[4 + m]), y, odd[m]);
    }
  }
  for (int m = 0; m < M; m++) store(out[m], even[m] + odd[m]);
}

// Two features of 16 samples, interleaved: the first eight samples, then the others.
constexpr size_t kRowBytes = 4;
struct Pair {
  Float first, second;
};
struct Weight {
  Float first, second;
};
inline Weight spread(Float w) {
  const __m512i low = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const __m512i high = _mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15);
  return {_mm512_permutexvar_ps(low, w), _mm512_permutexvar_ps(high, w)};
}
inline Pair gather_pair(const void* rows, Uint index) {
  const __m512i halves = _mm512_i32gather_epi32((__m512i)index, rows, 4);
  return {_mm512_cvtph_ps(_mm512_castsi512_si256(halves)), _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1))};
}
inline Pair interpolate(Pair a, Pair b, Weight w) {
  return {_mm512_fmadd_ps(w.first, b.first - a.first, a.first), _mm512_fmadd_ps(w.second, b.second - a.second, a.second)};
}
inline void store_features(Act* group, int level, int, Pair features) {
  _mm512_store_si512(group + level * kLanes, (__m512i)_mm512_cvtne2ps_pbh(features.second, features.first));
}

// The waves of a torso pixel are written feature by feature.
inline void store_feature_pair(Act* group, int pair, const float* first, const float* second) {
  _mm512_store_si512(group + pair * kLanes, pair_up(load(first), load(second)));
}
