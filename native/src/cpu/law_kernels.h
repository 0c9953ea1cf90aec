// What cells conduct by a law: a recorded model that makes a conductance of their variables, some cells at a time.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memory.h"
#include "simulate_kernels.h"

namespace memcore {
namespace {

// Belongs to one thread.
class Law {
 public:
  // Of a model of all cells, whose first variable becomes a conductance; the others stay as they are.
  explicit Law(const Simulate& law)
      : last_(law.n_state), model_(with_last(law, last_.data)), simulation_(model_), room_(simulation_) {}

  // Conductances of cells from a number on.
  void conduct(int64_t cell, int64_t cells, float* to) {
    last_.data[0] = reinterpret_cast<int64_t>(to - cell);  // all is found by the number of a cell
    simulation_.over_some(cell, cell + cells, room_);
  }

 private:
  static Simulate with_last(Simulate s, int64_t* last) {
    for (int64_t k = 0; k < s.n_state; ++k) last[k] = s.state[k];
    s.last = last;
    return s;
  }

  const Memory<int64_t> last_;
  const Simulate model_;
  Simulation<float> simulation_;
  Simulation<float>::Room room_;
};

}  // namespace
}  // namespace memcore
