// A field's weights in the arrangement that a kernel reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernel.h"

namespace visavis {

struct AlignedFree {
  size_t alignment = 64;
  void operator()(void* p) const;
};
using AlignedBytes = std::unique_ptr<unsigned char, AlignedFree>;

// Zeroed memory at a multiple of 64 bytes, in huge pages where that helps; throws std::bad_alloc.
AlignedBytes aligned_zeros(size_t bytes);

// A field and the memory behind it.
class FieldMemory {
 public:
  FieldMemory(const VisavisFieldParams& params, const Kernel& kernel);
  const PackedField& view() const { return view_; }
  // density0's columns for the audio grid times its features at (1/2, 1/2): what the audio branch gives where its gate is 0. [64]
  const float* quiet_audio() const { return quiet_audio_; }

 private:
  void* keep(AlignedBytes bytes);
  const void* pack(const float* matrix, int outs, int ins, int padded_outs, int padded_ins, int split_in, int split_at);
  const float* pack_narrow(const float* matrix, int outs, int ins, int padded_ins);
  Grid pack_grid(const VisavisGrid& grid);
  const uint32_t* pack_occupancy(const uint8_t* occupancy, int resolution);
  void find_quiet_audio(const VisavisFieldParams& params);

  const Kernel& kernel_;
  PackedField view_{};
  float quiet_audio_[kHidden] = {};
  std::vector<AlignedBytes> memory_;
};

uint16_t to_half(float value);
uint16_t to_bf16(float value);

}  // namespace visavis
