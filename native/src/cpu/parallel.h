// All threading is behind parallel_for, so that a platform without OpenMP gets a serial version.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "isa.h"

namespace memcore {
namespace {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a < b ? b : a; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline int max_threads() {
#if defined(_OPENMP)
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

// Calls fn(begin, end) for consecutive ranges that cover 0 .. n-1; no thread gets fewer than `grain` items
// while another has none. `fn` may throw std::bad_alloc and nothing else; other ranges are still visited then.
template <class Function>
inline void parallel_for(int64_t n, int64_t grain, const Function& fn) {
  if (n <= 0) return;
#if defined(_OPENMP)
  const int64_t parts = smaller(max_threads(), ceil_div(n, larger(grain, 1)));
  if (parts > 1) {
    // No num_threads clause: libgomp ends and restarts threads whenever the size of the team changes.
    bool failed = false;  // an exception that leaves a parallel region ends the process
#pragma omp parallel for schedule(static) reduction(|| : failed)
    for (int64_t part = 0; part < parts; ++part) {
      try {
        fn(n * part / parts, n * (part + 1) / parts);
      } catch (...) {
        failed = true;
      }
    }
    if (failed) throw_out_of_memory();
    return;
  }
#endif
  (void)grain;
  fn(0, n);
}

// As parallel_for, but ranges begin at multiples of `unit`.
template <class Function>
inline void parallel_for_units(int64_t n, int64_t unit, int64_t grain, const Function& fn) {
  parallel_for(ceil_div(n, unit), ceil_div(grain, unit),
               [&](int64_t begin, int64_t end) { fn(begin * unit, smaller(n, end * unit)); });
}

}  // namespace
}  // namespace memcore
