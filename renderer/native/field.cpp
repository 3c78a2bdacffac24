// Handles of the native renderer: one packed field with its scratch memory and workers.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cpu_features.h"
#include "field_abi.h"
#include "kernel.h"
#include "packing.h"
#include "visible_tiles.h"
#include "workers.h"

namespace visavis {
namespace {

constexpr double kPi = 3.14159265358979323846;

// The working memory of one thread.
class ThreadMemory {
 public:
  explicit ThreadMemory(const Kernel& kernel) {
    constexpr size_t kRays = kBlockRays + kLanes, kSamples = kBatchSamples + kPadding;
    Scratch& s = scratch;
    s.transmittance = array<float>(kRays);
    for (float*& axis : s.colour) axis = array<float>(kRays);
    for (int32_t** one : {&s.ray, &s.next_k, &s.end_k, &s.window_k}) *one = array<int32_t>(kRays);
    for (float*& axis : s.direction) axis = array<float>(kRays);
    s.window_bits = array<uint32_t>(kRays);
    for (auto* three : {s.position, s.quiet_position})
      for (int d = 0; d < 3; d++) three[d] = array<float>(kSamples);
    for (float** one : {&s.audio_gate, &s.eye_gate, &s.quiet_eye_gate, &s.ambient[0], &s.ambient[1]}) *one = array<float>(kSamples);
    for (int32_t** one : {&s.sample_ray, &s.quiet_ray}) *one = array<int32_t>(kSamples);
    for (uint32_t** one : {&s.features, &s.audio_features}) *one = array<uint32_t>(kSamples * (size_t)kernel.feature_rows);
  }
  Scratch scratch{};

 private:
  template <class T>
  T* array(size_t n) {
    memory_.push_back(aligned_zeros(n * sizeof(T)));
    return reinterpret_cast<T*>(memory_.back().get());
  }
  std::vector<AlignedBytes> memory_;
};

// What depends on the picture's size and window alone.
struct Raster {
  int width = 0, height = 0;
  float window[4] = {};
  std::vector<uint8_t> torso_columns, torso_rows;
  std::vector<float> column_waves, row_waves;

  void resize(int new_width, int new_height, const float* new_window, int octaves) {
    if (new_width == width && new_height == height && std::equal(window, window + 4, new_window)) return;
    width = new_width, height = new_height;
    std::copy(new_window, new_window + 4, window);
    fill(width, window[0], window[2], octaves, torso_columns, column_waves);
    fill(height, window[1], window[3], octaves, torso_rows, row_waves);
  }

 private:
  static void fill(int n, float first, float share, int octaves, std::vector<uint8_t>& cells, std::vector<float>& waves) {
    cells.resize((size_t)n);
    waves.resize((size_t)(2 * octaves * n));
    for (int i = 0; i < n; i++) {
      const float place = first + ((float)i + 0.5f) / (float)n * share;
      const double cell = VISAVIS_TORSO_MASK_RESOLUTION * (double)first + (i + 0.5) * VISAVIS_TORSO_MASK_RESOLUTION * (double)share / n;
      cells[(size_t)i] = (uint8_t)std::clamp((int)cell, 0, VISAVIS_TORSO_MASK_RESOLUTION - 1);
      for (int k = 0; k < octaves; k++) {
        const double angle = kPi * std::ldexp((double)place, k);
        waves[(size_t)(2 * k * n + i)] = (float)std::sin(angle);
        waves[(size_t)((2 * k + 1) * n + i)] = (float)std::cos(angle);
      }
    }
  }
};

struct Biases {
  alignas(64) float ambient[kHidden], density[kHidden], quiet_density[kHidden], eye[kHidden], colour[kHidden], deform[kHidden],
      torso_colour[kHidden], zeros[kHidden];
};

}  // namespace
}  // namespace visavis

using namespace visavis;

struct VisavisField {
  VisavisField(const VisavisFieldParams& p, const Kernel& k, int threads)
      : kernel(k), memory(p, k), bricks(p), hidden(p.hidden), torso_hidden(p.torso_hidden), torso_colour(p.torso_colour_hidden),
        workers(threads) {
    std::memcpy(torso_mask, p.torso_mask, sizeof torso_mask);
    for (int i = 0; i < threads; i++) scratch.push_back(std::make_unique<ThreadMemory>(k));
  }

  void set_biases(const VisavisFrame& frame);
  void render(const VisavisFrame& frame, uint8_t* rgb, float* rgb_float, double* stage_ms);

  const Kernel& kernel;
  FieldMemory memory;
  Bricks bricks;
  int hidden, torso_hidden, torso_colour;
  uint8_t torso_mask[VISAVIS_TORSO_MASK_RESOLUTION * VISAVIS_TORSO_MASK_RESOLUTION];
  Raster raster;
  Biases biases{};
  std::vector<TileRange> tile_ranges;
  std::vector<std::unique_ptr<ThreadMemory>> scratch;
  std::mutex in_use;  // one frame at a time
  Workers workers;
};

