// The table of kernels of serial.cpp for one instruction set.
#pragma once

#include "memcore/serial.h"

namespace memcore {

struct SerialKernels {
  const char* name;
  void (*serial_read)(const SerialRead&);
};

extern const SerialKernels serial_baseline;
extern const SerialKernels serial_avx2;
extern const SerialKernels serial_avx512;

}  // namespace memcore
