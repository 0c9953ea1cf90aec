// The table of kernels of one instruction set.
#pragma once

#include "memcore/kernels.h"
#include "memcore/read.h"

namespace memcore {

struct Kernels {
  const char* name;
  void (*philox_uniform)(const Draws&, float*);
  void (*philox_normal)(const Draws&, float*);
  void (*philox_bernoulli)(const Draws&, float, uint8_t*);
  void (*quantize_uniform)(const QuantizeUniform&);
  void (*quantize_levels)(const QuantizeLevels&);
  void (*crossbar_mvm)(const CrossbarMvm&);
  void (*crossbar_read)(const CrossbarRead&);
  void (*simulate)(const Simulate&);
  void (*pulse_energy)(const PulseEnergy&);
  const char* (*simulate_operation)(int64_t);
};

// Filled by kernels.cpp, once per instruction set.
extern const Kernels kernels_baseline;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;

// Scratch memory, aligned to a cache line; throws std::bad_alloc. Defined in dispatch.cpp.
float* allocate(int64_t floats);
void release(float* memory);
[[noreturn]] void throw_out_of_memory();  // std::bad_alloc

}  // namespace memcore
