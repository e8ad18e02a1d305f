#include "KVService/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "KVCommon/limits.h"
#include "KVService/http/http_transport.h"
#include "KVService/platform/listener.h"
#include "KVService/platform/numa.h"
#include "KVService/platform/service.h"

namespace kvstore {
namespace {

constexpr char kDescription[] =
    R"(KVStoreServer keeps the attention KV cache of large language models outside the GPU fleet and
serves it over gRPC: blocks of 128 tokens, found by prefix, kept in RAM and on local disk, or in
Azure Blob Storage with RAM and local disk before it.

  KVStoreServer --data-dir /var/lib/kvstore --capacity 2TiB --memory 64GiB
  KVStoreServer --storage azure --cache-dir /var/cache/kvstore --memory 64GiB

Sizes take KiB, MiB, GiB or TiB. SIGINT or SIGTERM stops it: running calls finish, and everything
that was acknowledged is there at the next start.)";

constexpr char kDurability[] =
    R"(when a write is acknowledged:
none   once the operating system has it: survives a crash of the server, not of the machine
batch  once it is on the disk, synced together with the writes of that moment
each   once it is on the disk, synced on its own)";

// Accepts "4GiB", "512MB", "1048576".
CLI::Option* AddSize(CLI::App& app, const std::string& name, std::optional<uint64_t>& value,
                     const std::string& description) {
  // Validators run last first: without it -5 is 16 EiB.
  return app.add_option(name, value, description)
      ->check([](const std::string& text) {
        return text.starts_with('-') ? "a size cannot be negative: " + text : std::string();
      })
      ->transform(CLI::AsSizeValue(false))
      ->take_last()
      ->type_name("SIZE");
}

void AddSecurity(CLI::App& app, ServerOptions& options) {
  const std::string security = "Security";
  app.add_option("--tls-cert", options.tls_certificate_file,
                 "PEM file of the server's certificate, intermediate ones behind it: only TLS is "
                 "then spoken. Read again on SIGHUP, and looked at every 30 s")
      ->group(security);
  app.add_option("--tls-key", options.tls_key_file, "PEM file of that certificate's private key")
      ->group(security);
  app.add_option("--tls-client-ca", options.tls_client_ca_file,
                 "PEM file of authorities: clients must present a certificate of theirs")
      ->group(security);
  app.add_option("--auth", options.auth_file,
                 "JSON file of who may read and write what, by token or client certificate; all "
                 "else is denied. Read again on SIGHUP [default: everybody may do everything]")
      ->group(security);
}

void AddAdministration(CLI::App& app, ServerOptions& options) {
  const std::string administration = "Administration";
  app.add_option("--admin", options.admin_address,
                 "where kvctl reaches the server: unix:PATH, a socket for this user alone, or "
                 "HOST:PORT [default: nowhere]")
      ->take_last()
      ->check([](const std::string& text) {
        return std::string(Listener::Parse(text).status().message());
      })
      ->type_name("ADDRESS")
      ->group(administration);
  app.add_option("--admin-auth", options.admin_auth_file,
                 "JSON file, as of --auth, of who may administer; a port needs it. Read again on "
                 "SIGHUP")
      ->group(administration);
  app.add_option("--retention", options.retention_file,
                 "JSON file of how long blocks are kept, by account, container and partition, and "
                 "how much a container may hold. Read again on SIGHUP [default: all is kept]")
      ->group(administration);
  app.add_option("--retention-interval", options.retention_interval_s,
                 "seconds between looks at what is to go")
      ->capture_default_str()
      ->take_last()
      ->check(CLI::Range(1, 86400))
      ->group(administration);
  app.add_flag("--retention-dry-run", options.retention_dry_run,
               "remove nothing for it, only log what would go")
      ->group(administration);
}

void AddTraces(CLI::App& app, ServerOptions& options) {
  const std::string traces = "Traces";
  app.add_option("--otlp-endpoint", options.otlp_endpoint,
                 "OpenTelemetry collector that spans of calls are sent to, by OTLP/HTTP as JSON, "
                 "such as http://localhost:4318 [default: none]")
      ->take_last()
      ->check([](const std::string& text) {
        const bool http = text.starts_with("http://") || text.starts_with("https://");
        const bool fit = text.find_first_of("@?# ") == std::string::npos && !text.ends_with("://");
        return http && fit ? std::string() : "no URL such as http://localhost:4318: " + text;
      })
      ->type_name("URL")
      ->group(traces);
  app.add_option("--trace-sample", options.trace_sample,
                 "share of the traces that begin here whose spans are kept; of those that a "
                 "caller's traceparent names its sampled flag decides")
      ->capture_default_str()
      ->take_last()
      ->check(CLI::Range(0.0, 1.0))
      ->group(traces);
}

