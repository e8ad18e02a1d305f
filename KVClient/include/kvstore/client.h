// KVStore's client for engines: spans in, spans out, callbacks or blocking calls. C++20.
//
//   auto client = kvstore::Client::Create({.resource = "acct", .container = "models"});
//   auto found = (*client)->Lookup("llama-70b", prompt_tokens);
//   // …read found->locations into pinned memory, compute the rest, and store it:
//   (*client)->WritePrompt("llama-70b", prompt_tokens, found->cached_blocks, new_buffers);
//
// Thread-safe throughout. No call starts a thread; callbacks run on gRPC's threads, so they must
// not block, and they may make asynchronous calls. Blocking calls must not be made from callbacks.
// Arguments that cannot be right are told before an asynchronous call returns, on its own thread.
//
// Every call is tried again while its deadline lasts where the server is unavailable or overloaded:
// up to 8 times with random pauses, about 2 s in all, and at once where another server is up. Any
// call may be repeated: reads change nothing, and of writes of one block the first wins. With
// several servers a budget bounds the repeats: a tenth of the calls, and a stock for when a server
// goes.
#ifndef KVSTORE_CLIENT_H_
#define KVSTORE_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "KVTypes.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

// Tokens of a block, the unit of everything here.
inline constexpr size_t kTokensPerBlock = 128;

// TLS, for all connections of a client. PEM files, read when the client is made: for new ones make
// a new client.
struct TlsOptions {
  std::string ca_file;           // authorities that servers' certificates must come from
  std::string certificate_file;  // this client's own, for servers that ask for one
  std::string key_file;          // its key, without a passphrase
  // That servers' certificates must bear; empty: the host, as `servers` has it.
  std::string server_name;

  // Whether all are the same text.
  bool operator==(const TlsOptions&) const = default;
};

// What a client is made of.
struct ClientOptions {
  // host:port, several by commas. The port is 50051 where none is given; IPv6 addresses stand in
  // brackets; dns:/// before a name and unix:path are taken too. Empty takes the environment's
  // KVSTORE_GRPC_SERVER, and localhost:50051 without one.
  //
  // Of several servers each has its part of the work, by rendezvous hashing of their names as they
  // are written here: all clients have to write them alike, in any order. Where the servers share
  // a storage, which they say themselves, each block has a home, from whose RAM it is read, and
  // any server answers a Lookup; a prompt's blocks come from many servers at once. Else each
  // partition has a home, and what it holds is only there. A server that fails, or owes answers
  // and does not answer a ping either, is left within a second, and gone back to within about a
  // second of its return; meanwhile its work goes to the others. A name with dns:/// is one server
  // here, however many addresses it has.
  std::string servers;
  std::string resource;   // storage account, by name or URL; required
  std::string container;  // required

  // Plain text where all is empty here and in the environment, which counts where all is empty
  // here: KVSTORE_TLS_CA, KVSTORE_TLS_CERT, KVSTORE_TLS_KEY, KVSTORE_TLS_SERVER_NAME.
  TlsOptions tls;

  // Who this client is to the servers: sent with each call, which encrypts nothing by itself.
  std::string token;
  // Or a file that holds it, and may be replaced: within about a second the new one is sent. Where
  // both are empty the environment's KVSTORE_TOKEN_FILE names it; without that none is sent.
  std::string token_file;

