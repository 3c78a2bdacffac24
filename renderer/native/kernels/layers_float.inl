// Layers in float32. A row of activations is one feature of 16 samples.

typedef float Act;
constexpr int kBlockGroups = 2;  // groups of 16 samples that go through a layer together
constexpr int kBlockSamples = kBlockGroups * kLanes;
constexpr int act_rows(int features) { return features; }

// What a tile adds up: K inputs whose rows lie STRIDE apart. `w` is [K][kTileOuts], of which OUTS are used.
template <int OUTS, int K, int STRIDE>
inline const float* accumulate(Float (&acc)[OUTS][kTileVectors], const float* w, const Act* const* in) {
  for (int k = 0; k < K; k++, w += kTileOuts) {
    Float x[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; v++) x[v] = load(in[v] + k * STRIDE);
#pragma GCC unroll 8
    for (int i = 0; i < OUTS; i++) {
      const Float wi = broadcast(w[i]);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; v++) acc[i][v] += wi * x[v];
    }
  }
  return w;
}

// Outputs m ... m + OUTS of one block; see dense_relu.
//
// Not inlined: GCC then keeps the sums in registers.
template <int OUTS, int M, int KA, int KB, int STRIDE>
__attribute__((noinline)) void dense_tile(const float* w, const float* bias, const float* column, const float* gate, const Act* a,
                                          int a_group, const Act* b, int b_group, Act* out) {
  constexpr int kPerGroup = kLanes / kWidth;
  static_assert(kPerGroup * kBlockGroups % kTileVectors == 0, "whole tiles of samples");
  for (int v0 = 0; v0 < kPerGroup * kBlockGroups; v0 += kTileVectors) {
    Float acc[OUTS][kTileVectors];
    const Act* in[kTileVectors];
    Act* to[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; v++) {
      const int group = (v0 + v) / kPerGroup, lane = (v0 + v) % kPerGroup * kWidth;
      in[v] = a + group * a_group + lane;
      to[v] = out + group * M * kLanes + lane;
#pragma GCC unroll 8
      for (int i = 0; i < OUTS; i++) acc[i][v] = broadcast(bias[i]);
    }
    if (gate)
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; v++)
#pragma GCC unroll 8
        for (int i = 0; i < OUTS; i++) acc[i][v] += broadcast(column[i]) * load(gate + (v0 + v) * kWidth);
    const float* second = accumulate<OUTS, KA, STRIDE>(acc, w, in);
    if (KB > 0) {
      for (int v = 0; v < kTileVectors; v++) in[v] = b + (v0 + v) / kPerGroup * b_group + (v0 + v) % kPerGroup * kWidth;
      accumulate<OUTS, KB, kLanes>(acc, second, in);
    }
#pragma GCC unroll 8
    for (int i = 0; i < OUTS; i++)
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; v++) store(to[v] + i * kLanes, maximum(acc[i][v], broadcast(0.0f)));
  }
}

// out = relu(W [a; b] + bias + column * gate) for one block.
//
// M outputs from KA + KB inputs; KW is the number of inputs that W was packed for. Group g of `a` lies at a + g * a_group, its rows
// STRIDE apart. `out` is [kBlockGroups][M][16]. `gate` (one value a sample) may be null.
template <int M, int KA, int KB, int KW, int STRIDE = kLanes>
inline void dense_relu(const void* weights, const float* bias, const float* column, const float* gate, const Act* a, int a_group,
                       const Act* b, int b_group, Act* out) {
  constexpr int kRest = M % kTileOuts;
  const float* w = (const float*)weights;
  int m = 0;
  for (; m + kTileOuts <= M; m += kTileOuts, w += kTileOuts * KW)
    dense_tile<kTileOuts, M, KA, KB, STRIDE>(w, bias + m, gate ? column + m : nullptr, gate, a, a_group, b, b_group, out + m * kLanes);
  if (kRest > 0)
    dense_tile<(kRest > 0 ? kRest : 1), M, KA, KB, STRIDE>(w, bias + m, gate ? column + m : nullptr, gate, a, a_group, b, b_group, out + m * kLanes);
}

// The first M (at most 4) outputs of a last layer, for one group: out[m] has 16 lanes. `weights` is [K][4].
template <int M, int K>
inline void narrow(const float* weights, const Act* in, float out[][kLanes]) {
  for (int v = 0; v < kLanes; v += kWidth) {
    Float even[M], odd[M];
    for (int m = 0; m < M; m++) even[m] = odd[m] = broadcast(0.0f);
    for (int k = 0; k < K; k += 2) {
      const Float x = load(in + k * kLanes + v), y = load(in + (k + 1) * kLanes + v);
#pragma GCC unroll 4
      for (int m = 0; m < M; m++) {
        even[m] += broadcast(weights[k * 4 + m]) * x;
        odd[m] += broadcast(weights[k * 4 + 4 + m]) * y;
      }
    }
    for (int m = 0; m < M; m++) store(out[m] + v, even[m] + odd[m]);
  }
}

// Interpolated features of one level become rows 2 * level and 2 * level + 1 of a group.
typedef Float Weight;
inline Weight spread(Float w) { return w; }
inline Pair interpolate(Pair a, Pair b, Weight w) {
  return {a.first + w * (b.first - a.first), a.second + w * (b.second - a.second)};
}
inline void store_features(Act* group, int level, int lane, Pair features) {
  store(group + 2 * level * kLanes + lane, features.first);
  store(group + (2 * level + 1) * kLanes + lane, features.second);
}

// The waves of a torso pixel are written feature by feature.
inline void store_feature_pair(Act* group, int pair, const float* first, const float* second) {
  for (int v = 0; v < kLanes; v += kWidth) {
    store(group + 2 * pair * kLanes + v, load(first + v));
    store(group + (2 * pair + 1) * kLanes + v, load(second + v));
  }
}

inline void begin_tiles() {}
inline void end_tiles() {}
