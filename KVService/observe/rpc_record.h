// What is told of a call that has ended.
#ifndef KVSERVICE_OBSERVE_RPC_RECORD_H_
#define KVSERVICE_OBSERVE_RPC_RECORD_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/origin.h"

namespace kvstore {

// gRPC's names of its status codes, by number.
inline constexpr std::array<std::string_view, 17> kGrpcCodes = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};
inline constexpr size_t kUnknownGrpcCode = 2;

inline size_t GrpcCodeOf(std::string_view name) {
  const size_t code = std::find(kGrpcCodes.begin(), kGrpcCodes.end(), name) - kGrpcCodes.begin();
  return code < kGrpcCodes.size() ? code : kUnknownGrpcCode;
}

// Where a block was found, in the order of kTierNames.
enum class ReadTier { kRam, kDisk, kAzure };
inline constexpr std::array<std::string_view, 3> kTierNames = {"ram", "disk", "azure"};

// Where a call's time went, in microseconds. Of a StreamingRead, whose blocks are fetched together:
// the longest that a block took there. What is in none of them is the server's own work.
struct RpcStages {
  int64_t admission_us = 0;  // waiting for its turn
  int64_t receiving_us = 0;  // of a Write's request, once it may be
  int64_t disk_us = 0;       // waiting for the storage, by the tier that had the block or takes it
  int64_t azure_us = 0;
  int64_t sending_us = 0;  // from the answer to gRPC's having sent it

  // Time at a storage that is Azure, or else the disk. RAM's takes none.
  void AtStorage(bool azure, int64_t us) {
    int64_t& stage = azure ? azure_us : disk_us;
    stage = std::max(stage, us);
  }
  void AtStorageOf(const RpcStages& block) {
    AtStorage(false, block.disk_us);
    AtStorage(true, block.azure_us);
  }
  // The farthest tier that was waited for; RAM where none was.
  ReadTier tier() const {
    if (azure_us > 0) return ReadTier::kAzure;
    return disk_us > 0 ? ReadTier::kDisk : ReadTier::kRam;
  }
};

// A part of a call's time, in microseconds since the call came. `name` has static storage.
struct TimedStage {
  std::string_view name;
  int64_t from_us = 0;
  int64_t until_us = 0;
};

struct RpcRecord {
  // Of a StreamingRead there may be one a block.
  static constexpr size_t kMostTimed = 128;

  std::string_view rpc;
  std::string_view code;  // gRPC's name for the status
  int64_t storage_us = 0;
  int64_t total_us = 0;
  int64_t blocks = 0;
  int64_t found = 0;
  int64_t bytes = 0;
  std::string completion_id;
  std::string identity;  // empty where callers are not asked who they are
  RpcStages stages;

  std::shared_ptr<const Origin> origin;  // null where nobody asked
  // The stages one by one, of a call whose spans are kept.
  bool timed = false;
  std::vector<TimedStage> timeline;
  int64_t untimed = 0;  // those beyond kMostTimed

  void Time(std::string_view name, int64_t from_us, int64_t until_us) {
    if (until_us > from_us) TimeTier(name, from_us, until_us);
  }
  // The same of a tier that answers in less than a microsecond.
  void TimeTier(std::string_view name, int64_t from_us, int64_t until_us) {
    if (!timed) return;
    if (timeline.size() == kMostTimed) {
      ++untimed;
    } else {
      timeline.push_back({name, std::max<int64_t>(from_us, 0), std::max(from_us, until_us)});
    }
  }
  // What a Read of `of` spent, whose tier has just answered: at RAM since `from_us`, where it was
  // there.
  void TimeRead(const RpcStages& of, bool found, int64_t from_us, int64_t until_us) {
    TimeStorage(of, until_us);
    if (found && of.tier() == ReadTier::kRam) TimeTier("ram", from_us, until_us);
  }
  // What `of` spent at the storage, which has just answered.
  void TimeStorage(const RpcStages& of, int64_t until_us) {
    Time("disk", until_us - of.disk_us, until_us);
    Time("azure", until_us - of.azure_us, until_us);
  }
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_RPC_RECORD_H_
