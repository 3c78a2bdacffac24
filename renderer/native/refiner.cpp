// Handles of the refinement network (renderer/refiner/config.py has its formula): packed weights, activations, workers.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <vector>

#include "cpu_features.h"
#include "field_abi.h"
#include "kernel.h"
#include "packing.h"
#include "workers.h"

namespace visavis {
namespace {

constexpr int kConvolutions = VISAVIS_REFINER_CONVOLUTIONS, kDense = 5, kTaps = 9;
constexpr int kBlockPx = 2, kBlockChannels = 3 * kBlockPx * kBlockPx;
constexpr float kGrey = 0.5f, kResidualScale = 0.2f;
constexpr size_t kSlackPlaces = 64;  // vector loads of the last places may reach over the end

int padded(int channels, int step) { return (channels + step - 1) / step * step; }

struct Layer {
  int n_in, n_out;  // padded
  AlignedBytes weights, bias;
};

}  // namespace
}  // namespace visavis

using namespace visavis;

struct VisavisRefiner {
  VisavisRefiner(const VisavisRefinerParams& params, const Kernel& chosen, int threads);
  void apply(const VisavisRefinement& r, float* picture, uint8_t* rgb);

  std::mutex in_use;  // one picture at a time

 private:
  bool is_bf16() const { return kernel.layout != Layout::kTiledFloat; }
  Layer pack(const float* weights, const float* bias, int n_in, int n_out, float scale) const;
  AlignedBytes raster(int channels) const;
  void resize(int new_width, int new_height);
  void unshuffle(const VisavisRefinement& r, const float* picture);
  void convolve(int layer, const void* in, void* out, const void* add, bool rectifies);
  void add_residual(const VisavisRefinement& r, float* picture, uint8_t* rgb) const;
  // The first channel `channel` of a raster; a multiple of 16.
  unsigned char* channels_at(const AlignedBytes& bytes, int channel) const;

  const Kernel& kernel;
  const int features, growth;
  const size_t value_bytes;
  int width = 0, height = 0;  // of the window, in places
  std::vector<Layer> layers;
  AlignedBytes blocks, dense, trunk, residual;
  Workers workers;
  const int n_threads;
};

VisavisRefiner::VisavisRefiner(const VisavisRefinerParams& p, const Kernel& chosen, int threads)
    : kernel(chosen), features(p.features), growth(p.growth), value_bytes(is_bf16() ? sizeof(uint16_t) : sizeof(float)),
      workers(threads), n_threads(threads) {
  for (int i = 0; i < kConvolutions; i++) {
    const int n_in = i == 0 ? kBlockChannels : i <= kDense ? features + (i - 1) * growth : features;
    const int n_out = i == 0 || i == kDense ? features : i < kDense ? growth : kBlockChannels;
    layers.push_back(pack(p.weights[i], p.biases[i], n_in, n_out, i == kDense ? kResidualScale : 1.0f));
  }
}

Layer VisavisRefiner::pack(const float* weights, const float* bias, int n_in, int n_out, float scale) const {
  Layer layer;
  layer.n_in = padded(n_in, kernel.convolve_channels), layer.n_out = padded(n_out, kLanes);
  layer.weights = aligned_zeros((size_t)(layer.n_out * layer.n_in * kTaps) * value_bytes);
  layer.bias = aligned_zeros((size_t)layer.n_out * sizeof(float));
  for (int out = 0; out < n_out; out++) {
    reinterpret_cast<float*>(layer.bias.get())[out] = scale * bias[out];
    for (int in = 0; in < n_in; in++)
      for (int tap = 0; tap < kTaps; tap++) {
        const float value = scale * weights[(out * n_in + in) * kTaps + tap];
        const size_t group = (size_t)(out / kLanes * kTaps + tap) * (size_t)layer.n_in, lane = (size_t)(out % kLanes);
        if (is_bf16())
          reinterpret_cast<uint16_t*>(layer.weights.get())[(group + (size_t)(in / 2 * 2)) * kLanes + 2 * lane + (size_t)(in % 2)] =
              to_bf16(value);
        else
          reinterpret_cast<float*>(layer.weights.get())[(group + (size_t)in) * kLanes + lane] = value;
      }
  }
  return layer;
}

AlignedBytes VisavisRefiner::raster(int channels) const {
  const size_t places = (size_t)(width + 2) * (size_t)(height + 2) + kSlackPlaces;
  return aligned_zeros(places * (size_t)padded(channels, kernel.convolve_channels) * value_bytes);
}

void VisavisRefiner::resize(int new_width, int new_height) {
  if (new_width == width && new_height == height) return;
  width = new_width, height = new_height;
  blocks = raster(kBlockChannels);
  dense = raster(features + (kDense - 1) * growth);
  trunk = raster(features);
  residual = aligned_zeros((size_t)(width * height) * kLanes * sizeof(float));
}

