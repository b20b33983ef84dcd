#include "torch/packed_weight.h"

#include <c10/core/StorageImpl.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

namespace styleclip {
namespace {

// A fingerprint of `bytes`; of about `kSamples` places in them where `whole` is false.
uint64_t fingerprint(const char* bytes, int64_t count, bool whole) {
  constexpr int kLanes = 8;
  constexpr int64_t kStep = kLanes * sizeof(uint64_t), kSamples = 32;
  const int64_t steps = count / kStep;
  const int64_t stride = whole || steps <= kSamples ? kStep : steps / kSamples * kStep;
  uint64_t sums[kLanes] = {1, 2, 3, 4, 5, 6, 7, 8};
  // Odd, so that a step is one to one in what it reads: a single word that differs is always seen.
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15;
  for (int64_t at = 0; at + kStep <= count; at += stride) {
    uint64_t words[kLanes];
    std::memcpy(words, bytes + at, kStep);
    for (int i = 0; i < kLanes; ++i) sums[i] = (sums[i] ^ words[i]) * kFactor;
  }
  for (int64_t at = steps * kStep; at < count; ++at) {
    sums[0] = (sums[0] ^ static_cast<unsigned char>(bytes[at])) * kFactor;
  }
  uint64_t all = 0;
  for (const uint64_t sum : sums) all = (all ^ sum ^ sum >> 32) * kFactor;
  return all;
}

// What tells whether a weight was written to: torch's count of writes, and the contents, because
// NumPy and `.data` write without being counted. Memory that NumPy sees is read as a whole (torch
// marks it as never to be resized), and so are small weights; a look at a few places of the others
// costs nothing beside a layer, and tells a weight that was written anew.
struct State {
  explicit State(const at::Tensor& weight)
      : version(static_cast<uint32_t>(weight._version())), contents(0) {
    constexpr int64_t kSmall = 1 << 14;
    if (!weight.is_cpu() || weight.numel() == 0) return;
    int64_t numbers = 1;  // from the first to the last
    for (int64_t i = 0; i < weight.dim(); ++i) numbers += weight.stride(i) * (weight.size(i) - 1);
    const int64_t bytes = numbers * static_cast<int64_t>(weight.element_size());
    const bool resizable = weight.storage().unsafeGetStorageImpl()->resizable();
    contents = fingerprint(static_cast<const char*>(weight.const_data_ptr()), bytes,
                           !resizable || bytes <= kSmall);
  }
  bool operator==(const State&) const = default;

  uint32_t version;
  uint64_t contents;
};

using Storage = c10::weak_intrusive_ptr<c10::StorageImpl>;

struct Entry {
  std::vector<Storage> storages;
  std::vector<State> states;
  at::Tensor packed;

  bool expired() const {
    return std::any_of(storages.begin(), storages.end(),
                       [](const Storage& storage) { return storage.expired(); });
  }
};

// Storage, offset and layout of each tensor; kind of packing.
using View =
    std::tuple<const void*, int64_t, std::vector<int64_t>, std::vector<int64_t>, at::ScalarType>;
using Key = std::tuple<std::vector<View>, int64_t>;

Storage storage_of(const at::Tensor& weight) {
  return Storage(
      c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(weight.storage().unsafeGetStorageImpl()));
}

}  // namespace

at::Tensor packed_weights(at::TensorList weights, int64_t kind,
                          const std::function<at::Tensor()>& pack, bool keep) {
  static std::mutex mutex;
  // Never destroyed: other threads may still compute while the process ends.
  static auto& cache = *new std::map<Key, Entry>();
  Key key{std::vector<View>(), kind};
  std::vector<State> states;
  for (const at::Tensor& weight : weights) {
    // Inference tensors do not count writes, so a change would go unseen.
    if (weight.is_inference() || !weight.has_storage()) return pack();
    std::get<0>(key).emplace_back(weight.storage().unsafeGetStorageImpl(), weight.storage_offset(),
                                  weight.sizes().vec(), weight.strides().vec(),
                                  weight.scalar_type());
    states.emplace_back(weight);
  }
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = cache.find(key);
    if (found != cache.end() && !found->second.expired() && found->second.states == states) {
      return found->second.packed;
    }
  }
  if (!keep) return pack();
  Entry entry;
  for (const at::Tensor& weight : weights) entry.storages.push_back(storage_of(weight));
  entry.states = std::move(states);
  entry.packed = pack();
  const std::lock_guard<std::mutex> lock(mutex);
  for (auto it = cache.begin(); it != cache.end();) {
    it = it->second.expired() ? cache.erase(it) : std::next(it);
  }
  return cache.insert_or_assign(key, std::move(entry)).first->second.packed;
}

}  // namespace styleclip