void VisavisField::set_biases(const VisavisFrame& frame) {
  Biases& b = biases;
  auto copy = [](float* to, const float* from, int n) { std::memcpy(to, from, (size_t)n * sizeof(float)); };
  copy(b.ambient, frame.ambient_bias, hidden);
  copy(b.density, frame.density_bias, hidden);
  copy(b.eye, frame.eye_bias, hidden);
  copy(b.colour, frame.colour_bias, hidden);
  copy(b.deform, frame.deform_bias, torso_hidden);
  copy(b.torso_colour, frame.torso_colour_bias, torso_colour);
  for (int i = 0; i < hidden; i++) b.quiet_density[i] = b.density[i] + memory.quiet_audio()[i];
}

void VisavisField::render(const VisavisFrame& frame, uint8_t* rgb, float* rgb_float, double* stage_ms) {
  const std::lock_guard<std::mutex> lock(in_use);
  const auto started = std::chrono::steady_clock::now();
  raster.resize(frame.width, frame.height, frame.window, memory.view().torso_octaves);
  set_biases(frame);
  const int tiles_across = (frame.width + kTileWidth - 1) / kTileWidth, tiles_down = (frame.height + kTileHeight - 1) / kTileHeight;
  bricks.find_ranges(frame, tiles_across, tiles_down, tile_ranges);

  FrameJob job{};
  job.width = frame.width, job.height = frame.height;
  job.fx = frame.fx, job.fy = frame.fy, job.cx = frame.cx, job.cy = frame.cy;
  std::memcpy(job.rotation, frame.rotation, sizeof job.rotation);
  for (int d = 0; d < 3; d++)
    job.origin[d] = -(frame.rotation[d] * frame.translation[0] + frame.rotation[3 + d] * frame.translation[1] +
                      frame.rotation[6 + d] * frame.translation[2]);
  job.tiles_across = tiles_across;
  std::memcpy(job.window, frame.window, sizeof job.window);
  job.tile_ranges = tile_ranges.data();
  job.torso_columns = raster.torso_columns.data(), job.torso_rows = raster.torso_rows.data(), job.torso_mask = torso_mask;
  job.column_waves = raster.column_waves.data(), job.row_waves = raster.row_waves.data();
  job.ambient_bias = biases.ambient, job.density_bias = biases.density, job.quiet_density_bias = biases.quiet_density;
  job.eye_bias = biases.eye, job.colour_bias = biases.colour, job.deform_bias = biases.deform;
  job.torso_colour_bias = biases.torso_colour, job.zeros = biases.zeros;
  job.background = frame.background, job.rgb = rgb, job.rgb_float = rgb_float;

  // Whole tiles, as many blocks as threads at least.
  const int most_rows = std::max(1, kBlockRays / frame.width / kTileHeight) * kTileHeight;
  const int share = (tiles_down + (int)scratch.size() - 1) / (int)scratch.size() * kTileHeight;
  const int block_rows = std::min(most_rows, share), n_blocks = (frame.height + block_rows - 1) / block_rows;
  std::atomic<int> next{0};
  const std::function<void(int)> task = [&](int thread) {
    Scratch& s = scratch[(size_t)thread]->scratch;
    std::memset(s.stage_ticks, 0, sizeof s.stage_ticks);
    for (int block = next++; block < n_blocks; block = next++)
      kernel.render_block(memory.view(), job, s, block * block_rows, std::min(block_rows, frame.height - block * block_rows));
  };
  workers.run(task);
  if (!stage_ms) return;
  // Ticks become time through the share that each stage has of the threads' busy time.
  const double elapsed_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  double most_busy = 1.0;
  for (const auto& thread : scratch) {
    double busy = 0.0;
    for (const uint64_t stage : thread->scratch.stage_ticks) busy += (double)stage;
    most_busy = std::max(most_busy, busy);
  }
  for (int stage = 0; stage < VISAVIS_STAGES; stage++) {
    stage_ms[stage] = 0.0;
    for (const auto& thread : scratch) stage_ms[stage] += (double)thread->scratch.stage_ticks[stage] / most_busy * elapsed_ms;
  }
}

extern "C" {

int32_t visavis_abi_version(void) { return VISAVIS_ABI_VERSION; }

const char* visavis_cpu_isas(void) {
  static const std::string names = isa_names();
  return names.c_str();
}

const char* visavis_field_stages(void) { return "march encode ambient audio_grid density_colour composite torso"; }

VisavisField* visavis_field_create(const VisavisFieldParams* params, const char* isa, int32_t threads, char* error, int32_t error_size) {
  try {
    return new VisavisField(*params, kernel_named(isa), threads);
  } catch (const std::exception& reason) {
    std::snprintf(error, (size_t)error_size, "%s", reason.what());
    return nullptr;
  }
}

int32_t visavis_field_render(VisavisField* field, const VisavisFrame* frame, uint8_t* rgb, float* rgb_float, double* stage_ms) {
  try {
    field->render(*frame, rgb, rgb_float, stage_ms);
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}

void visavis_field_destroy(VisavisField* field) { delete field; }

}  // extern "C"
