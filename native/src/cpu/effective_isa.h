// The table of kernels of effective.cpp for one instruction set.
#pragma once

#include "memcore/effective.h"

namespace memcore {

struct EffectiveKernels {
  const char* name;
  double (*forward_float)(const EffectiveConductance<float>&);
  double (*forward_double)(const EffectiveConductance<double>&);
  double (*backward_float)(const EffectiveConductance<float>&);
  double (*backward_double)(const EffectiveConductance<double>&);
  int64_t (*kept_float)(const EffectiveConductance<float>&);
  int64_t (*kept_double)(const EffectiveConductance<double>&);
  void (*voltages_float)(const CellVoltages<float>&);
  void (*voltages_double)(const CellVoltages<double>&);
};

extern const EffectiveKernels effective_baseline;
extern const EffectiveKernels effective_avx2;
extern const EffectiveKernels effective_avx512;

}  // namespace memcore