  // Of each call, retries included, where its CallOptions give none.
  std::chrono::milliseconds timeout{30'000};

  // Connections to each server, shared by all clients of this process. Small calls gain nothing
  // from more; large ones gain up to 2 x from the second.
  int connections = 2;

  // Bytes of buffers that WritePrompt has on the way at a time.
  size_t write_window_bytes = size_t{32} << 20;

  // A Read that takes longer than 95 % of its server's of late is sent to the block's second home,
  // too: the first good answer wins, and the other request is cancelled. For servers that share a
  // storage. Costs up to a twentieth of reads more.
  bool hedge_reads = false;

  // Receives log lines, from any thread; none are written without it.
  std::function<void(LogLevel, const std::string&)> log;
};

// One server, as this client has met it. Counts are since the client was made.
struct ServerStats {
  std::string name;           // as ClientOptions::servers has it
  bool up = true;             // false: left, and pinged until it answers
  int64_t in_flight = 0;      // calls and streams that run
  uint64_t calls = 0;         // calls and streams sent, retries and hedges included
  uint64_t blocks_read = 0;   // by Reads and streams, misses included
  uint64_t failures = 0;      // calls and streams that ended with an error
  uint64_t retries = 0;       // calls and streams that came here after one had failed somewhere
  uint64_t times_left = 0;    // since it was unavailable, silent, or far slower than the others
  uint64_t overflowed = 0;    // calls and blocks that came here since their home had too much to do
  uint64_t further_home = 0;  // reads of blocks in great demand that came here as a further home
  uint64_t hedges_sent = 0;   // second requests that came here
  uint64_t hedges_won = 0;    // and answered first
  std::chrono::microseconds latency_p50{0};  // of what it answered of late
  std::chrono::microseconds latency_p95{0};  // of the same
};

// All servers, as this client has met them.
struct ClientStats {
  // What the servers said last: each block has a home (true), or each partition.
  bool shared_store = false;
  std::vector<ServerStats> servers;  // in the list's order
};

// Of one call.
struct CallOptions {
  std::chrono::milliseconds timeout{0};  // 0: the client's
  std::string completion_id;             // names the request in the server's logs

  // Names the call in this client's errors and log lines, in the server's, and in Azure's
  // (x-ms-client-request-id): 1 to 64 visible ASCII characters. One is made where it is empty or
  // otherwise unfit.
  std::string request_id;
  // The trace that the call is part of, as a W3C traceparent; with its sampled flag the server
  // keeps spans of it, where it keeps any. What is no traceparent is not sent.
  std::string traceparent;
  // The W3C tracestate beside it, which the server hands on to Azure and to its collector: 512
  // bytes at most. What is none is not sent.
  std::string tracestate;
};

// What a Lookup found.
struct LookupAnswer {
  int cached_blocks = 0;                   // leading blocks of the prompt that are stored
  hash_t last_hash = 0;                    // of the last of them, 0 without any
  std::vector<::BlockLocation> locations;  // cached_blocks of them
  ::ServerMetrics metrics;                 // of this call
};

// What a read says of a block, beside its buffer.
struct BlockAnswer {
  // OK with found: the buffer is in the caller's memory. OK without: the block is gone, compute it.
  // Otherwise the read failed: UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED…; OUT_OF_RANGE
  // where the memory is too small, with `bytes` telling the size needed; UNKNOWN where the server
  // itself reports a failure.
  absl::Status status;
  bool found = false;         // without it all but `metrics` is empty
  size_t bytes = 0;           // of the buffer
  hash_t hash = 0;            // this and the next four: as the block's writer gave them
  hash_t parent_hash = 0;     // of the block before it, 0 for a prompt's first
  std::string partition;      // that it belongs to
  std::string completion_id;  // of the request that wrote it
  std::vector<Token> tokens;  // 128
  ::ServerMetrics metrics;    // of this call, or of the stream
};

// Gives memory for block `index` of a read once its size is known: at least `bytes` long, or the
// block fails with OUT_OF_RANGE. Called at most once a block, from gRPC's threads; may be called
// for several blocks at a time.
using PlaceBuffer = std::function<std::span<std::byte>(size_t index, size_t bytes)>;

// How many leading blocks of a read are there: what a prompt can be continued from where a read's
// timeout ended it. Blocks behind a gap are of no use.
size_t ArrivedPrefix(std::span<const BlockAnswer> blocks);

// What WritePrompt stored.
struct WriteAnswer {
  int blocks_written = 0;                // acknowledged, those that were there already included
  std::vector<hash_t> hashes;            // of all full blocks of the prompt
  std::vector<::ServerMetrics> metrics;  // one a block given, in order
};

// A storage account's container on one or several servers. See the top of this file.
class Client {
 public:
  // INVALID_ARGUMENT for a missing resource or container, a malformed server, or files of TLS or a
  // token that cannot be used; NOT_FOUND and others for those that cannot be read. Does not
  // connect.
  static absl::StatusOr<std::shared_ptr<Client>> Create(ClientOptions options);