void AddLimits(CLI::App& app, ServerOptions& options) {
  const std::string limits = "Limits";
  app.add_option("--max-calls", options.max_calls,
                 "calls at a time, of all clients; beyond it, and beyond a client's share of it, "
                 "they are told to try again [default: 4096]")
      ->take_last()
      ->check(CLI::Range(1, 1'000'000))
      ->group(limits);
  AddSize(app, "--max-uploads", options.max_upload_bytes,
          "RAM for requests that are being received; others wait [default: 512MiB]")
      ->group(limits);
  AddSize(app, "--max-answers", options.max_answer_bytes,
          "RAM for blocks that clients have asked for and not taken yet; beyond it, and beyond a "
          "client's share of it, they are told to try again [default: 2GiB]")
      ->group(limits);
}

// "[default: 512MiB]" in a description tells what the option is where it is not given.
std::string DefaultOf(const CLI::Option& option) {
  if (!option.get_default_str().empty()) return option.get_default_str();
  constexpr std::string_view kMark = "[default: ";
  const std::string description = option.get_description();
  const size_t at = description.find(kMark);
  if (at == std::string::npos) return option.get_items_expected_max() == 0 ? "off" : "";
  const size_t from = at + kMark.size();
  return description.substr(from, description.find(']', from) - from);
}

std::vector<ShownOption> Shown(const CLI::App& app) {
  std::vector<ShownOption> shown;
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (name == "--help" || name == "--version" || name == "-h,--help") continue;
    ShownOption one{name, DefaultOf(*option), option->count() > 0};
    if (one.given) {
      one.value.clear();
      for (const std::string& value : option->results()) {
        one.value += (one.value.empty() ? "" : ", ") + value;
      }
      if (option->get_items_expected_max() == 0 && one.value == "true") one.value = "on";
    }
    one.value = Masked(one.name, one.value);
    shown.push_back(std::move(one));
  }
  return shown;
}

// What the options say against each other; empty where they do not.
std::string Contradiction(const ServerOptions& options) {
  if (!options.azure) {
    if (!options.accounts_file.empty()) return "--accounts is for --storage azure";
    if (!options.cache_dir.empty()) {
      return "--cache-dir is for --storage azure; the embedded store's directory is --data-dir";
    }
  }
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return "--tls-cert and --tls-key go together: give both files";
  }
  if (!options.tls_client_ca_file.empty() && options.tls_certificate_file.empty()) {
    return "--tls-client-ca needs --tls-cert and --tls-key";
  }
  if (options.numa_auto && options.numa_node) {
    return "--numa auto takes every node, and --numa-node one: give one of them";
  }
  if (options.processor_group) {
    if (!HasProcessorGroups()) {
      return "--processor-group is for Windows; here --numa-node says where a server runs";
    }
    if (options.numa_auto) return "--numa auto takes every processor group: leave one of them out";
  }
  if (!options.service.empty() && !HasServices()) {
    return "--service is for Windows; here systemd starts the server, see docs/OPERATIONS.md";
  }
  if (options.transport == "winhttp" && !options.ca_file.empty()) {
    return "--transport winhttp trusts the machine's certificates alone: leave --ca-file out, and "
           "have the machine trust them";
  }
  if (options.cache_dir.empty()) {
    if (options.write_back) return "--write-back needs the disk tier that --cache-dir names";
    if (options.cache_capacity_bytes) return "--cache-capacity needs --cache-dir";
  }
  if (options.cache_capacity_bytes.value_or(kLeastCapacityBytes) < kLeastCapacityBytes) {
    return "--cache-capacity must be at least 16MiB";
  }
  return "";
}

}  // namespace

std::vector<std::string> WithoutService(std::vector<std::string> arguments) {
  std::vector<std::string> others;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--service") {
      ++i;  // its value
    } else if (!arguments[i].starts_with("--service=")) {
      others.push_back(std::move(arguments[i]));
    }
  }
  return others;
}

