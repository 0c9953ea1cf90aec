// Lines side by side: a panel has one number of each of them at each node, node after node.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "effective_matrix.h"
#include "memcore/ladder.h"
#include "memory.h"

namespace memcore {
namespace {

constexpr int kPanelBytes = 128;  // of a node: two lines of a cache, and sums that do not wait for each other

template <class T>
constexpr int64_t kPanelLines = kPanelBytes / static_cast<int64_t>(sizeof(T));

template <class T>
struct Panels {
  const LadderLines<T>& lines;

  int64_t nodes() const { return lines.across ? lines.rows : lines.cols; }
  int64_t all_lines() const { return lines.across ? lines.cols : lines.rows; }
  int64_t count() const { return ceil_div(all_lines(), kPanelLines<T>); }
  int64_t lines_of(int64_t panel) const { return smaller(kPanelLines<T>, all_lines() - panel * kPanelLines<T>); }
  int64_t size() const { return nodes() * kPanelLines<T>; }
  int64_t place(int64_t node) const { return lines.near_last ? nodes() - 1 - node : node; }

  // Copies lines of an array [rows, cols] into a panel, with zeros for lines that there are not.
  void gather(const T* array, int64_t panel, T* to) const {
    if (lines_of(panel) < kPanelLines<T>) {
      for (int64_t i = 0; i < size(); ++i) to[i] = T(0);
    }
    move(panel, [&](int64_t at, int64_t in_panel) { to[in_panel] = array[at]; });
  }

  void scatter(const T* from, int64_t panel, T* array) const {
    move(panel, [&](int64_t at, int64_t in_panel) { array[at] = from[in_panel]; });
  }

 private:
  // Calls copy(index in the array, index in the panel) for all lines of a panel.
  template <class Copy>
  MEMCORE_ALWAYS_INLINE void move(int64_t panel, const Copy& copy) const {
    const int64_t first = panel * kPanelLines<T>, width = lines_of(panel);
    if (width < kPanelLines<T>)
      move_lines(first, width, copy);
    else
      move_lines(first, kPanelLines<T>, copy);
  }

  template <class Copy>
  MEMCORE_ALWAYS_INLINE void move_lines(int64_t first, int64_t width, const Copy& copy) const {
    if (lines.across) {
      for (int64_t node = 0; node < nodes(); ++node) {
        const int64_t at = place(node) * lines.cols + first, to = node * kPanelLines<T>;
        for (int64_t line = 0; line < width; ++line) copy(at + line, to + line);
      }
      return;
    }
    // In squares that stay in the first-level cache.
    for (int64_t start = 0; start < nodes(); start += kSquare)
      for (int64_t line = 0; line < width; ++line)
        for (int64_t node = start; node < smaller(nodes(), start + kSquare); ++node)
          copy((first + line) * lines.cols + place(node), node * kPanelLines<T> + line);
  }

  static constexpr int64_t kSquare = 8;
};

}  // namespace
}  // namespace memcore
