// Hidden layers by AMX tiles: a tile of weights (16 outputs x 32 inputs) times a tile of activations (16 pair rows x 16 samples).
//
// The activations and the bias, gate and rounding are those of dense_avx512_bf16.inl; only the products go another way.

constexpr int kTileOuts = 16;
constexpr int kBlockGroups = 4;  // groups of 16 samples that go through a layer together
constexpr int kBlockSamples = kBlockGroups * kLanes;

// The sums of 32 outputs and two groups: [half of the outputs][group][16][16].
struct alignas(64) TileSums {
  float at[2][2][kLanes][kLanes];
};

// 32 outputs from input m on (`weights` points at their first row) for two groups.
template <int KA, int KB, int KW, int STRIDE>
inline void multiply_tiles(const uint16_t* weights, const Act* a, int a_group, const Act* b, int b_group, TileSums& sums) {
  constexpr int kRowBytes16 = KW * (int)sizeof(uint16_t), kActBytes = STRIDE * (int)sizeof(Act);
  const uint16_t* lower = weights + kLanes * KW;
  TILE_ZERO(0);
  TILE_ZERO(1);
  TILE_ZERO(2);
  TILE_ZERO(3);
  for (int k = 0; k < KA; k += 32) {
    TILE_LOAD(4, weights + k, kRowBytes16);
    TILE_LOAD(6, a + k / 2 * STRIDE, kActBytes);
    TILE_MULTIPLY(0, 4, 6);
    TILE_LOAD(7, a + a_group + k / 2 * STRIDE, kActBytes);
    TILE_MULTIPLY(1, 4, 7);
    TILE_LOAD(5, lower + k, kRowBytes16);
    TILE_MULTIPLY(2, 5, 6);
    TILE_MULTIPLY(3, 5, 7);
  }
  for (int k = 0; k < KB; k += 32) {
    TILE_LOAD(4, weights + KA + k, kRowBytes16);
    TILE_LOAD(6, b + k / 2 * kLanes, 64);
    TILE_MULTIPLY(0, 4, 6);
    TILE_LOAD(7, b + b_group + k / 2 * kLanes, 64);
    TILE_MULTIPLY(1, 4, 7);
    TILE_LOAD(5, lower + KA + k, kRowBytes16);
    TILE_MULTIPLY(2, 5, 6);
    TILE_MULTIPLY(3, 5, 7);
  }
  TILE_STORE(0, sums.at[0][0], 64);
  TILE_STORE(1, sums.at[0][1], 64);
  TILE_STORE(2, sums.at[1][0], 64);
  TILE_STORE(3, sums.at[1][1], 64);
}

// Bias, gate and rectifier on 32 sums of two groups; `out` is the first group's row of output m.
inline void finish_tiles(const TileSums& sums, const float* bias, const float* column, const float* gate, Act* out, int out_group) {
  const __m512 zero = _mm512_setzero_ps();
  for (int half = 0; half < 2; half++) {
    for (int group = 0; group < 2; group++) {
      Act* o = out + group * out_group + half * (kLanes / 2) * kLanes;
      const __m512 g = gate ? _mm512_loadu_ps(gate + group * kLanes) : zero;
#pragma GCC unroll 8
      for (int i = 0; i < kLanes; i += 2) {
        const int m = half * kLanes + i;
        __m512 x = _mm512_add_ps(_mm512_load_ps(sums.at[half][group][i]), _mm512_set1_ps(bias[m]));
        __m512 y = _mm512_add_ps(_mm512_load_ps(sums.at[half][group][i + 1]), _mm512_set1_ps(bias[m + 1]));
        if (gate) {
          x = _mm512_fmadd_ps(_mm512_set1_ps(column[m]), g, x);
          y = _mm512_fmadd_ps(_mm512_set1_ps(column[m + 1]), g, y);
        }
        _mm512_store_si512(o + i / 2 * kLanes, pair_up(_mm512_max_ps(x, zero), _mm512_max_ps(y, zero)));
      }
    }
  }
}

// out = relu(W [a; b] + bias + column * gate) for one block; see dense_avx512_bf16.inl. Weights are bfloat16 [M][KW].
template <int M, int KA, int KB, int KW, int STRIDE = kLanes>
inline void dense_relu(const void* weights, const float* bias, const float* column, const float* gate, const Act* a, int a_group,
                       const Act* b, int b_group, Act* out) {
  static_assert(M % 32 == 0 && KA % 32 == 0 && KB % 32 == 0, "whole tiles");
  constexpr int kSteps = kBlockGroups / 2 * (M / 32), kOutGroup = M / 2 * kLanes;
  TileSums sums[2];
  // The tiles of a step are multiplied while the sums of the step before are finished.
  for (int step = 0; step <= kSteps; step++) {
    if (step < kSteps) {
      const int group = step / (M / 32) * 2, m = step % (M / 32) * 32;
      multiply_tiles<KA, KB, KW, STRIDE>((const uint16_t*)weights + m * KW, a + group * a_group, a_group, KB ? b + group * b_group : b,
                                         b_group, sums[step % 2]);
    }
    if (step > 0) {
      const int group = (step - 1) / (M / 32) * 2, m = (step - 1) % (M / 32) * 32;
      finish_tiles(sums[(step - 1) % 2], bias + m, gate ? column + m : column, gate ? gate + group * kLanes : gate,
                   out + group * kOutGroup + m / 2 * kLanes, kOutGroup);
    }
  }
}
