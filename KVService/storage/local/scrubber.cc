#include "KVService/storage/local/scrubber.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "KVCommon/slice.h"
#include "KVCommon/status_macros.h"
#include "KVService/platform/machine.h"
#include "KVService/storage/local/media_check.h"
#include "KVService/storage/local/record.h"
#include "absl/time/clock.h"

namespace kvstore::local {
namespace {

// Records whose names are kept at a time, some 200 bytes each. Each window costs one scan of the
// metadata.
constexpr size_t kWindow = 16384;

// Between passes over little data, and after an error of the device.
constexpr absl::Duration kPause = absl::Seconds(10);

// Who waits for a check hears of it so often.
constexpr absl::Duration kTellAtLeast = absl::Milliseconds(500);

// As for a Get: what is written over again and again is not worth more.
constexpr int kMaxAttempts = 4;

constexpr char kPlaceFile[] = "SCRUB";

}  // namespace

absl::Duration Pacer::Take(uint64_t bytes, absl::Time now) {
  if (bytes_per_second_ == 0) return absl::ZeroDuration();
  const absl::Duration wait = std::max(free_at_ - now, absl::ZeroDuration());
  free_at_ = std::max(free_at_, now) +
             absl::Seconds(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_));
  return wait;
}

void Scrubber::Start() {
  thread_ = std::thread([this] { Run(); });
}

Scrubber::~Scrubber() { Stop(); }

void Scrubber::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

bool Scrubber::stopped() const {
  absl::MutexLock lock(&mutex_);
  return stopped_;
}

bool Scrubber::Sleep(absl::Duration duration) {
  const bool go_on = !options_.scrub.sleep || options_.scrub.sleep(duration);
  absl::MutexLock lock(&mutex_);
  stopped_ |= !go_on;
  if (options_.scrub.sleep) return !stopped_;
  return !mutex_.AwaitWithTimeout(absl::Condition(&stopped_), duration);
}

ScrubStats Scrubber::stats() const {
  return {bytes_.load(), errors_.load(), passes_.load(), records_.load()};
}

void Scrubber::Run() {
  LowerThreadPriority();
  Place next = LoadPlace();
  while (!stopped()) {
    // Metadata that cannot be read has been logged and counted; a pass ends at it.
    const std::vector<Target> window = NextWindow(next).value_or(std::vector<Target>());
    for (const Target& target : window) {
      const absl::Time now = options_.scrub.now ? options_.scrub.now() : absl::Now();
      if (!Sleep(pacer_.Take(target.footprint, now))) break;
      next = {target.place.segment, target.place.offset + 1};
      // A device that is away is asked again later, not for every record.
      if (absl::IsUnavailable(Check(target)) && !Sleep(kPause)) break;
    }
    if (stopped()) break;
    if (window.empty()) {
      next = {};
      passes_.fetch_add(1, std::memory_order_relaxed);
    }
    SavePlace(next);
    if (window.empty() && !Sleep(kPause)) return;
  }
  SavePlace(next);
}

absl::Status Scrubber::CheckAll(const std::function<bool(const ScrubStats&)>& go_on) {
  for (Place next;;) {
    KV_ASSIGN_OR_RETURN(const std::vector<Target> window, NextWindow(next));
    if (window.empty()) return absl::OkStatus();
    for (const Target& target : window) {
      for (absl::Duration wait = pacer_.Take(target.footprint, absl::Now());
           wait > absl::ZeroDuration(); wait -= kTellAtLeast) {
        if (!Sleep(std::min(wait, kTellAtLeast)) || !go_on(stats())) return absl::OkStatus();
      }
      next = {target.place.segment, target.place.offset + 1};
      const absl::Status status = Check(target);
      if (absl::IsUnavailable(status)) return status;  // of the device: so would the others be
      if (!go_on(stats())) return absl::OkStatus();
    }
  }
}

