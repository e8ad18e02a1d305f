// A client of the chaos run (docs/CHAOS.md). Three ways to run it:
//   load    worker threads of mixed work over all servers
//   probe   threads that ask each server by itself, all the time, so that outages can be measured
//   verify  reads prompts, "kind owner number blocks" a line of standard input, through one server
#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_split.h"
#include "tests/chaos/session.h"

namespace kvstore::chaos {
namespace {

using std::chrono::milliseconds;

struct Options {
  std::string mode, name, servers, resource, container, history;
  uint64_t seed = 1;
  int64_t client = 0, clients = 1, threads = 4;
  int64_t pause_ms = 100;
};

constexpr milliseconds kTimeout{10'000}, kProbeTimeout{2'000}, kProbePause{400};
// Each is an append to the shared log, and Azurite takes seconds of processor time to read a blob
// of more than ten thousand.
constexpr milliseconds kProbeWritePause{1'000};
constexpr milliseconds kVerifyTimeout{30'000};
constexpr int64_t kSharedPatience = 20;  // newer blocks, then these are looked for
constexpr size_t kMostBlocks = 18, kFewestBlocks = 4;
constexpr int64_t kActive = 6;  // conversations that a worker goes on with

std::atomic<bool> stop = false;

// One thread's work, which is a fixed sequence but for what the answers make of it.
class Worker {
 public:
  Worker(const Options& options, int64_t number, Session* session)
      : options_(options),
        number_(number),
        session_(session),
        random_(options.seed * 1'000'003 + static_cast<uint64_t>(number)) {}

  void Run() {
    while (!stop) {
      Step();
      std::this_thread::sleep_for(milliseconds(Below(2 * options_.pause_ms + 1)));
    }
  }

 private:
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(bound));
  }

  void Step() {
    const int64_t roll = Below(100);
    if (roll < 40) return Turn();
    if (roll < 52) return Singles();
    if (roll < 70) return ReadOne(kTimeout);
    if (roll < 80) return ReadOne(milliseconds(1 + Below(60)));
    if (roll < 90) return ReadMany(milliseconds(1 + Below(100)));
    ReadMany(kTimeout);
  }

  // As an engine does: load what is there, store the rest.
  void Turn() {
    if (lengths_.empty() || Below(4) == 0) lengths_.push_back(kFewestBlocks - 1);
    const int64_t count = static_cast<int64_t>(lengths_.size());
    const int64_t number = count - 1 - Below(std::min(count, kActive));
    size_t& length = lengths_[static_cast<size_t>(number)];
    length = std::min(length + 1 + static_cast<size_t>(Below(3)), kMostBlocks);
    const Prompt prompt =
        MakePrompt(options_.seed, {PromptName::kConversation, number_, number}, length);
    bool ok = false;
    const std::vector<std::string> found = session_->Lookup(prompt, kTimeout, &ok);
    if (!found.empty()) session_->Stream(prompt, found, kTimeout);
    if (ok && found.size() < prompt.blocks()) {
      session_->WritePrompt(prompt, found.size(), kTimeout);
    }
  }

  void Singles() {
    const Prompt prompt = MakePrompt(options_.seed, {PromptName::kSingle, number_, singles_++}, 2);
    if (session_->WriteSingle(prompt, 0, kTimeout)) session_->WriteSingle(prompt, 1, kTimeout);
  }

  // One of any worker's, about as far as this one is.
  Prompt Anyones() {
    const int64_t owner = Below(options_.clients * options_.threads);
    if (Below(4) == 0) {
      return MakePrompt(options_.seed, {PromptName::kSingle, owner, Below(singles_ + 1)}, 2);
    }
    const int64_t number = Below(static_cast<int64_t>(lengths_.size()) + 1);
    const size_t blocks = kFewestBlocks + static_cast<size_t>(Below(kMostBlocks - kFewestBlocks));
    return MakePrompt(options_.seed, {PromptName::kConversation, owner, number}, blocks);
  }

  void ReadOne(milliseconds timeout) {
    const Prompt prompt = Anyones();
    const std::vector<std::string> found = session_->Lookup(prompt, kTimeout);
    if (found.empty()) return;
    const auto block = static_cast<size_t>(Below(static_cast<int64_t>(found.size())));
    session_->Read(prompt, block, found[block], timeout);
  }

  void ReadMany(milliseconds timeout) {
    const Prompt prompt = Anyones();
    const std::vector<std::string> found = session_->Lookup(prompt, kTimeout);
    if (!found.empty()) session_->Stream(prompt, found, timeout);
  }

  const Options& options_;
  const int64_t number_;
  Session* const session_;
  std::mt19937_64 random_;
  std::vector<size_t> lengths_;  // of this worker's conversations, in blocks
  int64_t singles_ = 0;
};

absl::StatusOr<std::shared_ptr<Client>> Connect(const Options& options,
                                                const std::string& servers) {
  return Client::Create(
      {.servers = servers, .resource = options.resource, .container = options.container});
}

int Load(const Options& options, History* history) {
  const auto client = Connect(options, options.servers);
  if (!client.ok()) {
    std::cerr << "chaos_client: " << client.status() << "\n";
    return 2;
  }
  Session session(*client, history, {{"phase", "load"}});
  std::vector<Worker> workers;
  for (int64_t i = 0; i < options.threads; ++i) {
    workers.emplace_back(options, options.client * options.threads + i, &session);
  }
  std::vector<std::thread> threads;
  for (Worker& worker : workers) threads.emplace_back([&worker] { worker.Run(); });
  for (std::thread& thread : threads) thread.join();
  return 0;
}

// One server's; what its writes have come to is seen by the others' threads.
struct Probed {
  std::unique_ptr<Session> session;
  std::atomic<int64_t> newest = -1;  // that was acknowledged
};

Prompt ProbeOf(const Options& options, size_t server, int64_t number) {
  return MakePrompt(options.seed, {PromptName::kProbe, static_cast<int64_t>(server), number}, 1);
}

// Threads for each server and kind: what waits for storage must not keep the others from being
// asked.
void ProbeWrites(const Options& options, size_t server, Probed* probed) {
  for (int64_t number = 0; !stop; ++number) {
    const Prompt prompt = ProbeOf(options, server, number);
    if (probed->session->WritePrompt(prompt, 0, kProbeTimeout)) probed->newest = number;
    std::this_thread::sleep_for(kProbeWritePause);
  }
}

void ProbeReads(const Options& options, size_t server, Session* session) {
  const Prompt prompt = ProbeOf(options, server, 0);
  std::string location;
  while (!stop) {
    const std::vector<std::string> found = session->Lookup(prompt, kProbeTimeout);
    if (!found.empty()) location = found[0];
    if (!location.empty()) session->Read(prompt, 0, location, kProbeTimeout);
    std::this_thread::sleep_for(kProbePause);
  }
}

// Whether what was written last through another server is found through this one.
void ProbeShared(const Options& options, Session* session, size_t other, const Probed& others) {
  while (!stop) {
    if (const int64_t number = others.newest; number >= 0) {
      const Prompt prompt = ProbeOf(options, other, number);
      while (!stop && session->Lookup(prompt, kProbeTimeout).empty() &&
             others.newest < number + kSharedPatience) {
        std::this_thread::sleep_for(kProbePause);
      }
    }
    std::this_thread::sleep_for(kProbePause);
  }
}

int Probe(const Options& options, History* history) {
  const std::vector<std::string> servers = absl::StrSplit(options.servers, ',');
  std::vector<Probed> probed(servers.size());
  for (size_t i = 0; i < servers.size(); ++i) {
    const auto client = Connect(options, servers[i]);
    if (!client.ok()) {
      std::cerr << "chaos_client: " << client.status() << "\n";
      return 2;
    }
    probed[i].session = std::make_unique<Session>(
        *client, history, nlohmann::json{{"phase", "probe"}, {"server", i}});
  }
  std::vector<std::thread> threads;
  for (size_t i = 0; i < servers.size(); ++i) {
    Probed* const own = &probed[i];
    const size_t other = (i + 1) % servers.size();
    threads.emplace_back([&options, i, own] { ProbeWrites(options, i, own); });
    threads.emplace_back([&options, i, own] { ProbeReads(options, i, own->session.get()); });
    threads.emplace_back([&options, &probed, own, other] {
      ProbeShared(options, own->session.get(), other, probed[other]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

int Verify(const Options& options, History* history) {
  const auto client = Connect(options, options.servers);
  if (!client.ok()) {
    std::cerr << "chaos_client: " << client.status() << "\n";
    return 2;
  }
  Session session(*client, history, {{"phase", "final"}, {"server", options.client}});
  std::vector<std::pair<PromptName, size_t>> prompts;
  PromptName name;
  size_t blocks = 0;
  while (std::cin >> name.kind >> name.owner >> name.number >> blocks) {
    prompts.emplace_back(name, blocks);
  }
  std::atomic<size_t> next = 0;
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < options.threads; ++i) {
    threads.emplace_back([&] {
      for (size_t at; !stop && (at = next.fetch_add(1)) < prompts.size();) {
        const Prompt prompt = MakePrompt(options.seed, prompts[at].first, prompts[at].second);
        const std::vector<std::string> found = session.Lookup(prompt, kVerifyTimeout);
        if (!found.empty()) session.Stream(prompt, found, kVerifyTimeout);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace
}  // namespace kvstore::chaos

int main(int argc, char** argv) {
  using namespace kvstore::chaos;  // NOLINT(google-build-using-namespace)
  Options options;
  CLI::App app("A client of the chaos run");
  app.add_option("mode", options.mode)
      ->required()
      ->check(CLI::IsMember({"load", "probe", "verify"}));
  app.add_option("--name", options.name, "what its operations' names begin with")->required();
  app.add_option("--servers", options.servers)->required();
  app.add_option("--resource", options.resource)->required();
  app.add_option("--container", options.container)->required();
  app.add_option("--history", options.history, "file that is appended to")->required();
  app.add_option("--seed", options.seed);
  app.add_option("--client", options.client, "its number; of verify, its server's");
  app.add_option("--clients", options.clients);
  app.add_option("--threads", options.threads);
  app.add_option("--pause-ms", options.pause_ms, "of a thread between calls, on the average");
  CLI11_PARSE(app, argc, argv);
  const auto history = History::Open(options.history, options.name);
  if (!history.ok()) {
    std::cerr << "chaos_client: " << history.status() << "\n";
    return 2;
  }
  std::signal(SIGTERM, [](int) { stop = true; });
  std::signal(SIGINT, SIG_IGN);  // the driver ends it
  if (options.mode == "load") return Load(options, history->get());
  if (options.mode == "probe") return Probe(options, history->get());
  return Verify(options, history->get());
}
