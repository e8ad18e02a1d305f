// kvctl: command line -> a command.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "KVClient/kvctl/commands.h"
#include "KVClient/kvctl/completion.h"

namespace kvstore::kvctl {
namespace {

constexpr char kDescription[] =
    R"(Administers a running KVStoreServer, over the address that its option --admin names.

  kvctl stats
  kvctl --server 127.0.0.1:50052 --token-file admin.token top
  kvctl inspect acct/box/llama-70b --tokens prompt.json
  kvctl export acct/box/llama-70b --out llama.kvarchive)";

constexpr char kFooter[] =
    R"(Exit code: 0 all well; 1 it failed; 2 bad options; 3 there is no such block.)";

constexpr char kDefaultServer[] = "unix:/run/kvstore/admin.sock";

using Run = std::function<absl::Status(AdminClient&, const Output&)>;

std::string OfEnvironment(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

int CodeOf(const absl::Status& status) {
  if (status.ok()) return 0;
  if (absl::IsNotFound(status)) return 3;
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

void SayFailure(const absl::Status& status, bool json) {
  if (json) {
    std::cout << nlohmann::json{{"error",
                                 {{"code", absl::StatusCodeToString(status.code())},
                                  {"message", std::string(status.message())}}}}
                     .dump()
              << std::endl;
  } else {
    std::cerr << "kvctl: " << status.message() << std::endl;
  }
}

template <typename T>
void AddSize(CLI::App* command, const std::string& name, T& value, const std::string& what) {
  command->add_option(name, value, what)
      ->check([](const std::string& text) {
        return text.starts_with('-') ? "a size cannot be negative: " + text : std::string();
      })
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE");
}

// All that the options of one command set.
struct Arguments {
  TopOptions top;
  InspectOptions inspect;
  GetOptions get;
  PutOptions put;
  SetOptions set;
  std::string target, location, file, shell;
  bool dry_run = false;
  bool yes = false;
  double wait_s = 0;
  uint64_t rate = 0;
};

constexpr char kContainer[] = "ACCOUNT/CONTAINER";
constexpr char kPartition[] = "ACCOUNT/CONTAINER/PARTITION";

void AddLooking(CLI::App& app, Arguments& a, Run* run) {
  app.add_subcommand("stats", "What the server is and has done so far")->callback([run] {
    *run = ShowStats;
  });
  CLI::App* top = app.add_subcommand("top", "What the server does now, again and again");
  top->add_option("--interval", a.top.interval_s, "Seconds between looks")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 3600.0));
  top->add_option("--count", a.top.count, "Times to look; 0: until it is interrupted")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  top->callback([&a, run] {
    a.top.clear = ::isatty(STDOUT_FILENO) == 1;
    *run = [&a](AdminClient& client, const Output& output) { return Top(client, output, a.top); };
  });
  CLI::App* inspect = app.add_subcommand(
      "inspect",
      "Which blocks of a prompt are stored, or what is at a location: versions, sizes, "
      "ages, tiers");
  inspect->add_option("target", a.inspect.target, kPartition)->required();
  CLI::Option_group* what = inspect->add_option_group("what");
  what->add_option("--tokens", a.inspect.tokens_file,
                   "The prompt: a file with a JSON array of tokens; - reads standard input");
  what->add_option("--location", a.inspect.location, "A location that a Lookup gave");
  what->require_option(1);
  inspect->callback([&a, run] {
    *run = [&a](AdminClient& client, const Output& output) {
      return Inspect(client, output, a.inspect);
    };
  });
}

void AddBlocks(CLI::App& app, Arguments& a, Run* run) {
  CLI::App* get = app.add_subcommand("get", "Writes the tensors at a location to a file");
  get->add_option("target", a.get.target, kContainer)->required();
  get->add_option("location", a.get.location, "What inspect shows")->required();
  get->add_option("--out", a.get.out_file, "The file; -: standard output")->required();
  get->add_flag("--chunk", a.get.whole_chunk, "The serialized PromptChunk instead of its tensors");
  get->callback([&a, run] {
    *run = [&a](AdminClient& client, const Output& output) { return Get(client, output, a.get); };
  });
  CLI::App* put = app.add_subcommand("put", "Stores one block");
  put->add_option("target", a.put.target, "ACCOUNT/CONTAINER of a --chunk, else with /PARTITION")
      ->required();
  CLI::Option* chunk =
      put->add_option("--chunk", a.put.chunk_file, "File of a serialized PromptChunk");
  CLI::Option* buffer = put->add_option("--buffer", a.put.buffer_file, "File of the tensors");
  CLI::Option* tokens =
      put->add_option("--tokens", a.put.tokens_file,
                      "JSON array of the prompt's tokens up to the block, which is its last 128");
  put->add_option("--hash", a.put.hash,
                  "Of the block [default: what its prefix digest begins with]");
  put->add_option("--parent-hash", a.put.parent_hash, "Of the block before [default: likewise]");
  buffer->needs(tokens);
  tokens->needs(buffer);
  chunk->excludes(buffer);
  put->callback([&a, run, chunk, buffer] {
    if (chunk->empty() && buffer->empty())
      throw CLI::RequiredError("--chunk, or --buffer and --tokens");
    *run = [&a](AdminClient& client, const Output& output) { return Put(client, output, a.put); };
  });
  CLI::App* remove = app.add_subcommand(
      "delete", "Removes the block at a location, and those that are found only through it");
  remove->add_option("target", a.target, kContainer)->required();
  remove->add_option("location", a.location, "What inspect shows")->required();
  remove->callback([&a, run] {
    *run = [&a](AdminClient& client, const Output& output) {
      return Delete(client, output, a.target, a.location);
    };
  });
}

void AddPartitions(CLI::App& app, Arguments& a, Run* run) {
  CLI::App* purge = app.add_subcommand("purge", "Removes all blocks of a partition");
  purge->add_option("target", a.target, kPartition)->required();
  CLI::Option* dry = purge->add_flag("--dry-run", a.dry_run, "Only say how much that is");
  CLI::Option* yes = purge->add_flag("--yes", a.yes, "Really: there is no way back");
  purge->callback([&a, run, dry, yes] {
    if (dry->empty() && yes->empty()) throw CLI::RequiredError("--yes, or --dry-run to only look,");
    *run = [&a](AdminClient& client, const Output& output) {
      return Purge(client, output, a.target, a.dry_run);
    };
  });
  CLI::App* save = app.add_subcommand("export", "Writes all blocks of a partition to a file");
  save->add_option("target", a.target, kPartition)->required();
  save->add_option("--out", a.file, "The file, which appears once it is whole")->required();
  save->callback([&a, run] {
    *run = [&a](AdminClient& client, const Output& output) {
      return Export(client, output, a.target, a.file);
    };
  });
  CLI::App* load = app.add_subcommand(
      "import", "Stores what export wrote, under the partition that each block names");
  load->add_option("target", a.target, kContainer)->required();
  load->add_option("--in", a.file, "The file")->required();
  load->callback([&a, run] {
    *run = [&a](AdminClient& client, const Output& output) {
      return Import(client, output, a.target, a.file);
    };
  });
}

void AddRunning(CLI::App& app, Arguments& a, Run* run) {
  CLI::App* set = app.add_subcommand(
      "set", "Changes settings until the server's next start; shows them where none is given");
  AddSize(set, "--capacity", a.set.capacity_bytes, "Of the server's disk: what is beyond it goes");
  AddSize(set, "--memory", a.set.memory_bytes, "Of the RAM tier and what it stands on");
  set->add_option("--log-level", a.set.log_level, "error, info or verbose")
      ->check(CLI::IsMember({"error", "info", "verbose"}));
  set->callback([&a, run] {
    *run = [&a](AdminClient& client, const Output& output) { return Set(client, output, a.set); };
  });
  CLI::App* drain = app.add_subcommand(
      "drain", "Refuses new calls and says NOT_SERVING, so that clients go elsewhere");
  CLI::Option* wait = drain
                          ->add_option("--wait", a.wait_s,
                                       "Seconds to wait at most until nothing runs and all "
                                       "that was written is where other servers see it")
                          ->check(CLI::NonNegativeNumber);
  drain->callback([&a, run, wait] {
    *run = [&a, wait](AdminClient& client, const Output& output) {
      return Drain(client, output, wait->empty() ? std::nullopt : std::optional(a.wait_s));
    };
  });
  app.add_subcommand("resume", "Takes calls again")->callback([run] { *run = Resume; });
  CLI::App* verify = app.add_subcommand(
      "verify", "Reads all that is on the server's disk and checks it; what is damaged is removed");
  AddSize(verify, "--rate", a.rate, "Bytes a second at most [default: what the disk gives]");
  verify->callback([&a, run] {
    *run = [&a](AdminClient& client, const Output& output) {
      return Verify(client, output, a.rate);
    };
  });
}

int Main(int argc, char** argv) {
  CLI::App app(kDescription, "kvctl");
  app.footer(kFooter);
  app.set_version_flag("--version", "kvctl " KVSTORE_VERSION);
  app.set_help_all_flag("--help-all", "Help of all commands");
  app.require_subcommand(1);
  app.fallthrough();
  ConnectOptions connect;
  connect.server = OfEnvironment("KVCTL_SERVER", kDefaultServer);
  bool as_json = false;
  app.add_option("--server", connect.server,
                 "unix:PATH or HOST:PORT, as the server's --admin (environment KVCTL_SERVER)")
      ->capture_default_str();
  app.add_option("--token-file", connect.token_file,
                 "File of the token that a server's --admin-auth knows (KVSTORE_TOKEN_FILE)");
  app.add_option("--tls-ca", connect.tls.ca_file,
                 "PEM file of the authorities that servers' certificates come from: TLS is spoken "
                 "(KVSTORE_TLS_CA)");
  app.add_option("--tls-cert", connect.tls.certificate_file,
                 "PEM file of a certificate of one's own (KVSTORE_TLS_CERT)");
  app.add_option("--tls-key", connect.tls.key_file, "Its private key (KVSTORE_TLS_KEY)");
  app.add_option("--tls-server-name", connect.tls.server_name,
                 "The name that the server's certificate must bear, where it is not the host's");
  app.add_flag("--json", as_json, "One JSON object on standard output, errors included");
  Arguments arguments;
  Run run;
  AddLooking(app, arguments, &run);
  AddBlocks(app, arguments, &run);
  AddPartitions(app, arguments, &run);
  AddRunning(app, arguments, &run);
  CLI::App* completion =
      app.add_subcommand("completion", "Prints what makes a shell complete kvctl's arguments");
  completion->add_option("shell", arguments.shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (completion->parsed()) {
    std::cout << (arguments.shell == "bash" ? BashCompletion(app) : ZshCompletion(app));
    return 0;
  }
  absl::Status status;
  const absl::StatusOr<std::unique_ptr<AdminClient>> client = AdminClient::Open(connect);
  if (client.ok()) {
    status = run(**client, {std::cout, std::cerr, as_json});
  } else {
    status = client.status();
  }
  if (!status.ok()) SayFailure(status, as_json);
  return CodeOf(status);
}

}  // namespace
}  // namespace kvstore::kvctl

int main(int argc, char** argv) { return kvstore::kvctl::Main(argc, argv); }
