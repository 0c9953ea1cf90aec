// The energy of pulses at constant voltages: the integral of the power of recorded device models while the cells move.
//
// The algorithm is that of memcore/writing/energy.py, block by block of cells, where it is explained. Intervals of a
// pulse that are still to be integrated are kept in lists, from which steps and powers are evaluated in batches.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memory.h"
#include "parallel.h"
#include "simulate_kernels.h"

namespace memcore {
namespace {

constexpr int64_t kPulseBlock = 512;   // cells, and intervals of a batch
constexpr int64_t kPulseGrain = 2048;  // cells of a thread

// Numbers [rows, capacity] that grow while they are of no use.
template <class T>
class Growing {
 public:
  explicit Growing(int64_t rows) : rows_(rows) {}
  ~Growing() { release(reinterpret_cast<float*>(data_)); }
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;

  void reserve(int64_t capacity) {
    if (capacity <= capacity_) return;
    release(reinterpret_cast<float*>(data_));
    data_ = nullptr, capacity_ = 0;
    data_ = allocate_numbers<T>(larger(rows_ * capacity, 1));
    capacity_ = capacity;
  }
  T* row(int64_t index) const { return data_ + index * capacity_; }

 private:
  int64_t rows_, capacity_ = 0;
  T* data_ = nullptr;
};

// Intervals of one width.
template <class Real>
struct Intervals {
  explicit Intervals(int64_t n_state) : begin(n_state), powers(2), marks(1) {}
  void reserve(int64_t capacity) {
    begin.reserve(capacity), powers.reserve(capacity), marks.reserve(capacity);
    count = 0;
  }
  Real* left() const { return powers.row(0); }   // power at their beginnings
  Real* right() const { return powers.row(1); }  // and at their ends
  int64_t cell(int64_t i) const { return marks.row(0)[i] >> 1; }
  bool fitted(int64_t i) const { return (marks.row(0)[i] & 1) != 0; }  // the course of the one it is a half of is known

  int64_t count = 0;
  Growing<Real> begin;  // states at their beginnings
  Growing<Real> powers;
  Growing<int32_t> marks;
};

// What is known of intervals once their middles are.
template <class Real>
struct Middles {
  explicit Middles(int64_t n_state) : state(n_state), numbers(3), bent(2), course(5) {}
  void reserve(int64_t count) {
    state.reserve(count), numbers.reserve(count), bent.reserve(count), course.reserve(count);
  }
  Real* power() const { return numbers.row(0); }
  Real* simpson() const { return numbers.row(1); }
  Real* change() const { return numbers.row(2); }  // that Simpson's rule makes to the energy

  Growing<Real> state, numbers;
  Growing<int32_t> bent;  // intervals that Simpson's rule does not tell; whether they fit a course
  Growing<Real> course;  // of these: power at the beginning, in the middle, at the end; mean, and how far it may be off
};

// The mean between two powers if they, their logarithm or their reciprocal go straight.
template <class Real>
struct Means {
  Real straight, by_log, by_reciprocal;
};

template <class Real>
MEMCORE_ALWAYS_INLINE Means<Real> means_of(Real left, Real right, Real same) {
  const Real both = Real(0.5) * (left + right), difference = right - left;
  const Real ratio = log_(right / left), size = abs_(ratio);
  const bool apart = size > same && size - size == Real(0);  // not where a power is 0 or changes its sign
  return {both, apart ? difference / ratio : both, apart ? left * right * ratio / difference : both};
}

template <class Real>
class PulseBlock {
 public:
  PulseBlock(const PulseEnergy& p, const Simulation<Real>& step, const Simulation<Real>& power)
      : p_(p),
        step_(step),
        power_(power),
        rows_(p.step.n_state),
        one_(rows_),
        other_(rows_),
        middles_(rows_),
        scratch_((larger(p.step.n_registers, p.power.n_registers) + rows_ + 1 + p.n_params) * kPulseBlock),
        params_(larger(p.n_params, 1)),
        bound_(larger(larger(p.step.length[2], p.step.length[3]), larger(p.power.length[2], p.power.length[3]))) {
    registers_ = scratch_.data;
    states_ = registers_ + larger(p.step.n_registers, p.power.n_registers) * kPulseBlock;
    volts_ = states_ + rows_ * kPulseBlock;
    gathered_ = volts_ + kPulseBlock;
  }

  void run(int64_t cell, int64_t n) {
    energy_ = static_cast<Real*>(p_.energy) + cell;
    voltage_ = static_cast<const Real*>(p_.voltage) + cell;
    cell_ = cell;
    ends(n);
    double width = p_.width;
    for (int64_t level = 0; level < p_.step.steps && now_->count > 0; ++level, width *= 0.5) {
      middles_.reserve(now_->count);
      for (int64_t first = 0; first < now_->count; first += kPulseBlock)
        evaluate(level, first, smaller(kPulseBlock, now_->count - first));
      by_simpson(static_cast<Real>(width));
      const int64_t bent = find_bent();
      by_course(static_cast<Real>(width), bent);
      halve(static_cast<Real>(width), bent);
    }
  }

