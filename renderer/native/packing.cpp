#include "packing.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace visavis {

namespace {
constexpr size_t kHugePage = size_t(1) << 21;
}

void AlignedFree::operator()(void* p) const { ::operator delete(p, std::align_val_t(alignment)); }

AlignedBytes aligned_zeros(size_t bytes) {
  // Tables and activations of megabytes are read at random: with pages of 4 KiB the address translation would miss all the time.
  const bool huge = bytes >= kHugePage / 2;
  const size_t alignment = huge ? kHugePage : 64, size = (bytes + alignment) / alignment * alignment;
  AlignedBytes memory(static_cast<unsigned char*>(::operator new(size, std::align_val_t(alignment))), AlignedFree{alignment});
#if defined(__linux__)
  if (huge) madvise(memory.get(), size, MADV_HUGEPAGE);  // only a hint: a refusal changes nothing
#endif
  std::memset(memory.get(), 0, size);
  return memory;
}

namespace {

uint32_t float_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

Region region_of(const VisavisRegion& region) {
  Region r{};
  for (int d = 0; d < 3; d++) {
    r.centre[d] = region.centre[d];
    r.inverse_radii[d] = 1.0f / region.radii[d];
  }
  r.inverse_softness = 1.0f / region.softness;
  return r;
}

// The multilinear interpolation of a grid's level at the middle of its domain, feature `feature`.
float at_middle(const VisavisGrid& grid, int level, int feature) {
  const float p = 0.5f * grid.scale[level];
  const uint32_t cell = (uint32_t)p;
  const float fraction = p - (float)cell;
  float sum = 0.0f;
  for (uint32_t corner = 0; corner < 4; corner++) {
    const uint32_t x = cell + (corner & 1), y = cell + (corner >> 1);
    const uint32_t row = grid.hashed[level] ? (x ^ y * 2654435761u) & (grid.n_level_rows[level] - 1) : x + (uint32_t)grid.resolution[level] * y;
    const float weight = (corner & 1 ? fraction : 1 - fraction) * (corner >> 1 ? fraction : 1 - fraction);
    sum += weight * grid.rows[2 * (size_t)(grid.offset[level] + row) + (size_t)feature];
  }
  return sum;
}

}  // namespace

