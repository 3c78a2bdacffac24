// The fused head on one block of samples. Twin of TorchField.head of renderer/field/torch_field.py (RAD-NeRF, equation 2).
#include "encode.h"
#include "head_kernels.h"
#include "matrix.h"

namespace visavis::training::VISAVIS_ISA {

static_assert(kBlockRows == kHeadBlock, "blocks of the driver and of the tiles");

namespace {

constexpr float kLeastLogDensity = -15.f, kMostLogDensity = 12.f;  // LOG_DENSITY_RANGE

// Where a block's activations lie on its tape; all as pairs.
template <class P>
struct Tape {
  Word *features, *density0, *density1, *colour, *ambient0, *ambient1, *audio;

  Tape(Word* words, const HeadWidths& widths) {
    const auto take = [&](int width) {
      Word* here = words;
      words += static_cast<int64_t>(kBlockRows) * width / P::kGroup;
      return here;
    };
    features = take(widths.spatial);
    density0 = take(widths.hidden);
    density1 = take(widths.hidden);
    colour = take(widths.hidden);
    ambient0 = take(widths.hidden);
    ambient1 = take(widths.hidden);
    audio = take(widths.audio);
  }
};

inline int even_rows(int count) { return (count + 1) / 2 * 2; }

// rows [count, width] from the block's part of [levels, n, 2]; columns beyond the levels, and rows beyond count, become 0.
void gather_levels(const float* levels, int n_levels, int64_t n, int64_t begin, int count, float* rows, int width) {
  for (int l = 0; l < n_levels; l++) {
    const float* from = levels + 2 * (l * n + begin);
    for (int i = 0; i < count; i++) memcpy(rows + i * width + 2 * l, from + 2 * i, 2 * sizeof(float));
  }
  for (int i = 0; i < count; i++) {
    for (int k = 2 * n_levels; k < width; k++) rows[i * width + k] = 0.f;
  }
  for (int i = count * width; i < even_rows(count) * width; i++) rows[i] = 0.f;
}

void spread_levels(const float* rows, int width, int n_levels, int64_t n, int64_t begin, int count, float* levels) {
  for (int l = 0; l < n_levels; l++) {
    float* to = levels + 2 * (l * n + begin);
    for (int i = 0; i < count; i++) memcpy(to + 2 * i, rows + i * width + 2 * l, 2 * sizeof(float));
  }
}

template <class P>
Operand operand(const Activations& x, int width, const Word* matrix) {
  return {rows_of<P>(x), width / P::kGroup, 1, matrix, width / P::kGroup};
}

template <class P>
void convert(const float* x, int width, int rows, const Activations& out) {
  for (int pair = 0; pair < rows / 2; pair++) {
    for (int k = 0; k < width; k += kLanes) {
      P::put(out.rows, out.pairs, width, pair, k, load<Vec>(x + 2 * pair * width + k), load<Vec>(x + (2 * pair + 1) * width + k));
    }
  }
}

// out = relu(sum of operands + bias + gate * gated_bias); bias may be null, and gated_bias too.
template <class P>
void layer(int rows, int width, const Operand* operands, int n_operands, const float* bias, const float* gate, const float* gated_bias,
           const Activations& out) {
  multiply<P>(
      rows, width, operands, n_operands,
      [&](auto& sums, int r, int c) __attribute__((always_inline)) {
        for (auto& row : sums) {
          for (int v = 0; v < static_cast<int>(sizeof row / sizeof(Vec)); v++) {
            row[v] = bias ? load<Vec>(bias + c + v * kLanes) : Vec{};
            if (gated_bias) row[v] += gate[r] * load<Vec>(gated_bias + c + v * kLanes);
          }
          r++;
        }
      },
      [&](auto& sums, int r, int c) __attribute__((always_inline)) {
        constexpr int kRows = sizeof sums / sizeof sums[0], kVectors = sizeof sums[0] / sizeof(Vec);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; i += 2) {
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; v++) {
            P::put(out.rows, out.pairs, width, (r + i) / 2, c + v * kLanes, positive(sums[i][v]), positive(sums[i + 1][v]));
          }
        }
      });
}

