// Voltages across ohmic cells, by conjugate gradients between word and bit lines, improved until the loops close.
//
// With the changes e of the word lines for given voltages b of the bit lines, e = E_w (b - s), and the other way round
// b = E_b (s + e), both of which are ladders, (1 - E_b E_w) b = E_b (s - E_w s) is symmetric and positive in the inner
// product of G E_w. memcore/circuit/loops.py says the same for arrays of any size.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "ladder_kernels.h"
#include "memcore/loops.h"

namespace memcore {
namespace {

constexpr int64_t kSweeps = 16;  // over the lines of an array, roughly
constexpr double kMargin = 0.3;  // how much better than needed a round of iterations leaves what it can see

// All arrays of cells are as long as whole cache lines, with zeros behind the cells.
template <class T>
int64_t padded(int64_t count) {
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  return ceil_div(count, line) * line;
}

template <class T>
struct Several {
  using Vector = typename VectorOf<T, kVectorBytes>::Type;
  static constexpr int64_t count = VectorOf<T, kVectorBytes>::count;

  MEMCORE_ALWAYS_INLINE static Vector at(const T* from) { return load_as<Vector>(from); }
  MEMCORE_ALWAYS_INLINE static Vector larger(Vector a, Vector b) { return a > b ? a : b; }

  // Calls each(i) for the first of every vector of cells.
  template <class Each>
  MEMCORE_ALWAYS_INLINE static void all(int64_t cells, const Each& each) {
    for (int64_t i = 0; i < cells; i += count) each(i);
  }

  // The sum of term(i), in an order that depends on nothing else.
  template <class Term>
  MEMCORE_ALWAYS_INLINE static double sum(int64_t cells, const Term& term) {
    Vector sums{};
    all(cells, [&](int64_t i) { sums += term(i); });
    double out = 0;
    for (int64_t lane = 0; lane < count; ++lane) out += sums[lane];
    return out;
  }

  // The largest term(i) that is above 0.
  template <class Term>
  MEMCORE_ALWAYS_INLINE static T largest(int64_t cells, const Term& term) {
    Vector most{};
    all(cells, [&](int64_t i) { most = larger(term(i), most); });
    T out = 0;
    for (int64_t lane = 0; lane < count; ++lane) out = most[lane] > out ? most[lane] : out;
    return out;
  }
};

template <class T>
T largest_of(const T* x, int64_t count) {
  T out = 0;
  for (int64_t i = 0; i < count; ++i) out = x[i] > out ? x[i] : -x[i] > out ? -x[i] : out;
  return out;
}

// 0 for 0 / 0.
inline double share_of(double part, double whole) { return part == 0 ? 0 : part / whole; }

// The word lines or the bit lines of one array, without cells and with them.
template <class T>
class LoopSide {
 public:
  LoopSide(const LoopsSolve<T>& s, bool across, T* memory)
      : lines_{1, s.rows, s.cols, across, (across ? s.bit : s.word).near_last},
        panels_{lines_},
        of_(across ? s.bit : s.word),
        cells_(memory),
        work_(memory + ladder_size<T>(lines_)) {}

  static int64_t memory(const LadderLines<T>& lines) {
    const Panels<T> panels{lines};
    return ladder_size<T>(lines) + 2 * panels.size();
  }

  void begin(int64_t array) { array_ = of_.arrays == 1 ? 0 : array; }

  // Eliminates the nodes with the cells as shunts.
  void factor(const T* g) {
    const int64_t size = panels_.size(), cells = lines_.rows * lines_.cols;
    T *const shunt = work_, *const segments = work_ + size;
    const LadderFactor<T> f{lines_, g, of_.segments + array_ * cells, far(), cells_};
    for (int64_t panel = 0; panel < panels_.count(); ++panel) {
      T behind[kPanelLines<T>];
      far_ends(f, panels_, 0, panel, behind);
      panels_.gather_all(f.segments, panel, segments);
      panels_.gather_all(g, panel, shunt);
      eliminate(panels_.nodes(), shunt, segments, behind, Coefficients<T>(cells_ + 3 * panel * size, size));
    }
  }

  // Voltages for those behind the cells; returns the energy.
  double shunted(const T* inputs, T* voltages) { return run(cells_, inputs, voltages); }

  // Voltages for currents into the nodes.
  void drop(const T* currents, T* voltages) { run(of_.packed + array_ * ladder_size<T>(lines_), currents, voltages); }

 private:
  const T* far() const { return of_.far == nullptr ? nullptr : of_.far + array_ * panels_.all_lines(); }

