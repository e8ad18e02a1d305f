#include "KVService/rpc/admin_service.h"

#include <spdlog/spdlog.h>

#include <future>
#include <span>
#include <string>
#include <utility>

#include "KVCommon/digest.h"
#include "KVCommon/status_macros.h"
#include "KVCommon/wire.h"
#include "KVService/rpc/access.h"
#include "KVService/rpc/byte_buffer.h"
#include "KVService/rpc/requests.h"

namespace kvstore {
namespace {

// Of a partition: what is listed is in memory at once, some 250 bytes a block.
constexpr size_t kMostBlocks = 1'000'000;
constexpr absl::Duration kTimeout = absl::Seconds(60);

// What a call with a callback, as its last parameter, gives in the end.
template <typename T>
class Answer {
 public:
  // Once. It may return after Get has.
  auto Callback() {
    std::promise<absl::StatusOr<T>> promise;
    future_ = promise.get_future();
    return [promise = std::move(promise)](absl::StatusOr<T> result) mutable {
      promise.set_value(std::move(result));
    };
  }
  absl::StatusOr<T> Get() { return future_.get(); }

 private:
  std::future<absl::StatusOr<T>> future_;
};

absl::StatusOr<Container> ContainerIn(const admin::Partition& partition) {
  return ContainerOf(partition.account(), partition.container());
}

std::string Name(const admin::Partition& partition) {
  return partition.account() + "/" + partition.container() + "/" + partition.partition();
}

void AddSample(const std::string& name, const MetricLabels& labels, double value,
               admin::StatsResponse* response) {
  admin::Sample* const sample = response->add_samples();
  sample->set_name(name);
  sample->set_value(value);
  for (const auto& [label, text] : labels) (*sample->mutable_labels())[label] = text;
}

void AddFamily(const MetricFamily& family, admin::StatsResponse* response) {
  for (const MetricSample& sample : family.samples) {
    AddSample(family.name, sample.labels, sample.value, response);
  }
  for (const MetricHistogram& histogram : family.histograms) {
    uint64_t count = 0;
    for (size_t i = 0; i < histogram.counts.size(); ++i) {
      count += histogram.counts[i];
      MetricLabels labels = histogram.labels;
      labels.emplace_back(
          "le", i < histogram.bounds.size() ? fmt::format("{}", histogram.bounds[i]) : "+Inf");
      AddSample(family.name + "_bucket", labels, static_cast<double>(count), response);
    }
    AddSample(family.name + "_sum", histogram.labels, histogram.sum, response);
    AddSample(family.name + "_count", histogram.labels, static_cast<double>(count), response);
  }
}

void Fill(const ChunkStore::StoredBlock& block, admin::Version* version) {
  version->set_hash(block.version.hash);
  version->set_location(std::string(AsText(block.location)));
  version->set_parent_hash(block.parent_hash);
  version->set_by_parent(block.by_parent);
  version->set_size(block.size);
  version->set_written_us(absl::ToUnixMicros(block.written));
  version->set_in_ram(block.in_ram);
  version->set_on_disk(block.on_disk);
  version->set_shared(block.shared);
  version->set_digest(ToHex(block.version.digest));
}

absl::StatusOr<std::vector<ChunkStore::StoredBlock>> Versions(ChunkStore& store,
                                                              const Container& container,
                                                              std::string_view location) {
  Answer<std::vector<ChunkStore::StoredBlock>> answer;
  store.ListVersions(container, location, absl::Now() + kTimeout, answer.Callback());
  return answer.Get();
}

absl::Status NoSuchBlock() {
  return absl::NotFoundError(
      "no block is there: it was evicted, or the location is of another container");
}

// All of the partition. RESOURCE_EXHAUSTED where it is larger than what can be listed.
absl::StatusOr<std::vector<ChunkStore::StoredBlock>> BlocksOf(ChunkStore& store,
                                                              const admin::Partition& partition) {
  if (partition.partition().empty()) return absl::InvalidArgumentError("partition is missing");
  KV_ASSIGN_OR_RETURN(const Container container, ContainerIn(partition));
  Answer<std::vector<ChunkStore::StoredBlock>> answer;
  store.ListPartition(container, partition.partition(), kMostBlocks, absl::Now() + 10 * kTimeout,
                      answer.Callback());
  return answer.Get();
}

absl::StatusOr<Slice> ReadChunk(ChunkStore& store, const Container& container,
                                std::string_view location) {
  Answer<ChunkStore::ReadResult> answer;
  store.Read(container, location, absl::Now() + kTimeout, answer.Callback());
  KV_ASSIGN_OR_RETURN(ChunkStore::ReadResult result, answer.Get());
  return std::move(result.chunk);
}

}  // namespace

grpc::Status AdminService::Run(const grpc::ServerContext& context, std::string_view method,
                               const std::function<absl::Status()>& work) {
  std::string who = "local";
  absl::Status status;
  if (access_ != nullptr) {
    const absl::StatusOr<Caller> caller = CallerOf(*access_, context);
    status = caller.status();
    who = caller.ok() ? caller->name() : "unknown";
  }
  if (status.ok()) status = work();
  // Whoever looks at statistics does so every second.
  const auto level = method == "Stats" && status.ok() ? spdlog::level::debug : spdlog::level::info;
  spdlog::log(level, "admin method={} identity=\"{}\" peer={} code={} error=\"{}\"", method, who,
              context.peer(), CodeName(status.code()), std::string(status.message()));
  return ToGrpc(status);
}

grpc::Status AdminService::Stats(grpc::ServerContext* context, const admin::StatsRequest*,
                                 admin::StatsResponse* response) {
  return Run(*context, "Stats", [&] {
    response->set_version(target_.version);
    response->set_not_ready(std::string(target_.ready().message()));
    const auto uptime = std::chrono::steady_clock::now() - start_;
    response->set_uptime_ms(std::chrono::duration_cast<std::chrono::milliseconds>(uptime).count());
    for (const MetricFamily& family : target_.metrics()) AddFamily(family, response);
    for (const auto& [name, value] : target_.facts) {
      admin::Fact* const fact = response->add_facts();
      fact->set_name(name);
      fact->set_value(value);
    }
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Inspect(grpc::ServerContext* context,
                                   const admin::InspectRequest* request,
                                   admin::InspectResponse* response) {
  return Run(*context, "Inspect", [&]() -> absl::Status {
    KV_ASSIGN_OR_RETURN(const Container container, ContainerIn(request->partition()));
    std::vector<std::string> locations;
    if (!request->location().empty()) {
      locations.push_back(request->location());
      response->set_asked_blocks(1);
    } else {
      const PackedTokens tokens(std::span(request->tokens().data(), request->tokens().size()));
      if (tokens.size() < kBlockTokens) {
        return absl::InvalidArgumentError(
            fmt::format("give a location, or the tokens of a prompt, {} at least", kBlockTokens));
      }
      if (request->partition().partition().empty()) {
        return absl::InvalidArgumentError("partition is missing");
      }
      response->set_asked_blocks(static_cast<int64_t>(tokens.blocks()));
      Answer<ChunkStore::LookupResult> answer;
      target_.store->Lookup(container, {request->partition().partition(), tokens, {}},
                            absl::Now() + kTimeout, answer.Callback());
      KV_ASSIGN_OR_RETURN(const ChunkStore::LookupResult found, answer.Get());
      for (const auto& block : found.blocks) locations.emplace_back(AsText(block.location));
    }
    for (const std::string& location : locations) {
      const auto versions = Versions(*target_.store, container, location);
      if (absl::IsNotFound(versions.status())) {
        if (request->location().empty()) break;  // evicted since: so are those behind it, to a walk
        return NoSuchBlock();
      }
      if (!versions.ok()) return versions.status();
      admin::Block* const block = response->add_blocks();
      for (const auto& version : *versions) Fill(version, block->add_versions());
    }
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Get(grpc::ServerContext* context, const admin::GetRequest* request,
                               admin::GetResponse* response) {
  return Run(*context, "Get", [&]() -> absl::Status {
    KV_ASSIGN_OR_RETURN(const Container container, ContainerIn(request->partition()));
    const absl::StatusOr<Slice> chunk = ReadChunk(*target_.store, container, request->location());
    if (absl::IsNotFound(chunk.status())) return NoSuchBlock();
    if (!chunk.ok()) return chunk.status();
    response->set_chunk(std::string(AsText(chunk->bytes())));
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Put(grpc::ServerContext* context, const admin::PutRequest* request,
                               admin::PutResponse* response) {
  return Run(*context, "Put", [&]() -> absl::Status {
    KV_ASSIGN_OR_RETURN(const Container container, ContainerIn(request->partition()));
    const ByteView bytes = AsBytes(request->chunk());
    KV_ASSIGN_OR_RETURN(const wire::Chunk chunk, wire::ParseChunk({&bytes, 1}));
    Answer<ChunkStore::WriteResult> answer;
    target_.store->Write(container, chunk,
                         CanonicalChunk({&bytes, 1}, chunk, wire::Extent{0, bytes.size()}),
                         absl::Now() + kTimeout, answer.Callback());
    KV_ASSIGN_OR_RETURN(const ChunkStore::WriteResult written, answer.Get());
    response->set_stored(written.stored);
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Delete(grpc::ServerContext* context, const admin::DeleteRequest* request,
                                  admin::DeleteResponse* response) {
  return Run(*context, "Delete", [&]() -> absl::Status {
    KV_ASSIGN_OR_RETURN(const Container container, ContainerIn(request->partition()));
    Answer<size_t> answer;
    target_.store->Remove(container, request->location(), ChunkStore::Removal::kAsked,
                          answer.Callback());
    KV_ASSIGN_OR_RETURN(const size_t removed, answer.Get());
    if (removed == 0) return NoSuchBlock();
    response->set_blocks(removed);
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Purge(grpc::ServerContext* context, const admin::PurgeRequest* request,
                                 admin::PurgeResponse* response) {
  uint64_t blocks = 0, bytes = 0;
  const grpc::Status status = Run(*context, "Purge", [&]() -> absl::Status {
    KV_ASSIGN_OR_RETURN(const Container container, ContainerIn(request->partition()));
    // Again until nothing is found: what is written meanwhile goes too, and so does what was beyond
    // what can be listed.
    for (bool more = true; more && !context->IsCancelled();) {
      KV_ASSIGN_OR_RETURN(const auto found, BlocksOf(*target_.store, request->partition()));
      size_t gone = 0;
      for (const ChunkStore::StoredBlock& block : found) {
        if (context->IsCancelled()) return absl::CancelledError("cancelled");
        if (!request->dry_run()) {
          Answer<size_t> answer;
          target_.store->Remove(container, AsText(block.location), ChunkStore::Removal::kAsked,
                                answer.Callback());
          // Those matched through it go with it, and are no longer there when it is their turn.
          const absl::StatusOr<size_t> removed = answer.Get();
          if (!removed.ok()) return removed.status();
          if (*removed == 0) continue;
        }
        ++gone;
        ++blocks;
        bytes += block.size;
      }
      more = !request->dry_run() && gone > 0;
    }
    spdlog::warn("partition purged partition=\"{}\" blocks={} bytes={} dry_run={}",
                 Name(request->partition()), blocks, bytes, request->dry_run());
    return absl::OkStatus();
  });
  response->set_blocks(blocks);
  response->set_bytes(bytes);
  return status;
}

grpc::Status AdminService::Export(grpc::ServerContext* context, const admin::ExportRequest* request,
                                  grpc::ServerWriter<admin::ExportResponse>* writer) {
  return Run(*context, "Export", [&]() -> absl::Status {
    KV_ASSIGN_OR_RETURN(const Container container, ContainerIn(request->partition()));
    KV_ASSIGN_OR_RETURN(const auto found, BlocksOf(*target_.store, request->partition()));
    if (found.size() == kMostBlocks) {
      return absl::ResourceExhaustedError(
          fmt::format("the partition has {} blocks or more, too many to export", kMostBlocks));
    }
    admin::ExportResponse response;
    response.set_of(found.size());
    for (const ChunkStore::StoredBlock& block : found) {
      const absl::StatusOr<Slice> chunk =
          ReadChunk(*target_.store, container, AsText(block.location));
      if (absl::IsNotFound(chunk.status())) continue;  // evicted meanwhile, or damaged and removed
      if (!chunk.ok()) return chunk.status();
      response.set_chunk(std::string(AsText(chunk->bytes())));
      if (!writer->Write(response)) return absl::CancelledError("the client is gone");
    }
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Set(grpc::ServerContext* context, const admin::SetRequest* request,
                               admin::SetResponse* response) {
  return Run(*context, "Set", [&]() -> absl::Status {
    AdminTarget::Settings change;
    if (request->has_capacity_bytes()) change.capacity_bytes = request->capacity_bytes();
    if (request->has_memory_bytes()) change.memory_bytes = request->memory_bytes();
    if (request->has_log_level()) change.log_level = request->log_level();
    KV_ASSIGN_OR_RETURN(const AdminTarget::Settings now, target_.set(change));
    response->set_capacity_bytes(now.capacity_bytes.value_or(0));
    response->set_memory_bytes(now.memory_bytes.value_or(0));
    response->set_log_level(now.log_level.value_or(""));
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Drain(grpc::ServerContext* context, const admin::DrainRequest* request,
                                 admin::DrainResponse* response) {
  return Run(*context, "Drain", [&] {
    target_.drain(!request->resume());
    const AdminTarget::Drained drained = target_.drained();
    response->set_draining(drained.draining);
    response->set_running_calls(drained.running_calls);
    response->set_unshared_blocks(drained.unshared_blocks);
    return absl::OkStatus();
  });
}

grpc::Status AdminService::Verify(grpc::ServerContext* context, const admin::VerifyRequest* request,
                                  grpc::ServerWriter<admin::VerifyResponse>* writer) {
  return Run(*context, "Verify", [&]() -> absl::Status {
    constexpr absl::Duration kBetween = absl::Milliseconds(200);
    absl::Time next = absl::Now() + kBetween;
    admin::VerifyResponse response;
    bool gone = false;
    const absl::Status status =
        target_.verify(request->bytes_per_second(), [&](const AdminTarget::Checked& checked) {
          response.set_blocks(checked.blocks);
          response.set_of(checked.of);
          response.set_bytes(checked.bytes);
          response.set_damaged(checked.damaged);
          if (absl::Now() < next) return true;
          next = absl::Now() + kBetween;
          gone = context->IsCancelled() || !writer->Write(response);
          return !gone;
        });
    if (gone) return absl::CancelledError("the client is gone");
    if (!status.ok()) return status;
    response.set_done(true);
    writer->Write(response);
    return absl::OkStatus();
  });
}

}  // namespace kvstore
