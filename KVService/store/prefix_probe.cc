#include "KVService/store/prefix_probe.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {
namespace {

// Versions of one block that a listing gives: as many as a walk carries along.
constexpr size_t kMaxVersions = 16;

class Probe : public std::enable_shared_from_this<Probe> {
 public:
  Probe(SharedBlobStore* storage, const Container& container, const PartitionDigest& partition,
        std::vector<WantedBlock> wanted, Patience patience,
        absl::AnyInvocable<void(ProbeResult) &&> done)
      : storage_(*storage),
        container_(container),
        partition_(partition),
        wanted_(std::move(wanted)),
        patience_(std::move(patience)),
        done_(std::move(done)) {}

  void NextWave() {
    size_t begin, end;
    {
      absl::MutexLock lock(&mutex_);
      begin = result_.asked;
      end = std::min(wanted_.size(), begin + kProbeWave);
      result_.asked = end;
      running_ = end - begin;
      gap_ = false;
    }
    if (begin == end) return Finish();
    for (size_t i = begin; i < end; ++i) Ask(wanted_[i]);
  }

 private:
  void Ask(const WantedBlock& block) {
    const BlockVersion version{block.digest, block.tokens_crc, block.hash};
    BlobId id{container_.account, container_.name, BlobNameOf(partition_, version)};
    if (block.hash != 0) {
      return storage_.Stat(std::move(id), patience_,
                           [self = shared_from_this()](absl::StatusOr<BlobInfo> info) {
                             if (!info.ok()) return self->Answered(info.status());
                             self->Answered(std::vector<BlobInfo>{*std::move(info)});
                           });
    }
    id.name.resize(id.name.size() - 16);  // all but the hash
    storage_.ListPrefix(std::move(id), kMaxVersions, patience_,
                        [self = shared_from_this()](absl::StatusOr<std::vector<BlobInfo>> found) {
                          self->Answered(std::move(found));
                        });
  }

  void Answered(absl::StatusOr<std::vector<BlobInfo>> found) {
    bool finished, more;
    {
      absl::MutexLock lock(&mutex_);
      if (found.ok() && !found->empty()) {
        ++result_.answered;
        std::move(found->begin(), found->end(), std::back_inserter(result_.found));
      } else {
        gap_ = true;
        if (!found.ok() && !absl::IsNotFound(found.status())) result_.status.Update(found.status());
      }
      finished = --running_ == 0;
      more = !gap_ && result_.asked < wanted_.size();
    }
    if (!finished) return;
    more ? NextWave() : Finish();
  }

  void Finish() {
    ProbeResult result;
    {
      absl::MutexLock lock(&mutex_);
      result = std::move(result_);
    }
    std::move(done_)(std::move(result));
  }

  SharedBlobStore& storage_;
  const Container container_;
  const PartitionDigest partition_;
  const std::vector<WantedBlock> wanted_;
  const Patience patience_;
  absl::AnyInvocable<void(ProbeResult) &&> done_;

  absl::Mutex mutex_;
  ProbeResult result_ ABSL_GUARDED_BY(mutex_);
  size_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool gap_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

std::vector<WantedBlock> WantedBlocks(const PackedTokens& tokens,
                                      std::span<const uint64_t> precomputed_hashes, size_t first) {
  std::vector<WantedBlock> wanted;
  std::optional<Digest> digest;
  std::array<Token, kBlockTokens> block;
  ByteView left = tokens.bytes();
  for (size_t i = 0; i < tokens.blocks(); ++i) {
    left = left.subspan(UnpackBlock(left, block));
    digest = PrefixDigest(digest, block);
    if (i < first) continue;
    wanted.push_back(
        {*digest, TokensCrc(block), i < precomputed_hashes.size() ? precomputed_hashes[i] : 0});
  }
  return wanted;
}

void ProbeBlocks(SharedBlobStore* storage, const Container& container,
                 const PartitionDigest& partition, std::vector<WantedBlock> wanted,
                 Patience patience, absl::AnyInvocable<void(ProbeResult) &&> done) {
  std::make_shared<Probe>(storage, container, partition, std::move(wanted), std::move(patience),
                          std::move(done))
      ->NextWave();
}

}  // namespace kvstore
