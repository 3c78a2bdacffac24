// Products of small matrices with blocks of samples. One tile kernel serves the forward pass, the gradient of the input and the
// gradient of the weights: each is a sum over steps of a broadcast word times a row of words.
#pragma once

#include "simd.h"

namespace visavis::training::VISAVIS_ISA {

constexpr int kBlockRows = 96;  // samples of a block: a multiple of kTileRows and of a pair

struct Activations {
  Word* rows;   // [kBlockRows, width / group]; unused where the group is 1
  Word* pairs;  // [kBlockRows / group, width]
};

template <class P>
static inline const Word* rows_of(const Activations& x) {
  return P::kGroup == 1 ? x.pairs : x.rows;
}

struct Operand {
  const Word* left;
  int64_t left_row, left_step;
  const Word* right;  // [steps, columns of the product]
  int steps;
};

template <int N>
struct Int {
  static constexpr int value = N;
};

template <class P, int R, int V, class Begin, class End>
[[gnu::always_inline]] static inline void tile(int row, int column, int columns, const Operand* operands, int n_operands, const Begin& begin,
                                        const End& end) {
  Vec sums[R][V];
  begin(sums, row, column);
  for (int i = 0; i < n_operands; i++) {
    const Operand& o = operands[i];
    const Word* left = o.left + row * o.left_row;
    const Word* right = o.right + column;
    for (int t = 0; t < o.steps; t++) {
      WordVec b[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; v++) b[v] = load<WordVec>(right + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; r++) {
        const WordVec a = splat_word(left[r * o.left_row]);
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) sums[r][v] = P::multiply_add(sums[r][v], a, b[v]);
      }
      left += o.left_step;
      right += columns;
    }
  }
  end(sums, row, column);
}

template <class P, int R, class Begin, class End>
[[gnu::always_inline]] static inline void tile_row(int row, int columns, const Operand* operands, int n_operands, const Begin& begin,
                                            const End& end) {
  int c = 0;
  for (; c + kTileVectors * kLanes <= columns; c += kTileVectors * kLanes) {
    tile<P, R, kTileVectors>(row, c, columns, operands, n_operands, begin, end);
  }
  if constexpr (kTileVectors > 2) {
    for (; c + 2 * kLanes <= columns; c += 2 * kLanes) tile<P, R, 2>(row, c, columns, operands, n_operands, begin, end);
    for (; c < columns; c += kLanes) tile<P, R, 1>(row, c, columns, operands, n_operands, begin, end);
  }
}

// product[row, column] = begin + sum over operands and steps; `begin(sums, row, column)` sets a tile's sums, `end` takes them.
// rows is even, columns a multiple of 16.
template <class P, class Begin, class End>
static inline void multiply(int rows, int columns, const Operand* operands, int n_operands, const Begin& begin, const End& end) {
  int r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) tile_row<P, kTileRows>(r, columns, operands, n_operands, begin, end);
  for (; r < rows; r += 2) tile_row<P, 2>(r, columns, operands, n_operands, begin, end);
}

// gradient [in, out] += sum over samples of input [sample, in] * grad_out [sample, out].
template <class P>
static inline void add_weight_gradient(const Word* input, int in, const Word* grad_out, int out, int rows, float* gradient) {
  const Operand operand = {input, 1, in, grad_out, rows / P::kGroup};
  multiply<P>(
      in, out, &operand, 1,
      [&](auto& sums, int r, int c) __attribute__((always_inline)) {
        for (auto& row : sums) {
          for (int v = 0; v < static_cast<int>(sizeof row / sizeof(Vec)); v++) row[v] = load<Vec>(gradient + r * out + c + v * kLanes);
          r++;
        }
      },
      [&](auto& sums, int r, int c) __attribute__((always_inline)) {
        for (auto& row : sums) {
          for (int v = 0; v < static_cast<int>(sizeof row / sizeof(Vec)); v++) store(gradient + r * out + c + v * kLanes, row[v]);
          r++;
        }
      });
}

// out [C, kBlockRows] = weights [C, width] times x, for the few numbers that leave the network.
template <class P, int C>
static inline void project(const Word* x, int width, int rows, const float* weights, float* out) {
  for (int pair = 0; pair < rows / 2; pair++) {
    Vec first[C] = {}, second[C] = {};
    for (int k = 0; k < width; k += kLanes) {
      Vec a, b;
      P::get(x, width, pair, k, a, b);
      for (int c = 0; c < C; c++) {
        const Vec w = load<Vec>(weights + c * width + k);
        first[c] += a * w;
        second[c] += b * w;
      }
    }
    for (int c = 0; c < C; c++) {
      out[c * kBlockRows + 2 * pair] = sum(first[c]);
      out[c * kBlockRows + 2 * pair + 1] = sum(second[c]);
    }
  }
}

// gradient [C, width] += sum over samples of grad_out [C, kBlockRows] * x.
template <class P, int C>
static inline void add_projection_gradient(const Word* x, int width, int rows, const float* grad_out, float* gradient) {
  for (int k = 0; k < width; k += kLanes) {
    Vec sums[C];
    for (int c = 0; c < C; c++) sums[c] = load<Vec>(gradient + c * width + k);
    for (int pair = 0; pair < rows / 2; pair++) {
      Vec a, b;
      P::get(x, width, pair, k, a, b);
      for (int c = 0; c < C; c++) {
        const float* g = grad_out + c * kBlockRows + 2 * pair;
        sums[c] += a * g[0] + b * g[1];
      }
    }
    for (int c = 0; c < C; c++) store(gradient + c * width + k, sums[c]);
  }
}

// Through a projection and the ReLU before it: grad_x = weights^T grad_out where x > 0; its sum over samples is added to `bias`.
template <class P, int C>
static inline void project_backward(const Word* x, int width, int rows, const float* weights, const float* grad_out, const Activations& grad_x,
                             float* bias) {
  for (int k = 0; k < width; k += kLanes) {
    Vec w[C], total = {};
    for (int c = 0; c < C; c++) w[c] = load<Vec>(weights + c * width + k);
    for (int pair = 0; pair < rows / 2; pair++) {
      Vec a, b, grad_a = {}, grad_b = {};
      P::get(x, width, pair, k, a, b);
      for (int c = 0; c < C; c++) {
        const float* g = grad_out + c * kBlockRows + 2 * pair;
        grad_a += w[c] * g[0];
        grad_b += w[c] * g[1];
      }
      grad_a = a > 0.f ? grad_a : Vec{};
      grad_b = b > 0.f ? grad_b : Vec{};
      total += grad_a + grad_b;
      P::put(grad_x.rows, grad_x.pairs, width, pair, k, grad_a, grad_b);
    }
    if (bias) store(bias + k, load<Vec>(bias + k) + total);
  }
}

}  // namespace visavis::training::VISAVIS_ISA