unsigned char* VisavisRefiner::channels_at(const AlignedBytes& bytes, int channel) const {
  const int block = kernel.convolve_channels;
  const size_t plane = (size_t)(width + 2) * (size_t)(height + 2) * (size_t)block;
  return bytes.get() + ((size_t)(channel / block) * plane + (size_t)(channel % block)) * value_bytes;
}

// The window's pixels, less grey, as blocks; at odd edges the last pixel counts twice.
void VisavisRefiner::unshuffle(const VisavisRefinement& r, const float* picture) {
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      const size_t place = ((size_t)(y + 1) * (size_t)(width + 2) + (size_t)(x + 1)) * (size_t)kernel.convolve_channels;
      for (int dy = 0; dy < kBlockPx; dy++)
        for (int dx = 0; dx < kBlockPx; dx++) {
          const int row = r.y + std::min(kBlockPx * y + dy, r.n_rows - 1), column = r.x + std::min(kBlockPx * x + dx, r.n_columns - 1);
          const float* pixel = picture + 3 * ((size_t)row * (size_t)r.width + (size_t)column);
          for (int c = 0; c < 3; c++) {
            const size_t at = place + (size_t)(kBlockPx * kBlockPx * c + kBlockPx * dy + dx);
            if (is_bf16())
              reinterpret_cast<uint16_t*>(blocks.get())[at] = to_bf16(pixel[c] - kGrey);
            else
              reinterpret_cast<float*>(blocks.get())[at] = pixel[c] - kGrey;
          }
        }
    }
}

void VisavisRefiner::convolve(int index, const void* in, void* out, const void* add, bool rectifies) {
  const Layer& layer = layers[(size_t)index];
  Convolution c{};
  c.in = in, c.n_in = layer.n_in, c.weights = layer.weights.get(), c.bias = reinterpret_cast<const float*>(layer.bias.get());
  c.n_out = layer.n_out, c.out = out, c.add = add, c.rectifies = rectifies, c.is_last = index == kConvolutions - 1;
  c.width = width, c.height = height;
  workers.run([&](int thread) {
    const int first = height * thread / n_threads, end = height * (thread + 1) / n_threads;
    kernel.convolve(c, first, end - first);
  });
}

void VisavisRefiner::add_residual(const VisavisRefinement& r, float* picture, uint8_t* rgb) const {
  for (int row = 0; row < r.n_rows; row++)
    for (int column = 0; column < r.n_columns; column++) {
      const float weight = r.refine_weight * r.rows[row] * r.columns[column];
      if (weight == 0.0f) continue;
      const size_t at = 3 * ((size_t)(r.y + row) * (size_t)r.width + (size_t)(r.x + column));
      const float* place = reinterpret_cast<const float*>(residual.get()) +
                           (size_t)(row / kBlockPx * width + column / kBlockPx) * kLanes +
                           (size_t)(kBlockPx * (row % kBlockPx) + column % kBlockPx);
      for (int c = 0; c < 3; c++) {
        const float value = picture[at + (size_t)c] + weight * place[kBlockPx * kBlockPx * c];
        picture[at + (size_t)c] = value;
        if (rgb) rgb[at + (size_t)c] = (uint8_t)(std::min(std::max(value, 0.0f), 1.0f) * 255.0f + 0.5f);
      }
    }
}

void VisavisRefiner::apply(const VisavisRefinement& r, float* picture, uint8_t* rgb) {
  resize((r.n_columns + kBlockPx - 1) / kBlockPx, (r.n_rows + kBlockPx - 1) / kBlockPx);
  unshuffle(r, picture);
  convolve(0, blocks.get(), dense.get(), nullptr, false);
  for (int i = 1; i < kDense; i++) convolve(i, dense.get(), channels_at(dense, features + (i - 1) * growth), nullptr, true);
  convolve(kDense, dense.get(), trunk.get(), dense.get(), false);
  convolve(kDense + 1, trunk.get(), residual.get(), nullptr, false);
  add_residual(r, picture, rgb);
}

extern "C" {

VisavisRefiner* visavis_refiner_create(const VisavisRefinerParams* params, const char* isa, int32_t threads, char* error,
                                       int32_t error_size) {
  try {
    return new VisavisRefiner(*params, kernel_named(isa), threads);
  } catch (const std::exception& reason) {
    std::snprintf(error, (size_t)error_size, "%s", reason.what());
    return nullptr;
  }
}

int32_t visavis_refiner_apply(VisavisRefiner* refiner, const VisavisRefinement* refinement, float* picture, uint8_t* rgb, double* ms) {
  try {
    const std::lock_guard<std::mutex> lock(refiner->in_use);
    const auto started = std::chrono::steady_clock::now();
    refiner->apply(*refinement, picture, rgb);
    if (ms) *ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}

void visavis_refiner_destroy(VisavisRefiner* refiner) { delete refiner; }

}  // extern "C"
