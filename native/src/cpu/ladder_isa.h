// The table of kernels of ladder.cpp for one instruction set.
#pragma once

#include "memcore/ladder.h"
#include "memcore/loops.h"

namespace memcore {

struct LadderKernels {
  const char* name;
  int64_t (*size_float)(const LadderLines<float>&);
  int64_t (*size_double)(const LadderLines<double>&);
  void (*factor_float)(const LadderFactor<float>&);
  void (*factor_double)(const LadderFactor<double>&);
  void (*solve_float)(const LadderSolve<float>&);
  void (*solve_double)(const LadderSolve<double>&);
  void (*loops_float)(const LoopsSolve<float>&);
  void (*loops_double)(const LoopsSolve<double>&);
};

extern const LadderKernels ladder_baseline;
extern const LadderKernels ladder_avx2;
extern const LadderKernels ladder_avx512;

}  // namespace memcore
