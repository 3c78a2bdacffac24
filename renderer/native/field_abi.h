// The C interface of the native renderer, loaded through ctypes by renderer/backends/cpu.py.
//
// Axes, units and array shapes are those of renderer/types.py and renderer/field/*.py. Matrices are float32 [out, in], row-major.
// Every function is free of global state; handles may be used from different threads at the same time. Pointers are read during the
// call only, except that a handle keeps what it copied. Nothing throws across this boundary.
#pragma once

#include <stdint.h>

#if defined(_WIN32)
#define VISAVIS_API __declspec(dllexport)
#else
#define VISAVIS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define VISAVIS_ABI_VERSION 3

enum { VISAVIS_MAX_LEVELS = 16, VISAVIS_TORSO_MASK_RESOLUTION = 64, VISAVIS_STAGES = 7, VISAVIS_REFINER_CONVOLUTIONS = 7 };

// A multiresolution grid (renderer.field.config.GridConfig), two features a row.
typedef struct VisavisGrid {
  int32_t n_dims;
  int32_t n_levels;
  float scale[VISAVIS_MAX_LEVELS];
  int32_t resolution[VISAVIS_MAX_LEVELS];
  int32_t hashed[VISAVIS_MAX_LEVELS];
  uint32_t offset[VISAVIS_MAX_LEVELS];
  uint32_t n_level_rows[VISAVIS_MAX_LEVELS];
  uint32_t n_rows;
  const float* rows;  // [n_rows, 2]
} VisavisGrid;

// An ellipsoid in which a condition acts (renderer.field.config.RegionConfig).
typedef struct VisavisRegion {
  float centre[3];
  float radii[3];
  float softness;
} VisavisRegion;

typedef struct VisavisFieldParams {
  float head_centre[3];
  float head_half_extent;
  float step_size;
  float transmittance_threshold;
  int32_t max_samples;
  int32_t occupancy_resolution;
  int32_t hidden;         // at most 64
  int32_t torso_hidden;   // at most 64
  int32_t torso_colour_hidden;  // at most 32
  int32_t torso_octaves;  // at most 7
  float torso_max_deformation;
  VisavisRegion audio_region;
  VisavisRegion eye_region;
  VisavisGrid spatial_grid;
  VisavisGrid audio_grid;
  VisavisGrid torso_grid;
  const uint8_t* occupancy;   // [z, y, x], 0 or 1
  const uint8_t* torso_mask;  // [64, 64] rows, columns of the picture, 0 or 1
  const float* ambient0;      // [hidden, spatial features]
  const float* ambient1;      // [hidden, hidden]
  const float* ambient2;      // [2, hidden]
  const float* density0;      // [hidden, spatial features + audio features]
  const float* density1;      // [hidden, hidden]
  const float* density2;      // [hidden], the row of the log-density
  const float* colour0;       // [hidden, hidden], the density network's geometry rows folded in
  const float* colour1;       // [3, hidden]
  const float* deform0;       // [torso_hidden, 2 + 4 * torso_octaves]
  const float* deform1;       // [torso_hidden, torso_hidden]
  const float* deform2;       // [2, torso_hidden]
  const float* torso_colour0; // [torso_colour_hidden, torso features]
  const float* torso_colour1; // [torso_colour_hidden, torso_colour_hidden]
  const float* torso_colour2; // [4, torso_colour_hidden]
} VisavisFieldParams;

// What one frame needs beside the field: camera, pose and the biases of renderer.field.frame_codes.FrameCodes.
typedef struct VisavisFrame {
  int32_t width;
  int32_t height;
  float fx, fy, cx, cy;
  float rotation[9];     // camera_from_head, row-major
  float translation[3];
  float window[4];       // left, top, width, height of what is shown of the avatar's own picture, as shares of it; the torso lies in that
  const float* ambient_bias;
  const float* density_bias;
  const float* eye_bias;
  const float* colour_bias;
  const float* deform_bias;
  const float* torso_colour_bias;
  const float* background;  // [height, width, 3], 0...1
} VisavisFrame;

typedef struct VisavisField VisavisField;

// A refinement network (renderer.refiner.config).
typedef struct VisavisRefinerParams {
  int32_t features;  // a multiple of 16
  int32_t growth;    // a multiple of 16
  const float* weights[VISAVIS_REFINER_CONVOLUTIONS];  // [out, in, 3, 3]
  const float* biases[VISAVIS_REFINER_CONVOLUTIONS];
} VisavisRefinerParams;

// A window of a picture and how much of the network's output to add to each of its pixels: refine_weight * rows[y] * columns[x].
typedef struct VisavisRefinement {
  int32_t width;   // of the picture
  int32_t height;
  int32_t x, y;    // the window's first pixel; both even
  int32_t n_columns;
  int32_t n_rows;
  const float* columns;  // [n_columns]
  const float* rows;     // [n_rows]
  float refine_weight;
} VisavisRefinement;

typedef struct VisavisRefiner VisavisRefiner;

// Version of this interface; the Python side refuses another one.
VISAVIS_API int32_t visavis_abi_version(void);

// Names of the instruction sets that this build and this machine can run, best first, separated by blanks.
VISAVIS_API const char* visavis_cpu_isas(void);

// Names of the stages of `stage_ms`, separated by blanks.
VISAVIS_API const char* visavis_field_stages(void);

// A handle with its own copy of the field, its workers and its scratch memory, or null with a reason in `error`.
VISAVIS_API VisavisField* visavis_field_create(const VisavisFieldParams* params, const char* isa, int32_t threads, char* error,
                                               int32_t error_size);

// Render one frame into `rgb` (uint8 [height, width, 3]) and `rgb_float` (the same before rounding); either may be null.
// `stage_ms` (VISAVIS_STAGES values, may be null) receives the time of each stage, summed over threads. 0, or 1 when memory ran out.
VISAVIS_API int32_t visavis_field_render(VisavisField* field, const VisavisFrame* frame, uint8_t* rgb, float* rgb_float, double* stage_ms);

VISAVIS_API void visavis_field_destroy(VisavisField* field);

// A handle with its own copy of the network, or null with a reason in `error`.
VISAVIS_API VisavisRefiner* visavis_refiner_create(const VisavisRefinerParams* params, const char* isa, int32_t threads, char* error,
                                                   int32_t error_size);

// Refine a window of `picture` (float32 [height, width, 3], 0...1) in place, and write its pixels, rounded, to `rgb` (may be null).
// `ms` (may be null) receives the time it took. 0, or 1 when memory ran out.
VISAVIS_API int32_t visavis_refiner_apply(VisavisRefiner* refiner, const VisavisRefinement* refinement, float* picture, uint8_t* rgb,
                                          double* ms);

VISAVIS_API void visavis_refiner_destroy(VisavisRefiner* refiner);

// RGB [height, width, 3] to planar I420, BT.601 limited range; width and height are even.
VISAVIS_API void visavis_rgb_to_i420(const uint8_t* rgb, int32_t width, int32_t height, uint8_t* y, uint8_t* u, uint8_t* v);

#ifdef __cplusplus
}
#endif
