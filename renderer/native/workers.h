// The threads of one handle.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace visavis {

// Runs a task on `threads` threads, the caller's among them; one thread means no thread is started.
class Workers {
 public:
  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Call task(0) … task(threads - 1) at the same time and wait for all.
  void run(const std::function<void(int)>& task);

 private:
  void serve(int index);

  std::mutex mutex_;
  std::condition_variable started_, finished_;
  const std::function<void(int)>* task_ = nullptr;
  unsigned long round_ = 0;
  int running_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace visavis