// Through a layer and the ReLU before it: grad_x = (matrix^T grad_out + own * own_weights) where x > 0; the sum over samples is added to
// `bias`, and that of gate * grad_x to `gated_bias`. own, bias and gated_bias may be null.
template <class P>
void layer_backward(int rows, int width, const Operand& grad_out, const Word* x, const float* own, const float* own_weights,
                    const Activations& grad_x, float* bias, const float* gate, float* gated_bias) {
  multiply<P>(
      rows, width, &grad_out, 1,
      [&](auto& sums, int r, int c) __attribute__((always_inline)) {
        for (auto& row : sums) {
          for (int v = 0; v < static_cast<int>(sizeof row / sizeof(Vec)); v++) {
            row[v] = own ? own[r] * load<Vec>(own_weights + c + v * kLanes) : Vec{};
          }
          r++;
        }
      },
      [&](auto& sums, int r, int c) __attribute__((always_inline)) {
        constexpr int kRows = sizeof sums / sizeof sums[0], kVectors = sizeof sums[0] / sizeof(Vec);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v++) {
          const int column = c + v * kLanes;
          Vec total = {}, gated = {};
#pragma GCC unroll 8
          for (int i = 0; i < kRows; i += 2) {
            Vec a, b;
            P::get(x, width, (r + i) / 2, column, a, b);
            a = a > 0.f ? sums[i][v] : Vec{};
            b = b > 0.f ? sums[i + 1][v] : Vec{};
            total += a + b;
            if (gated_bias) gated += gate[r + i] * a + gate[r + i + 1] * b;
            P::put(grad_x.rows, grad_x.pairs, width, (r + i) / 2, column, a, b);
          }
          if (bias) store(bias + column, load<Vec>(bias + column) + total);
          if (gated_bias) store(gated_bias + column, load<Vec>(gated_bias + column) + gated);
        }
      });
}

// out [rows, width] = sum, or += where `add`.
template <class P>
void input_gradient(int rows, int width, const Operand& grad_out, bool add, float* out) {
  multiply<P>(
      rows, width, &grad_out, 1,
      [&](auto& sums, int r, int c) __attribute__((always_inline)) {
        for (auto& row : sums) {
          for (int v = 0; v < static_cast<int>(sizeof row / sizeof(Vec)); v++) {
            row[v] = add ? load<Vec>(out + r * width + c + v * kLanes) : Vec{};
          }
          r++;
        }
      },
      [&](auto& sums, int r, int c) __attribute__((always_inline)) {
        for (auto& row : sums) {
          for (int v = 0; v < static_cast<int>(sizeof row / sizeof(Vec)); v++) store(out + r * width + c + v * kLanes, row[v]);
          r++;
        }
      });
}

