// The fused head's run: order of the samples, packed weights, tape, threads, sums over shards, and the grids' gradients.
#include "head.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "head_block.h"
#include "kernels.h"
#include "parallel.h"

namespace visavis::training {

namespace {

constexpr int kPad = 16;
constexpr int64_t kMostShards = 16;       // sums are kept a shard, not a thread: results do not depend on the number of threads
constexpr int64_t kBlocksPerShard = 4;
constexpr int64_t kSamplesPerTask = 4096;

int padded(int width) { return (width + kPad - 1) / kPad * kPad; }

// Memory that only grows and is never cleared: a training step needs the same amount as the one before.
template <typename T>
class Room {
 public:
  T* get(int64_t n) {
    if (n > size_) {
      memory_.reset();
      size_ = n + n / 8;
      memory_.reset(static_cast<T*>(std::aligned_alloc(64, (sizeof(T) * size_ + 63) / 64 * 64)));
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> memory_;
  int64_t size_ = 0;
};

// The matrix [out, in] with its columns moved apart: [out, widths padded].
std::vector<float> pad_columns(const float* matrix, int out, int first, int first_padded, int second, int second_padded) {
  std::vector<float> result(static_cast<size_t>(out) * (first_padded + second_padded));
  for (int o = 0; o < out; o++) {
    const float* from = matrix + static_cast<int64_t>(o) * (first + second);
    float* to = result.data() + static_cast<int64_t>(o) * first_padded;
    std::copy(from, from + first, to);
    to = result.data() + static_cast<int64_t>(out) * first_padded + static_cast<int64_t>(o) * second_padded;
    std::copy(from + first, from + first + second, to);
  }
  return result;
}

}  // namespace

struct HeadRun {
  HeadConfig config;
  std::vector<GridLevel> spatial_levels, audio_levels;
  HeadWidths widths;

  const Kernels* kernels = nullptr;
  const HeadFormat* format = nullptr;
  HeadView view{};
  int64_t n = 0, n_active = 0;
  int n_frames = 0;
  bool kept = false;
  std::vector<HeadBlock> blocks;

  Room<int64_t> order;
  Room<float> gates, x01, features, log_density, tangents, coordinates, grad_spatial, grad_audio, grad_gates, sums, floats;
  Room<uint32_t> tape, scratch_words, matrices;
  std::vector<float> still_features, still_bias;

  explicit HeadRun(const HeadConfig& given)
      : config(given),
        spatial_levels(given.spatial_levels, given.spatial_levels + given.n_spatial),
        audio_levels(given.audio_levels, given.audio_levels + given.n_audio),
        widths{padded(2 * given.n_spatial), padded(2 * given.n_audio), given.hidden} {
    config.spatial_levels = spatial_levels.data();
    config.audio_levels = audio_levels.data();
  }

  int64_t n_shards() const {
    const int64_t n_blocks = static_cast<int64_t>(blocks.size());
    return std::min(kMostShards, (n_blocks + kBlocksPerShard - 1) / kBlocksPerShard);
  }
  std::pair<int64_t, int64_t> shard_blocks(int64_t shard) const {
    const int64_t n_blocks = static_cast<int64_t>(blocks.size());
    return {n_blocks * shard / n_shards(), n_blocks * (shard + 1) / n_shards()};
  }

  void plan(const float* given_positions, const int64_t* ends, int threads) {
    n = n_frames ? ends[n_frames - 1] : 0;
    float* audio_gate = gates.get(2 * n);
    float* eye_gate = audio_gate + n;
    parallel_blocks(n, kSamplesPerTask, threads, [&](int64_t begin, int64_t end) {
      kernels->gates(given_positions, begin, end, config.audio_region, audio_gate);
      kernels->gates(given_positions, begin, end, config.eye_region, eye_gate);
    });
    int64_t* numbers = order.get(n);
    blocks.clear();
    n_active = 0;
    int64_t filled = 0, tape_size = 0;
    for (int frame = 0; frame < n_frames; frame++) {
      const int64_t first = frame ? ends[frame - 1] : 0;
      for (const bool active : {true, false}) {
        const int64_t begin = filled;
        for (int64_t i = first; i < ends[frame]; i++) {
          if ((audio_gate[i] > 0.f) == active) numbers[filled++] = i;
        }
        for (int64_t i = begin; i < filled; i += kHeadBlock) {
          const auto count = static_cast<int32_t>(std::min<int64_t>(kHeadBlock, filled - i));
          blocks.push_back({i, n_active, tape_size, count, frame, active});
          if (active) n_active += count;
          tape_size += tape_words(widths, active, format->group);
        }
      }
    }
    view.config = &config;
    view.widths = widths;
    view.audio_gate = audio_gate;
    view.eye_gate = eye_gate;
    view.order = numbers;
    view.n = n;
    view.n_active = n_active;
    view.x01 = x01.get(3 * n);
    parallel_blocks(n, kSamplesPerTask, threads, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        for (int a = 0; a < 3; a++) {
          view.x01[3 * i + a] = (given_positions[3 * numbers[i] + a] - config.centre[a]) * config.inverse_edge + 0.5f;
        }
      }
    });
    view.log_density = log_density.get(n);
    view.tangents = tangents.get(2 * n_active);
    view.coordinates = coordinates.get(2 * n_active);
    if (kept) tape.get(tape_size);
  }