 private:
  static bool apart(Real left, Real right, Real share) { return abs_(right - left) > share * abs_(left + right); }

  // The mean of both ends, and the cells for which that is not enough.
  void ends(int64_t n) {
    now_->reserve(n);
    Real *const left = now_->left(), *const right = now_->right();
    direct();
    powers_of(static_cast<const Real*>(p_.begin), n, left);
    powers_of(static_cast<const Real*>(p_.end), n, right);
    const Real half = static_cast<Real>(0.5 * p_.width), share = static_cast<Real>(p_.accuracy);
    for (int64_t i = 0; i < n; ++i) energy_[i] = half * (left[i] + right[i]);
    const Real* const begin = static_cast<const Real*>(p_.begin) + cell_;
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
      now_->marks.row(0)[count] = static_cast<int32_t>(2 * i);
      left[count] = left[i], right[count] = right[i];
      count += apart(left[i], right[i], share) ? 1 : 0;
    }
    for (int64_t k = 0; k < rows_; ++k)
      for (int64_t i = 0; i < count; ++i) now_->begin.row(k)[i] = begin[k * p_.cells + now_->cell(i)];
    now_->count = count;
  }

  // Parameters and voltages of all cells of the block, which are where they were given.
  void direct() {
    for (int64_t k = 0; k < p_.n_params; ++k)
      params_.data[k] = reinterpret_cast<int64_t>(reinterpret_cast<const Real*>(p_.params[k]) + cell_);
  }

  void powers_of(const Real* state, int64_t n, Real* out) {
    for (int64_t k = 0; k < rows_; ++k)
      for (int64_t i = 0; i < n; ++i) states_[k * kPulseBlock + i] = state[k * p_.cells + cell_ + i];
    power_.apply(0, {params_.data, registers_, states_, kPulseBlock, voltage_}, n, bound_.data);
    for (int64_t i = 0; i < n; ++i) out[i] = states_[i];
  }

  // States and powers in the middle of a batch of intervals.
  void evaluate(int64_t level, int64_t first, int64_t n) {
    gather(first, n);
    const Batch<Real> batch = {params_.data, registers_, states_, kPulseBlock, volts_};
    step_.apply(level, batch, n, bound_.data);
    for (int64_t k = 0; k < rows_; ++k)
      for (int64_t i = 0; i < n; ++i) middles_.state.row(k)[first + i] = states_[k * kPulseBlock + i];
    power_.apply(0, batch, n, bound_.data);
    for (int64_t i = 0; i < n; ++i) middles_.power()[first + i] = states_[i];
  }

  void gather(int64_t first, int64_t n) {
    for (int64_t i = 0; i < n; ++i) volts_[i] = voltage_[now_->cell(first + i)];
    for (int64_t k = 0; k < rows_; ++k)
      for (int64_t i = 0; i < n; ++i) states_[k * kPulseBlock + i] = now_->begin.row(k)[first + i];
    for (int64_t k = 0; k < p_.n_params; ++k) {
      const Real* const of = reinterpret_cast<const Real*>(p_.params[k]) + cell_;
      Real* const to = gathered_ + k * kPulseBlock;
      for (int64_t i = 0; i < n; ++i) to[i] = of[now_->cell(first + i)];
      params_.data[k] = reinterpret_cast<int64_t>(to);
    }
  }

  void by_simpson(Real width) {
    const Real *const left = now_->left(), *const right = now_->right(), *const half = middles_.power();
    Real *const simpson = middles_.simpson(), *const change = middles_.change();
#pragma GCC ivdep
    for (int64_t i = 0; i < now_->count; ++i) {
      const Real trapezoid = Real(0.5) * (left[i] + right[i]);
      simpson[i] = (trapezoid + Real(2) * half[i]) / Real(3);
      change[i] = width * (simpson[i] - trapezoid);
    }
    for (int64_t i = 0; i < now_->count; ++i) energy_[now_->cell(i)] += change[i];
  }

  int64_t find_bent() {
    const Real share = static_cast<Real>(p_.change);
    const Real* const change = middles_.change();
    int32_t* const bent = middles_.bent.row(0);
    int64_t count = 0;
    for (int64_t i = 0; i < now_->count; ++i) {
      bent[count] = static_cast<int32_t>(i);
      count += abs_(change[i]) > share * abs_(energy_[now_->cell(i)]) ? 1 : 0;
    }
    return count;
  }