ParsedCommandLine ParseCommandLine(int argc, char** argv) {
  ServerOptions options;
  options.numa_sysfs = SystemNumaDirectory();
  bool disable_metrics = false, disable_multi_nic = false;
  CLI::App app{kDescription, "KVStoreServer"};
  app.set_version_flag("--version", KVSTORE_VERSION);
  app.set_config("--config", "",
                 "read options from a TOML file: lines of name = value, names as here "
                 "without the dashes; the command line wins");
  app.allow_config_extras(false);

  app.add_option("--port", options.port, "TCP port to listen on; 0: a free one")
      ->take_last()
      ->capture_default_str()
      ->check(CLI::Range(0, 65535));
  app.add_option("--host", options.host, "address to listen on")
      ->take_last()
      ->capture_default_str();
  app.add_option(
         "--threads", options.threads,
         "threads for calls, disk and HTTP together, the most there may be; 0: by the number "
         "of processors")
      ->capture_default_str()
      ->take_last()
      ->check(CLI::Range(0, 1024));
  app.add_option("--log-level", options.log_level,
                 "error, info or verbose; logs go to standard error")
      ->capture_default_str()
      ->check(CLI::IsMember({"error", "info", "verbose"}));
  app.add_option("--log-format", options.log_format,
                 "text, or json: an object a line, of time, level and message")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "json"}));
  app.add_flag("--disable-metrics", disable_metrics,
               "do not print a JSON line for every call to standard output");
  app.add_option(
         "--metrics-port", options.metrics_port,
         "TCP port of the status page, /, and of /metrics for Prometheus, without encryption "
         "or authentication; 0: none")
      ->take_last()
      ->capture_default_str()
      ->check(CLI::Range(0, 65535));
  app.add_option("--metrics-host", options.metrics_host, "address of that port")
      ->capture_default_str();
  app.add_flag("--reflection", options.reflection,
               "answer gRPC's reflection, for grpcurl and the like; without authentication");
  app.add_flag("--channelz", options.channelz,
               "answer gRPC's channelz: connections and their counts; without authentication");
  app.add_option("--slow-request-ms", options.slow_request_ms,
                 "log each call that takes so long or longer, and where its time went; 0: none")
      ->capture_default_str()
      ->take_last()
      ->check(CLI::Range(0, 3'600'000));

  app.add_option("--data-dir", options.data_dir, "directory of the embedded store, made if missing")
      ->take_last()
      ->capture_default_str()
      ->group("Storage");
  AddSize(app, "--capacity", options.capacity_bytes,
          "most disk space to use; beyond it the blocks least recently used go "
          "[default: 80 % of what the file system has to give]")
      ->group("Storage");
  AddSize(app, "--memory", options.memory_bytes,
          "RAM for cached blocks, blocks on their way and the index together; 0 caches nothing "
          "[default: a quarter of the machine's]")
      ->group("Storage");
  app.add_flag("--huge-pages,!--no-huge-pages", options.huge_pages,
               "blocks in huge pages where the system has them [default: yes]")
      ->group("Storage");
  AddSize(app, "--pending-writes", options.pending_write_bytes,
          "RAM for blocks whose write is under way; beyond it clients are told to try again "
          "[default: 512MiB]")
      ->group("Storage");
  app.add_option("--durability", options.durability, kDurability)
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "batch", "each"}))
      ->group("Storage");
  app.add_option("--io", options.io,
                 "how the disk is read: uring (the kernel's io_uring), threads (one waits in each "
                 "read), auto (uring where the system has it)")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "uring", "threads"}))
      ->group("Storage");

  std::optional<uint64_t> scrub_rate;
  AddSize(app, "--scrub-rate", scrub_rate,
          "bytes a second of the disk that are checked while nobody asks for them, by a thread of "
          "low priority; 0: none [default: 8MiB]")
      ->group("Storage");

  AddSecurity(app, options);
  AddAdministration(app, options);
  AddTraces(app, options);
  AddLimits(app, options);

  std::string numa = "off";
  const std::string nodes = "NUMA nodes";
  app.add_option("--numa", numa,
                 "auto: where the machine has several nodes, one server for each, on ports that "
                 "follow each other from --port; memory, disk and threads are shared evenly. "
                 "Starts those again that end by themselves")
      ->capture_default_str()
      ->take_last()
      ->check(CLI::IsMember({"auto", "off"}))
      ->group(nodes);
  app.add_option("--numa-node", options.numa_node,
                 "run on the processors of this node, with its memory [default: on all]")
      ->take_last()
      ->check(CLI::Range(0, kMostCpus - 1))
      ->group(nodes);
  app.add_option("--processor-group", options.processor_group,
                 "run on the processors of this group of Windows', up to 64 of them; with "
                 "--numa-node on those of both [default: on all]")
      ->take_last()
      ->check(CLI::Range(0, kMostCpus / kProcessorGroupSize - 1))
      ->group(nodes);
  app.add_option("--numa-sysfs", options.numa_sysfs,
                 "directory to read the nodes from; for tests, which name recorded ones")
      ->default_str(SystemNumaDirectory())
      ->group(nodes);

  app.add_option("--service", options.service,
                 "install: have Windows start the server with these options, now on at each start "
                 "of the machine; remove: end that; run: what Windows starts [default: no service]")
      ->take_last()
      ->configurable(false)
      ->check(CLI::IsMember({"install", "remove", "run"}))
      ->group("Windows service");

  std::string storage;
  app.add_option(
         "--storage", storage,
         "local: the embedded store; azure: Azure Blob Storage, which any number of servers "
         "may share [default: local, or azure where --accounts is given]")
      ->check(CLI::IsMember({"local", "azure"}))
      ->group("Storage");
  app.add_flag("--prefetch", options.prefetch,
               "fetch the blocks that a Lookup finds into RAM before they are asked for")
      ->group("Storage");

  const std::string azure = "Azure Blob Storage (--storage azure)";
  app.add_option(
         "--accounts", options.accounts_file,
         "JSON file of the storage accounts: endpoints, credentials, containers; read again "
         "on SIGHUP. Without it every account is https://NAME.SUFFIX, by the credential that "
         "the environment has, such as AZURE_STORAGE_CONNECTION_STRING")
      ->group(azure);
  app.add_option("--blob-suffix", options.blob_suffix, "DNS suffix of accounts without an endpoint")
      ->capture_default_str()
      ->group(azure);
  app.add_option("--ca-file", options.ca_file,
                 "PEM file of authorities to trust instead of the system's")
      ->group(azure);
  app.add_option("--cache-dir", options.cache_dir,
                 "directory of a disk tier before Azure, made if missing [default: none]")
      ->take_last()
      ->group(azure);
  AddSize(app, "--cache-capacity", options.cache_capacity_bytes,
          "most disk space of it [default: 80 % of what the file system has to give]")
      ->group(azure);
  app.add_flag("--write-back", options.write_back,
               "acknowledge a write once the disk tier has it (as --durability says) and upload it "
               "later; a lost disk then loses what was not uploaded yet")
      ->group(azure);
  app.add_option("--index-blocks", options.index_blocks,
                 "blocks that the index holds in RAM, about 100 bytes each; what it forgets is "
                 "looked for in Azure [default: what an eighth of the machine's memory holds]")
      ->take_last()
      ->check(CLI::Range(kLeastIndexBlocks, uint64_t{4'000'000'000}))
      ->group(azure);
  app.add_option("--bloom-blocks", options.bloom_blocks,
                 "blocks that the Bloom filter is sized for; it grows beyond")
      ->capture_default_str()
      ->check(CLI::Range(uint64_t{1024}, uint64_t{1} << 36))
      ->group(azure);
  app.add_option("--bloom-fp-rate", options.bloom_false_positive_rate,
                 "share of unwritten blocks that the Bloom filter may let through")
      ->capture_default_str()
      ->check(CLI::Range(0.000001, 0.5))
      ->group(azure);
  app.add_option("--transport", options.transport,
                 "HTTP library: libcurl, or winhttp, which is Windows' own: it takes no --ca-file, "
                 "and the system chooses the network interface")
      ->capture_default_str()
      ->check(CLI::IsMember({"winhttp", "libcurl"}))
      ->group(azure);
  app.add_flag("--enable-sdk-logging", options.sdk_logging,
               "log each HTTP exchange, without secrets")
      ->group(azure);
  app.add_flag("--disable-multi-nic", disable_multi_nic,
               "do not spread connections over the machine's network interfaces")
      ->group(azure);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  const std::vector<std::string> transports = HttpTransports();
  if (std::find(transports.begin(), transports.end(), options.transport) == transports.end()) {
    return app.exit(CLI::ValidationError(
        "--transport", options.transport + " exists on Windows only; use libcurl"));
  }
  if (options.pending_write_bytes.value_or(kMaxMessageBytes) < kMaxMessageBytes) {
    return app.exit(CLI::ValidationError(
        "--pending-writes", "must be at least 100MiB, which the largest block may need"));
  }
  for (const auto& [name, bytes] : {std::pair("--max-uploads", options.max_upload_bytes),
                                    std::pair("--max-answers", options.max_answer_bytes)}) {
    if (bytes.value_or(kMaxMessageBytes) < kMaxMessageBytes) {
      return app.exit(
          CLI::ValidationError(name, "must be at least 100MiB, which the largest block may need"));
    }
  }
  if (options.capacity_bytes.value_or(kLeastCapacityBytes) < kLeastCapacityBytes) {
    return app.exit(CLI::ValidationError("--capacity", "must be at least 16MiB"));
  }
  options.scrub_bytes_per_second = scrub_rate.value_or(kDefaultScrubRate);
  options.numa_auto = numa == "auto";
  options.azure = storage.empty() ? !options.accounts_file.empty() : storage == "azure";
  if (const std::string wrong = Contradiction(options); !wrong.empty()) {
    return app.exit(CLI::ValidationError(wrong));
  }
  options.metrics = !disable_metrics;
  options.multi_nic = !disable_multi_nic;
  options.shown = Shown(app);
  return options;
}

}  // namespace kvstore
