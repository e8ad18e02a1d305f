#include "KVClient/kvctl/commands.h"

#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "KVClient/kvctl/archive.h"
#include "KVClient/kvctl/format.h"
#include "KVClient/kvctl/samples.h"
#include "KVCommon/digest.h"
#include "KVCommon/limits.h"
#include "KVCommon/secret_file.h"
#include "KVCommon/status_macros.h"
#include "KVCommon/wire.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace kvstore::kvctl {
namespace {

using nlohmann::json;

constexpr size_t kMaxTokensFileBytes = 256 << 20;

void Say(const Output& output, const json& object, const std::string& text) {
  output.out << (output.json ? object.dump() + "\n" : text);
}

// ---- files

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  if (path != "-") return ReadWholeFile(path, max_bytes);
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (text.size() > max_bytes) return absl::InvalidArgumentError("standard input is too long");
  return text;
}

absl::Status FileError(const char* what, const std::string& path) {
  return absl::UnavailableError(fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
}

absl::Status WriteFile(const std::string& path, std::string_view bytes) {
  if (path == "-") {
    std::cout.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush();
    return std::cout ? absl::OkStatus() : FileError("write", "standard output");
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  return file ? absl::OkStatus() : FileError("write", path);
}

absl::StatusOr<std::vector<Token>> ReadTokens(const std::string& path) {
  KV_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxTokensFileBytes));
  const json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool numbers =
      parsed.is_array() && std::all_of(parsed.begin(), parsed.end(),
                                       [](const json& each) { return each.is_number_integer(); });
  if (!numbers) {
    return absl::InvalidArgumentError("the tokens in " + path +
                                      " must be a JSON array of whole numbers: [1, 2, 3]");
  }
  return parsed.get<std::vector<Token>>();
}

absl::StatusOr<wire::Chunk> ParseChunk(const std::string& bytes) {
  const ByteView view = AsBytes(bytes);
  return wire::ParseChunk({&view, 1});
}

// ---- how things are shown

std::string TiersOf(const admin::Version& version) {
  std::string tiers;
  const auto add = [&tiers](bool there, const char* name) {
    if (there) tiers += (tiers.empty() ? "" : "+") + std::string(name);
  };
  add(version.in_ram(), "ram");
  add(version.on_disk(), "disk");
  add(version.shared(), "shared");
  return tiers;
}

double AgeOf(const admin::Version& version) {
  return absl::ToDoubleSeconds(absl::Now() - absl::FromUnixMicros(version.written_us()));
}

json AsJson(const admin::Version& version) {
  return {
      {"hash", version.hash()},
      {"digest", version.digest()},
      {"location", version.location()},
      {"parent_hash", version.parent_hash()},
      {"by_parent", version.by_parent()},
      {"size", version.size()},
      {"written", absl::FormatTime(absl::RFC3339_full, absl::FromUnixMicros(version.written_us()),
                                   absl::UTCTimeZone())},
      {"ram", version.in_ram()},
      {"disk", version.on_disk()},
      {"shared", version.shared()}};
}

// So that a terminal shows how far something is.
class Progress {
 public:
  explicit Progress(const Output& output) : output_(output) {}
  ~Progress() {
    if (shown_) output_.progress << '\n';
  }
  void Show(const std::string& text) {
    if (output_.json || absl::Now() < next_) return;
    next_ = absl::Now() + absl::Milliseconds(500);
    output_.progress << '\r' << text << "\x1b[K" << std::flush;
    shown_ = true;
  }

 private:
  const Output& output_;
  absl::Time next_ = absl::Now() + absl::Milliseconds(500);
  bool shown_ = false;
};

std::string Of(double used, double capacity) {
  return capacity > 0 ? fmt::format("{} of {} ({:.0f} %)", Bytes(used), Bytes(capacity),
                                    100 * used / capacity)
                      : Bytes(used);
}

