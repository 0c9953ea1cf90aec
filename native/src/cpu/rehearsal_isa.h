// The table of kernels of rehearsal.cpp for one instruction set.
#pragma once

#include "memcore/rehearsal.h"

namespace memcore {

struct RehearsalKernels {
  const char* name;
  bool (*rehearsed_read)(const RehearsedRead&);
};

extern const RehearsalKernels rehearsal_baseline;
extern const RehearsalKernels rehearsal_avx2;
extern const RehearsalKernels rehearsal_avx512;

}  // namespace memcore
