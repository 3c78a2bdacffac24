// C interface of libvisavis_training: operators that make training the talking radiance field practical on a CPU.
//
// All arrays are dense, row-major float32 unless said otherwise. Nothing here keeps state between calls except the instruction
// set chosen by visavis_training_select_isa. `threads` is the number of threads a call may use, 1 or more.
#pragma once

#include <cstddef>
#include <cstdint>

namespace visavis::training {

// One level of a hash grid; mirrors GridLevel of renderer/field/config.py.
struct GridLevel {
  float scale;         // grid coordinate = x * scale, x in 0...1
  uint32_t resolution;  // vertices along an axis
  uint32_t hashed;      // 0: row = x + resolution * (y + resolution * z); else the Instant-NGP hash
  uint32_t offset;      // first row in the table
  uint32_t n_rows;
};

// Geometry of a march; mirrors march_reference of renderer/field/rays.py.
struct MarchBox {
  float lower[3];
  float upper[3];
  float centre[3];
  float inverse_edge;  // 0.5 / half edge
  float step;
  int32_t resolution;
  int32_t max_samples;
};

struct AdamStep {
  float rate;
  float beta1;
  float beta2;
  float epsilon;
  float correction1;  // 1 / (1 - beta1^t)
  float correction2;  // 1 / (1 - beta2^t)
};

}  // namespace visavis::training

#pragma GCC visibility push(default)
extern "C" {
// Name of the instruction set in use: "v4_bf16" (AVX-512 with bfloat16), "v4" (AVX-512), "v3" (AVX2) or "base".
const char* visavis_training_isa();
// Returns 0, or -1 where this build or processor lacks the named set. Process-wide.
int visavis_training_select_isa(const char* name);

// out [n, 2 * n_levels] = the grid interpolated at x [n, dims].
void visavis_training_encode(const float* x, int64_t n, int dims, const float* table, const visavis::training::GridLevel* levels,
                             int n_levels, float* out, int threads);
// grad_table (the table's shape) += ; it is never cleared here. grad_x [n, dims] = , where not null.
void visavis_training_encode_backward(const float* x, int64_t n, int dims, const float* table,
                                      const visavis::training::GridLevel* levels, int n_levels, const float* grad_out,
                                      float* grad_table, float* grad_x, int threads);
// One Adam step on the rows [n_rows, 2] whose gradient is not zero, and clears the gradient.
void visavis_training_adam(float* table, float* grad, float* first, float* second, int64_t n_rows,
                           const visavis::training::AdamStep* step, int threads);
// average += (1 - decay) * (values - average).
void visavis_training_average(const float* values, float* average, int64_t n, float decay, int threads);

// Distances of the first max_samples samples of each ray in occupied cells: slots [rays, max_samples], counts [rays].
// occupancy [z, y, x] bytes; offsets [rays] = 1/2 + jitter.
void visavis_training_march(const float* rays_o, const float* rays_d, const float* offsets, int64_t n_rays,
                            const uint8_t* occupancy, const visavis::training::MarchBox* box, float* slots, int64_t* counts,
                            int threads);
// Packs the slots: sample i of ray r goes to starts[r] + i.
void visavis_training_pack(const float* rays_o, const float* rays_d, int64_t n_rays, const float* slots, int max_samples,
                           const int64_t* starts, const int64_t* counts, float* positions, float* distances,
                           int64_t* ray_indices, int threads);

// colours [rays, 3], opacity [rays], weights [n] from sigmas [n], rgbs [n, 3].
void visavis_training_composite(const float* sigmas, const float* rgbs, const int64_t* starts, const int64_t* counts,
                                int64_t n_rays, float step, float* colours, float* opacity, float* weights, int threads);
void visavis_training_composite_backward(const float* sigmas, const float* rgbs, const float* weights, const int64_t* starts,
                                         const int64_t* counts, int64_t n_rays, float step, const float* grad_colours,
                                         const float* grad_opacity, const float* grad_weights, float* grad_sigmas,
                                         float* grad_rgbs, int threads);
// losses [rays]: the distortion loss of mip-NeRF 360 with intervals of length `step` around the distances.
void visavis_training_distortion(const float* weights, const float* distances, const int64_t* starts, const int64_t* counts,
                                 int64_t n_rays, float step, float* losses, int threads);
void visavis_training_distortion_backward(const float* weights, const float* distances, const int64_t* starts,
                                          const int64_t* counts, int64_t n_rays, float step, const float* grad_losses,
                                          float* grad_weights, int threads);
}
#pragma GCC visibility pop
