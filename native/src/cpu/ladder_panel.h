// Lines side by side: a panel has one number of each of them at each node, node after node.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "effective_matrix.h"
#include "memcore/ladder.h"

namespace memcore {
namespace {

constexpr int kPanelBytes = 64;  // of a node, one cache line: more lines would not fit into the second-level cache
constexpr int64_t kTileNodes = 8;

template <class T>
constexpr int64_t kPanelLines = kPanelBytes / static_cast<int64_t>(sizeof(T));

// The lines of an array [rows, cols] and their panels; a panel that is not full has zeros for the lines it lacks.
template <class T>
struct Panels {
  const LadderLines<T>& lines;

  int64_t nodes() const { return lines.across ? lines.rows : lines.cols; }
  int64_t all_lines() const { return lines.across ? lines.cols : lines.rows; }
  int64_t count() const { return ceil_div(all_lines(), kPanelLines<T>); }
  int64_t lines_of(int64_t panel) const { return smaller(kPanelLines<T>, all_lines() - panel * kPanelLines<T>); }
  int64_t size() const { return nodes() * kPanelLines<T>; }

  // Copies some nodes of a panel from an array; at most kTileNodes.
  void gather(const T* array, int64_t panel, int64_t first, int64_t count, T* to) const {
    if (lines_of(panel) < kPanelLines<T>)
      for (int64_t i = 0; i < count * kPanelLines<T>; ++i) to[i] = T(0);
    move(panel, first, count, [&](int64_t in_array, int64_t in_panel) { to[in_panel] = array[in_array]; });
  }
  void scatter(const T* from, int64_t panel, int64_t first, int64_t count, T* array) const {
    move(panel, first, count, [&](int64_t in_array, int64_t in_panel) { array[in_array] = from[in_panel]; });
  }

  void gather_all(const T* array, int64_t panel, T* to) const {
    for (int64_t k = 0; k < nodes(); k += kTileNodes)
      gather(array, panel, k, smaller(kTileNodes, nodes() - k), to + k * kPanelLines<T>);
  }

 private:
  // Calls copy(index in the array, index in the panel); full tiles have sizes that the compiler knows.
  template <class Copy>
  MEMCORE_ALWAYS_INLINE void move(int64_t panel, int64_t first, int64_t count, const Copy& copy) const {
    const int64_t line = panel * kPanelLines<T>, width = lines_of(panel);
    const int64_t node = lines.near_last ? nodes() - 1 - first : first, step = lines.near_last ? -1 : 1;
    if (width < kPanelLines<T> || count < kTileNodes)
      move_tile(line, node, step, width, count, copy);
    else if (step == 1)
      move_tile(line, node, 1, kPanelLines<T>, kTileNodes, copy);
    else
      move_tile(line, node, -1, kPanelLines<T>, kTileNodes, copy);
  }

  template <class Copy>
  MEMCORE_ALWAYS_INLINE void move_tile(int64_t line, int64_t node, int64_t step, int64_t width, int64_t count,
                                       const Copy& copy) const {
    if (lines.across) {
      for (int64_t k = 0; k < count; ++k)
        for (int64_t i = 0; i < width; ++i) copy((node + step * k) * lines.cols + line + i, k * kPanelLines<T> + i);
    } else {
      for (int64_t i = 0; i < width; ++i)
        for (int64_t k = 0; k < count; ++k) copy((line + i) * lines.cols + node + step * k, k * kPanelLines<T> + i);
    }
  }
};

}  // namespace
}  // namespace memcore
