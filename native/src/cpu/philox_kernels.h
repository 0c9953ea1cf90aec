// Loops that draw keyed random numbers, arranged so that the compiler vectorises over blocks of four numbers.
// Internal linkage throughout: this header is compiled once per instruction set.
#pragma once

#include <cstdint>

#include "memcore/kernels.h"
#include "memcore/philox.h"
#include "parallel.h"
#include "simd.h"

namespace memcore {
namespace {

constexpr int kBatch = 64;             // blocks computed together
constexpr int64_t kPiece = 16 * 1024;  // numbers of one task

// Counters in, random words out, transformed numbers out: all [4][kBatch], lane-major.
struct Words {
  alignas(64) uint32_t w[4][kBatch];
};
template <class T>
struct Numbers {
  alignas(64) T v[4][kBatch];
};

// philox4x32 of philox.h for some blocks of a batch, `Vecs` vectors of them. A round waits for the one before, so that
// one vector alone leaves the processor idle half of the time.
template <int Vecs>
MEMCORE_ALWAYS_INLINE void scramble_vecs(uint64_t key, Words& words, int first) {
  WordVec c[4][Vecs];
  for (int word = 0; word < 4; ++word)
    for (int v = 0; v < Vecs; ++v) c[word][v] = *reinterpret_cast<WordVec*>(&words.w[word][first + v * kLanes]);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < kPhiloxRounds; ++round) {
#pragma GCC unroll 4
    for (int v = 0; v < Vecs; ++v) {
      WordVec high0, low0, high1, low1;
      multiply_wide(c[0][v], kPhiloxMultiplier0, high0, low0);
      multiply_wide(c[2][v], kPhiloxMultiplier1, high1, low1);
      c[0][v] = high1 ^ c[1][v] ^ k0;
      c[1][v] = low1;
      c[2][v] = high0 ^ c[3][v] ^ k1;
      c[3][v] = low0;
    }
    k0 += kPhiloxWeyl0;
    k1 += kPhiloxWeyl1;
  }
  for (int word = 0; word < 4; ++word)
    for (int v = 0; v < Vecs; ++v) *reinterpret_cast<WordVec*>(&words.w[word][first + v * kLanes]) = c[word][v];
}

// The same for the first blocks of a batch.
MEMCORE_ALWAYS_INLINE void scramble_some(uint64_t key, Words& words, int blocks) {
  int first = 0;
  for (; first + 4 * kLanes <= blocks; first += 4 * kLanes) scramble_vecs<4>(key, words, first);
  for (; first + 2 * kLanes <= blocks; first += 2 * kLanes) scramble_vecs<2>(key, words, first);
  for (; first < blocks; first += kLanes) scramble_vecs<1>(key, words, first);
}

// The same for a batch.
inline void scramble(uint64_t key, Words& words) { scramble_some(key, words, kBatch); }

struct Uniform {
  using Number = float;
  void operator()(const Words& words, Numbers<float>& out) const {
    for (int lane = 0; lane < 4; ++lane)
      for (int i = 0; i < kBatch; ++i) out.v[lane][i] = to_uniform(words.w[lane][i]);
  }
};

struct Bernoulli {
  using Number = uint8_t;
  float p;
  void operator()(const Words& words, Numbers<uint8_t>& out) const {
    for (int lane = 0; lane < 4; ++lane)
      for (int i = 0; i < kBatch; ++i) out.v[lane][i] = to_uniform(words.w[lane][i]) < p ? 1 : 0;
  }
};

// Normal numbers of `count` blocks, a multiple of kLanes, from block `first` on; those of each lane `apart` from those
// of the lane before. Squares first: the chain of operations that leads to normals is long, and would keep others
// waiting.
MEMCORE_ALWAYS_INLINE void put_normals(const Words& words, int first, int count, int64_t apart, float* out) {
  for (int lane = 0; lane < 4; lane += 2)
    for (int j = 0; j < count; j += kLanes)
      for (int i = 0; i < kLanes; ++i) out[lane * apart + j + i] = to_square(words.w[lane][first + j + i]);
  for (int lane = 0; lane < 4; lane += 2, out += 2 * apart)
    for (int j = 0; j < count; j += kLanes)
      for (int i = 0; i < kLanes; ++i) {
        const Pair pair = from_square(out[j + i], words.w[lane + 1][first + j + i]);
        out[j + i] = pair.first;
        out[apart + j + i] = pair.second;
      }
}

struct Normal {
  using Number = float;
  void operator()(const Words& words, Numbers<float>& out) const { put_normals(words, 0, kBatch, kBatch, out.v[0]); }
};

inline void set_counter(Words& words, int i, uint64_t quarter, uint64_t read) {
  words.w[0][i] = static_cast<uint32_t>(quarter);
  words.w[1][i] = static_cast<uint32_t>(quarter >> 32);
  words.w[2][i] = static_cast<uint32_t>(read);
  words.w[3][i] = static_cast<uint32_t>(read >> 32);
}

// Elements begin .. end-1 of one read; begin is a multiple of four.
template <class Transform>
void draw_run(uint64_t key, uint64_t read, int64_t begin, int64_t end, const Transform& transform,
              typename Transform::Number* out) {
  Words words;
  Numbers<typename Transform::Number> numbers;
  for (; begin < end; begin += 4 * kBatch) {
    const uint32_t low = static_cast<uint32_t>(begin >> 2), high = static_cast<uint32_t>(begin >> 34);
    for (int i = 0; i < kBatch; ++i) {
      words.w[0][i] = low + static_cast<uint32_t>(i);
      words.w[1][i] = high + (words.w[0][i] < low ? 1u : 0u);
      words.w[2][i] = static_cast<uint32_t>(read);
      words.w[3][i] = static_cast<uint32_t>(read >> 32);
    }
    scramble(key, words);
    transform(words, numbers);
    auto* const to = out + begin;
    if (begin + 4 * kBatch <= end) {
      for (int i = 0; i < kBatch; ++i)
        for (int lane = 0; lane < 4; ++lane) to[4 * i + lane] = numbers.v[lane][i];
    } else {
      for (int64_t i = 0; i < end - begin; ++i) to[i] = numbers.v[i & 3][i >> 2];
    }
  }
}

template <class Transform>
void draw_long_reads(const Draws& d, const Transform& transform, typename Transform::Number* out) {
  const int64_t pieces = ceil_div(d.size, kPiece);
  parallel_for(d.n_reads * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t read = task / pieces, first = d.first + task % pieces * kPiece;
      draw_run(d.key, static_cast<uint64_t>(d.reads[read]), first, smaller(d.first + d.size, first + kPiece), transform,
               out + read * d.size - d.first);
    }
  });
}

