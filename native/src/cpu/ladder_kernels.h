// Node voltages of lines with a shunt at each node, by elimination from the far end.
//
// With r_k the segment in front of node k, G_k its shunt to the voltage x_k, and a_k the admittance of what is behind
// it, a line from node k on is an admittance y_k with a current source s_k:
//   y_k = G_k + a_k,  t_k = 1 / (1 + r_k y_k),  a_{k-1} = y_k t_k
//   s_k = G_k x_k + t_{k+1} s_{k+1}
//   v_k = t_k (v_{k-1} + r_k s_k),  v_{-1} = 0
// A second end behind no resistance has an infinite admittance, so that t = 0 and 1 / r passes for y t. No resistance
// between two nodes is t = 1. (L + G)^-1 = U^-t diag(r t) U^-1, hence the sum of r_k t_k s_k^2 is that of G_k x_k v_k.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "ladder_panel.h"
#include "memory.h"

namespace memcore {
namespace {

// One number of each line of a panel.
template <class T>
struct Across {
  using Vector = typename VectorOf<T, kVectorBytes>::Type;
  static constexpr int count = kPanelBytes / kVectorBytes;
  Vector v[count];

  MEMCORE_ALWAYS_INLINE static Across at(const T* from) {
    Across out;
    __builtin_memcpy(&out, from, sizeof(out));
    return out;
  }
  MEMCORE_ALWAYS_INLINE void to(T* out) const { __builtin_memcpy(out, this, sizeof(*this)); }

  double sum() const {
    double out = 0;
    for (int i = 0; i < count; ++i)
      for (int lane = 0; lane < kVectorBytes / static_cast<int>(sizeof(T)); ++lane) out += v[i][lane];
    return out;
  }
};

// The coefficients of a panel: t of all nodes, and then G and r t of all nodes, side by side.
template <class E>
struct Coefficients {
  E *transfer, *others;

  Coefficients(E* packed, int64_t size) : transfer(packed), others(packed + size) {}
  E* shunt(int64_t node) const { return others + 2 * node * kPanelLines<E>; }
  E* impedance(int64_t node) const { return others + (2 * node + 1) * kPanelLines<E>; }
};

// `behind` are the admittances of what is behind the last nodes.
template <class T>
void eliminate(int64_t nodes, const T* shunt, const T* segments, T* behind, Coefficients<T> out) {
  constexpr int64_t width = kPanelLines<T>;
  constexpr T infinity = static_cast<T>(__builtin_inf());
  for (int64_t k = nodes - 1; k >= 0; --k) {
    const T *const g = shunt + k * width, *const r = segments + k * width;
    for (int64_t i = 0; i < width; ++i) {
      const T y = g[i] + behind[i], t = r[i] == T(0) ? T(1) : T(1) / (T(1) + r[i] * y);
      behind[i] = y == infinity && r[i] != T(0) ? T(1) / r[i] : y * t;
      out.shunt(k)[i] = g[i];
      out.transfer[k * width + i] = t;
      out.impedance(k)[i] = r[i] * t;
    }
  }
}

// From what is behind the shunts to the voltages of one panel, by way of r t s in `sources`; returns the energy.
template <class T>
struct Sweep {
  const Panels<T>& panels;
  int64_t panel;
  Coefficients<const T> coefficients;
  T* sources;

  static constexpr int64_t width = kPanelLines<T>;
  alignas(64) T tile[kTileNodes * width];

  double run(const T* inputs, T* voltages) {
    const int64_t nodes = panels.nodes();
    Across<T> s{}, transfer{}, energy{};
    for (int64_t end = nodes; end > 0;) {
      const int64_t first = (end - 1) / kTileNodes * kTileNodes;
      panels.gather(inputs, panel, first, end - first, tile);
      for (int64_t k = end - 1; k >= first; --k) eliminate_node(k, tile + (k - first) * width, s, transfer, energy);
      end = first;
    }
    Across<T> v{};
    for (int64_t first = 0; first < nodes; first += kTileNodes) {
      const int64_t count = smaller(kTileNodes, nodes - first);
      for (int64_t k = 0; k < count; ++k) substitute_node(first + k, tile + k * width, v);
      panels.scatter(tile, panel, first, count, voltages);
    }
    return energy.sum();
  }

