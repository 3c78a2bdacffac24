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
constexpr Kernel kKernel = {"avx512_bf16", Layout::kTiledBf16, kTileOuts, true, act_rows(kFeatures), render_block};
}  // namespace
const Kernel* avx512_bf16_kernel() { return &kKernel; }
}  // namespace visavis
