// What the driver of the head (head.cpp) and the kernels on one block of samples (head_block.cpp) share.
//
// The spatial grid is interpolated for all samples before the blocks, level by level: a level's rows then stay in the cache. Its
// features and the gradients of both grids are therefore [level, sample, 2].
//
// Samples are put in order frame by frame, and within a frame those that audio moves (gate > 0) come first: a block is of one frame
// and of one kind. "Still" samples skip the audio branch: their audio coordinate is 0 and their audio feature a constant.
#pragma once

#include "head.h"

namespace visavis::training {

constexpr int kHeadBlock = 96;

struct HeadBlock {
  int64_t begin;         // in the order
  int64_t active_begin;  // among active samples
  int64_t tape;          // first word of its activations
  int32_t count;
  int32_t frame;
  int32_t active;
};

// Widths padded to a multiple of 16; pads are zero.
struct HeadWidths {
  int spatial;
  int audio;
  int hidden;
};

// Static, as everything that files of several instruction sets include.
// The widest row of words that a kernel holds.
static inline int widest_row(const HeadWidths& widths) {
  const int inputs = widths.spatial + widths.audio;
  return inputs > widths.hidden ? inputs : widths.hidden;
}

static inline int64_t tape_words(const HeadWidths& widths, bool active, int group) {
  const int width = widths.spatial + 3 * widths.hidden + (active ? widths.audio + 2 * widths.hidden : 0);
  return static_cast<int64_t>(kHeadBlock) * width / group;
}

// Matrices as words in the order of the tile kernel: [in / group][out], and [out / group][in] for the way back.
struct HeadMatrices {
  const uint32_t* ambient0;
  const uint32_t* ambient1;
  const uint32_t* density0;
  const uint32_t* density1;
  const uint32_t* folded;
};

struct HeadView {
  const HeadConfig* config;
  HeadWidths widths;
  HeadMatrices forward;
  HeadMatrices backward;
  HeadTensors<const float> tensors;
  const float* still_features;  // [audio]
  const float* still_bias;      // [frames, hidden]: the density bias with the constant audio feature's share
  const float* audio_gate;      // by the caller's numbering, as eye_gate
  const float* eye_gate;
  const int64_t* order;  // the caller's number of the i-th sample
  int64_t n;
  int64_t n_active;
  float* x01;            // [n, 3] in order
  float* features;       // [levels, n, 2] in order
  float* log_density;    // [n] in order
  float* tangents;       // [active, 2]: tanh before the gate
  float* coordinates;    // [active, 2]: the audio coordinate, 0...1
  float* sigmas;         // the caller's, as the next three
  float* rgbs;
  float* ambient;
  const float* grad_sigmas;
  const float* grad_rgbs;
  const float* grad_ambient;
  float* grad_spatial;  // [levels, n, 2] in order
  float* grad_audio;    // [levels, active, 2]
  float* grad_gates;    // [2, n] by the caller's numbering, audio and eye, all 0 before; null where positions need no gradient
};

enum BiasKind { kAmbient, kDensityActive, kDensityStill, kEye, kColour, kBiasKinds };

// Sums of one shard. Matrices are [in, out], with padded widths.
struct HeadSums {
  float* ambient0;
  float* ambient1;
  float* ambient2;  // [2, hidden]
  float* density0;
  float* density1;
  float* density_out;  // [1, hidden]
  float* folded;
  float* colour1;      // [3, hidden]
  float* biases;       // [frames, kBiasKinds, hidden]
};

// Room for one block: words, in units of kHeadBlock rows.
struct HeadScratch {
  uint32_t* rows[3];
  uint32_t* pairs[2];
  float* spatial;
  float* audio;
  float* small;  // [8, kHeadBlock]
};

// The kernels of a number format: numbers in a word, the packing of a matrix [out, in] into words, and the two passes.
struct HeadFormat {
  int group;
  void (*pack)(const float* matrix, int out, int in, uint32_t* forward, uint32_t* backward);
  void (*forward)(const HeadView& view, const HeadBlock& block, uint32_t* tape, const HeadScratch& scratch);
  void (*backward)(const HeadView& view, const HeadBlock& block, const uint32_t* tape, const HeadScratch& scratch, const HeadSums& sums);
};

}  // namespace visavis::training
