#include <cuda_runtime_api.h>

#include "build.h"

namespace memcore::cuda {
namespace {

constexpr int kArchitectures[] = {__CUDA_ARCH_LIST__};  // 750, 800, ...

// A number with one decimal place, given as so many tenths.
std::string decimal(int tenths) { return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10); }

}  // namespace

std::string build() {
  std::string text = "CUDA " + decimal(CUDART_VERSION / 1000 * 10 + CUDART_VERSION % 1000 / 10) + " for";
  for (const int architecture : kArchitectures) text += " " + decimal(architecture / 10);
  return text;
}

}  // namespace memcore::cuda