absl::StatusOr<std::vector<Scrubber::Target>> Scrubber::NextWindow(Place from) {
  std::vector<Target> heap;  // the last of them on top
  const absl::Status status = options_.metadata->ForEach(
      "", [&](std::string_view key, const absl::StatusOr<RecordLocation>& location) {
        if (!location.ok()) return true;
        const Place place{location->segment, location->offset};
        if (place < from || (heap.size() == kWindow && heap.front().place < place)) return true;
        if (heap.size() == kWindow) {
          std::pop_heap(heap.begin(), heap.end());
          heap.pop_back();
        }
        heap.push_back({place, Footprint(key.size(), *location), std::string(key)});
        std::push_heap(heap.begin(), heap.end());
        return !stopped();
      });
  if (!status.ok()) {
    errors_.fetch_add(1, std::memory_order_relaxed);
    spdlog::error("scrub: metadata not read error=\"{}\"", std::string(status.message()));
    return status;
  }
  std::sort_heap(heap.begin(), heap.end());
  return heap;
}

absl::Status Scrubber::Check(const Target& target) {
  const absl::Status status = Verify(target.key);
  bytes_.fetch_add(target.footprint, std::memory_order_relaxed);
  records_.fetch_add(1, std::memory_order_relaxed);
  if (status.ok()) return status;
  errors_.fetch_add(1, std::memory_order_relaxed);
  const absl::StatusOr<BlobId> id = IdOf(target.key);
  if (!id.ok()) return status;
  spdlog::error("scrub error blob={}/{}/{} segment={} offset={} error=\"{}\"", id->account,
                id->container, id->name, target.place.segment, target.place.offset,
                std::string(status.message()));
  if (absl::IsDataLoss(status) && options_.scrub.damaged) options_.scrub.damaged(*id);
  return status;
}

// What was read is damage only if it had to be the record: the metadata named its place before and
// after, and nothing of the segment was given out again between.
absl::Status Scrubber::Verify(const std::string& key) {
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    const absl::StatusOr<RecordLocation> first = options_.metadata->Get(key);
    if (absl::IsNotFound(first.status())) return absl::OkStatus();
    if (!first.ok()) return first.status();
    const std::shared_ptr<Segment> segment = options_.segments->Find(first->segment);
    const uint64_t reuses = segment ? segment->reuses() : 0;
    const absl::StatusOr<RecordLocation> before = options_.metadata->Get(key);
    if (!before.ok() || *before != *first) continue;
    const absl::Status status = segment ? ReadRecord(key, *before, *segment)
                                        : absl::DataLossError("there is no such segment");
    if (status.ok()) return status;
    const absl::StatusOr<RecordLocation> after = options_.metadata->Get(key);
    if (after.ok() && *after == *before && (!segment || segment->reuses() == reuses)) return status;
  }
  return absl::OkStatus();
}

absl::Status Scrubber::ReadRecord(const std::string& key, const RecordLocation& location,
                                  Segment& segment) {
  Buffer buffer = Buffer::AllocateForDirectIo(Footprint(key.size(), location));
  const absl::Status read =
      segment.DirectFile(options_.files).ReadAt(location.offset, buffer.bytes());
  if (absl::IsOutOfRange(read)) return absl::DataLossError("the segment ends before the record");
  if (!read.ok()) {
    const bool lost = IsLostOnMedia(*options_.segments, options_.files, segment, location.offset,
                                    buffer.bytes().size());
    return lost ? absl::DataLossError(read.message()) : read;
  }
  return DecodeRecord(key, location, std::move(buffer).Freeze()).status();
}

Scrubber::Place Scrubber::LoadPlace() const {
  // Whatever it says is a place to begin at: one that makes no sense is the beginning.
  const auto text = ReadSmallFile(options_.files, options_.directory + "/" + kPlaceFile, 64);
  Place place;
  if (!text.ok()) return place;
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, place.segment);
  if (error != std::errc() || rest == end) return {};
  if (std::from_chars(rest + 1, end, place.offset).ec != std::errc()) return {};
  return place;
}

void Scrubber::SavePlace(Place place) const {
  const absl::Status status = WriteSmallFile(options_.files, options_.directory, kPlaceFile,
                                             fmt::format("{} {}\n", place.segment, place.offset));
  if (!status.ok())
    spdlog::warn("scrub: place not kept error=\"{}\"", std::string(status.message()));
}

}  // namespace kvstore::local
