// AVX-512 with bfloat16 dot products; grid rows in float16.
#include <immintrin.h>
#include <x86intrin.h>

#include "kernels.h"

namespace visavis {
namespace {
#include "kernels/simd_avx512.inl"
#include "kernels/layers_bf16.inl"
#include "kernels/dense_avx512_bf16.inl"
#include "kernels/pipeline.inl"
constexpr int kConvolveChannels = 16;
#include "kernels/convolve_avx512_bf16.inl"
inline void convolve(const Convolution& c, int32_t first_row, int32_t n_rows) {
  for (int row = first_row; row < first_row + n_rows; row++) convolve_row(c, row);
}
constexpr Kernel kKernel = {"avx512_bf16", Layout::kTiledBf16, kTileOuts, true, act_rows(kFeatures), render_block,
                            kConvolveChannels, convolve};
}  // namespace
const Kernel* avx512_bf16_kernel() { return &kKernel; }
}  // namespace visavis