std::string StatsText(const admin::StatsResponse& stats) {
  const Samples samples(stats);
  const double hit = samples.Sum("kvstore_lookup_blocks_total", {{"result", "hit"}});
  const double miss = samples.Sum("kvstore_lookup_blocks_total", {{"result", "miss"}});
  std::vector<std::pair<std::string, std::string>> rows = {
      {"version", stats.version()},
      {"state", stats.not_ready().empty() ? "serving" : "NOT SERVING: " + stats.not_ready()},
      {"up for", Duration(static_cast<double>(stats.uptime_ms()) / 1000)},
      {"hit ratio", hit + miss > 0 ? fmt::format("{:.1f} % of {} blocks looked up",
                                                 100 * hit / (hit + miss), Count(hit + miss))
                                   : "nothing was looked up"},
      {"sent", Bytes(samples.Sum("kvstore_sent_chunk_bytes_total"))},
      {"received", Bytes(samples.Sum("kvstore_received_chunk_bytes_total"))},
      {"index", fmt::format("{} blocks in {}", Count(samples.Sum("kvstore_index_blocks")),
                            Bytes(samples.Sum("kvstore_index_bytes")))},
      {"RAM tier",
       Of(samples.Sum("kvstore_ram_used_bytes"), samples.Sum("kvstore_ram_capacity_bytes"))}};
  if (samples.Has("kvstore_disk_tier_blobs")) {
    rows.emplace_back("disk tier", Of(samples.Sum("kvstore_disk_tier_used_bytes"),
                                      samples.Sum("kvstore_disk_tier_capacity_bytes")));
    rows.emplace_back(
        "to be uploaded",
        fmt::format("{} blocks, {}", Count(samples.Sum("kvstore_disk_tier_pending_blobs")),
                    Bytes(samples.Sum("kvstore_disk_tier_pending_bytes"))));
  } else if (!samples.Has("kvstore_azure_requests_total")) {
    rows.emplace_back("disk", Of(samples.Sum("kvstore_storage_used_bytes"),
                                 samples.Sum("kvstore_storage_capacity_bytes")));
  }
  if (samples.Has("kvstore_log_age_seconds")) {
    rows.emplace_back("shared log",
                      "read " + Duration(samples.Sum("kvstore_log_age_seconds")) + " ago");
  }
  rows.emplace_back("evicted", Count(samples.Sum("kvstore_evicted_chunks_total")) +
                                   " blocks from storage, " +
                                   Count(samples.Sum("kvstore_ram_evictions_total")) + " from RAM");
  rows.emplace_back("damaged", Count(samples.Sum("kvstore_corrupt_chunks_total")) + " blocks");
  for (const admin::Fact& fact : stats.facts()) rows.emplace_back(fact.name(), fact.value());
  size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.first.size());
  std::string text;
  for (const auto& [name, value] : rows) text += fmt::format("{:<{}}  {}\n", name, width, value);
  return text;
}

json StatsJson(const admin::StatsResponse& stats) {
  json samples = json::array();
  for (const admin::Sample& sample : stats.samples()) {
    json labels = json::object();
    for (const auto& [name, value] : sample.labels()) labels[name] = value;
    samples.push_back({{"name", sample.name()}, {"labels", labels}, {"value", sample.value()}});
  }
  json facts = json::object();
  for (const admin::Fact& fact : stats.facts()) facts[fact.name()] = fact.value();
  return {{"version", stats.version()},
          {"ready", stats.not_ready().empty()},
          {"not_ready", stats.not_ready()},
          {"uptime_ms", stats.uptime_ms()},
          {"facts", facts},
          {"samples", samples}};
}

json DrainJson(const admin::DrainResponse& state) {
  return {{"draining", state.draining()},
          {"running_calls", state.running_calls()},
          {"unshared_blocks", state.unshared_blocks()}};
}

std::string DrainText(const admin::DrainResponse& state) {
  if (!state.draining()) return "taking calls\n";
  return fmt::format("draining: {} calls run, {} blocks are not shared yet\n",
                     state.running_calls(), state.unshared_blocks());
}

}  // namespace

absl::StatusOr<admin::Partition> ParseTarget(const std::string& text, bool with_partition) {
  admin::Partition target;
  const size_t first = text.find('/');
  const size_t second = first == std::string::npos ? first : text.find('/', first + 1);
  target.set_account(text.substr(0, first));
  if (first != std::string::npos) target.set_container(text.substr(first + 1, second - first - 1));
  if (second != std::string::npos) target.set_partition(text.substr(second + 1));
  const bool whole = !target.account().empty() && !target.container().empty() &&
                     (!with_partition || !target.partition().empty());
  if (whole) return target;
  return absl::InvalidArgumentError(
      fmt::format("\"{}\" must be ACCOUNT/CONTAINER{}", text, with_partition ? "/PARTITION" : ""));
}

absl::Status ShowStats(AdminClient& client, const Output& output) {
  KV_ASSIGN_OR_RETURN(const admin::StatsResponse stats,
                      client.Call(&admin::KVStoreAdmin::Stub::Stats, admin::StatsRequest()));
  Say(output, StatsJson(stats), output.json ? "" : StatsText(stats));
  return absl::OkStatus();
}

