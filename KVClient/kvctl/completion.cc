#include "KVClient/kvctl/completion.h"

#include <spdlog/fmt/fmt.h>

#include <vector>

namespace kvstore::kvctl {
namespace {

std::vector<const CLI::App*> Commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> LongNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string Cases(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* command : Commands(app)) {
    cases += fmt::format("    {}) options=\"{} $options\" ;;\n", command->get_name(),
                         Joined(LongNames(*command)));
  }
  return cases;
}

std::string Names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : Commands(app)) names.push_back(command->get_name());
  return Joined(names);
}

// For single quotes, in _describe's list, where a colon separates.
std::string Quoted(std::string text) {
  std::string quoted;
  for (const char c : text) quoted += c == '\'' ? "'\\''" : c == ':' ? "\\:" : std::string(1, c);
  return quoted;
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  return fmt::format(R"sh(# bash completion for kvctl: eval "$(kvctl completion bash)"
_kvctl() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} commands="{0}" options="{1}" command="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ " $commands " == *" $word "* ]] && command=$word && break
  done
  case $command in
{2}  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif [[ -z $command ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
  elif [[ $command == completion ]]; then
    mapfile -t COMPREPLY < <(compgen -W "bash zsh" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}}
complete -o filenames -F _kvctl kvctl
)sh",
                     Names(app), Joined(LongNames(app)), Cases(app));
}

std::string ZshCompletion(const CLI::App& app) {
  std::string described;
  for (const CLI::App* command : Commands(app)) {
    described +=
        fmt::format("    '{}:{}'\n", command->get_name(), Quoted(command->get_description()));
  }
  return fmt::format(R"sh(#compdef kvctl
# zsh completion for kvctl: kvctl completion zsh > "${{fpath[1]}}/_kvctl"
_kvctl() {{
  local -a commands=(
{0}  )
  local options="{1}" command="" word
  for word in "${{words[@]:1:$((CURRENT - 2))}}"; do
    (( ${{commands[(I)${{word}}:*]}} )) && command=$word && break
  done
  case $command in
{2}  esac
  if [[ $words[CURRENT] == -* ]]; then
    compadd -- ${{=options}}
  elif [[ -z $command ]]; then
    _describe command commands
  elif [[ $command == completion ]]; then
    compadd -- bash zsh
  else
    _files
  fi
}}
# Found in fpath it is run for the first completion, which is then waited for.
if [[ $funcstack[1] == _kvctl ]]; then
  _kvctl "$@"
else
  compdef _kvctl kvctl
fi
)sh",
                     described, Joined(LongNames(app)), Cases(app));
}

}  // namespace kvstore::kvctl