// Round to nearest even, as the processor's conversions do.
uint16_t to_bf16(float value) {
  const uint32_t bits = float_bits(value);
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

uint16_t to_half(float value) {
  const uint32_t bits = float_bits(value);
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
  float magnitude = std::fabs(value);
  if (magnitude >= 65520.0f) return (uint16_t)(sign | 0x7bffu);  // the largest finite half: grids hold no infinities
  if (magnitude < 6.103515625e-05f) return (uint16_t)(sign | (uint16_t)std::lrint(magnitude * 16777216.0f));  // subnormal: units of 2^-24
  const uint32_t rebased = (bits & 0x7fffffffu) - (112u << 23);
  return (uint16_t)(sign | (rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13);
}

void* FieldMemory::keep(AlignedBytes bytes) {
  memory_.push_back(std::move(bytes));
  return memory_.back().get();
}

// [outs, ins] into the kernel's layout, padded with zeros. Inputs from `split_at` on move to `split_in` (two inputs, each padded).
const void* FieldMemory::pack(const float* matrix, int outs, int ins, int padded_outs, int padded_ins, int split_in, int split_at) {
  const size_t bytes = kernel_.layout == Layout::kTiledFloat ? sizeof(float) : sizeof(uint16_t);
  const int whole_tiles = (padded_outs + kernel_.tile - 1) / kernel_.tile * kernel_.tile;
  unsigned char* const packed = static_cast<unsigned char*>(keep(aligned_zeros((size_t)(whole_tiles * padded_ins) * bytes)));
  for (int out = 0; out < outs; out++) {
    for (int in = 0; in < ins; in++) {
      const float value = matrix[out * ins + in];
      const int column = in < split_at ? in : in - split_at + split_in;
      const int tile = kernel_.tile, tile_start = out / tile * tile * padded_ins;
      if (kernel_.layout == Layout::kTiledFloat) {
        reinterpret_cast<float*>(packed)[tile_start + column * tile + out % tile] = value;
      } else if (kernel_.layout == Layout::kTiledBf16) {
        reinterpret_cast<uint16_t*>(packed)[tile_start + (column / 2 * tile + out % tile) * 2 + column % 2] = to_bf16(value);
      } else {
        reinterpret_cast<uint16_t*>(packed)[out * padded_ins + column] = to_bf16(value);
      }
    }
  }
  return packed;
}

// [outs, ins] with at most four outputs into float32 [padded_ins][4].
const float* FieldMemory::pack_narrow(const float* matrix, int outs, int ins, int padded_ins) {
  float* const packed = static_cast<float*>(static_cast<void*>(keep(aligned_zeros((size_t)padded_ins * 4 * sizeof(float)))));
  for (int out = 0; out < outs; out++)
    for (int in = 0; in < ins; in++) packed[in * 4 + out] = matrix[out * ins + in];
  return packed;
}

Grid FieldMemory::pack_grid(const VisavisGrid& grid) {
  const size_t row_bytes = kernel_.half_grid ? 4 : 8;
  // Slack behind the last row: vector loads may reach over it.
  unsigned char* const rows = static_cast<unsigned char*>(keep(aligned_zeros(((size_t)grid.n_rows + kPadding) * row_bytes)));
  const size_t n_values = 2 * (size_t)grid.n_rows;
  if (kernel_.half_grid)
    for (size_t i = 0; i < n_values; i++) reinterpret_cast<uint16_t*>(rows)[i] = to_half(grid.rows[i]);
  else
    std::memcpy(rows, grid.rows, n_values * sizeof(float));
  Grid packed{};
  packed.n_dims = grid.n_dims;
  packed.n_levels = grid.n_levels;
  for (int l = 0; l < grid.n_levels; l++)
    packed.levels[l] = {grid.scale[l], grid.resolution[l], grid.hashed[l], grid.n_level_rows[l], rows + grid.offset[l] * row_bytes};
  return packed;
}

const uint32_t* FieldMemory::pack_occupancy(const uint8_t* occupancy, int resolution) {
  const size_t n_cells = (size_t)resolution * (size_t)resolution * (size_t)resolution;
  uint32_t* const bits = reinterpret_cast<uint32_t*>(keep(aligned_zeros(n_cells / 8)));
  for (size_t i = 0; i < n_cells; i++)
    if (occupancy[i]) bits[i / 32] |= 1u << (i % 32);
  return bits;
}

void FieldMemory::find_quiet_audio(const VisavisFieldParams& params) {
  const int n_spatial = 2 * params.spatial_grid.n_levels, n_audio = 2 * params.audio_grid.n_levels;
  for (int out = 0; out < params.hidden; out++) {
    double sum = 0.0;
    for (int i = 0; i < n_audio; i++)
      sum += (double)params.density0[out * (n_spatial + n_audio) + n_spatial + i] * (double)at_middle(params.audio_grid, i / 2, i % 2);
    quiet_audio_[out] = (float)sum;
  }
}

FieldMemory::FieldMemory(const VisavisFieldParams& p, const Kernel& kernel) : kernel_(kernel) {
  PackedField& v = view_;
  std::memcpy(v.head_centre, p.head_centre, sizeof v.head_centre);
  v.half_extent = p.head_half_extent;
  v.step = p.step_size;
  v.threshold = p.transmittance_threshold;
  v.max_samples = p.max_samples;
  v.occupancy_resolution = p.occupancy_resolution;
  v.occupancy = pack_occupancy(p.occupancy, p.occupancy_resolution);
  v.audio_region = region_of(p.audio_region);
  v.eye_region = region_of(p.eye_region);
  v.spatial_grid = pack_grid(p.spatial_grid);
  v.audio_grid = pack_grid(p.audio_grid);
  v.torso_grid = pack_grid(p.torso_grid);
  v.max_deformation = p.torso_max_deformation;
  v.torso_octaves = p.torso_octaves;

  const int spatial = 2 * p.spatial_grid.n_levels, audio = 2 * p.audio_grid.n_levels, torso = 2 * p.torso_grid.n_levels;
  const int h = p.hidden, th = p.torso_hidden, tc = p.torso_colour_hidden, waves = 2 + 4 * p.torso_octaves;
  auto plain = [this](const float* m, int outs, int ins, int padded_outs, int padded_ins) {
    return pack(m, outs, ins, padded_outs, padded_ins, ins, ins);
  };
  v.ambient0 = plain(p.ambient0, h, spatial, kHidden, kFeatures);
  v.ambient1 = plain(p.ambient1, h, h, kHidden, kHidden);
  v.ambient2 = pack_narrow(p.ambient2, 2, h, kHidden);
  v.density0 = pack(p.density0, h, spatial + audio, kHidden, 2 * kFeatures, kFeatures, spatial);
  v.density1 = plain(p.density1, h, h, kHidden, kHidden);
  v.density2 = pack_narrow(p.density2, 1, h, kHidden);
  v.colour0 = plain(p.colour0, h, h, kHidden, kHidden);
  v.colour1 = pack_narrow(p.colour1, 3, h, kHidden);
  v.deform0 = plain(p.deform0, th, waves, kHidden, kFeatures);
  v.deform1 = plain(p.deform1, th, th, kHidden, kHidden);
  v.deform2 = pack_narrow(p.deform2, 2, th, kHidden);
  v.torso_colour0 = plain(p.torso_colour0, tc, torso, kTorsoColour, kFeatures);
  v.torso_colour1 = plain(p.torso_colour1, tc, tc, kTorsoColour, kTorsoColour);
  v.torso_colour2 = pack_narrow(p.torso_colour2, 4, tc, kTorsoColour);
  find_quiet_audio(p);
}

}  // namespace visavis