absl::Status Inspect(AdminClient& client, const Output& output, const InspectOptions& options) {
  admin::InspectRequest request;
  KV_ASSIGN_OR_RETURN(*request.mutable_partition(),
                      ParseTarget(options.target, options.location.empty()));
  request.set_location(options.location);
  if (options.location.empty()) {
    KV_ASSIGN_OR_RETURN(const std::vector<Token> tokens, ReadTokens(options.tokens_file));
    request.mutable_tokens()->Add(tokens.begin(), tokens.end());
  }
  KV_ASSIGN_OR_RETURN(const admin::InspectResponse response,
                      client.Call(&admin::KVStoreAdmin::Stub::Inspect, request));
  json blocks = json::array();
  std::vector<std::vector<std::string>> rows = {
      {"block", "version", "hash", "parent", "size", "age", "tiers"}};
  uint64_t bytes = 0;
  for (int i = 0; i < response.blocks_size(); ++i) {
    json versions = json::array();
    const admin::Block& block = response.blocks(i);
    for (int v = 0; v < block.versions_size(); ++v) {
      const admin::Version& version = block.versions(v);
      versions.push_back(AsJson(version));
      if (v == 0) bytes += version.size();
      rows.push_back(
          {v == 0 ? std::to_string(i) : "", std::to_string(v),
           fmt::format("{:016x}", version.hash()),
           version.parent_hash() == 0 ? "-" : fmt::format("{:016x}", version.parent_hash()),
           Bytes(static_cast<double>(version.size())), Duration(AgeOf(version)), TiersOf(version)});
    }
    blocks.push_back({{"versions", versions}});
  }
  std::string text = fmt::format("{} of {} blocks are stored, {}\n", response.blocks_size(),
                                 response.asked_blocks(), Bytes(static_cast<double>(bytes)));
  if (response.blocks_size() > 0) text += Table(rows);
  Say(output, {{"asked_blocks", response.asked_blocks()}, {"blocks", blocks}}, text);
  return absl::OkStatus();
}

absl::Status Get(AdminClient& client, const Output& output, const GetOptions& options) {
  admin::GetRequest request;
  KV_ASSIGN_OR_RETURN(*request.mutable_partition(), ParseTarget(options.target, false));
  request.set_location(options.location);
  KV_ASSIGN_OR_RETURN(const admin::GetResponse response,
                      client.Call(&admin::KVStoreAdmin::Stub::Get, request));
  KV_ASSIGN_OR_RETURN(const wire::Chunk chunk, ParseChunk(response.chunk()));
  const std::string_view bytes =
      options.whole_chunk
          ? std::string_view(response.chunk())
          : std::string_view(response.chunk()).substr(chunk.buffer.offset, chunk.buffer.size);
  KV_RETURN_IF_ERROR(WriteFile(options.out_file, bytes));
  if (options.out_file == "-") return absl::OkStatus();
  Say(output,
      {{"partition", chunk.partition_key},
       {"hash", chunk.hash},
       {"parent_hash", chunk.parent_hash},
       {"prefix_digest", chunk.prefix_digest ? ToHex(*chunk.prefix_digest) : ""},
       {"tokens", chunk.tokens},
       {"buffer_bytes", chunk.buffer.size},
       {"file", options.out_file}},
      fmt::format("{} written to {}: partition {}, hash {:016x}, parent {:016x}\n",
                  Bytes(static_cast<double>(bytes.size())), options.out_file, chunk.partition_key,
                  chunk.hash, chunk.parent_hash));
  return absl::OkStatus();
}

namespace {

uint64_t HashOfDigest(const Digest& digest) {
  uint64_t hash = 0;
  for (size_t i = 0; i < sizeof hash; ++i) hash |= uint64_t{digest[i]} << 8 * i;
  return hash;
}

// The last full block of the prompt, as a chunk.
absl::StatusOr<std::string> MakeChunk(const PutOptions& options, const std::string& partition) {
  KV_ASSIGN_OR_RETURN(const std::vector<Token> tokens, ReadTokens(options.tokens_file));
  KV_ASSIGN_OR_RETURN(const std::string buffer, ReadFile(options.buffer_file, kMaxMessageBytes));
  if (tokens.size() < kBlockTokens || tokens.size() % kBlockTokens != 0) {
    return absl::InvalidArgumentError(
        fmt::format("give the tokens of whole blocks, a multiple of {}: there are {}", kBlockTokens,
                    tokens.size()));
  }
  const std::vector<Digest> digests = PrefixDigests(tokens);
  const bool first = digests.size() == 1;
  wire::Chunk chunk;
  chunk.partition_key = partition;
  chunk.prefix_digest = digests.back();
  chunk.hash = options.hash.value_or(HashOfDigest(digests.back()));
  chunk.parent_hash =
      options.parent_hash.value_or(first ? 0 : HashOfDigest(digests[digests.size() - 2]));
  chunk.tokens.assign(tokens.end() - kBlockTokens, tokens.end());
  const wire::Frame frame = wire::FrameChunk(chunk, buffer.size());
  return frame.head + buffer + frame.tail;
}

}  // namespace

