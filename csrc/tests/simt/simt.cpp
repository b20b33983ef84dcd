#include "simt.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "cuda_runtime.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
// Without the sanitizer nobody has to be told about stacks.
static void __sanitizer_start_switch_fiber(void**, const void*, std::size_t) {}
static void __sanitizer_finish_switch_fiber(void*, const void**, std::size_t*) {}
#endif

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace simt {
namespace {

constexpr std::size_t kStackBytes = 32 * 1024;
constexpr std::size_t kWarp = 32;
constexpr std::uint32_t kNobody = 0xFFFFFFFF, kSeveral = 0xFFFFFFFE;

enum class State { kReady, kAtBarrier, kAtShuffle, kDone };

struct Fibre {
  ucontext_t context;
  std::unique_ptr<char[]> stack = std::make_unique<char[]>(kStackBytes);
  void* fake_stack = nullptr;
  uint3 thread;
  State state;
  const char* file;
  int line;
  unsigned mask;
};

// Who touched a word of shared memory since the last barrier.
struct Word {
  std::uint32_t writer = kNobody, reader = kNobody;
  std::size_t write_epoch = 0, read_epoch = 0;
  bool written = false;
};

struct Machine {
  std::vector<std::unique_ptr<Fibre>> fibres;
  std::vector<std::array<std::uint32_t, 2 * kWarp>> lanes;  // two turns of shuffles, alternating
  std::vector<unsigned> turn;                               // of each thread
  std::vector<std::byte> shared;
  std::vector<Word> words;
  std::size_t epoch = 1;
  std::size_t current = 0;
  std::size_t blocks = 0, threads = 0;
  const std::function<void()>* body = nullptr;
  ucontext_t scheduler;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_stack_bytes = 0;
  unsigned schedule = kAscending;
  std::mt19937 random;
};

Machine machine;

Fibre& running() { return *machine.fibres[machine.current]; }

// Gives the turn back to the scheduler; `last` when the fibre never runs again.
void yield(bool last) {
  Fibre& fibre = running();
  __sanitizer_start_switch_fiber(last ? nullptr : &fibre.fake_stack, machine.scheduler_stack,
                                 machine.scheduler_stack_bytes);
  swapcontext(&fibre.context, &machine.scheduler);
  __sanitizer_finish_switch_fiber(fibre.fake_stack, nullptr, nullptr);
}

void fibre_main() {
  __sanitizer_finish_switch_fiber(nullptr, &machine.scheduler_stack,
                                  &machine.scheduler_stack_bytes);
  (*machine.body)();
  running().state = State::kDone;
  yield(true);
}

void resume(std::size_t index) {
  machine.current = index;
  Fibre& fibre = running();
  threadIdx = fibre.thread;
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, fibre.stack.get(), kStackBytes);
  swapcontext(&machine.scheduler, &fibre.context);
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
}

template <class Numbers>
void arrange(Numbers& numbers) {
  std::iota(numbers.begin(), numbers.end(), 0);
  if (machine.schedule == kDescending) std::reverse(numbers.begin(), numbers.end());
  if (machine.schedule > kDescending) std::shuffle(numbers.begin(), numbers.end(), machine.random);
}

// Wakes the threads that wait for one another and are all there. Returns whether any was.
bool release(std::size_t count) {
  bool released = false;
  for (std::size_t first = 0; first < count; first += kWarp) {
    const std::size_t end = std::min(first + kWarp, count);
    unsigned there = 0, wanted = 0;
    for (std::size_t i = first; i < end; ++i) {
      if (machine.fibres[i]->state != State::kAtShuffle) continue;
      there |= 1u << (i - first);
      wanted |= machine.fibres[i]->mask;
    }
    if (there == 0 || there != wanted) continue;
    for (std::size_t i = first; i < end; ++i) {
      if (machine.fibres[i]->state == State::kAtShuffle) machine.fibres[i]->state = State::kReady;
    }
    released = true;
  }
  if (released) return true;

  const Fibre& first = *machine.fibres[0];
  for (std::size_t i = 0; i < count; ++i) {
    const Fibre& fibre = *machine.fibres[i];
    if (fibre.state != State::kAtBarrier) return false;
    if (fibre.file != first.file || fibre.line != first.line) {
      fail("threads of a block wait at different barriers");
    }
  }
  for (std::size_t i = 0; i < count; ++i) machine.fibres[i]->state = State::kReady;
  ++machine.epoch;
  return true;
}

void run_block(std::size_t count) {
  std::fill(machine.shared.begin(), machine.shared.end(), std::byte{0xFF});
  std::fill(machine.words.begin(), machine.words.end(), Word{});
  std::fill(machine.turn.begin(), machine.turn.end(), 0);
  ++machine.epoch;
  while (machine.fibres.size() < count) machine.fibres.push_back(std::make_unique<Fibre>());
  for (std::size_t i = 0; i < count; ++i) {
    Fibre& fibre = *machine.fibres[i];
    const auto t = static_cast<unsigned>(i);
    fibre.thread = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
    fibre.state = State::kReady;
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = kStackBytes;
    fibre.context.uc_link = nullptr;
    makecontext(&fibre.context, fibre_main, 0);
  }
  std::vector<std::size_t> order(count);
  std::size_t done = 0;
  while (done < count) {
    arrange(order);
    bool ran = false;
    for (const std::size_t i : order) {
      if (machine.fibres[i]->state != State::kReady) continue;
      resume(i);
      ran = true;
      done += machine.fibres[i]->state == State::kDone;
    }
    if (!ran && !release(count)) {
      fail("deadlock: threads wait at a barrier or shuffle that others never reach");
    }
  }
  machine.blocks += 1;
  machine.threads += count;
}

}  // namespace

