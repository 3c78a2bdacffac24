// The multiresolution hash grid: interpolation and its two gradients. Twin of encode_reference of renderer/field/hash_grid.py.
#include "encode.h"

#include "grid.h"

namespace visavis::training::VISAVIS_ISA {

namespace {

inline int block_size(int64_t begin, int64_t end) { return end - begin < kBlock ? static_cast<int>(end - begin) : kBlock; }

template <int D>
void encode_dims(const float* x, int64_t begin, int64_t end, const float* table, const GridLevel* levels, int n_levels, float* out,
                 int64_t stride) {
  alignas(64) float axes[D][kBlock];
  Corners<D> corners;
  for (int64_t i = begin; i < end; i += kBlock) {
    const int m = block_size(i, end);
    load_block<D>(x + i * D, m, axes);
    for (int l = 0; l < n_levels; l++) {
      corners.place(axes, levels[l]);
      const float* rows = table + 2 * static_cast<size_t>(levels[l].offset);
      float* o = out + i * stride + 2 * l;
      for (int j = 0; j < m; j++) {
        Pair sum = {0.f, 0.f};
        for (int c = 0; c < 1 << D; c++) sum += corners.weights[c][j] * load_pair(rows + 2 * static_cast<size_t>(corners.rows[c][j]));
        store_pair(o + j * stride, sum);
      }
    }
  }
}

template <int D>
void backward_table_dims(const float* x, int64_t n, const GridLevel& level, const float* grad_out, int64_t stride, float* grad_table) {
  alignas(64) float axes[D][kBlock];
  Corners<D> corners;
  float* rows = grad_table + 2 * static_cast<size_t>(level.offset);
  for (int64_t i = 0; i < n; i += kBlock) {
    const int m = block_size(i, n);
    load_block<D>(x + i * D, m, axes);
    corners.place(axes, level);
    for (int j = 0; j < m; j++) {
      const Pair g = load_pair(grad_out + (i + j) * stride);
      // Samples behind an opaque surface have no gradient; rows that no sample moves stay clean for the lazy optimiser.
      if (g[0] == 0.f && g[1] == 0.f) continue;
      for (int c = 0; c < 1 << D; c++) {
        float* row = rows + 2 * static_cast<size_t>(corners.rows[c][j]);
        store_pair(row, load_pair(row) + corners.weights[c][j] * g);
      }
    }
  }
}

template <int D>
void backward_x_dims(const float* x, int64_t begin, int64_t end, const float* table, const GridLevel* levels, int n_levels,
                     const float* grad_out, int64_t stride, float* grad_x) {
  alignas(64) float axes[D][kBlock];
  Corners<D> corners;
  for (int64_t i = begin; i < end; i += kBlock) {
    const int m = block_size(i, end);
    load_block<D>(x + i * D, m, axes);
    alignas(64) float sums[D][kBlock] = {};
    for (int l = 0; l < n_levels; l++) {
      corners.place(axes, levels[l]);
      const float* rows = table + 2 * static_cast<size_t>(levels[l].offset);
      alignas(64) float values[1 << D][kBlock] = {};  // of each corner: its row times the gradient
      for (int j = 0; j < m; j++) {
        const Pair g = load_pair(grad_out + (i + j) * stride + 2 * l);
        if (g[0] == 0.f && g[1] == 0.f) continue;  // behind an opaque surface
        for (int c = 0; c < 1 << D; c++) {
          const Pair product = load_pair(rows + 2 * static_cast<size_t>(corners.rows[c][j])) * g;
          values[c][j] = product[0] + product[1];
        }
      }
      for (int d = 0; d < D; d++) {
        for (int c = 0; c < 1 << D; c++) {
          if (c >> d & 1) continue;
          const float *low = values[c], *high = values[c | 1 << d];
          for (int j = 0; j < kBlock; j++) {
            float rise = (high[j] - low[j]) * levels[l].scale;
            for (int e = 0; e < D; e++) {
              if (e != d) rise *= c >> e & 1 ? corners.fractions[e][j] : 1.f - corners.fractions[e][j];
            }
            sums[d][j] += rise;
          }
        }
      }
    }
    float flat[kBlock * D];
    for (int d = 0; d < D; d++) {
      for (int j = 0; j < kBlock; j++) flat[j * D + d] = sums[d][j];
    }
    const float* from = x + i * D;
    float* to = grad_x + i * D;
    for (int k = 0; k < m * D; k++) {  // flat, without a conditional load: GCC 12 -O3 vectorises the nested form wrongly
      const float inside = (from[k] < 0.f) | (from[k] > 1.f) ? 0.f : 1.f;  // the clamp's gradient
      to[k] = inside * flat[k];
    }
  }
}

}  // namespace

void encode(const float* x, int64_t begin, int64_t end, int dims, const float* table, const GridLevel* levels, int n_levels, float* out,
            int64_t stride) {
  if (dims == 3) {
    encode_dims<3>(x, begin, end, table, levels, n_levels, out, stride);
  } else {
    encode_dims<2>(x, begin, end, table, levels, n_levels, out, stride);
  }
}

void encode_backward_table(const float* x, int64_t n, int dims, const GridLevel& level, const float* grad_out, int64_t stride,
                           float* grad_table) {
  if (dims == 3) {
    backward_table_dims<3>(x, n, level, grad_out, stride, grad_table);
  } else {
    backward_table_dims<2>(x, n, level, grad_out, stride, grad_table);
  }
}

void encode_backward_x(const float* x, int64_t begin, int64_t end, int dims, const float* table, const GridLevel* levels, int n_levels,
                       const float* grad_out, int64_t stride, float* grad_x) {
  if (dims == 3) {
    backward_x_dims<3>(x, begin, end, table, levels, n_levels, grad_out, stride, grad_x);
  } else {
    backward_x_dims<2>(x, begin, end, table, levels, n_levels, grad_out, stride, grad_x);
  }
}

}  // namespace visavis::training::VISAVIS_ISA
