// The lowest levels of the effective matrix: squares of kUnit x kUnit cells, one in each lane of a vector.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "effective_plan.h"

namespace memcore {
namespace {

// The cells and wires of one array; entries of `bit` belong to the segment below a cell.
template <class T>
struct Cells {
  int64_t rows, cols, word_stride;
  const T *g, *word, *bit;
};

// The cells of several squares, with cells of no conductance on wires of no resistance where the array has ended.
template <class T>
struct SquareCells {
  Lanes<T> g[kUnit * kUnit], word[kUnit * kUnit], bit[kUnit * kUnit];

  void clear() {
    for (int64_t i = 0; i < kUnit * kUnit; ++i) g[i] = word[i] = bit[i] = Lanes<T>(0);
  }

  void load(const Cells<T>& cells, int64_t row, int64_t col, int64_t lane) {
    const int64_t height = smaller(kUnit, cells.rows - row), width = smaller(kUnit, cells.cols - col);
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) {
        const int64_t at = i * kUnit + j;
        g[at].v[lane] = cells.g[(row + i) * cells.cols + col + j];
        word[at].v[lane] = cells.word[(row + i) * cells.word_stride + col + j];
        bit[at].v[lane] = cells.bit[(row + i) * cells.cols + col + j];
      }
  }
};

// The lines of a cell, L, R, T and B. With the current c = y d u through the cell, y = g / (1 + g (word + bit)),
// S = S_0 + y d d^t, where S_0 are the wires alone.
template <class T>
struct Cell {
  Lanes<T> y, d[kPorts];

  Cell(Lanes<T> g, Lanes<T> word, Lanes<T> bit)
      : y(g / (Lanes<T>(1) + g * (word + bit))), d{Lanes<T>(1), word, -bit, Lanes<T>(-1)} {}
};

template <class T>
struct CellUnits {
  const SquareCells<T>& cells;

  double enter(int64_t) const { return 0; }
  void build(const Node& node, Matrix<Lanes<T>> s) const {
    const int64_t at = node.row * kUnit + node.col;
    const Cell<T> cell(cells.g[at], cells.word[at], cells.bit[at]);
    for (int i = 0; i < kPorts; ++i)
      for (int j = 0; j < kPorts; ++j) s.row(i)[j] = cell.y * cell.d[i] * cell.d[j];
    s.row(kLeft)[kRight] -= Lanes<T>(1), s.row(kRight)[kLeft] -= Lanes<T>(1);
    s.row(kTop)[kBottom] -= Lanes<T>(1), s.row(kBottom)[kTop] -= Lanes<T>(1);
    s.row(kRight)[kRight] -= cells.word[at], s.row(kTop)[kTop] -= cells.bit[at];
  }
};

template <class T>
using SquarePlan = Plan<Lanes<T>>;

// All ports of all squares.
constexpr Edges kSquareEdges{true, true, false};

// Lines of a square's S in the order L, R, T, B, without the ports that `layout` lacks.
inline Lines square_lines(const Layout& square, const Layout& layout) {
  Lines lines{};
  for (int p = 0; p < kPorts; ++p)
    if (layout.port[p].count > 0) lines.append(square.port[p]);
  return lines;
}

// Calls fn(i, line) for every line of a list.
template <class Function>
void for_lines(const Lines& lines, const Function& fn) {
  int64_t i = 0;
  for (int r = 0; r < lines.runs; ++r)
    for (int64_t j = 0; j < lines.run[r].count; ++j) fn(i++, lines.run[r].at + j);
}

// The units of the plan of numbers: squares, built together when their group is entered.
template <class T>
struct SquareUnits {
  const Plan<T>& plan;
  const SquarePlan<T>& squares;
  const Cells<T>& cells;
  SquareCells<T>* loaded;
  Lanes<T>*memory, *kept;  // for the squares
  mutable const Node* group = nullptr;

  int64_t lane(const Node& node) const { return (node.row - group->row) * group->cols + node.col - group->col; }

  double enter(int64_t index) const {
    group = plan.nodes + index;
    loaded->clear();
    for (int64_t i = 0; i < group->units(); ++i) {
      const int64_t row = group->row + i / group->cols, col = group->col + i % group->cols;
      loaded->load(cells, row * kUnit, col * kUnit, i);
    }
    return memcore::build(squares, 0, memory, kept, CellUnits<T>{*loaded}) * static_cast<double>(group->units());
  }

  void build(const Node& node, Matrix<T> s) const {
    const Node& square = squares.nodes[0];
    const Matrix<Lanes<T>> all = squares.block(square, memory);
    const int64_t from = lane(node);
    const Lines lines = square_lines(square.layout, node.layout);
    for_lines(lines, [&](int64_t i, int64_t line_i) {
      for_lines(lines, [&](int64_t j, int64_t line_j) { s.row(i)[j] = all.row(line_i)[line_j].v[from]; });
    });
  }
};

}  // namespace
}  // namespace memcore
