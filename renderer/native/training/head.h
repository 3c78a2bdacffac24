// C interface of the fused head: density, colour and audio coordinate of packed samples of many frames, and their gradients.
//
// One run holds what a backward pass needs from its forward pass. Matrices are [out, in] as in renderer/field/parameters.py.
#pragma once

#include "training.h"

namespace visavis::training {

struct Region {
  float centre[3];
  float radii[3];
  float softness;
};

struct HeadConfig {
  float centre[3];
  float inverse_edge;  // 0.5 / half edge
  Region audio_region;
  Region eye_region;
  const GridLevel* spatial_levels;
  const GridLevel* audio_levels;
  int32_t n_spatial;
  int32_t n_audio;
  int32_t hidden;  // a multiple of 16
};

// The head's tensors, of a type that may be const. Biases are [frames, hidden]; `folded` is colour0 x density2 without its first
// row, which is `density_out`.
template <typename Float>
struct HeadTensors {
  Float* spatial_grid;
  Float* audio_grid;
  Float* ambient0;
  Float* ambient1;
  Float* ambient2;
  Float* density0;
  Float* density1;
  Float* density_out;
  Float* folded;
  Float* colour1;
  Float* ambient_bias;
  Float* density_bias;
  Float* eye_bias;
  Float* colour_bias;
};

struct HeadRun;

}  // namespace visavis::training

#pragma GCC visibility push(default)
extern "C" {
visavis::training::HeadRun* visavis_training_head_create(const visavis::training::HeadConfig* config);
void visavis_training_head_destroy(visavis::training::HeadRun* run);
// sigmas [n], rgbs [n, 3], ambient [n, 2] at positions [n, 3]; samples up to ends[f] belong to frame f. keep: a backward pass follows.
// bfloat16 asks for that precision in the hidden layers; it is used where the instruction set multiplies it.
void visavis_training_head_forward(visavis::training::HeadRun* run, const visavis::training::HeadTensors<const float>* weights,
                                   const float* positions, const int64_t* ends, int n_frames, int bfloat16, int keep, float* sigmas,
                                   float* rgbs, float* ambient, int threads);
// Gradients of the weights: the grids' are added, the others set. `sigmas`, `rgbs` and `positions` are the forward pass's.
// grad_positions [n, 3] = , through the spatial grid and both gates, where not null.
void visavis_training_head_backward(visavis::training::HeadRun* run, const visavis::training::HeadTensors<const float>* weights,
                                    const float* sigmas, const float* rgbs, const float* grad_sigmas, const float* grad_rgbs,
                                    const float* grad_ambient, const visavis::training::HeadTensors<float>* gradients,
                                    const float* positions, float* grad_positions, int threads);
}
#pragma GCC visibility pop