absl::Status Put(AdminClient& client, const Output& output, const PutOptions& options) {
  const bool whole = !options.chunk_file.empty();
  admin::PutRequest request;
  KV_ASSIGN_OR_RETURN(*request.mutable_partition(), ParseTarget(options.target, !whole));
  if (whole) {
    KV_ASSIGN_OR_RETURN(*request.mutable_chunk(), ReadFile(options.chunk_file, kMaxMessageBytes));
  } else {
    KV_ASSIGN_OR_RETURN(*request.mutable_chunk(),
                        MakeChunk(options, request.partition().partition()));
  }
  KV_ASSIGN_OR_RETURN(const admin::PutResponse response,
                      client.Call(&admin::KVStoreAdmin::Stub::Put, request));
  Say(output, {{"stored", response.stored()}},
      response.stored() ? "stored\n" : "that version was there already\n");
  return absl::OkStatus();
}

absl::Status Delete(AdminClient& client, const Output& output, const std::string& target,
                    const std::string& location) {
  admin::DeleteRequest request;
  KV_ASSIGN_OR_RETURN(*request.mutable_partition(), ParseTarget(target, false));
  request.set_location(location);
  KV_ASSIGN_OR_RETURN(const admin::DeleteResponse response,
                      client.Call(&admin::KVStoreAdmin::Stub::Delete, request));
  Say(output, {{"blocks", response.blocks()}},
      fmt::format("{} removed\n",
                  response.blocks() == 1
                      ? "1 block"
                      : std::to_string(response.blocks()) + " blocks, those behind it included,"));
  return absl::OkStatus();
}

absl::Status Purge(AdminClient& client, const Output& output, const std::string& target,
                   bool dry_run) {
  admin::PurgeRequest request;
  KV_ASSIGN_OR_RETURN(*request.mutable_partition(), ParseTarget(target, true));
  request.set_dry_run(dry_run);
  KV_ASSIGN_OR_RETURN(const admin::PurgeResponse response,
                      client.Call(&admin::KVStoreAdmin::Stub::Purge, request, /*endless=*/true));
  Say(output, {{"blocks", response.blocks()}, {"bytes", response.bytes()}, {"dry_run", dry_run}},
      fmt::format("{} blocks, {}, {}\n", response.blocks(),
                  Bytes(static_cast<double>(response.bytes())),
                  dry_run ? "would be removed" : "removed"));
  return absl::OkStatus();
}

absl::Status Export(AdminClient& client, const Output& output, const std::string& target,
                    const std::string& file) {
  admin::ExportRequest request;
  KV_ASSIGN_OR_RETURN(*request.mutable_partition(), ParseTarget(target, true));
  const std::string unfinished = file + ".part";
  std::ofstream stream(unfinished, std::ios::binary | std::ios::trunc);
  if (!stream) return FileError("write", unfinished);
  grpc::ClientContext context;
  client.Prepare(&context);
  const auto reader = client.stub().Export(&context, request);
  ArchiveWriter archive(&stream);
  uint64_t bytes = 0;
  absl::Status wrong;
  {
    Progress progress(output);
    admin::ExportResponse response;
    while (wrong.ok() && reader->Read(&response)) {
      archive.Add(response.chunk());
      bytes += response.chunk().size();
      if (!stream) wrong = FileError("write", unfinished);
      progress.Show(fmt::format("{} of {} blocks, {}", archive.chunks(), response.of(),
                                Bytes(static_cast<double>(bytes))));
    }
  }
  if (!wrong.ok()) context.TryCancel();
  const absl::Status ended = client.Understood(reader->Finish());
  archive.Finish();
  stream.close();
  if (wrong.ok()) wrong = ended;
  if (wrong.ok() && !stream) wrong = FileError("write", unfinished);
  if (wrong.ok() && std::rename(unfinished.c_str(), file.c_str()) != 0) {
    wrong = FileError("rename", unfinished);
  }
  if (!wrong.ok()) {
    std::remove(unfinished.c_str());
    return wrong;
  }
  Say(output, {{"blocks", archive.chunks()}, {"bytes", bytes}, {"file", file}},
      fmt::format("{} blocks, {}, written to {}\n", archive.chunks(),
                  Bytes(static_cast<double>(bytes)), file));
  return absl::OkStatus();
}