template <class P>
void forward_block(const HeadView& view, const HeadBlock& block, uint32_t* tape_words, const HeadScratch& scratch) {
  const HeadConfig& config = *view.config;
  const auto [spatial, audio, hidden] = view.widths;
  const Tape<P> tape(tape_words, view.widths);
  const int m = block.count, rows = even_rows(m);
  const int64_t* numbers = view.order + block.begin;
  float eye[kBlockRows] = {};
  bool any_eye = false;
  for (int i = 0; i < m; i++) {
    eye[i] = view.eye_gate[numbers[i]];
    any_eye |= eye[i] > 0.f;
  }
  gather_levels(view.features, config.n_spatial, view.n, block.begin, m, scratch.spatial, spatial);
  const Activations features = {scratch.rows[0], tape.features};
  convert<P>(scratch.spatial, spatial, rows, features);
  Operand inputs[2] = {operand<P>(features, spatial, view.forward.ambient0)};
  const auto frame_bias = [&, hidden = hidden](const float* biases) { return biases + static_cast<int64_t>(block.frame) * hidden; };

  int n_inputs = 1;
  Word* audio_rows = scratch.rows[0] + kBlockRows * spatial / P::kGroup;
  if (block.active) {
    const Activations h0 = {scratch.rows[1], tape.ambient0}, h1 = {scratch.rows[2], tape.ambient1};
    layer<P>(rows, hidden, inputs, 1, frame_bias(view.tensors.ambient_bias), nullptr, nullptr, h0);
    const Operand second = operand<P>(h0, hidden, view.forward.ambient1);
    layer<P>(rows, hidden, &second, 1, nullptr, nullptr, nullptr, h1);
    float* raw = scratch.small;
    project<P, 2>(tape.ambient1, hidden, rows, view.tensors.ambient2, raw);
    for (int i = 0; i < 2 * kBlockRows; i += kLanes) store(raw + i, tangent(load<Vec>(raw + i)));
    float* coordinates = view.coordinates + 2 * block.active_begin;
    for (int i = 0; i < m; i++) {
      for (int a = 0; a < 2; a++) {
        const float value = raw[a * kBlockRows + i] * view.audio_gate[numbers[i]];
        view.tangents[2 * (block.active_begin + i) + a] = raw[a * kBlockRows + i];
        view.ambient[2 * numbers[i] + a] = value;
        coordinates[2 * i + a] = value * 0.5f + 0.5f;
      }
    }
    memset(scratch.audio, 0, sizeof(float) * kBlockRows * audio);
    encode(coordinates, 0, m, 2, view.tensors.audio_grid, config.audio_levels, config.n_audio, scratch.audio, audio);
    const Activations g = {audio_rows, tape.audio};
    convert<P>(scratch.audio, audio, rows, g);
    inputs[1] = operand<P>(g, audio, view.forward.density0 + static_cast<int64_t>(spatial) / P::kGroup * hidden);
    n_inputs = 2;
  } else {
    for (int i = 0; i < m; i++) view.ambient[2 * numbers[i]] = view.ambient[2 * numbers[i] + 1] = 0.f;
  }

  inputs[0].right = view.forward.density0;
  const Activations d0 = {scratch.rows[1], tape.density0}, d1 = {scratch.rows[0], tape.density1}, colour = {scratch.rows[1], tape.colour};
  layer<P>(rows, hidden, inputs, n_inputs, frame_bias(block.active ? view.tensors.density_bias : view.still_bias), eye,
           any_eye ? frame_bias(view.tensors.eye_bias) : nullptr, d0);
  const Operand third = operand<P>(d0, hidden, view.forward.density1);
  layer<P>(rows, hidden, &third, 1, nullptr, nullptr, nullptr, d1);
  const Operand fourth = operand<P>(d1, hidden, view.forward.folded);
  layer<P>(rows, hidden, &fourth, 1, frame_bias(view.tensors.colour_bias), nullptr, nullptr, colour);

  float* small = scratch.small;
  project<P, 1>(tape.density1, hidden, rows, view.tensors.density_out, small);
  project<P, 3>(tape.colour, hidden, rows, view.tensors.colour1, small + kBlockRows);
  for (int i = 0; i < m; i++) view.log_density[block.begin + i] = small[i];
  for (int i = 0; i < kBlockRows; i += kLanes) {
    store(small + i, exponential(smaller(larger(load<Vec>(small + i), splat(kLeastLogDensity)), splat(kMostLogDensity))));
  }
  for (int i = kBlockRows; i < 4 * kBlockRows; i += kLanes) store(small + i, sigmoid(load<Vec>(small + i)));
  for (int i = 0; i < m; i++) {
    view.sigmas[numbers[i]] = small[i];
    for (int c = 0; c < 3; c++) view.rgbs[3 * numbers[i] + c] = small[(1 + c) * kBlockRows + i];
  }
}