  void pack(const HeadTensors<const float>& tensors) {
    const auto [spatial, audio, hidden] = widths;
    const int64_t inputs = spatial + audio, group = format->group;
    uint32_t* words = matrices.get(2 * hidden * (inputs + spatial + 3 * hidden) / group);
    const auto add = [&](const float* matrix, int in, const uint32_t*& forward, const uint32_t*& backward) {
      const int64_t size = static_cast<int64_t>(hidden) * in / group;
      format->pack(matrix, hidden, in, words, words + size);
      forward = words;
      backward = words + size;
      words += 2 * size;
    };
    add(pad_columns(tensors.ambient0, hidden, 2 * config.n_spatial, spatial, 0, 0).data(), spatial, view.forward.ambient0,
        view.backward.ambient0);
    add(tensors.ambient1, hidden, view.forward.ambient1, view.backward.ambient1);
    add(tensors.density1, hidden, view.forward.density1, view.backward.density1);
    add(tensors.folded, hidden, view.forward.folded, view.backward.folded);

    const std::vector<float> density0 = pad_columns(tensors.density0, hidden, 2 * config.n_spatial, spatial, 2 * config.n_audio, audio);
    const float* from_audio = density0.data() + static_cast<int64_t>(hidden) * spatial;
    const int64_t first = static_cast<int64_t>(hidden) * spatial / group, all = hidden * inputs / group;
    format->pack(density0.data(), hidden, spatial, words, words + all);
    format->pack(from_audio, hidden, audio, words + first, words + all + first);
    view.forward.density0 = words;
    view.backward.density0 = words + all;

    const float neutral[2] = {0.5f, 0.5f};
    still_features.assign(audio, 0.f);
    kernels->encode(neutral, 0, 1, 2, tensors.audio_grid, config.audio_levels, config.n_audio, still_features.data(), audio);
    still_bias.assign(tensors.density_bias, tensors.density_bias + static_cast<int64_t>(n_frames) * hidden);
    for (int o = 0; o < hidden; o++) {
      float share = 0.f;
      for (int k = 0; k < audio; k++) share += from_audio[o * audio + k] * still_features[k];
      for (int frame = 0; frame < n_frames; frame++) still_bias[frame * hidden + o] += share;
    }
    view.tensors = tensors;
    view.still_features = still_features.data();
    view.still_bias = still_bias.data();
  }

  // Calls work(shard, scratch, tape of a block) for every shard.
  template <typename Work>
  void for_shards(int threads, const Work& work) {
    const int64_t words = static_cast<int64_t>(kHeadBlock) * widest_row(widths), shards = n_shards();
    const int64_t spare = kept ? 0 : tape_words(widths, true, format->group);
    const int64_t n_floats = static_cast<int64_t>(kHeadBlock) * (widths.spatial + widths.audio + 8);
    uint32_t* all_words = scratch_words.get(shards * (5 * words + spare));
    float* all_floats = floats.get(shards * n_floats);
    parallel_tasks(shards, threads, [&](int64_t shard) {
      uint32_t* w = all_words + shard * (5 * words + spare);
      float* f = all_floats + shard * n_floats;
      float* audio = f + static_cast<int64_t>(kHeadBlock) * widths.spatial;
      const HeadScratch scratch = {{w, w + words, w + 2 * words},
                                   {w + 3 * words, w + 4 * words},
                                   f,
                                   audio,
                                   audio + static_cast<int64_t>(kHeadBlock) * widths.audio};
      uint32_t* spare_tape = w + 5 * words;
      work(shard, scratch, [&](const HeadBlock& block) { return kept ? tape.get(0) + block.tape : spare_tape; });
    });
  }

  // Threads share a level at a time.
  void encode_spatial(const float* table, int threads) {
    const int64_t tasks = (n + kSamplesPerTask - 1) / kSamplesPerTask;
    view.features = features.get(2 * n * config.n_spatial);
    parallel_tasks(tasks * config.n_spatial, threads, [&](int64_t task) {
      const int64_t l = task / tasks, begin = task % tasks * kSamplesPerTask;
      kernels->encode(view.x01, begin, std::min(n, begin + kSamplesPerTask), 3, table, config.spatial_levels + l, 1, view.features + 2 * l * n,
                      2);
    });
  }