void set_schedule(unsigned schedule) {
  machine.schedule = schedule;
  machine.random.seed(schedule);
}

std::size_t blocks_run() { return machine.blocks; }
std::size_t threads_run() { return machine.threads; }

std::string launch(dim3 grid, dim3 block, std::size_t shared_bytes,
                   const std::function<void()>& body) {
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) return "block of a size that no GPU runs";
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return "grid without blocks";
  if (grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535) return "grid too large";
  if (shared_bytes > 48 * 1024) return "more shared memory than a block has by default";
  gridDim = grid;
  blockDim = block;
  machine.body = &body;
  machine.shared.assign(shared_bytes, std::byte{});
  machine.words.assign((shared_bytes + 3) / 4, Word{});
  machine.turn.assign(threads, 0);
  machine.lanes.resize((threads + kWarp - 1) / kWarp);
  std::vector<std::size_t> blocks(std::size_t{grid.x} * grid.y * grid.z);
  arrange(blocks);
  for (const std::size_t b : blocks) {
    const std::size_t row = b / grid.x;
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(row % grid.y),
                static_cast<unsigned>(row / grid.y)};
    run_block(threads);
  }
  return "";
}

void fail(const char* what) {
  std::fprintf(stderr, "simt: %s; thread (%u, %u, %u) of block (%u, %u, %u), schedule %u\n", what,
               threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x, blockIdx.y, blockIdx.z,
               machine.schedule);
  std::fflush(nullptr);
  std::_Exit(3);
}

void barrier(const char* file, int line) {
  Fibre& fibre = running();
  fibre.file = file;
  fibre.line = line;
  fibre.state = State::kAtBarrier;
  yield(false);
}

unsigned lane() { return static_cast<unsigned>(machine.current % kWarp); }

std::uint32_t shuffle(std::uint32_t value, unsigned source_lane, unsigned mask) {
  const std::size_t self = machine.current;
  if ((mask >> lane() & 1) == 0) fail("shuffle by a lane that its own mask leaves out");
  // A lane can be one turn ahead of another but never two, so two rows of slots are enough.
  auto& slots = machine.lanes[self / kWarp];
  const std::size_t row = machine.turn[self]++ % 2 * kWarp;
  slots[row + lane()] = value;
  Fibre& fibre = running();
  fibre.mask = mask;
  fibre.state = State::kAtShuffle;
  yield(false);
  if (source_lane >= kWarp) return value;
  if ((mask >> source_lane & 1) == 0) fail("shuffle from a lane outside of the mask");
  return slots[row + source_lane];
}

std::byte* shared_base() { return machine.shared.data(); }
std::size_t shared_size() { return machine.shared.size(); }

void note_shared_read(std::size_t byte, std::size_t bytes) {
  const auto self = static_cast<std::uint32_t>(machine.current);
  for (std::size_t w = byte / 4; w <= (byte + bytes - 1) / 4; ++w) {
    Word& word = machine.words[w];
    if (!word.written) fail("shared memory read before it was written");
    if (word.write_epoch == machine.epoch && word.writer != self) {
      fail("race: shared memory read without a barrier after another thread's write");
    }
    const bool same = word.read_epoch == machine.epoch;
    word.reader = same && word.reader != self ? kSeveral : self;
    word.read_epoch = machine.epoch;
  }
}

void note_shared_write(std::size_t byte, std::size_t bytes) {
  const auto self = static_cast<std::uint32_t>(machine.current);
  for (std::size_t w = byte / 4; w <= (byte + bytes - 1) / 4; ++w) {
    Word& word = machine.words[w];
    if (word.write_epoch == machine.epoch && word.writer != self) {
      fail("race: shared memory written by two threads without a barrier between");
    }
    if (word.read_epoch == machine.epoch && word.reader != self) {
      fail("race: shared memory written without a barrier after another thread's read");
    }
    word.writer = self;
    word.write_epoch = machine.epoch;
    word.written = true;
  }
}

}  // namespace simt
