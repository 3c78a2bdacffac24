// Marching and volume rendering. Twin of renderer/field/rays.py, whose rounding the march follows: built without contraction.
#include <algorithm>
#include <cmath>

#include "parallel.h"
#include "training.h"

namespace visavis::training {

namespace {

constexpr int64_t kRaysPerTask = 512;
constexpr float kLeastDirection = 1e-9f;

// Marches one ray; returns the number of samples.
int64_t march_ray(const float* o, const float* d, float offset, const uint8_t* occupancy, const MarchBox& box, float* slots) {
  float near = 0.f, far = INFINITY;
  for (int a = 0; a < 3; a++) {
    const float safe = std::fabs(d[a]) < kLeastDirection ? kLeastDirection : d[a];
    const float t_a = (box.lower[a] - o[a]) / safe, t_b = (box.upper[a] - o[a]) / safe;
    near = std::max(near, std::min(t_a, t_b));
    far = std::min(far, std::max(t_a, t_b));
  }
  const float first = std::ceil(near / box.step - offset), resolution = static_cast<float>(box.resolution);
  int64_t count = 0;
  for (int k = 0; k <= box.resolution && count < box.max_samples; k++) {
    const float t = (first + static_cast<float>(k) + offset) * box.step;
    if (!(t < far)) break;
    int64_t cell[3];
    for (int a = 0; a < 3; a++) {
      const float x01 = (o[a] + t * d[a] - box.centre[a]) * box.inverse_edge + 0.5f;
      cell[a] = static_cast<int64_t>(std::min(std::max(std::floor(x01 * resolution), 0.f), resolution - 1.f));
    }
    if (occupancy[(cell[2] * box.resolution + cell[1]) * box.resolution + cell[0]]) slots[count++] = t;
  }
  return count;
}

}  // namespace

}  // namespace visavis::training

using namespace visavis::training;

extern "C" {

void visavis_training_march(const float* rays_o, const float* rays_d, const float* offsets, int64_t n_rays, const uint8_t* occupancy,
                            const MarchBox* box, float* slots, int64_t* counts, int threads) {
  parallel_blocks(n_rays, kRaysPerTask, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      counts[r] = march_ray(rays_o + 3 * r, rays_d + 3 * r, offsets[r], occupancy, *box, slots + r * box->max_samples);
    }
  });
}

void visavis_training_pack(const float* rays_o, const float* rays_d, int64_t n_rays, const float* slots, int max_samples,
                           const int64_t* starts, const int64_t* counts, float* positions, float* distances, int64_t* ray_indices,
                           int threads) {
  parallel_blocks(n_rays, kRaysPerTask, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      for (int64_t i = 0; i < counts[r]; i++) {
        const float t = slots[r * max_samples + i];
        const int64_t k = starts[r] + i;
        for (int a = 0; a < 3; a++) positions[3 * k + a] = rays_o[3 * r + a] + t * rays_d[3 * r + a];
        distances[k] = t;
        ray_indices[k] = r;
      }
    }
  });
}

void visavis_training_composite(const float* sigmas, const float* rgbs, const int64_t* starts, const int64_t* counts, int64_t n_rays,
                                float step, float* colours, float* opacity, float* weights, int threads) {
  parallel_blocks(n_rays, kRaysPerTask, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float transmittance = 1.f, colour[3] = {};
      for (int64_t i = starts[r]; i < starts[r] + counts[r]; i++) {
        const float kept = std::exp(-sigmas[i] * step);
        const float weight = transmittance * (1.f - kept);
        for (int c = 0; c < 3; c++) colour[c] += weight * rgbs[3 * i + c];
        weights[i] = weight;
        transmittance *= kept;
      }
      for (int c = 0; c < 3; c++) colours[3 * r + c] = colour[c];
      opacity[r] = 1.f - transmittance;
    }
  });
}

// With G_i = dL/dw_i (through colour, opacity and the weights themselves): dL/dsigma_k = step (T_{k+1} G_k - sum_{i>k} G_i w_i).
void visavis_training_composite_backward(const float* sigmas, const float* rgbs, const float* weights, const int64_t* starts,
                                         const int64_t* counts, int64_t n_rays, float step, const float* grad_colours,
                                         const float* grad_opacity, const float* grad_weights, float* grad_sigmas, float* grad_rgbs,
                                         int threads) {
  parallel_blocks(n_rays, kRaysPerTask, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const float* g = grad_colours + 3 * r;
      float behind = 0.f;
      const int64_t first = starts[r], last = starts[r] + counts[r];
      for (int64_t i = first; i < last; i++) {
        const float along = g[0] * rgbs[3 * i] + g[1] * rgbs[3 * i + 1] + g[2] * rgbs[3 * i + 2];
        grad_sigmas[i] = along + grad_opacity[r] + grad_weights[i];
        for (int c = 0; c < 3; c++) grad_rgbs[3 * i + c] = weights[i] * g[c];
        behind += grad_sigmas[i] * weights[i];
      }
      float transmittance = 1.f;
      for (int64_t i = first; i < last; i++) {
        transmittance *= std::exp(-sigmas[i] * step);
        behind -= grad_sigmas[i] * weights[i];
        grad_sigmas[i] = step * (transmittance * grad_sigmas[i] - behind);
      }
    }
  });
}

// sum_ij w_i w_j |t_i - t_j| + step / 3 sum_i w_i^2 (mip-NeRF 360, equation 15), in one pass by running sums.
void visavis_training_distortion(const float* weights, const float* distances, const int64_t* starts, const int64_t* counts,
                                 int64_t n_rays, float step, float* losses, int threads) {
  parallel_blocks(n_rays, kRaysPerTask, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      float before = 0.f, moment = 0.f, loss = 0.f;
      for (int64_t i = starts[r]; i < starts[r] + counts[r]; i++) {
        const float w = weights[i], t = distances[i] - distances[starts[r]];
        loss += 2.f * w * (t * before - moment) + step / 3.f * w * w;
        before += w;
        moment += w * t;
      }
      losses[r] = loss;
    }
  });
}

void visavis_training_distortion_backward(const float* weights, const float* distances, const int64_t* starts, const int64_t* counts,
                                          int64_t n_rays, float step, const float* grad_losses, float* grad_weights, int threads) {
  parallel_blocks(n_rays, kRaysPerTask, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const int64_t first = starts[r], last = starts[r] + counts[r];
      float after = 0.f, moment_after = 0.f, before = 0.f, moment = 0.f;
      for (int64_t i = first; i < last; i++) {
        after += weights[i];
        moment_after += weights[i] * (distances[i] - distances[first]);
      }
      for (int64_t i = first; i < last; i++) {
        const float w = weights[i], t = distances[i] - distances[first];
        after -= w;
        moment_after -= w * t;
        const float spread = (t * before - moment) + (moment_after - t * after);
        grad_weights[i] = grad_losses[r] * (2.f * spread + 2.f * step / 3.f * w);
        before += w;
        moment += w * t;
      }
    }
  });
}

}  // extern "C"