  void forward(const HeadTensors<const float>& tensors, const float* given_positions, const int64_t* ends, int frames, bool fast, bool keep,
               float* sigmas, float* rgbs, float* ambient, int threads) {
    kernels = &active_kernels();
    format = fast ? &kernels->head_fast : &kernels->head_fp32;
    n_frames = frames;
    kept = keep;
    plan(given_positions, ends, threads);
    pack(tensors);
    encode_spatial(tensors.spatial_grid, threads);
    view.sigmas = sigmas;
    view.rgbs = rgbs;
    view.ambient = ambient;
    for_shards(threads, [&](int64_t shard, const HeadScratch& scratch, const auto& tape_of) {
      const auto [first, last] = shard_blocks(shard);
      for (int64_t b = first; b < last; b++) format->forward(view, blocks[b], tape_of(blocks[b]), scratch);
    });
  }

  int64_t sums_size() const {
    const auto [spatial, audio, hidden] = widths;
    return static_cast<int64_t>(hidden) * (2 * spatial + audio + 3 * hidden + 2 + 1 + 3 + n_frames * kBiasKinds);
  }

  HeadSums place_sums(float* p) const {
    const auto [spatial, audio, hidden] = widths;
    const auto take = [&p, hidden = hidden](int64_t rows) {
      float* here = p;
      p += rows * hidden;
      return here;
    };
    HeadSums s;
    s.ambient0 = take(spatial);
    s.ambient1 = take(hidden);
    s.ambient2 = take(2);
    s.density0 = take(spatial + audio);
    s.density1 = take(hidden);
    s.density_out = take(1);
    s.folded = take(hidden);
    s.colour1 = take(3);
    s.biases = take(static_cast<int64_t>(n_frames) * kBiasKinds);
    return s;
  }

  void backward(const HeadTensors<const float>& tensors, const float* sigmas, const float* rgbs, const float* grad_sigmas,
                const float* grad_rgbs, const float* grad_ambient, const HeadTensors<float>& gradients, const float* given_positions,
                float* grad_positions, int threads) {
    view.tensors = tensors;
    view.sigmas = const_cast<float*>(sigmas);
    view.rgbs = const_cast<float*>(rgbs);
    view.grad_sigmas = grad_sigmas;
    view.grad_rgbs = grad_rgbs;
    view.grad_ambient = grad_ambient;
    view.grad_spatial = grad_spatial.get(2 * n * config.n_spatial);
    view.grad_audio = grad_audio.get(2 * n_active * config.n_audio);
    view.grad_gates = grad_positions ? grad_gates.get(2 * n) : nullptr;
    if (grad_positions) std::fill(view.grad_gates, view.grad_gates + 2 * n, 0.f);
    const int64_t size = sums_size(), shards = std::max<int64_t>(1, n_shards());
    float* all_sums = sums.get(shards * size);
    std::fill(all_sums, all_sums + size, 0.f);
    for_shards(threads, [&](int64_t shard, const HeadScratch& scratch, const auto& tape_of) {
      const HeadSums own = place_sums(all_sums + shard * size);
      std::fill(all_sums + shard * size, all_sums + (shard + 1) * size, 0.f);
      const auto [first, last] = shard_blocks(shard);
      for (int64_t b = first; b < last; b++) format->backward(view, blocks[b], tape_of(blocks[b]), scratch, own);
    });
    for (int64_t shard = 1; shard < shards; shard++) {
      for (int64_t i = 0; i < size; i++) all_sums[i] += all_sums[shard * size + i];
    }
    const std::vector<float> still = deliver(place_sums(all_sums), tensors, gradients);
    scatter(still, gradients, threads);
    if (grad_positions) differentiate_positions(given_positions, grad_positions, threads);
  }

  // Through the spatial grid, level by level within a task so that a level's rows stay in the cache; then through the gates.
  void differentiate_positions(const float* given_positions, float* grad_positions, int threads) const {
    parallel_blocks(n, kSamplesPerTask, threads, [&](int64_t begin, int64_t end) {
      const int64_t size = 3 * (end - begin);
      std::vector<float> total(size), level(size);
      for (int l = 0; l < config.n_spatial; l++) {
        kernels->encode_backward_x(view.x01 + 3 * begin, 0, end - begin, 3, view.tensors.spatial_grid, config.spatial_levels + l, 1,
                                   view.grad_spatial + 2 * (l * n + begin), 2, level.data());
        for (int64_t i = 0; i < size; i++) total[i] += level[i];
      }
      for (int64_t i = begin; i < end; i++) {
        for (int a = 0; a < 3; a++) grad_positions[3 * view.order[i] + a] = total[3 * (i - begin) + a] * config.inverse_edge;
      }
    });
    parallel_blocks(n, kSamplesPerTask, threads, [&](int64_t begin, int64_t end) {
      kernels->gates_backward(given_positions, begin, end, config.audio_region, view.grad_gates, grad_positions);
      kernels->gates_backward(given_positions, begin, end, config.eye_region, view.grad_gates + n, grad_positions);
    });
  }

