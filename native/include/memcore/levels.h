// The decision boundary between two neighbouring levels, shared by CPU and CUDA.
#pragma once

#include <cstdint>

#include "memcore/philox.h"

namespace memcore {
namespace {

// The largest float that is not above the middle of a <= b, so that for every float x
// "x > lower_middle(a, b)" is "x is nearer to b than to a", exactly.
MEMCORE_INLINE float lower_middle(float a, float b) {
  const double middle = 0.5 * (static_cast<double>(a) + static_cast<double>(b));
  float f = static_cast<float>(middle);
  if (static_cast<double>(f) > middle) {
    int32_t i = float_to_bits(f);
    i = f > 0.0f ? i - 1 : (i == 0 || i == INT32_MIN ? static_cast<int32_t>(0x80000001) : i + 1);
    f = bits_to_float(i);
  }
  return f;
}

}  // namespace
}  // namespace memcore
