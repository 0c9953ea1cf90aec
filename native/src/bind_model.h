// A recorded model among the integers that memcore/dynamics/recording/run.py hands over.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"

namespace memcore {

inline Simulate model(const int64_t*& next) {
  Simulate s = {};
  for (int i = 0; i < 4; ++i) s.list[i] = reinterpret_cast<const int32_t*>(*next++);
  for (int i = 0; i < 4; ++i) s.length[i] = *next++;
  s.is_double = *next++ != 0;
  for (int64_t* const to : {&s.n_constants, &s.n_series, &s.n_registers, &s.n_state}) *to = *next++;
  s.constants = reinterpret_cast<const void*>(*next++);
  s.regions = reinterpret_cast<const int32_t*>(*next++);
  return s;
}

}  // namespace memcore
