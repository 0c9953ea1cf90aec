// Cells in the order of the weights in memcore._cpu. All checks are in memcore/ops.
#include <pybind11/pybind11.h>

#include <vector>

#include "bind.h"
#include "memcore/read.h"
#include "memcore/rehearsal.h"

namespace py = pybind11;
using namespace memcore;

namespace {

std::vector<CellStep> steps_of(int64_t count, const int64_t* kinds, const float* numbers, const int64_t* keys) {
  std::vector<CellStep> steps;
  for (int64_t k = 0; k < count; ++k, numbers += 6, keys += 2) {
    const float* const n = numbers;
    const auto one = static_cast<uint64_t>(keys[0]), other = static_cast<uint64_t>(keys[1]);
    steps.push_back({kinds[k], n[0], n[1], n[2], n[3], n[4], n[5], {one, other}});
  }
  return steps;
}

// Two rows, of 64-bit integers and of floats, in the order of memcore/ops/rehearsal.py.
bool rehearsed_read(Address integers, Address floats) {
  const int64_t* next = at<const int64_t>(integers);
  RehearsedRead r = {};
  RehearsedCells& c = r.cells;
  for (int64_t* const to : {&c.groups, &c.outputs, &c.inputs, &c.steps, &c.scale_size}) *to = *next++;
  c.noisy = *next++ != 0;
  for (const float** const to : {&c.weight, &c.scale, &r.pairs, &r.variance}) *to = at<const float>(*next++);
  const std::vector<CellStep> steps =
      steps_of(c.steps, at<const int64_t>(next[0]), at<const float>(next[1]), at<const int64_t>(next[2]));
  next += 3;
  c.step = steps.data();
  r.levels_out = at<int8_t>(*next++);
  for (float** const to : {&r.pairs_out, &r.variance_out}) *to = at<float>(*next++);
  for (const float** const to : {&r.x, &r.dac.step, &r.adc.step, &r.bias}) *to = at<const float>(*next++);
  r.key = static_cast<uint64_t>(*next++);
  for (int64_t* const to : {&r.first_read, &r.read_step, &r.n, &r.tile_rows}) *to = *next++;
  r.narrow = *next++ != 0 && cpu::multiplies_narrow();
  r.out = at<float>(*next++);
  const float* number = at<const float>(floats);
  for (float* const to : {&c.span, &c.start, &c.most, &c.highest, &c.relative, &c.constant, &r.width, &r.levels,
                          &r.volts, &r.dac.lo, &r.dac.hi, &r.adc.lo, &r.adc.hi})
    *to = *number++;
  return cpu::rehearsed_read(r);
}

}  // namespace

void bind_rehearsal(py::module_& m);  // called by bind_cpu.cpp

void bind_rehearsal(py::module_& m) {
  m.def("rehearsed_read", &rehearsed_read, py::call_guard<py::gil_scoped_release>());
}