  // The course that tells the same of both halves as of the whole.
  void by_course(Real width, int64_t bent) {
    Real* row[5];
    for (int k = 0; k < 5; ++k) row[k] = middles_.course.row(k);
    for (int64_t j = 0; j < bent; ++j) {
      const int64_t i = middles_.bent.row(0)[j];
      row[0][j] = now_->left()[i], row[1][j] = middles_.power()[i], row[2][j] = now_->right()[i];
    }
    const Real same = static_cast<Real>(p_.same);
#pragma GCC ivdep
    for (int64_t j = 0; j < bent; ++j) {
      const Means<Real> first = means_of(row[0][j], row[1][j], same), second = means_of(row[1][j], row[2][j], same),
                        whole = means_of(row[0][j], row[2][j], same);
      const Real straight = Real(0.5) * (first.straight + second.straight),
                 by_log = Real(0.5) * (first.by_log + second.by_log),
                 by_reciprocal = Real(0.5) * (first.by_reciprocal + second.by_reciprocal);
      const Real a = abs_(straight - whole.straight), b = abs_(by_log - whole.by_log),
                 c = abs_(by_reciprocal - whole.by_reciprocal);
      const Real least = b < a ? b : a, mean = b < a ? by_log : straight;
      row[3][j] = c < least ? by_reciprocal : mean;
      row[4][j] = c < least ? c : least;
    }
    for (int64_t j = 0; j < bent; ++j) {
      const int64_t i = middles_.bent.row(0)[j];
      energy_[now_->cell(i)] += width * (row[3][j] - middles_.simpson()[i]);
    }
  }

  // Goes on with both halves of those that fit no course twice in a row.
  void halve(Real width, int64_t bent) {
    const Real share = static_cast<Real>(p_.missed);
    const int32_t* const interval = middles_.bent.row(0);
    int32_t* const fits = middles_.bent.row(1);
    for (int64_t j = 0; j < bent; ++j)
      fits[j] = width * middles_.course.row(4)[j] <= share * abs_(energy_[now_->cell(interval[j])]) ? 1 : 0;
    next_->reserve(2 * bent);
    for (int64_t j = 0; j < bent; ++j) {
      const int64_t i = interval[j];
      if (fits[j] != 0 && now_->fitted(i)) continue;
      const Real left = now_->left()[i], half = middles_.power()[i], right = now_->right()[i];
      const Real two = Real(0.25) * (left + Real(2) * half + right);  // of the trapezoids that follow
      energy_[now_->cell(i)] += width * (two - middles_.course.row(3)[j]);
      const int32_t mark = static_cast<int32_t>(2 * now_->cell(i)) | fits[j];
      add(now_->begin, i, left, half, mark);
      add(middles_.state, i, half, right, mark);
    }
    Intervals<Real>* const used = now_;
    now_ = next_, next_ = used;
  }

  void add(const Growing<Real>& begin, int64_t i, Real left, Real right, int32_t mark) {
    if (!apart(left, right, static_cast<Real>(p_.change))) return;
    const int64_t to = next_->count++;
    for (int64_t k = 0; k < rows_; ++k) next_->begin.row(k)[to] = begin.row(k)[i];
    next_->left()[to] = left, next_->right()[to] = right;
    next_->marks.row(0)[to] = mark;
  }

  const PulseEnergy& p_;
  const Simulation<Real>&step_, &power_;
  const int64_t rows_;  // of states
  Intervals<Real> one_, other_;
  Intervals<Real>*now_ = &one_, *next_ = &other_;
  Middles<Real> middles_;
  const Memory<Real> scratch_;
  const Memory<int64_t> params_;  // addresses
  const Memory<Bound<Real>> bound_;
  Real *registers_, *states_, *volts_, *gathered_;
  Real* energy_ = nullptr;
  const Real* voltage_ = nullptr;
  int64_t cell_ = 0;
};

template <class Real>
void pulse_energy_in(const PulseEnergy& p) {
  const Memory<Real> durations(larger(p.step.steps, 1));
  double width = p.width;
  for (int64_t t = 0; t < p.step.steps; ++t) durations.data[t] = static_cast<Real>(width *= 0.5);
  Simulate step = p.step;
  step.shared = true;
  step.voltage = durations.data;
  const Simulation<Real> moves(step), power(p.power);
  parallel_for_units(p.cells, kPulseBlock, kPulseGrain, [&](int64_t begin, int64_t end) {
    PulseBlock<Real> block(p, moves, power);
    for (; begin < end; begin += kPulseBlock) block.run(begin, smaller(kPulseBlock, end - begin));
  });
}

inline void pulse_energy(const PulseEnergy& p) {
  if (p.step.is_double)
    pulse_energy_in<double>(p);
  else
    pulse_energy_in<float>(p);
}

}  // namespace
}  // namespace memcore
