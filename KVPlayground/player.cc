#include "KVPlayground/player.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVPlayground/block_bytes.h"

namespace kvstore::playground {
namespace {

size_t SlotBytes(size_t buffer_bytes) {
  // Slots at cache lines' starts, so that no two blocks share one.
  return (buffer_bytes + 63) / 64 * 64;
}

std::string HexAt(const BlockSeed& seed, std::span<const std::byte> got, size_t offset) {
  const size_t size = std::min<size_t>(8, got.size() - offset);
  std::string expected;
  std::string actual;
  for (size_t i = offset; i < offset + size; ++i) {
    expected += fmt::format("{:02x}", static_cast<unsigned>(ByteAt(seed, i)));
    actual += fmt::format("{:02x}", static_cast<unsigned>(got[i]));
  }
  return fmt::format("expected {}, got {}", expected, actual);
}

}  // namespace

hash_t HashOf(const Digest& prefix_digest) {
  hash_t hash;
  std::memcpy(&hash, prefix_digest.data(), sizeof(hash));
  return hash == 0 ? 1 : hash;
}

size_t WindowBlocks(size_t buffer_bytes, size_t workers) {
  const size_t bytes = std::min(kLargestWindow, kWindowMemory / std::max<size_t>(workers, 1));
  return std::clamp<size_t>(bytes / SlotBytes(buffer_bytes), 1, 1024);
}

Player::Player(Store* store, PlayerOptions options, Shared* shared, RunStats* stats)
    : store_(store),
      options_(std::move(options)),
      shared_(shared),
      stats_(stats),
      memory_(Buffer::Allocate(options_.window_blocks * SlotBytes(options_.buffer_bytes))) {}

template <typename Call>
auto Player::Timed(Call call) {
  const auto start = std::chrono::steady_clock::now();
  auto result = call();
  const auto end = std::chrono::steady_clock::now();
  const int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(end - start).count();
  stats_->longest_call_us = std::max(stats_->longest_call_us, us);
  int64_t& longest = stats_->series.At(end - shared_->start).longest_call_us;
  longest = std::max(longest, us);
  return result;
}

bool Player::Play(const Prompt& prompt) {
  KV_CHECK(prompt.digests.size() == prompt.tokens.size() / kBlockTokens);
  missing_.clear();
  failed_ = false;
  found_ = 0;
  written_ = 0;

  const std::vector<std::string> locations = LookUp(prompt);
  Read(prompt, locations);
  for (size_t i = locations.size(); i < prompt.digests.size(); ++i) missing_.push_back(i);
  WriteMissing(prompt);

  stats_->tokens += prompt.tokens.size();
  stats_->failed_requests += failed_ ? 1 : 0;
  stats_->iterations[prompt.iteration].Merge({1, prompt.digests.size(), found_});
  Now().Merge({1, failed_ ? 1u : 0u, prompt.digests.size(), found_, 0, 0, 0});
  if (!failed_) {
    shared_->failures_in_a_row = 0;
  } else if (++shared_->failures_in_a_row >= Shared::kGiveUpAfter) {
    shared_->stop = true;
  }
  if (shared_->on_request) shared_->on_request(prompt, found_, written_);
  return !failed_;
}

std::vector<std::string> Player::LookUp(const Prompt& prompt) {
  auto answer =
      Timed([&] { return store_->Lookup(options_.partition, prompt.tokens, CallFor(prompt)); });
  if (!answer.ok()) {
    stats_->lookup.AddErrors(1);
    Fail(prompt, fmt::format("Lookup: {}", answer.status().ToString()));
    return {};
  }
  stats_->lookup.AddSuccess(answer->metrics);
  const size_t claimed = answer->locations.size();
  if (answer->cached_blocks < 0 || static_cast<size_t>(answer->cached_blocks) != claimed ||
      claimed > prompt.digests.size()) {
    Mismatch(prompt, fmt::format("Lookup claims {} blocks and gives {} locations, for a prompt of "
                                 "{} full blocks",
                                 answer->cached_blocks, claimed, prompt.digests.size()));
    return {};
  }
  std::vector<std::string> locations;
  locations.reserve(claimed);
  for (size_t i = 0; i < claimed; ++i) {
    const hash_t expected = HashOf(prompt.digests[i]);
    if (answer->locations[i].hash != expected) {
      Mismatch(prompt, fmt::format("block {}: Lookup gives hash {:016x}, expected {:016x}", i,
                                   answer->locations[i].hash, expected));
    }
    locations.push_back(std::move(answer->locations[i].location));
  }
  return locations;
}

void Player::Read(const Prompt& prompt, std::span<const std::string> locations) {
  for (size_t first = 0; first < locations.size(); first += options_.window_blocks) {
    const size_t count = std::min(options_.window_blocks, locations.size() - first);
    ReadWindow(prompt, first, locations.subspan(first, count));
  }
}

void Player::ReadWindow(const Prompt& prompt, size_t first,
                        std::span<const std::string> locations) {
  read_slots_.clear();
  for (size_t i = 0; i < locations.size(); ++i) read_slots_.push_back(Slot(i));
  std::vector<BlockAnswer> answers;
  {
    BusyScope busy(&shared_->reading);
    answers = Timed([&] { return store_->StreamingRead(locations, read_slots_, CallFor(prompt)); });
  }
  if (answers.size() != locations.size()) {
    Fail(prompt, fmt::format("StreamingRead gave {} answers to {} locations", answers.size(),
                             locations.size()));
    BlockAnswer none;
    none.status = absl::InternalError("no answer");
    answers.resize(locations.size(), none);
  }
  for (size_t i = 0; i < locations.size(); ++i) {
    TakeAnswer(prompt, first + i, answers[i], read_slots_[i]);
  }
}

void Player::TakeAnswer(const Prompt& prompt, size_t block, const BlockAnswer& answer,
                        std::span<const std::byte> buffer) {
  // A block of another size does not fit; it was delivered, and is not what was written.
  const bool wrong_size = absl::IsOutOfRange(answer.status);
  if (!answer.status.ok() && !wrong_size) {
    stats_->read.AddErrors(1);
    Fail(prompt, fmt::format("block {}: StreamingRead: {}", block, answer.status.ToString()));
    missing_.push_back(block);
    return;
  }
  stats_->read.AddSuccess(answer.metrics);
  if (!answer.found && !wrong_size) {
    ++stats_->lost_blocks;
    missing_.push_back(block);
    return;
  }
  ++found_;
  ++stats_->blocks_validated;
  if (!wrong_size) {
    stats_->read_bytes += answer.bytes;
    Now().read_bytes += answer.bytes;
  }
  const std::string wrong = Validate(prompt, block, answer, buffer);
  if (!wrong.empty()) Mismatch(prompt, fmt::format("block {}: {}", block, wrong));
}

std::string Player::Validate(const Prompt& prompt, size_t block, const BlockAnswer& answer,
                             std::span<const std::byte> buffer) const {
  if (answer.bytes != buffer.size()) {
    return fmt::format(
        "{} bytes instead of {}: was the partition filled with another "
        "--buffer-bytes?",
        answer.bytes, buffer.size());
  }
  const BlockSeed seed = SeedOf(options_.partition, prompt.digests[block]);
  if (const auto offset = FirstDifference(seed, buffer)) {
    return fmt::format("byte {} of {}: {}", *offset, buffer.size(), HexAt(seed, buffer, *offset));
  }
  const hash_t hash = HashOf(prompt.digests[block]);
  const hash_t parent = block == 0 ? 0 : HashOf(prompt.digests[block - 1]);
  if (answer.hash != hash) {
    return fmt::format("hash: expected {:016x}, got {:016x}", hash, answer.hash);
  }
  if (answer.parent_hash != parent) {
    return fmt::format("parent hash: expected {:016x}, got {:016x}", parent, answer.parent_hash);
  }
  if (answer.partition != options_.partition) {
    return fmt::format("partition: expected \"{}\", got \"{}\"", options_.partition,
                       answer.partition);
  }
  const auto tokens = prompt.tokens.subspan(block * kBlockTokens, kBlockTokens);
  if (!std::ranges::equal(tokens, answer.tokens)) {
    return fmt::format("its {} tokens are not the prompt's", answer.tokens.size());
  }
  return {};
}

void Player::WriteMissing(const Prompt& prompt) {
  for (size_t from = 0; from < missing_.size();) {
    size_t count = 1;
    while (from + count < missing_.size() && count < options_.window_blocks &&
           missing_[from + count] == missing_[from] + count) {
      ++count;
    }
    WriteWindow(prompt, missing_[from], count);
    from += count;
  }
}

void Player::WriteWindow(const Prompt& prompt, size_t first, size_t count) {
  write_slots_.clear();
  for (size_t i = 0; i < count; ++i) {
    FillBlock(SeedOf(options_.partition, prompt.digests[first + i]), Slot(i));
    write_slots_.push_back(Slot(i));
  }
  // The tokens behind the window need not be hashed for it.
  const auto tokens = prompt.tokens.first((first + count) * kBlockTokens);
  absl::StatusOr<WriteAnswer> answer;
  {
    BusyScope busy(&shared_->writing);
    answer = Timed([&] {
      return store_->WritePrompt(options_.partition, tokens, first, write_slots_, CallFor(prompt));
    });
  }
  if (!answer.ok()) {
    stats_->write.AddErrors(count);
    Fail(prompt, fmt::format("blocks {} to {}: Write: {}", first, first + count - 1,
                             answer.status().ToString()));
    return;
  }
  for (const ServerMetrics& metrics : answer->metrics) stats_->write.AddSuccess(metrics);
  const auto written = static_cast<size_t>(std::max(answer->blocks_written, 0));
  if (written != count || answer->metrics.size() != count) {
    Fail(prompt, fmt::format("blocks {} to {}: Write acknowledged {} of {}", first,
                             first + count - 1, written, count));
  }
  written_ += written;
  stats_->written_bytes += written * options_.buffer_bytes;
  Now().written_bytes += written * options_.buffer_bytes;
}

CallOptions Player::CallFor(const Prompt& prompt) const {
  CallOptions call;
  call.timeout = options_.timeout;
  call.completion_id = prompt.name;
  return call;
}

void Player::Fail(const Prompt& prompt, const std::string& what) {
  failed_ = true;
  shared_->errors.Add(fmt::format("{}, {}, {}", options_.partition, prompt.name, what));
}

void Player::Mismatch(const Prompt& prompt, const std::string& what) {
  shared_->mismatches.Add(fmt::format("{}, {}, {}", options_.partition, prompt.name, what));
}

std::span<std::byte> Player::Slot(size_t index) {
  return memory_.bytes().subspan(index * SlotBytes(options_.buffer_bytes), options_.buffer_bytes);
}

Series::Bucket& Player::Now() {
  return stats_->series.At(std::chrono::steady_clock::now() - shared_->start);
}

}  // namespace kvstore::playground
