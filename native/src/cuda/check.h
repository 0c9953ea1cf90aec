// Launching kernels: on which device and stream, how many blocks, and what to say when it fails.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "build.h"

namespace memcore::cuda {

// Throws std::runtime_error, naming the kernel, unless status is a success.
inline void check(cudaError_t status, const char* kernel) {
  if (status == cudaSuccess) return;
  std::string message = std::string(kernel) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorNoKernelImageForDevice) message += " (memcore._cuda was built with " + build() + ")";
  throw std::runtime_error(message);
}

// Makes a device current and, at the end of the scope, the one that was.
class DeviceGuard {
 public:
  DeviceGuard(int device, const char* kernel) {
    check(cudaGetDevice(&previous_), kernel);
    if (device == previous_) return;
    check(cudaSetDevice(device), kernel);
    changed_ = true;
  }
  ~DeviceGuard() {
    if (changed_) cudaSetDevice(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_ = 0;
  bool changed_ = false;
};

// Launches the kernels of one call on a stream of a device, which is current while this lives.
class Launcher {
 public:
  Launcher(const char* kernel, int device, void* stream)
      : kernel_(kernel), guard_(device, kernel), stream_(static_cast<cudaStream_t>(stream)) {
    check(cudaDeviceGetAttribute(&processors_, cudaDevAttrMultiProcessorCount, device), kernel);
  }

  int processors() const { return processors_; }

  // Enough blocks to give each of `items` a thread, but no more than fill the device: the kernels
  // loop.
  int64_t blocks(int64_t items, int threads) const {
    const int64_t wanted = (items + threads - 1) / threads;
    const int64_t full = int64_t{processors_} * (2048 / threads);
    return wanted < full ? wanted : full;
  }

  template <class... Parameters, class... Arguments>
  void run(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared,
           const Arguments&... arguments) const {
    if (blocks > INT32_MAX) throw std::runtime_error(std::string(kernel_) + ": too large for one launch");
    kernel<<<static_cast<unsigned>(blocks), threads, shared, stream_>>>(arguments...);
    check(cudaGetLastError(), kernel_);
  }

 private:
  const char* kernel_;
  DeviceGuard guard_;
  cudaStream_t stream_;
  int processors_ = 0;
};

}  // namespace memcore::cuda
