// Serial reads as memcore/ops/serial_read.py hands them over.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "memcore/serial.h"

namespace memcore {

// The ends of converters: lowest and highest code of the inputs, and of the currents.
struct SerialEnds {
  float dac_lo, dac_hi, lo, hi;
};

// Everything but these in one row of 64-bit integers; `next` is behind them then.
inline SerialRead serial_read_of(const int64_t*& next, const SerialEnds& ends) {
  SerialRead r = {};
  r.tables = reinterpret_cast<const uint8_t*>(*next++);
  r.cells = reinterpret_cast<const int8_t*>(*next++);
  for (const float** const to : {&r.x, &r.shift, &r.factor, &r.base, &r.scale, &r.step, &r.places})
    *to = reinterpret_cast<const float*>(*next++);
  for (const int32_t** const to : {&r.multiplier, &r.raised}) *to = reinterpret_cast<const int32_t*>(*next++);
  r.out = reinterpret_cast<float*>(*next++);
  r.planes = reinterpret_cast<const BitPlane*>(*next++);
  for (int64_t* const to : {&r.plane_count, &r.phases, &r.scale_size, &r.n, &r.groups, &r.rows, &r.cols, &r.tile_rows,
                            &r.together, &r.within})
    *to = *next++;
  r.dac_lo = ends.dac_lo, r.dac_hi = ends.dac_hi;
  r.lo = ends.lo, r.hi = ends.hi;
  return r;
}

}  // namespace memcore