// Many reads of few elements: the batch runs over (read, block).
template <class Transform>
void draw_short_reads(const Draws& d, const Transform& transform, typename Transform::Number* out) {
  const int64_t quarters = ceil_div(d.size, 4);
  parallel_for(d.n_reads * quarters, kPiece / 4, [&](int64_t begin, int64_t end) {
    Words words = {};
    Numbers<typename Transform::Number> numbers;
    for (; begin < end; begin += kBatch) {
      const int count = static_cast<int>(smaller(kBatch, end - begin));
      for (int i = 0; i < count; ++i)
        set_counter(words, i, static_cast<uint64_t>(d.first / 4 + (begin + i) % quarters),
                    static_cast<uint64_t>(d.reads[(begin + i) / quarters]));
      scramble(d.key, words);
      transform(words, numbers);
      for (int i = 0; i < count; ++i) {
        const int64_t first = (begin + i) % quarters * 4;
        auto* const to = out + (begin + i) / quarters * d.size + first;
        for (int64_t lane = 0; lane < smaller(4, d.size - first); ++lane) to[lane] = numbers.v[lane][i];
      }
    }
  });
}

// Elements named one by one: a block for each, of which one lane is kept.
template <class Transform>
void draw_elements(const Draws& d, const Transform& transform, typename Transform::Number* out) {
  parallel_for(d.n_reads * d.size, kPiece / 4, [&](int64_t begin, int64_t end) {
    Words words = {};
    Numbers<typename Transform::Number> numbers;
    for (; begin < end; begin += kBatch) {
      const int count = static_cast<int>(smaller(kBatch, end - begin));
      for (int i = 0; i < count; ++i)
        set_counter(words, i, static_cast<uint64_t>(d.elements[(begin + i) % d.size]) >> 2,
                    static_cast<uint64_t>(d.reads[(begin + i) / d.size]));
      scramble(d.key, words);
      transform(words, numbers);
      for (int i = 0; i < count; ++i) out[begin + i] = numbers.v[d.elements[(begin + i) % d.size] & 3][i];
    }
  });
}

template <class Transform>
void draw(const Draws& d, const Transform& transform, typename Transform::Number* out) {
  if (d.size == 0) return;
  if (d.elements != nullptr)
    draw_elements(d, transform, out);
  else if (d.size >= 4 * kBatch)
    draw_long_reads(d, transform, out);
  else
    draw_short_reads(d, transform, out);
}

inline void philox_uniform(const Draws& d, float* out) { draw(d, Uniform{}, out); }
inline void philox_normal(const Draws& d, float* out) { draw(d, Normal{}, out); }
inline void philox_bernoulli(const Draws& d, float p, uint8_t* out) { draw(d, Bernoulli{p}, out); }

}  // namespace
}  // namespace memcore
