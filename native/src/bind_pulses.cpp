// Pulses of a training in place in memcore._cpu. All checks are in memcore/ops.
#include <pybind11/pybind11.h>

#include "bind.h"
#include "bind_model.h"
#include "memcore/pulses.h"

namespace py = pybind11;
using namespace memcore;

namespace {

void coincidences(Address rows, Address cols, Address length, int64_t n, int64_t groups, int64_t inputs,
                  int64_t outputs, int64_t row_key, int64_t col_key, int64_t first, Address up, Address down) {
  cpu::coincidences({at<const float>(rows), at<const float>(cols), at<const float>(length), n, groups, inputs, outputs,
                     static_cast<uint64_t>(row_key), static_cast<uint64_t>(col_key), first, at<float>(up),
                     at<float>(down)});
}

void pulse_order(Address up, Address down, int64_t rows, int64_t cols, int64_t array_rows, int64_t array_cols,
                 int64_t data_cols, int64_t begin, int64_t end, bool opposite, Address conductance, int64_t key,
                 int64_t read, Address before, Address behind, Address sums) {
  cpu::pulse_order({at<const float>(up), at<const float>(down), rows, cols, array_rows, array_cols, data_cols, begin,
                    end, opposite, at<const float>(conductance), static_cast<uint64_t>(key), read, at<float>(before),
                    at<float>(behind), at<double>(sums)});
}

// What makes a conductance of the first variable of each cell, and looks at no voltage.
Simulate law(const int64_t*& next, const int64_t* state) {
  Simulate s = model(next);
  for (const int64_t** const to : {&s.params, &s.keys}) *to = at<const int64_t>(static_cast<Address>(*next++));
  s.state = state;
  s.voltage = at<const void>(static_cast<Address>(state[0]));
  s.steps = 1;
  return s;
}

// Integers in one row, in the order of memcore/ops/pulse_trains.py.
void pulse_trains(Address arguments) {
  const int64_t* next = at<const int64_t>(arguments);
  TrainPulses t = {};
  Coincidences& c = t.trains;
  for (const float** const to : {&c.rows, &c.cols, &c.length}) *to = at<const float>(static_cast<Address>(*next++));
  for (int64_t* const to : {&c.n, &c.groups, &c.inputs, &c.outputs}) *to = *next++;
  for (uint64_t* const to : {&c.row_key, &c.col_key}) *to = static_cast<uint64_t>(*next++);
  c.first = *next++;
  PulseOrder& p = t.order;
  for (int64_t* const to : {&p.rows, &p.cols, &p.array_rows, &p.array_cols, &p.data_cols, &p.end}) *to = *next++;
  p.conductance = at<const float>(static_cast<Address>(*next++));
  p.key = static_cast<uint64_t>(*next++);
  p.read = *next++;
  p.sums = at<double>(static_cast<Address>(*next++));
  Simulate& s = t.model = model(next);
  for (const int64_t** const to : {&s.params, &s.keys, &s.state, &s.last, &t.opposite})
    *to = at<const int64_t>(static_cast<Address>(*next++));
  s.steps = 1;
  for (int64_t* const to : {&s.first_step, &t.parts}) *to = *next++;
  if (p.conductance == nullptr) t.law = law(next, s.state);
  cpu::pulse_trains(t);
}

// Likewise, in the order of memcore/ops/fold_states.py.
void fold_states(Address arguments) {
  const int64_t* next = at<const int64_t>(arguments);
  FoldStates f = {};
  Pairs& p = f.at;
  for (int64_t* const to : {&p.groups, &p.rows, &p.cols, &p.tile_rows, &p.tile_cols}) *to = *next++;
  f.reference = *next++ != 0;
  for (int64_t* const to : {&f.begin, &f.end}) *to = *next++;
  f.gain = at<const float>(static_cast<Address>(*next++));
  f.gain_size = *next++;
  f.out = at<float>(static_cast<Address>(*next++));
  for (int64_t* const to : {&f.out_group, &f.out_rows}) *to = *next++;
  f.check = at<float>(static_cast<Address>(*next++));
  const int64_t* const state = at<const int64_t>(static_cast<Address>(*next++));
  f.law = law(next, state);
  cpu::fold_states(f);
}

void counted_products(Address rows, Address cols, int64_t n, int64_t groups, int64_t inputs, int64_t outputs,
                      Address carry, Address up, Address down, Address slots) {
  cpu::counted_products({at<const float>(rows), at<const float>(cols), n, groups, inputs, outputs, at<float>(carry),
                         at<float>(up), at<float>(down), at<double>(slots)});
}

}  // namespace

void bind_pulses(py::module_& m);  // called by bind_cpu.cpp

void bind_pulses(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.def("coincidences", &coincidences, NoGil());
  m.def("pulse_order", &pulse_order, NoGil());
  m.def("counted_products", &counted_products, NoGil());
  m.def("pulse_trains", &pulse_trains, NoGil());
  m.def("fold_states", &fold_states, NoGil());
}
