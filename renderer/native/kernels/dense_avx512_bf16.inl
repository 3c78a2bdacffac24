// Hidden layers by VDPBF16PS: each instruction adds two products to sixteen samples.

constexpr int kTileOuts = 8;
constexpr int kBlockGroups = 2;  // groups of 16 samples that go through a layer together
constexpr int kBlockSamples = kBlockGroups * kLanes;

// out = relu(W [a; b] + bias + column * gate) for one block.
//
// M outputs from KA + KB inputs; KW is the number of inputs that W was packed for. Group g of `a` lies at a + g * a_group, its rows
// STRIDE apart. `out` is [kBlockGroups][M / 2][16]. `gate` (one value a sample) may be null.
template <int M, int KA, int KB, int KW, int STRIDE = kLanes>
__attribute__((noinline)) void dense_relu(const void* weights, const float* bias, const float* column, const float* gate, const Act* a,
                                          int a_group, const Act* b, int b_group, Act* out) {
  static_assert(M % kTileOuts == 0, "whole tiles of outputs");
  const int32_t* tile = (const int32_t*)weights;
  for (int m = 0; m < M; m += kTileOuts, tile += kTileOuts * KW / 2) {
    __m512 x[kTileOuts], y[kTileOuts];
#pragma GCC unroll 8
    for (int i = 0; i < kTileOuts; i++) x[i] = y[i] = _mm512_set1_ps(bias[m + i]);
    if (gate) {
      const __m512 gx = _mm512_loadu_ps(gate), gy = _mm512_loadu_ps(gate + kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kTileOuts; i++) {
        x[i] = _mm512_fmadd_ps(_mm512_set1_ps(column[m + i]), gx, x[i]);
        y[i] = _mm512_fmadd_ps(_mm512_set1_ps(column[m + i]), gy, y[i]);
      }
    }
    const int32_t* w = tile;
#pragma GCC unroll 2
    for (int r = 0; r < KA / 2; r++, w += kTileOuts) {
      const __m512bh ax = (__m512bh)_mm512_load_si512(a + r * STRIDE), ay = (__m512bh)_mm512_load_si512(a + a_group + r * STRIDE);
#pragma GCC unroll 8
      for (int i = 0; i < kTileOuts; i++) {
        const __m512bh wi = (__m512bh)_mm512_set1_epi32(w[i]);
        x[i] = _mm512_dpbf16_ps(x[i], wi, ax);
        y[i] = _mm512_dpbf16_ps(y[i], wi, ay);
      }
    }
#pragma GCC unroll 2
    for (int r = 0; r < KB / 2; r++, w += kTileOuts) {
      const __m512bh bx = (__m512bh)_mm512_load_si512(b + r * kLanes), by = (__m512bh)_mm512_load_si512(b + b_group + r * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kTileOuts; i++) {
        const __m512bh wi = (__m512bh)_mm512_set1_epi32(w[i]);
        x[i] = _mm512_dpbf16_ps(x[i], wi, bx);
        y[i] = _mm512_dpbf16_ps(y[i], wi, by);
      }
    }
    const __m512 zero = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int i = 0; i < kTileOuts; i += 2) {
      Act* o = out + (m + i) / 2 * kLanes;
      _mm512_store_si512(o, pair_up(_mm512_max_ps(x[i], zero), _mm512_max_ps(x[i + 1], zero)));
      _mm512_store_si512(o + M / 2 * kLanes, pair_up(_mm512_max_ps(y[i], zero), _mm512_max_ps(y[i + 1], zero)));
    }
  }
}

inline void begin_tiles() {}
inline void end_tiles() {}