  double run(const T* packed, const T* inputs, T* voltages) {
    double energy = 0;
    for (int64_t panel = 0; panel < panels_.count(); ++panel) {
      const int64_t at = 3 * panel * panels_.size();
      Sweep<T> sweep{panels_, panel, Coefficients<const T>(packed + at, panels_.size()), work_, {}};
      energy += sweep.run(inputs, voltages);
    }
    return energy;
  }

  LadderLines<T> lines_;
  Panels<T> panels_;
  LoopLines<T> of_;
  T *cells_, *work_;
  int64_t array_ = 0;
};

// One array after the other.
template <class T>
class Loops {
  using V = Several<T>;

 public:
  Loops(const LoopsSolve<T>& s, T* memory)
      : s_(s),
        cells_(s.rows * s.cols),
        count_(padded<T>(cells_)),
        word_(s, false, memory + kArrays * count_),
        bit_(s, true, memory + kArrays * count_ + LoopSide<T>::memory(lines_of(s, false))) {
    T** const arrays[kArrays] = {&g_, &u_, &applied_, &missing_, &b_, &d_, &p_, &q_, &e_, &change_};
    for (int64_t i = 0; i < kArrays; ++i) *arrays[i] = memory + i * count_;
    for (int64_t i = 0; i < kArrays * count_; ++i) memory[i] = T(0);
  }

  static int64_t memory(const LoopsSolve<T>& s) {
    const int64_t sides = LoopSide<T>::memory(lines_of(s, false)) + LoopSide<T>::memory(lines_of(s, true));
    return kArrays * padded<T>(s.rows * s.cols) + sides;
  }

  void run(int64_t array) {
    T* const voltages = s_.voltages + array * cells_;
    word_.begin(array);
    bit_.begin(array);
    apply(s_.word_volts + array * s_.rows, s_.bit_volts + array * s_.cols);
    for (int64_t i = 0; i < cells_; ++i) {
      g_[i] = s_.g[array * cells_ + i];
      u_[i] = volts_ == 0 ? T(0) : voltages[i];  // nothing but rest is near
    }
    s_.residual[array] = volts_ == 0 ? 0 : improved();
    s_.lost[array] = V::sum(count_, [&](int64_t i) { return at(g_, i) * at(u_, i) * (at(applied_, i) - at(u_, i)); });
    for (int64_t i = 0; i < cells_; ++i) voltages[i] = u_[i];
  }

 private:
  static constexpr int64_t kArrays = 10;
  static constexpr double kLeast = sizeof(T) == 8 ? 10 * 0x1p-52 : 10 * 0x1p-23;  // of a round of iterations

  static LadderLines<T> lines_of(const LoopsSolve<T>& s, bool across) { return {1, s.rows, s.cols, across, false}; }
  MEMCORE_ALWAYS_INLINE static typename V::Vector at(const T* from, int64_t i) { return V::at(from + i); }
  MEMCORE_ALWAYS_INLINE static typename V::Vector size(const T* from, int64_t i) {
    return V::larger(at(from, i), -at(from, i));
  }

  // What is applied to the cells, and the largest voltages.
  void apply(const T* word, const T* bit) {
    for (int64_t row = 0; row < s_.rows; ++row)
      for (int64_t col = 0; col < s_.cols; ++col) applied_[row * s_.cols + col] = word[row] - bit[col];
    volts_ = V::largest(count_, [&](int64_t i) { return size(applied_, i); });
    const T of_word = largest_of(word, s_.rows), of_bit = largest_of(bit, s_.cols);
    noise_ = static_cast<T>(s_.rounding * (of_word > of_bit ? of_word : of_bit));
  }

  // The residual, once it is small enough, or no longer falls although as much is wanted as rounding leaves.
  double improved() {
    double before = __builtin_inf(), margin = kMargin;
    int64_t left = s_.iterations;
    for (bool first = true, all = false;; first = false) {
      const double residual = miss();
      const bool falls = first || residual < 0.5 * before;
      if (!(residual > s_.tolerance) || (all && !falls) || left <= 0) return residual;
      if (first) {
        word_.factor(g_);
        bit_.factor(g_);
      }
      if (!falls) margin *= kMargin * kMargin;  // the norm of the iterations does not see what is missing
      const double wanted = margin * s_.tolerance / (residual < 1 ? residual : 1);  // infinite without a current
      all = wanted <= kLeast;
      left -= correct(all ? kLeast : wanted, left);
      before = residual;
    }
  }