  // Cancels nothing: calls that run keep what they need and finish.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // How many leading blocks of `tokens` the partition holds, and where. `hashes`: one a block, or
  // fewer; 0 for none: where given, the block must bear that hash.
  absl::StatusOr<LookupAnswer> Lookup(std::string_view partition, std::span<const Token> tokens,
                                      std::span<const hash_t> hashes = {},
                                      const CallOptions& call = {});
  // The same; `done` runs once. What is passed is copied before it returns.
  void LookupAsync(std::string_view partition, std::span<const Token> tokens,
                   std::span<const hash_t> hashes, const CallOptions& call,
                   absl::AnyInvocable<void(absl::StatusOr<LookupAnswer>) &&> done);

  // One block into `memory`, which must stay valid until the call has ended.
  BlockAnswer Read(std::string_view location, std::span<std::byte> memory,
                   const CallOptions& call = {});
  // The same, into memory that `place` gives for index 0, valid until `done`, which runs once.
  void ReadAsync(std::string_view location, PlaceBuffer place, const CallOptions& call,
                 absl::AnyInvocable<void(BlockAnswer) &&> done);

  // Many blocks over one stream to each of their homes. `on_block` runs once a location, in order;
  // `done` once, after the last of them. What a broken stream left is asked for again until the
  // deadline; blocks that still lack an answer then get the stream's error.
  void StreamingReadAsync(std::vector<std::string> locations, PlaceBuffer place,
                          const CallOptions& call,
                          std::function<void(size_t index, BlockAnswer)> on_block,
                          absl::AnyInvocable<void() &&> done);
  // The same, blocking: memory[i] is for locations[i]. REQUIRES: as many of one as of the other.
  // With a short timeout it brings what arrives in time: see ArrivedPrefix.
  std::vector<BlockAnswer> StreamingRead(std::span<const std::string> locations,
                                         std::span<const std::span<std::byte>> memory,
                                         const CallOptions& call = {});

  // Stores one block under the caller's own hash and parent hash, with no prefix digest: it is
  // matched by the parent rule. `chunk.buffer` is not used: `buffer` is, by reference, and must
  // stay valid until `done` runs. Past a deadline that waits until gRPC has let go of it as well:
  // at most until keepalive has given the dead connection up, 20 s. With several servers a copy is
  // sent, so that moving on waits for nothing.
  void WriteAsync(const ::PromptChunk& chunk, std::span<const std::byte> buffer,
                  const CallOptions& call,
                  absl::AnyInvocable<void(absl::StatusOr<::ServerMetrics>) &&> done);

  // Stores consecutive blocks of a prompt: buffers[k] holds the tensors of block first_block + k.
  // Hashes, parent hashes and prefix digests are derived from `tokens`, which starts at the
  // prompt's first token and covers at least the blocks given. `buffers` must stay valid until the
  // call has ended. Blocks travel concurrently, within write_window_bytes. Fails with the first
  // block's error once all that were sent have ended; blocks before and after it may be stored.
  absl::StatusOr<WriteAnswer> WritePrompt(std::string_view partition, std::span<const Token> tokens,
                                          size_t first_block,
                                          std::span<const std::span<const std::byte>> buffers,
                                          const CallOptions& call = {});
  // The same; `done` runs once, and the buffers must stay valid until then.
  void WritePromptAsync(std::string_view partition, std::span<const Token> tokens,
                        size_t first_block, std::vector<std::span<const std::byte>> buffers,
                        const CallOptions& call,
                        absl::AnyInvocable<void(absl::StatusOr<WriteAnswer>) &&> done);

  // How long loading these blocks together would take: a round trip, and their bytes at the rates
  // that this client's reads had of late, from the servers' RAM and from below it. For weighing it
  // against computing them. nullopt before anything was read, and where a size is not known.
  std::optional<std::chrono::microseconds> EstimateLoad(
      std::span<const ::BlockLocation> blocks) const;

  // How the servers fare. Cheap enough to be asked every second.
  ClientStats stats() const;

  // The hashes that WritePrompt gives the full blocks of a prompt: the first 8 bytes of each prefix
  // digest, little-endian (never 0).
  static std::vector<hash_t> BlockHashes(std::span<const Token> tokens);

 private:
  class Impl;
  explicit Client(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace kvstore

#endif  // KVSTORE_CLIENT_H_
