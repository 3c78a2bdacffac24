// Layers in float32. A row of activations is one feature of 16 samples.

typedef float Act;
constexpr int kBlockGroups = 2;  // groups of 16 samples that go through a layer together
constexpr int kBlockSamples = kBlockGroups * kLanes;
constexpr int act_rows(int features) { return features; }

// out = relu(W [a; b] + bias + column * gate) for one block.
//
// M outputs from KA + KB inputs; KW is the number of inputs that W was packed for. Group g of `a` lies at a + g * a_group, its rows
// STRIDE apart. `out` is [kBlockGroups][M][16]. `gate` (one value a sample) may be null.
template <int M, int KA, int KB, int KW, int STRIDE = kLanes>
inline void dense_relu(const void* weights, const float* bias, const float* column, const float* gate, const Act* a, int a_group,
                       const Act* b, int b_group, Act* out) {
  static_assert(M % kTileOuts == 0, "whole tiles of outputs");
  constexpr int kVectors = kBlockSamples / kWidth, kPerGroup = kLanes / kWidth;
  const float* tile = (const float*)weights;
  for (int m = 0; m < M; m += kTileOuts, tile += kTileOuts * KW) {
    for (int v0 = 0; v0 < kVectors; v0 += kTileVectors) {
      Float acc[kTileOuts][kTileVectors];
#pragma GCC unroll 8
      for (int i = 0; i < kTileOuts; i++)
#pragma GCC unroll 4
        for (int v = 0; v < kTileVectors; v++) {
          acc[i][v] = broadcast(bias[m + i]);
          if (gate) acc[i][v] += broadcast(column[m + i]) * load(gate + (v0 + v) * kWidth);
        }
      const float* w = tile;
      const Act* x[kTileVectors];
      for (int v = 0; v < kTileVectors; v++) x[v] = a + (v0 + v) / kPerGroup * a_group + (v0 + v) % kPerGroup * kWidth;
      for (int k = 0; k < KA; k++, w += kTileOuts) {
        Float in[kTileVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kTileVectors; v++) in[v] = load(x[v] + k * STRIDE);
#pragma GCC unroll 8
        for (int i = 0; i < kTileOuts; i++)
#pragma GCC unroll 4
          for (int v = 0; v < kTileVectors; v++) acc[i][v] += broadcast(w[i]) * in[v];
      }
      if (KB > 0) {
        for (int v = 0; v < kTileVectors; v++) x[v] = b + (v0 + v) / kPerGroup * b_group + (v0 + v) % kPerGroup * kWidth;
        for (int k = 0; k < KB; k++, w += kTileOuts) {
          Float in[kTileVectors];
#pragma GCC unroll 4
          for (int v = 0; v < kTileVectors; v++) in[v] = load(x[v] + k * kLanes);
#pragma GCC unroll 8
          for (int i = 0; i < kTileOuts; i++)
#pragma GCC unroll 4
            for (int v = 0; v < kTileVectors; v++) acc[i][v] += broadcast(w[i]) * in[v];
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; v++) {
        Act* o = out + ((v0 + v) / kPerGroup * M + m) * kLanes + (v0 + v) % kPerGroup * kWidth;
#pragma GCC unroll 8
        for (int i = 0; i < kTileOuts; i++) store(o + i * kLanes, maximum(acc[i][v], broadcast(0.0f)));
      }
    }
  }
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
