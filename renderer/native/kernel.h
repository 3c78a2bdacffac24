// What the ISA-independent part and the kernels of each instruction set share: plain data only.
//
// No function bodies here: this header is compiled with different -m flags, and an inline function could be kept in the version that
// the machine cannot run.
//
// Samples are handled in groups of 16 lanes. Activations are stored row by row, 16 lanes a row: a row is one feature as float32, or two
// features (2r in the low half, 2r+1 in the high half) as bfloat16.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "field_abi.h"

namespace visavis {

constexpr int kLanes = 16;
constexpr int kHidden = 64;        // width of the hidden layers; narrower ones are padded with zeros
constexpr int kFeatures = 32;      // features of a grid, padded
constexpr int kTorsoColour = 32;   // width of the torso's colour network
constexpr int kBlockRays = 1 << 15;  // pixels of a block, the unit of work: a strip as wide as the picture
constexpr int kFirstDepth = 2;     // samples a ray of the first batch; few rays end before
constexpr int kBatchSamples = kFirstDepth * kBlockRays;
constexpr int kTileWidth = 16;     // rays of a tile share one marching range
constexpr int kTileHeight = 4;
constexpr int kPadding = 16384;    // slack for whole groups at the end of per-sample arrays

// How a kernel wants its matrices.
enum class Layout {
  kTiledFloat,  // float32 [out / tile][in][tile]
  kTiledBf16,   // bfloat16 pairs [out / tile][in / 2][tile]
  kRowsBf16,    // bfloat16 [out][in]
};

struct Level {
  float scale;
  int32_t resolution;
  int32_t hashed;
  uint32_t n_rows;    // a power of two where hashed
  const void* rows;   // float32 pairs, or float16 pairs
};

struct Grid {
  int32_t n_dims;
  int32_t n_levels;
  Level levels[VISAVIS_MAX_LEVELS];
};

struct Region {
  float centre[3];
  float inverse_radii[3];
  float inverse_softness;
};

// A field as the kernels read it. Matrices are packed in the kernel's layout; those with few outputs are float32 [in][4].
struct PackedField {
  float head_centre[3];
  float half_extent;
  float step;
  float threshold;
  int32_t max_samples;
  int32_t occupancy_resolution;
  const uint32_t* occupancy;  // bit x % 32 of word (z * resolution + y) * resolution / 32 + x / 32
  Region audio_region;
  Region eye_region;
  Grid spatial_grid;
  Grid audio_grid;
  Grid torso_grid;
  const void* ambient0;        // 64 x 32
  const void* ambient1;        // 64 x 64
  const float* ambient2;       // 64 x 4
  const void* density0;        // 64 x (32 + 32)
  const void* density1;        // 64 x 64
  const float* density2;       // 64 x 4, first column
  const void* colour0;         // 64 x 64
  const float* colour1;        // 64 x 4
  const void* deform0;         // 64 x 32
  const void* deform1;         // 64 x 64
  const float* deform2;        // 64 x 4
  const void* torso_colour0;   // 32 x 32
  const void* torso_colour1;   // 32 x 32
  const float* torso_colour2;  // 32 x 4
  float max_deformation;
  int32_t torso_octaves;
};

// The samples k (at t = (k + 1/2) * step) that rays of one tile can need: first <= k < end.
struct TileRange {
  int32_t first;
  int32_t end;
};

struct FrameJob {
  int32_t width;
  int32_t height;
  float fx, fy, cx, cy;
  float rotation[9];
  float origin[3];  // camera centre, head frame
  int32_t tiles_across;
  const TileRange* tile_ranges;
  float window[4];               // VisavisFrame
  const uint8_t* torso_columns;  // [width] column of the torso mask
  const uint8_t* torso_rows;     // [height]
  const uint8_t* torso_mask;     // [64, 64]
  const float* column_waves;     // [octaves * 2][width] sin, cos of pi * 2^k * x
  const float* row_waves;        // [octaves * 2][height]
  const float* ambient_bias;     // [64]
  const float* density_bias;     // [64]
  const float* quiet_density_bias;  // [64], with what the audio grid gives at a gate of exactly 0
  const float* eye_bias;         // [64]
  const float* colour_bias;      // [64]
  const float* deform_bias;      // [64]
  const float* torso_colour_bias;  // [32]
  const float* zeros;            // [64]
  const float* background;
  uint8_t* rgb;
  float* rgb_float;
};

enum Stage { kMarch, kEncode, kAmbient, kAudioGrid, kDensityColour, kComposite, kTorso };

// Working memory of one thread.
struct Scratch {
  // per pixel of a block; slot kBlockRays takes what padding writes
  float* transmittance;
  float* colour[3];
  // per ray that can still meet something
  int32_t* ray;        // its pixel in the block
  float* direction[3];
  int32_t* next_k;     // where marching goes on
  int32_t* end_k;
  int32_t* window_k;   // first k of the window that `window_bits` speaks of
  uint32_t* window_bits;
  // per sample of a batch
  float* position[3];  // 0...1 in the head's cube
  float* audio_gate;
  float* eye_gate;
  int32_t* sample_ray;
  float* ambient[2];   // 0...1
  uint32_t* features;        // [groups][rows][16]
  uint32_t* audio_features;
  // samples outside of the audio region until the batch is complete
  float* quiet_position[3];
  float* quiet_eye_gate;
  int32_t* quiet_ray;
  uint64_t stage_ticks[VISAVIS_STAGES];
};

// One 3 x 3 convolution of the refiner over places with a border of one place, which holds zeros. Activations are
// [channels / block][height + 2][width + 2][block], float32 or bfloat16; the block is the kernel's `convolve_channels`. Weights are
// [n_out / 16][9][n_in][16], as bfloat16 pairs of inputs [n_out / 16][9][n_in / 2][16][2].
struct Convolution {
  const void* in;
  int32_t n_in;         // a multiple of the block
  const void* weights;
  const float* bias;    // [n_out]
  int32_t n_out;        // a multiple of 16
  void* out;            // activations, or for the last layer float32 [height][width][16]
  const void* add;      // activations to be added to the outputs, or null
  bool rectifies;
  bool is_last;
  int32_t width;
  int32_t height;
};

constexpr float kRefinerLeak = 0.2f;

struct Kernel {
  const char* name;
  Layout layout;
  int32_t tile;         // outputs of a tile in tiled layouts
  bool half_grid;       // grid rows as float16 pairs in place of float32 pairs
  int32_t feature_rows; // 32-bit words that the features of a grid take for one sample
  void (*render_block)(const PackedField& field, const FrameJob& job, Scratch& scratch, int32_t first_row, int32_t n_rows);
  int32_t convolve_channels;
  void (*convolve)(const Convolution& convolution, int32_t first_row, int32_t n_rows);
};

}  // namespace visavis