template <class P>
void backward_block(const HeadView& view, const HeadBlock& block, const uint32_t* tape_words, const HeadScratch& scratch,
                    const HeadSums& sums) {
  const HeadConfig& config = *view.config;
  const auto [spatial, audio, hidden] = view.widths;
  const Tape<P> tape(const_cast<Word*>(tape_words), view.widths);
  const int m = block.count, rows = even_rows(m);
  const int64_t* numbers = view.order + block.begin;
  const auto bias = [&, hidden = hidden](BiasKind kind) { return sums.biases + (static_cast<int64_t>(block.frame) * kBiasKinds + kind) * hidden; };
  const Activations even = {scratch.rows[0], scratch.pairs[0]}, odd = {scratch.rows[1], scratch.pairs[1]};

  // Gradients before the output functions; the rows that pad a block have none.
  float eye[kBlockRows] = {};
  bool any_eye = false;
  float* grad_log_density = scratch.small;
  float* grad_colour = scratch.small + kBlockRows;
  memset(scratch.small, 0, sizeof(float) * 4 * kBlockRows);
  for (int i = 0; i < m; i++) {
    const int64_t k = numbers[i];
    const float log_density = view.log_density[block.begin + i];
    const bool inside = log_density >= kLeastLogDensity && log_density <= kMostLogDensity;
    grad_log_density[i] = inside ? view.grad_sigmas[k] * view.sigmas[k] : 0.f;
    for (int c = 0; c < 3; c++) {
      const float value = view.rgbs[3 * k + c];
      grad_colour[c * kBlockRows + i] = view.grad_rgbs[3 * k + c] * value * (1.f - value);
    }
    eye[i] = view.eye_gate[k];
    any_eye |= eye[i] > 0.f;
  }

  project_backward<P, 3>(tape.colour, hidden, rows, view.tensors.colour1, grad_colour, even, bias(kColour));
  add_projection_gradient<P, 3>(tape.colour, hidden, rows, grad_colour, sums.colour1);
  add_weight_gradient<P>(tape.density1, hidden, even.pairs, hidden, rows, sums.folded);
  add_projection_gradient<P, 1>(tape.density1, hidden, rows, grad_log_density, sums.density_out);
  layer_backward<P>(rows, hidden, operand<P>(even, hidden, view.backward.folded), tape.density1, grad_log_density, view.tensors.density_out, odd,
                    nullptr, nullptr, nullptr);
  add_weight_gradient<P>(tape.density0, hidden, odd.pairs, hidden, rows, sums.density1);
  layer_backward<P>(rows, hidden, operand<P>(odd, hidden, view.backward.density1), tape.density0, nullptr, nullptr, even,
                    bias(block.active ? kDensityActive : kDensityStill), eye, any_eye ? bias(kEye) : nullptr);
  add_weight_gradient<P>(tape.features, spatial, even.pairs, hidden, rows, sums.density0);
  if (view.grad_gates && any_eye) {
    project<P, 1>(even.pairs, hidden, rows, view.tensors.eye_bias + static_cast<int64_t>(block.frame) * hidden, scratch.small);
    for (int i = 0; i < m; i++) view.grad_gates[view.n + numbers[i]] = scratch.small[i];
  }

  float* grad_spatial = scratch.spatial;
  // The way back through density0 is [out / group][spatial + audio]; the two halves are packed one after the other.
  input_gradient<P>(rows, spatial, operand<P>(even, hidden, view.backward.density0), false, grad_spatial);
  if (block.active) {
    add_weight_gradient<P>(tape.audio, audio, even.pairs, hidden, rows, sums.density0 + static_cast<int64_t>(spatial) * hidden);
    const Word* to_audio = view.backward.density0 + static_cast<int64_t>(hidden) / P::kGroup * spatial;
    input_gradient<P>(rows, audio, operand<P>(even, hidden, to_audio), false, scratch.audio);
    spread_levels(scratch.audio, audio, config.n_audio, view.n_active, block.active_begin, m, view.grad_audio);

    float grad_coordinates[2 * kBlockRows];
    encode_backward_x(view.coordinates + 2 * block.active_begin, 0, m, 2, view.tensors.audio_grid, config.audio_levels, config.n_audio,
                      scratch.audio, audio, grad_coordinates);
    float* grad_raw = scratch.small;
    memset(grad_raw, 0, sizeof(float) * 2 * kBlockRows);
    for (int i = 0; i < m; i++) {
      for (int a = 0; a < 2; a++) {
        const float value = view.tangents[2 * (block.active_begin + i) + a];
        const float gradient = 0.5f * grad_coordinates[2 * i + a] + view.grad_ambient[2 * numbers[i] + a];
        grad_raw[a * kBlockRows + i] = gradient * view.audio_gate[numbers[i]] * (1.f - value * value);
        if (view.grad_gates) view.grad_gates[numbers[i]] += gradient * value;
      }
    }
    project_backward<P, 2>(tape.ambient1, hidden, rows, view.tensors.ambient2, grad_raw, even, nullptr);
    add_projection_gradient<P, 2>(tape.ambient1, hidden, rows, grad_raw, sums.ambient2);
    add_weight_gradient<P>(tape.ambient0, hidden, even.pairs, hidden, rows, sums.ambient1);
    layer_backward<P>(rows, hidden, operand<P>(even, hidden, view.backward.ambient1), tape.ambient0, nullptr, nullptr, odd, bias(kAmbient),
                      nullptr, nullptr);
    add_weight_gradient<P>(tape.features, spatial, odd.pairs, hidden, rows, sums.ambient0);
    input_gradient<P>(rows, spatial, operand<P>(odd, hidden, view.backward.ambient0), true, grad_spatial);
  }
  spread_levels(grad_spatial, spatial, config.n_spatial, view.n, block.begin, m, view.grad_spatial);
}