  // What is missing in the sum of voltages around the loop through each cell; returns the residual.
  double miss() {
    V::all(count_, [&](int64_t i) { store_as(q_ + i, at(g_, i) * at(u_, i)); });
    word_.drop(q_, e_);
    bit_.drop(q_, change_);
    double volts = 0, current = 0;
    typename V::Vector sum{}, most_volts{}, most_current{};
    V::all(count_, [&](int64_t i) {
      const auto left = at(applied_, i) - at(u_, i) - (at(e_, i) + at(change_, i));
      store_as(missing_ + i, left);
      const auto of_loop = V::larger(left, -left);
      sum += of_loop;
      most_volts = V::larger(of_loop, most_volts);
      most_current = V::larger((of_loop - noise_) * at(g_, i), most_current);
    });
    for (int64_t lane = 0; lane < V::count; ++lane) {
      if (!(sum[lane] - sum[lane] == 0)) return __builtin_nan("");
      volts = most_volts[lane] > volts ? most_volts[lane] : volts;
      current = most_current[lane] > current ? most_current[lane] : current;
    }
    const T most = V::largest(count_, [&](int64_t i) { return size(q_, i); });
    const double of_volts = share_of(volts, volts_), of_current = share_of(current, most);
    return of_volts > of_current ? of_volts : of_current;
  }

  // Adds to u what is missing, to `wanted` of it; returns the number of iterations.
  int64_t correct(double wanted, int64_t most) {
    word_.shunted(missing_, e_);
    V::all(count_, [&](int64_t i) { store_as(e_ + i, at(missing_, i) - at(e_, i)); });
    bit_.shunted(e_, d_);
    V::all(count_, [&](int64_t i) { store_as(b_ + i, typename V::Vector{}); });
    const int64_t count = iterate(wanted, most);
    // What word lines do not see of d, since they lose nothing, is right after one more exchange.
    V::all(count_, [&](int64_t i) {
      store_as(b_ + i, at(b_, i) + at(d_, i));
      store_as(d_ + i, at(b_, i) - at(missing_, i));
    });
    word_.shunted(d_, e_);
    V::all(count_, [&](int64_t i) { store_as(u_ + i, at(u_, i) + (at(missing_, i) + at(e_, i) - at(b_, i))); });
    return count;
  }

  // Adds to b until its residual d, in the energy norm, is `wanted` of what is missing.
  int64_t iterate(double wanted, int64_t most) {
    const double whole = V::sum(count_, [&](int64_t i) { return at(missing_, i) * at(missing_, i) * at(g_, i); });
    const double bound = wanted * wanted * whole;
    double rho = word_.shunted(d_, q_);
    V::all(count_, [&](int64_t i) { store_as(p_ + i, at(d_, i)); });
    int64_t count = 0;
    for (; count < most && rho > bound; ++count) {
      bit_.shunted(q_, change_);
      // Not by a recursion from rho: nearly all cancels where wires lose most of the voltage.
      const double curvature = V::sum(count_, [&](int64_t i) {
        const auto fall = at(p_, i) - at(change_, i);
        store_as(change_ + i, fall);
        return at(q_, i) * at(g_, i) * fall;
      });
      const T step = static_cast<T>(share_of(rho, curvature == 0 ? 1 : curvature));
      V::all(count_, [&](int64_t i) {
        store_as(b_ + i, at(b_, i) + step * at(p_, i));
        store_as(d_ + i, at(d_, i) - step * at(change_, i));
      });
      const double after = word_.shunted(d_, e_);
      const T turn = static_cast<T>(share_of(after, rho));
      V::all(count_, [&](int64_t i) {
        store_as(p_ + i, at(d_, i) + turn * at(p_, i));
        store_as(q_ + i, at(e_, i) + turn * at(q_, i));
      });
      rho = after;
    }
    return count;
  }

  const LoopsSolve<T>& s_;
  int64_t cells_, count_;
  LoopSide<T> word_, bit_;
  T *g_, *u_, *applied_, *missing_, *b_, *d_, *p_, *q_, *e_, *change_;
  T volts_ = 0, noise_ = 0;
};

template <class T>
void loops_solve(const LoopsSolve<T>& s) {
  parallel_for(s.arrays, ceil_div(kLadderGrain, larger(kSweeps * s.rows * s.cols, 1)), [&](int64_t begin, int64_t end) {
    const Memory<T> memory(Loops<T>::memory(s));
    Loops<T> loops(s, memory.data);
    for (int64_t array = begin; array < end; ++array) loops.run(array);
  });
}

}  // namespace
}  // namespace memcore
