// Redis through hiredis, which is what its users have: four connections, pipelined.
#include <hiredis/hiredis.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "benchmarks/dataplane/blocking.h"
#include "benchmarks/dataplane/contender.h"
#include "benchmarks/dataplane/memory.h"

namespace kvstore::bench {
namespace {

constexpr int kConnections = 4;

struct ContextDeleter {
  void operator()(redisContext* context) const { redisFree(context); }
};
using Context = std::unique_ptr<redisContext, ContextDeleter>;

class RedisConnection final : public Connection {
 public:
  RedisConnection(const Options& options, Context context, int depth)
      : options_(options),
        context_(std::move(context)),
        depth_(static_cast<size_t>(depth)),
        memory_(depth_, options.bytes) {}

  bool Send(uint64_t number) override {
    const std::string key =
        std::to_string(options_.bytes) + "-" + std::to_string(number % options_.blocks);
    if (options_.op == Op::kWrite) {
      redisAppendCommand(context_.get(), "SET %s %b", key.c_str(), NextMemory().data(),
                         options_.bytes);
    } else {
      redisAppendCommand(context_.get(), "GET %s", key.c_str());
    }
    int done = 0;
    while (done == 0) {
      if (redisBufferWrite(context_.get(), &done) != REDIS_OK) return false;
    }
    return true;
  }

  std::optional<size_t> Receive() override {
    void* got = nullptr;
    if (redisGetReply(context_.get(), &got) != REDIS_OK) return std::nullopt;
    const std::unique_ptr<redisReply, void (*)(redisReply*)> reply(
        static_cast<redisReply*>(got), [](redisReply* it) { freeReplyObject(it); });
    if (options_.op == Op::kWrite) {
      return reply->type == REDIS_REPLY_STATUS ? std::optional(options_.bytes) : std::nullopt;
    }
    if (reply->type != REDIS_REPLY_STRING || reply->len != options_.bytes) return std::nullopt;
    std::memcpy(NextMemory().data(), reply->str, reply->len);
    return reply->len;
  }

 private:
  std::span<std::byte> NextMemory() { return memory_.slot(turn_++ % depth_); }

  const Options& options_;
  const Context context_;
  const size_t depth_;
  Memory memory_;
  size_t turn_ = 0;
};

class Redis final : public Contender {
 public:
  explicit Redis(const Options& options) : options_(options) {}

  absl::Status Prepare() override {
    Options writing = options_;
    writing.op = Op::kWrite;
    auto connection = Open(writing, 1);
    if (!connection.ok()) return connection.status();
    for (uint64_t number = 0; number < options_.blocks; ++number) {
      if (!(*connection)->Send(number) || !(*connection)->Receive().has_value()) {
        return absl::UnavailableError("Redis stored nothing");
      }
    }
    return absl::OkStatus();
  }

  absl::Status Run(Meter& meter) override {
    return RunBlocking(meter, options_.in_flight, kConnections,
                       [this](int depth) { return Open(options_, depth); });
  }

 private:
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const Options& options, int depth) {
    const size_t colon = options.target.rfind(':');
    Context context(redisConnect(options.target.substr(0, colon).c_str(),
                                 std::atoi(options.target.c_str() + colon + 1)));
    if (context == nullptr || context->err != 0) {
      return absl::UnavailableError("no Redis at " + options.target);
    }
    return std::make_unique<RedisConnection>(options, std::move(context), depth);
  }

  const Options options_;
};

}  // namespace

MadeContender MakeRedis(const Options& options) { return std::make_unique<Redis>(options); }

}  // namespace kvstore::bench