template <class P>
void pack(const float* matrix, int out, int in, uint32_t* forward, uint32_t* backward) {
  for (int k = 0; k < in; k += P::kGroup) {
    for (int o = 0; o < out; o++) forward[k / P::kGroup * out + o] = P::word(matrix + o * in + k, 1);
  }
  for (int o = 0; o < out; o += P::kGroup) {
    for (int k = 0; k < in; k++) backward[o / P::kGroup * in + k] = P::word(matrix + o * in + k, in);
  }
}

}  // namespace

void gates(const float* positions, int64_t begin, int64_t end, const Region& region, float* out) {
  for (int64_t i = begin; i < end; i++) {
    float squared = 0.f;
    for (int a = 0; a < 3; a++) {
      const float r = (positions[3 * i + a] - region.centre[a]) / region.radii[a];
      squared += r * r;
    }
    float t = (1.f - __builtin_sqrtf(squared)) / region.softness;
    t = t > 0.f ? t : 0.f;
    t = t < 1.f ? t : 1.f;
    out[i] = t * t * (3.f - 2.f * t);
  }
}

void gates_backward(const float* positions, int64_t begin, int64_t end, const Region& region, const float* grad_gates,
                    float* grad_positions) {
  for (int64_t i = begin; i < end; i++) {
    if (grad_gates[i] == 0.f) continue;
    const float *x = positions + 3 * i, *c = region.centre, *radii = region.radii;
    const float r0 = (x[0] - c[0]) / radii[0], r1 = (x[1] - c[1]) / radii[1], r2 = (x[2] - c[2]) / radii[2];
    const float r = __builtin_sqrtf(r0 * r0 + r1 * r1 + r2 * r2), t = (1.f - r) / region.softness;
    if (!(t > 0.f && t < 1.f && r > 0.f)) continue;
    const float slope = -6.f * t * (1.f - t) / (region.softness * r) * grad_gates[i];
    grad_positions[3 * i] += slope * r0 / radii[0];
    grad_positions[3 * i + 1] += slope * r1 / radii[1];
    grad_positions[3 * i + 2] += slope * r2 / radii[2];
  }
}

const HeadFormat head_fp32 = {Fp32::kGroup, pack<Fp32>, forward_block<Fp32>, backward_block<Fp32>};
#ifdef __AVX512BF16__
const HeadFormat head_fast = {Bf16::kGroup, pack<Bf16>, forward_block<Bf16>, backward_block<Bf16>};
#else
const HeadFormat head_fast = head_fp32;
#endif

}  // namespace visavis::training::VISAVIS_ISA