  // Writes the sums out as [out, in] without pads; returns the gradient of the constant audio feature.
  std::vector<float> deliver(const HeadSums& s, const HeadTensors<const float>& tensors, const HeadTensors<float>& to) const {
    const auto [spatial, audio, hidden] = widths;
    const int n_spatial = 2 * config.n_spatial, n_audio = 2 * config.n_audio;
    const auto transpose = [hidden = hidden](const float* from, int in, float* matrix, int stride) {
      for (int o = 0; o < hidden; o++) {
        for (int k = 0; k < in; k++) matrix[static_cast<int64_t>(o) * stride + k] = from[k * hidden + o];
      }
    };
    transpose(s.ambient0, n_spatial, to.ambient0, n_spatial);
    transpose(s.ambient1, hidden, to.ambient1, hidden);
    transpose(s.density0, n_spatial, to.density0, n_spatial + n_audio);
    transpose(s.density0 + static_cast<int64_t>(spatial) * hidden, n_audio, to.density0 + n_spatial, n_spatial + n_audio);
    transpose(s.density1, hidden, to.density1, hidden);
    transpose(s.folded, hidden, to.folded, hidden);
    std::copy(s.ambient2, s.ambient2 + 2 * hidden, to.ambient2);
    std::copy(s.density_out, s.density_out + hidden, to.density_out);
    std::copy(s.colour1, s.colour1 + 3 * hidden, to.colour1);

    std::vector<float> still_sum(hidden), still_gradient(audio);
    for (int frame = 0; frame < n_frames; frame++) {
      const float* from = s.biases + static_cast<int64_t>(frame) * kBiasKinds * hidden;
      for (int o = 0; o < hidden; o++) {
        const int64_t i = static_cast<int64_t>(frame) * hidden + o;
        to.ambient_bias[i] = from[kAmbient * hidden + o];
        to.density_bias[i] = from[kDensityActive * hidden + o] + from[kDensityStill * hidden + o];
        to.eye_bias[i] = from[kEye * hidden + o];
        to.colour_bias[i] = from[kColour * hidden + o];
        still_sum[o] += from[kDensityStill * hidden + o];
      }
    }
    for (int o = 0; o < hidden; o++) {
      for (int k = 0; k < n_audio; k++) {
        const int64_t i = static_cast<int64_t>(o) * (n_spatial + n_audio) + n_spatial + k;
        to.density0[i] += still_sum[o] * still_features[k];
        still_gradient[k] += still_sum[o] * tensors.density0[i];
      }
    }
    return still_gradient;
  }

  // Levels do not share rows, so a level is a task.
  void scatter(const std::vector<float>& still, const HeadTensors<float>& gradients, int threads) const {
    const float neutral[2] = {0.5f, 0.5f};
    parallel_tasks(config.n_spatial + config.n_audio, threads, [&](int64_t task) {
      if (task < config.n_spatial) {
        kernels->encode_backward_table(view.x01, n, 3, config.spatial_levels[task], view.grad_spatial + 2 * task * n, 2,
                                       gradients.spatial_grid);
      } else {
        const int64_t l = task - config.n_spatial;
        kernels->encode_backward_table(view.coordinates, n_active, 2, config.audio_levels[l], view.grad_audio + 2 * l * n_active, 2,
                                       gradients.audio_grid);
        kernels->encode_backward_table(neutral, 1, 2, config.audio_levels[l], still.data() + 2 * l, 2, gradients.audio_grid);
      }
    });
  }
};

}  // namespace visavis::training

using namespace visavis::training;

extern "C" {

HeadRun* visavis_training_head_create(const HeadConfig* config) { return new HeadRun(*config); }

void visavis_training_head_destroy(HeadRun* run) { delete run; }

void visavis_training_head_forward(HeadRun* run, const HeadTensors<const float>* weights, const float* positions, const int64_t* ends,
                                   int n_frames, int bfloat16, int keep, float* sigmas, float* rgbs, float* ambient, int threads) {
  run->forward(*weights, positions, ends, n_frames, bfloat16, keep, sigmas, rgbs, ambient, threads);
}

void visavis_training_head_backward(HeadRun* run, const HeadTensors<const float>* weights, const float* sigmas, const float* rgbs,
                                    const float* grad_sigmas, const float* grad_rgbs, const float* grad_ambient,
                                    const HeadTensors<float>* gradients, const float* positions, float* grad_positions, int threads) {
  run->backward(*weights, sigmas, rgbs, grad_sigmas, grad_rgbs, grad_ambient, *gradients, positions, grad_positions, threads);
}

}  // extern "C"
