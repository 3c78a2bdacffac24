// Threads for the length of one call: starting one costs some 20 microseconds against milliseconds of work, nothing outlives the
// call, and a process may fork between calls.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace visavis::training {

// Calls work(task) once for each task 0...n_tasks, in any order, on at most `threads` threads, and waits for all.
template <typename Work>
void parallel_tasks(int64_t n_tasks, int threads, const Work& work) {
  const int64_t n_threads = std::min<int64_t>(std::max(threads, 1), n_tasks);
  if (n_threads <= 1) {
    for (int64_t task = 0; task < n_tasks; task++) work(task);
    return;
  }
  std::atomic<int64_t> next{0};
  const auto loop = [&] {
    for (int64_t task = next++; task < n_tasks; task = next++) work(task);
  };
  std::vector<std::thread> others;
  for (int64_t i = 1; i < n_threads; i++) others.emplace_back(loop);
  loop();
  for (std::thread& other : others) other.join();
}

// Calls work(begin, end) on consecutive blocks of at most `block` of n items.
template <typename Work>
void parallel_blocks(int64_t n, int64_t block, int threads, const Work& work) {
  parallel_tasks((n + block - 1) / block, threads, [&](int64_t task) { work(task * block, std::min(n, (task + 1) * block)); });
}

}  // namespace visavis::training
