#include "packed_weight.h"

#include <c10/core/StorageImpl.h>

#include <iterator>
#include <map>
#include <mutex>
#include <tuple>

namespace styleclip {
namespace {

struct Entry {
  c10::weak_intrusive_ptr<c10::StorageImpl> storage;
  uint32_t version;
  at::Tensor packed;
};

// Storage, offset, layout of the weight, kind of packing.
using Key = std::tuple<const void*, int64_t, std::vector<int64_t>, std::vector<int64_t>,
                       at::ScalarType, int64_t>;

}  // namespace

at::Tensor packed_weight(const at::Tensor& weight, int64_t kind,
                         const std::function<at::Tensor(const at::Tensor&)>& pack, bool keep) {
  // Inference tensors do not count writes, so a change would go unseen.
  if (weight.is_inference() || !weight.has_storage()) return pack(weight);
  static std::mutex mutex;
  // Never destroyed: other threads may still compute while the process ends.
  static auto& cache = *new std::map<Key, Entry>();
  c10::StorageImpl* const storage = weight.storage().unsafeGetStorageImpl();
  const Key key{storage,
                weight.storage_offset(),
                weight.sizes().vec(),
                weight.strides().vec(),
                weight.scalar_type(),
                kind};
  const auto version = static_cast<uint32_t>(weight._version());
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = cache.find(key);
    if (found != cache.end() && !found->second.storage.expired() &&
        found->second.version == version) {
      return found->second.packed;
    }
  }
  at::Tensor packed = pack(weight);
  if (!keep) return packed;
  const std::lock_guard<std::mutex> lock(mutex);
  for (auto it = cache.begin(); it != cache.end();) {
    it = it->second.storage.expired() ? cache.erase(it) : std::next(it);
  }
  cache.insert_or_assign(key,
                         Entry{c10::weak_intrusive_ptr<c10::StorageImpl>(
                                   c10::intrusive_ptr<c10::StorageImpl>::reclaim_copy(storage)),
                               version, packed});
  return packed;
}

}  // namespace styleclip
