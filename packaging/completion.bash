# Options as the program itself tells them.
_kvstore_program() {
  local current=${COMP_WORDS[COMP_CWORD]} options
  if [[ $current == -* ]]; then
    options=$("$1" --help 2>/dev/null | grep -oE '(^|[ ,])--[a-z][a-z0-9-]*' | tr -d ' ,')
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}
complete -o filenames -F _kvstore_program KVStoreServer KVPlayground