 private:
  // In each sum the product with what comes from the node before is the first, so that it becomes part of one
  // multiply-add and nothing else has to be waited for.
  MEMCORE_ALWAYS_INLINE void eliminate_node(int64_t k, const T* x, Across<T>& s, Across<T>& transfer,
                                            Across<T>& energy) {
    const auto shunt = Across<T>::at(coefficients.shunt(k)), impedance = Across<T>::at(coefficients.impedance(k));
    const auto input = Across<T>::at(x);
    Across<T> source;
    for (int i = 0; i < Across<T>::count; ++i) {
      s.v[i] = transfer.v[i] * s.v[i] + shunt.v[i] * input.v[i];
      source.v[i] = impedance.v[i] * s.v[i];
      energy.v[i] += source.v[i] * s.v[i];
    }
    source.to(sources + k * width);
    transfer = Across<T>::at(coefficients.transfer + k * width);
  }

  MEMCORE_ALWAYS_INLINE void substitute_node(int64_t k, T* to, Across<T>& v) {
    const auto transfer = Across<T>::at(coefficients.transfer + k * width);
    const auto source = Across<T>::at(sources + k * width);
    for (int i = 0; i < Across<T>::count; ++i) v.v[i] = transfer.v[i] * v.v[i] + source.v[i];
    v.to(to);
  }
};

template <class T>
int64_t ladder_size(const LadderLines<T>& lines) {
  const Panels<T> panels{lines};
  return 3 * panels.count() * panels.size();
}

constexpr int64_t kLadderGrain = 16 * 1024;  // nodes, about 30 us

template <class T>
int64_t panels_of_grain(const Panels<T>& panels, int64_t each) {
  return ceil_div(kLadderGrain, larger(panels.size() * each, 1));
}

// Admittances of what is behind the last nodes of a panel.
template <class T>
void far_ends(const LadderFactor<T>& f, const Panels<T>& panels, int64_t array, int64_t panel, T* out) {
  for (int64_t line = 0; line < kPanelLines<T>; ++line) {
    const bool open = f.far == nullptr || line >= panels.lines_of(panel);
    const int64_t at = array * panels.all_lines() + panel * kPanelLines<T> + line;
    out[line] = open ? T(0) : T(1) / f.far[at];
  }
}

template <class T>
void ladder_factor(const LadderFactor<T>& f) {
  const Panels<T> panels{f.lines};
  const int64_t count = panels.count(), size = panels.size(), cells = f.lines.rows * f.lines.cols;
  parallel_for(f.lines.arrays * count, panels_of_grain(panels, 1), [&](int64_t begin, int64_t end) {
    const Memory<T> shunt(size), segments(size);
    for (int64_t k = 0; k < size; ++k) shunt.data[k] = T(0);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t array = i / count, panel = i % count;
      T behind[kPanelLines<T>];
      far_ends(f, panels, array, panel, behind);
      panels.gather_all(f.segments + array * cells, panel, segments.data);
      if (f.shunt != nullptr) panels.gather_all(f.shunt + array * cells, panel, shunt.data);
      const Coefficients<T> out(f.packed + 3 * i * size, size);
      eliminate(panels.nodes(), shunt.data, segments.data, behind, out);
      for (int64_t k = 0; k < panels.nodes() && f.shunt == nullptr; ++k)
        for (int64_t line = 0; line < kPanelLines<T>; ++line) out.shunt(k)[line] = T(1);
    }
  });
}

template <class T>
void ladder_solve(const LadderSolve<T>& s) {
  const Panels<T> panels{s.lines};
  const int64_t count = panels.count(), size = panels.size(), cells = s.lines.rows * s.lines.cols;
  const Memory<double> energies(s.lines.arrays * count * s.each);
  parallel_for(s.lines.arrays * count, panels_of_grain(panels, s.each), [&](int64_t begin, int64_t end) {
    const Memory<T> sources(size);
    for (int64_t i = begin; i < end; ++i) {
      Sweep<T> sweep{panels, i % count, Coefficients<const T>(s.packed + 3 * i * size, size), sources.data, {}};
      for (int64_t n = 0; n < s.each; ++n) {
        const int64_t at = (i / count * s.each + n) * cells;
        energies.data[i * s.each + n] = sweep.run(s.inputs + at, s.voltages + at);
      }
    }
  });
  // In an order that does not depend on the number of threads.
  for (int64_t array = 0; array < s.lines.arrays; ++array)
    for (int64_t n = 0; n < s.each; ++n) {
      double sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += energies.data[(array * count + i) * s.each + n];
      s.energy[array * s.each + n] = sum;
    }
}

}  // namespace
}  // namespace memcore
