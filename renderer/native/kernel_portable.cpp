// Plain C++ for any processor, ARM included.
#if defined(__x86_64__) || defined(_M_X64)
#include <x86intrin.h>
#endif

#include "kernels.h"

namespace visavis {
namespace {
constexpr int kTileOuts = 4, kTileVectors = 2;
#include "kernels/simd_portable.inl"
#include "kernels/layers_float.inl"
#include "kernels/pipeline.inl"
constexpr int kConvolvePlaces = 2, kConvolveStep = 1;
#include "kernels/convolve_float.inl"
constexpr Kernel kKernel = {"portable", Layout::kTiledFloat, kTileOuts, false, act_rows(kFeatures), render_block,
                            kConvolveChannels, convolve};
}  // namespace
const Kernel* portable_kernel() { return &kKernel; }
}  // namespace visavis