absl::Status Import(AdminClient& client, const Output& output, const std::string& target,
                    const std::string& file) {
  admin::PutRequest request;
  KV_ASSIGN_OR_RETURN(*request.mutable_partition(), ParseTarget(target, false));
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return FileError("read", file);
  KV_ASSIGN_OR_RETURN(ArchiveReader archive, ArchiveReader::Open(&stream));
  uint64_t stored = 0, there = 0;
  Progress progress(output);
  while (true) {
    KV_ASSIGN_OR_RETURN(std::optional<std::string> chunk, archive.Next());
    if (!chunk) break;
    request.set_chunk(*std::move(chunk));
    KV_ASSIGN_OR_RETURN(const admin::PutResponse response,
                        client.Call(&admin::KVStoreAdmin::Stub::Put, request));
    ++(response.stored() ? stored : there);
    progress.Show(fmt::format("{} blocks", stored + there));
  }
  Say(output, {{"stored", stored}, {"there_already", there}},
      fmt::format("{} blocks stored, {} were there already\n", stored, there));
  return absl::OkStatus();
}

absl::Status Set(AdminClient& client, const Output& output, const SetOptions& options) {
  admin::SetRequest request;
  if (options.capacity_bytes) request.set_capacity_bytes(*options.capacity_bytes);
  if (options.memory_bytes) request.set_memory_bytes(*options.memory_bytes);
  if (options.log_level) request.set_log_level(*options.log_level);
  KV_ASSIGN_OR_RETURN(const admin::SetResponse now,
                      client.Call(&admin::KVStoreAdmin::Stub::Set, request));
  Say(output,
      {{"capacity_bytes", now.capacity_bytes()},
       {"memory_bytes", now.memory_bytes()},
       {"log_level", now.log_level()}},
      fmt::format(
          "capacity   {}\nmemory     {}\nlog level  {}\n"
          "Until the server's next start: its options then count again.\n",
          now.capacity_bytes() == 0 ? "no bound" : Bytes(static_cast<double>(now.capacity_bytes())),
          Bytes(static_cast<double>(now.memory_bytes())), now.log_level()));
  return absl::OkStatus();
}

absl::Status Drain(AdminClient& client, const Output& output, std::optional<double> wait_s) {
  const absl::Time end = absl::Now() + absl::Seconds(wait_s.value_or(0));
  while (true) {
    KV_ASSIGN_OR_RETURN(const admin::DrainResponse state,
                        client.Call(&admin::KVStoreAdmin::Stub::Drain, admin::DrainRequest()));
    const bool done = state.running_calls() == 0 && state.unshared_blocks() == 0;
    if (!wait_s || done || absl::Now() >= end) {
      Say(output, DrainJson(state), DrainText(state));
      if (!wait_s || done) return absl::OkStatus();
      return absl::DeadlineExceededError("it still has something to do");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

absl::Status Resume(AdminClient& client, const Output& output) {
  admin::DrainRequest request;
  request.set_resume(true);
  KV_ASSIGN_OR_RETURN(const admin::DrainResponse state,
                      client.Call(&admin::KVStoreAdmin::Stub::Drain, request));
  Say(output, DrainJson(state), DrainText(state));
  return absl::OkStatus();
}

absl::Status Verify(AdminClient& client, const Output& output, uint64_t bytes_per_second) {
  admin::VerifyRequest request;
  request.set_bytes_per_second(bytes_per_second);
  grpc::ClientContext context;
  client.Prepare(&context);
  const auto reader = client.stub().Verify(&context, request);
  admin::VerifyResponse state;
  {
    Progress progress(output);
    while (reader->Read(&state)) {
      progress.Show(fmt::format("{} of {} blocks, {}, {} damaged", state.blocks(), state.of(),
                                Bytes(static_cast<double>(state.bytes())), state.damaged()));
    }
  }
  KV_RETURN_IF_ERROR(client.Understood(reader->Finish()));
  Say(output, {{"blocks", state.blocks()}, {"bytes", state.bytes()}, {"damaged", state.damaged()}},
      fmt::format("{} blocks, {}: {}\n", state.blocks(), Bytes(static_cast<double>(state.bytes())),
                  state.damaged() == 0
                      ? "all whole"
                      : std::to_string(state.damaged()) + " damaged, and removed"));
  return state.damaged() == 0 ? absl::OkStatus() : absl::DataLossError("damaged blocks were found");
}

}  // namespace kvstore::kvctl
