// Writing cells in memcore._cpu. All checks are in memcore/ops.
#include <pybind11/pybind11.h>

#include "memcore/cells.h"

namespace py = pybind11;
using namespace memcore;

namespace {

using Address = std::uintptr_t;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

void matrix_sums(Address x, int64_t count, Address out) {
  cpu::matrix_sums({at<const float>(x), count, at<double>(out)});
}

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

void fold_pairs(Address cells, int64_t groups, int64_t rows, int64_t cols, int64_t tile_rows, int64_t tile_cols,
                Address gain, int64_t gain_size, Address out, Address check) {
  cpu::fold_pairs({{groups, rows, cols, tile_rows, tile_cols},
                   at<const float>(cells),
                   at<const float>(gain),
                   gain_size,
                   at<float>(out),
                   at<float>(check)});
}

}  // namespace

void bind_cells(py::module_& m);  // called by bind_cpu.cpp

void bind_cells(py::module_& m) {
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.def("matrix_sums", &matrix_sums, NoGil());
  m.def("lay_pairs", &lay_pairs, NoGil());
  m.def("fold_pairs", &fold_pairs, NoGil());
}
