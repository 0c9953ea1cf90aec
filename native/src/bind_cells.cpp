// Writing cells in memcore._cpu. All checks are in memcore/ops.
#include <pybind11/pybind11.h>

#include <vector>

#include "bind.h"
#include "memcore/cells.h"

namespace py = pybind11;
using namespace memcore;

namespace {

void matrix_sums(Address x, int64_t count, Address out) {
  cpu::matrix_sums({at<const float>(x), count, at<double>(out)});
}

float largest_magnitude(Address x, int64_t count) { return cpu::largest_magnitude(at<const float>(x), count); }

void lay_pairs(Address weight, bool by_columns, int64_t groups, int64_t rows, int64_t cols, int64_t tile_rows,
               int64_t tile_cols, Address scale, int64_t scale_size, float limit, float span, float start, float fill,
               Address out, Address range) {
  cpu::lay_pairs({{groups, rows, cols, tile_rows, tile_cols},
                  at<const float>(weight),
                  by_columns,
                  at<const float>(scale),
                  scale_size,
                  limit,
                  span,
                  start,
                  fill,
                  at<float>(out),
                  at<float>(range)});
}

void fold_pairs(Address cells, bool reference, int64_t groups, int64_t rows, int64_t cols, int64_t tile_rows,
                int64_t tile_cols, Address gain, int64_t gain_size, Address out, int64_t out_rows, Address check) {
  cpu::fold_pairs({{groups, rows, cols, tile_rows, tile_cols},
                   reference,
                   at<const float>(cells),
                   at<const float>(gain),
                   gain_size,
                   at<float>(out),
                   out_rows,
                   at<float>(check)});
}

// Of each form five integers, its kind and both parameters with their sizes, and a float, in the order of
// memcore/ops/cell_forms.py.
void cell_forms(Address g, int64_t count, Address integers, Address floats, int64_t forms, Address out, Address check) {
  const int64_t* next = at<const int64_t>(integers);
  std::vector<CellForm> each;
  for (int64_t i = 0; i < forms; ++i, next += 5) {
    const float* const a = at<const float>(static_cast<Address>(next[1]));
    const float* const b = at<const float>(static_cast<Address>(next[3]));
    each.push_back({next[0], a, b, next[2], next[4], at<const float>(floats)[i]});
  }
  cpu::cell_forms({at<const float>(g), count, each.data(), forms, at<float>(out), at<float>(check)});
}

// Of each share two integers, the place and the size of its level, and a float, its bound.
void cell_shares(Address x, int64_t count, Address integers, Address bounds, int64_t shares) {
  const int64_t* next = at<const int64_t>(integers);
  std::vector<const float*> levels;
  std::vector<int64_t> sizes;
  for (int64_t k = 0; k < shares; ++k, next += 2) {
    levels.push_back(at<const float>(static_cast<Address>(next[0])));
    sizes.push_back(next[1]);
  }
  cpu::cell_shares({at<float>(x), count, shares, at<const float>(bounds), levels.data(), sizes.data()});
}

void cell_errors(Address x, Address y, int64_t count, Address out) {
  cpu::cell_errors({at<const float>(x), at<const float>(y), count, at<double>(out)});
}

}  // namespace

void bind_cells(py::module_& m);  // called by bind_cpu.cpp

void bind_cells(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.def("matrix_sums", &matrix_sums, NoGil());
  m.def("largest_magnitude", &largest_magnitude, NoGil());
  m.def("lay_pairs", &lay_pairs, NoGil());
  m.def("fold_pairs", &fold_pairs, NoGil());
  m.def("cell_forms", &cell_forms, NoGil());
  m.def("cell_shares", &cell_shares, NoGil());
  m.def("cell_errors", &cell_errors, NoGil());
}
