// Chooses the instruction set and spreads kernels over threads.
#include "training.h"

#include <cstring>

#include "kernels.h"
#include "parallel.h"

namespace visavis::training {

namespace {

struct Variant {
  const char* name;
  const Kernels* kernels;
};

// Whether the processor can run the kernels of this name.
bool supported(const char* name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (!std::strcmp(name, "v3")) return v3;
  if (!std::strcmp(name, "v4")) return v4;
  if (!std::strcmp(name, "v4_bf16")) return v4 && __builtin_cpu_supports("avx512bf16");
#endif
  return !std::strcmp(name, "base");
}

constexpr Variant kVariants[] = {  // best first
#ifdef VISAVIS_WITH_v4_bf16
    {"v4_bf16", &v4_bf16::kernels},
#endif
#ifdef VISAVIS_WITH_v4
    {"v4", &v4::kernels},
#endif
#ifdef VISAVIS_WITH_v3
    {"v3", &v3::kernels},
#endif
    {"base", &base::kernels},
};

const Variant* find_best() {
  const Variant* v = kVariants;
  while (!supported(v->name)) v++;
  return v;
}

const Variant* active = find_best();

constexpr int64_t kSamplesPerTask = 1024;
constexpr int64_t kFloatsPerTask = 1 << 16;

}  // namespace

const Kernels& active_kernels() { return *active->kernels; }

}  // namespace visavis::training

using namespace visavis::training;

extern "C" {

const char* visavis_training_isa() { return active->name; }

int visavis_training_select_isa(const char* name) {
  for (const Variant& variant : kVariants) {
    if (!std::strcmp(variant.name, name) && supported(name)) {
      active = &variant;
      return 0;
    }
  }
  return -1;
}

void visavis_training_encode(const float* x, int64_t n, int dims, const float* table, const GridLevel* levels, int n_levels, float* out,
                             int threads) {
  parallel_blocks(n, kSamplesPerTask, threads, [&](int64_t begin, int64_t end) {
    active_kernels().encode(x, begin, end, dims, table, levels, n_levels, out, 2 * n_levels);
  });
}

void visavis_training_encode_backward(const float* x, int64_t n, int dims, const float* table, const GridLevel* levels, int n_levels,
                                      const float* grad_out, float* grad_table, float* grad_x, int threads) {
  if (grad_table) {  // levels do not share rows, so threads do not meet
    parallel_tasks(n_levels, threads, [&](int64_t l) {
      active_kernels().encode_backward_table(x, n, dims, levels[l], grad_out + 2 * l, 2 * n_levels, grad_table);
    });
  }
  if (grad_x) {
    parallel_blocks(n, kSamplesPerTask, threads, [&](int64_t begin, int64_t end) {
      active_kernels().encode_backward_x(x, begin, end, dims, table, levels, n_levels, grad_out, 2 * n_levels, grad_x);
    });
  }
}

void visavis_training_adam(float* table, float* grad, float* first, float* second, int64_t n_rows, const AdamStep* step, int threads) {
  parallel_blocks(n_rows, kFloatsPerTask, threads, [&](int64_t begin, int64_t end) {
    active_kernels().adam(table, grad, first, second, begin, end, *step);
  });
}

void visavis_training_average(const float* values, float* average, int64_t n, float decay, int threads) {
  parallel_blocks(n, kFloatsPerTask, threads,
                  [&](int64_t begin, int64_t end) { active_kernels().average(values, average, begin, end, decay); });
}

}  // extern "C"
