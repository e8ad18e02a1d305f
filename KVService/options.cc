#include "KVService/options.h"

#include <CLI/CLI.hpp>

#include "KVService/platform/machine.h"

namespace kvstore {
namespace {

constexpr char kDescription[] =
    R"(KVStoreServer keeps the attention KV cache of large language models outside the GPU fleet and
serves it over gRPC: blocks of 128 tokens, found by prefix, kept in RAM and on local disk.

  KVStoreServer --data-dir /var/lib/kvstore --capacity 2TiB --memory 64GiB

Sizes take KiB, MiB, GiB or TiB. SIGINT or SIGTERM stops it: running calls finish, and everything
that was acknowledged is there at the next start.)";

constexpr char kDurability[] =
    R"(when a write is acknowledged:
none   once the operating system has it: survives a crash of the server, not of the machine
batch  once it is on the disk, synced together with the writes of that moment
each   once it is on the disk, synced on its own)";

// Less holds no block of many models, and no segment.
constexpr uint64_t kLeastCapacity = uint64_t{16} << 20;

// Accepts "4GiB", "512MB", "1048576".
CLI::Option* AddSize(CLI::App& app, const std::string& name, std::optional<uint64_t>& value,
                     const std::string& description) {
  return app.add_option(name, value, description)
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE");
}

}  // namespace

ParsedCommandLine ParseCommandLine(int argc, char** argv) {
  ServerOptions options;
  bool disable_metrics = false, disable_multi_nic = false;
  CLI::App app{kDescription, "KVStoreServer"};
  app.set_version_flag("--version", KVSTORE_VERSION);
  app.set_config("--config", "",
                 "read options from a TOML file: lines of name = value, names as here "
                 "without the dashes; the command line wins");
  app.allow_config_extras(false);

  app.add_option("--port", options.port, "TCP port to listen on")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535));
  app.add_option("--host", options.host, "address to listen on")->capture_default_str();
  app.add_option("--threads", options.threads,
                 "threads for disk work; 0: by the number of processors")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  app.add_option("--log-level", options.log_level,
                 "error, info or verbose; logs go to standard error")
      ->capture_default_str()
      ->check(CLI::IsMember({"error", "info", "verbose"}));
  app.add_flag("--disable-metrics", disable_metrics,
               "do not print a JSON line for every call to standard output");

  app.add_option("--data-dir", options.data_dir, "directory of the embedded store, made if missing")
      ->capture_default_str()
      ->group("Storage");
  AddSize(app, "--capacity", options.capacity_bytes,
          "most disk space to use; beyond it the blocks least recently used go "
          "[default: 80 % of what the file system has to give]")
      ->group("Storage");
  AddSize(app, "--memory", options.memory_bytes,
          "RAM for the hottest blocks; 0 for none [default: a quarter of the machine's]")
      ->group("Storage");
  app.add_option("--durability", options.durability, kDurability)
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "batch", "each"}))
      ->group("Storage");

  const std::string azure = "Azure Blob Storage (accepted; without effect on the embedded store)";
  app.add_option("--transport", options.transport, "HTTP library: libcurl, or winhttp on Windows")
      ->capture_default_str()
      ->check(CLI::IsMember({"winhttp", "libcurl"}))
      ->group(azure);
  app.add_flag("--enable-sdk-logging", options.sdk_logging, "log each HTTP exchange")->group(azure);
  app.add_flag("--disable-multi-nic", disable_multi_nic,
               "do not spread connections over the machine's network interfaces")
      ->group(azure);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  if (options.transport == "winhttp" && !HasWinHttp()) {
    return app.exit(
        CLI::ValidationError("--transport", "winhttp exists on Windows only; use libcurl"));
  }
  if (options.capacity_bytes.value_or(kLeastCapacity) < kLeastCapacity) {
    return app.exit(CLI::ValidationError("--capacity", "must be at least 16MiB"));
  }
  options.metrics = !disable_metrics;
  options.multi_nic = !disable_multi_nic;
  return options;
}

}  // namespace kvstore
